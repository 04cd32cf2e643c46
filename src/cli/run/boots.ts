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
import type { Session } from "../../vmm/guest-session.ts";
import {
  encodeSnapshot,
  type OpenedSnapshot,
  openSnapshot,
  type Snapshot,
} from "../../vmm/node/snapshot-file.ts";

/** How many are kept: each takes about a hundred MiB. */
const KEPT = 12;
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
   * Keeps a guest that has booted, if it can be saved. One that cannot be kept costs the next run its time, and this one
   * nothing.
   * @param warn told why it cannot be written
   */
  keepSession(of: unknown, session: Session, warn: (text: string) => void): void {
    const saved = session.save();
    if (typeof saved === "string") return;
    try {
      this.keep(of, { config: session.config, ...saved });
    } catch (error) {
      warn(`the booted guest cannot be kept: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  /** Keeps a snapshot, and the newest others. Throws what the file system throws. */
  keep(of: unknown, snapshot: Snapshot): void {
    mkdirSync(this.#folder, { recursive: true });
    const path = this.#path(of);
    const temporary = `${path}.${process.pid}.tmp`;
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
