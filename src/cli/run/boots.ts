/** Snapshots of guests that have booted, so that a run begins where its command does. */
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { temporaryName } from "../../guest/node/store.ts";
import { fault } from "../../kvm/spe/policies/fault.ts";
import type { PinPolicy } from "../../kvm/spe/policy.ts";
import { DEFAULT_HOST, type MachineConfig } from "../../vmm/machine-config.ts";
import {
  encodeSnapshot,
  type OpenedSnapshot,
  openSnapshot,
  type Snapshot,
} from "../../vmm/node/snapshot-file.ts";

/**
 * Under what a guest boots whose boot is kept. Until a policy acts a boot is the same under any, and costs and limits of the host
 * would only shift the guest's clock: so one boot is good for all of them.
 */
export const BOOTING_POLICY: PinPolicy = fault;
const BOOTING = { policy: fault.name, profile: "free" } as const;

/**
 * The machine that a guest boots on which goes on as `config` says: the same backing, since what is touched while it boots is
 * resident as that has it. A policy that acts before the guest's first instruction has a boot of its own, and so it is `config`.
 */
export function bootingConfig(config: MachineConfig, policy: PinPolicy): MachineConfig {
  if (policy.create().onVmStart !== undefined) return config;
  const backing = policy.backing ?? config.host.backing;
  const { maxBufferBytes } = config.host;
  return { ...config, ...BOOTING, host: { ...DEFAULT_HOST, backing, maxBufferBytes } };
}

/** How many are kept: each takes about a hundred MiB. */
const KEPT = 24;
const SUFFIX = ".snapshot";

/** What is only for the order of the folder, which somebody else may own. */
function attempt(action: () => void): void {
  try {
    action();
  } catch {}
}

export class Boots {
  readonly #folder: string;
  readonly #build: string;

  /** @param build the version of the source that the snapshots are good for */
  constructor(cacheDir: string, build: string) {
    this.#folder = join(cacheDir, "boots");
    this.#build = build;
  }

  #path(of: unknown): string {
    const key = createHash("sha256")
      .update(`${this.#build}\0${JSON.stringify(of)}`)
      .digest("hex");
    return join(this.#folder, `${key.slice(0, 32)}${SUFFIX}`);
  }

  /** The snapshot of a boot that was made of this; undefined where there is none that is whole. */
  find(of: unknown): OpenedSnapshot | undefined {
    const path = this.#path(of);
    if (!existsSync(path)) return undefined;
    try {
      const snapshot = openSnapshot(path, this.#build);
      attempt(() => utimesSync(path, new Date(), new Date()));
      return snapshot;
    } catch {
      attempt(() => rmSync(path, { force: true }));
      return undefined;
    }
  }

  /**
   * Keeps a guest that has booted. One that cannot be kept costs the next run its time, and this one nothing.
   * @param warn told why it cannot be written
   */
  keepBoot(of: unknown, booted: Snapshot, warn: (text: string) => void): void {
    try {
      this.keep(of, booted);
    } catch (error) {
      warn(`the booted guest cannot be kept: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  /** Keeps a snapshot, and the newest others. Throws what the file system throws. */
  keep(of: unknown, snapshot: Snapshot): void {
    mkdirSync(this.#folder, { recursive: true });
    const path = this.#path(of);
    const temporary = temporaryName(path);
    try {
      writeFileSync(temporary, encodeSnapshot(snapshot, this.#build, "none"));
      renameSync(temporary, path);
    } finally {
      rmSync(temporary, { force: true });
    }
    const all = readdirSync(this.#folder)
      .map((name) => join(this.#folder, name))
      .map((file) => ({ file, usedMs: statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0 }))
      .sort((a, b) => b.usedMs - a.usedMs);
    for (const { file } of all.slice(KEPT)) rmSync(file, { force: true });
  }
}
