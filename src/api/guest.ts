/** A guest that has booted, and the commands that are run in it. */
import { DEFAULT_CLOCK } from "../a64/state.ts";
import { cacheFolder, sourceVersion } from "../cli/cache-folder.ts";
import { chosen, profileNamed } from "../cli/lab.ts";
import { BOOTING_POLICY, Boots, bootingConfig } from "../cli/run/boots.ts";
import { placeShares } from "../cli/run/shares.ts";
import { UserError } from "../common/errors.ts";
import { DEFAULT_COMMAND_LINE } from "../guest/debian/command-line.ts";
import type { Kernel } from "../guest/debian/recipe.ts";
import { fetchGuest, RECIPE_ID } from "../guest/node/fetch-guest.ts";
import { guestFiles, type StoredGuest } from "../guest/node/guests.ts";
import { machineMirror } from "../guest/node/mirror.ts";
import { costTable } from "../host/costs.ts";
import { linuxRecordOf } from "../lab/linux-record.ts";
import { checkRun } from "../lab/report/report-file.ts";
import { DEFAULT_SPE } from "../spe/implementation.ts";
import { quoted } from "../vmm/agent.ts";
import { type SavedSession, Session, type SessionOptions, type Stopped } from "../vmm/guest-session.ts";
import { DEFAULT_HOST, type MachineConfig } from "../vmm/machine-config.ts";
import { readInitrd, readKernel } from "../vmm/node/boot-files.ts";
import { runMachine } from "../vmm/node/run-machine.ts";
import { openShare } from "../vmm/node/share.ts";
import { wholeInput } from "../vmm/node/terminal.ts";
import type { BootFiles } from "../vmm/virtual-machine.ts";
import type { CommandOptions, CommandResult, GuestOptions, GuestSession } from "./session.ts";

const MIB = 1024 ** 2;
const DEFAULTS = { memoryBytes: 512 * MIB, policy: "adaptive", profile: "thread-normal", seed: 1 } as const;
/** 1 January 2026, as `spevisor run` has it. */
const START_SECONDS = 1_767_225_600;
const MOST_CPUS = 16;

async function storedGuest(options: GuestOptions, kernel: Kernel, cacheDir: string): Promise<StoredGuest> {
  const suite = options.suite ?? "bookworm";
  const stored = await guestFiles(suite, cacheDir, kernel);
  if (stored?.manifest.recipe === RECIPE_ID) return stored;
  const mirror = options.mirror ?? (process.env["SPEVISOR_MIRROR"] || (await machineMirror()));
  const onWarning = options.onWarning ?? (() => undefined);
  onWarning(`fetching the ${suite} guest from ${mirror} (once)`);
  return (await fetchGuest({ suite, kernel, mirror, cacheDir, onWarning })).guest;
}

const whole = (name: string, value: number, low: number, high: number): number => {
  if (!Number.isInteger(value) || value < low || value > high)
    throw new UserError(`${name}: ${value} is not a whole number from ${low} to ${high}`);
  return value;
};

/** What a command writes to one stream. */
class Collected {
  #pieces: Uint8Array[] = [];

  readonly take = (bytes: Uint8Array): void => {
    this.#pieces.push(bytes.slice());
  };

  /** All since the last time. */
  drain(): Uint8Array {
    const bytes = new Uint8Array(this.#pieces.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const piece of this.#pieces) {
      bytes.set(piece, at);
      at += piece.length;
    }
    this.#pieces = [];
    return bytes;
  }
}

const CLOSED = "the guest was closed";

/** What its commands write, and its console. */
const streams = (options: GuestOptions, stdout: Collected, stderr: Collected) => ({
  onConsole: options.onConsole ?? (() => undefined),
  onStdout: stdout.take,
  onStderr: stderr.take,
  onError: (order: string, text: string) => options.onWarning?.(`the guest refused "${order}": ${text}`),
});

/** A session (vmm/guest-session.ts) as the package shows it. */
class Guest implements GuestSession {
  readonly #stdout = new Collected();
  readonly #stderr = new Collected();
  #session: Session | undefined;
  /** Why no more commands can be run. */
  #over: string | undefined;
  #busy = false;

  constructor(
    options: GuestOptions,
    made: Pick<SessionOptions, "config" | "policy" | "costs" | "shares" | "boot">,
  ) {
    this.#session = new Session({ ...made, disks: [], ...streams(options, this.#stdout, this.#stderr) });
  }

  get session(): Session {
    if (this.#session === undefined || this.#over !== undefined)
      throw new UserError(`no command can be run: ${this.#over ?? CLOSED}`);
    return this.#session;
  }

  async run(command: string | readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    const { session } = this;
    if (this.#busy) throw new UserError("a command is running", "Wait for its result");
    this.#busy = true;
    try {
      const script = typeof command === "string" ? command : command.map(quoted).join(" ");
      return await this.#run(session, script, options);
    } finally {
      this.#busy = false;
    }
  }

  async #run(session: Session, script: string, options: CommandOptions): Promise<CommandResult> {
    const { input = "", timeoutMs = 0 } = options;
    const bytes = typeof input === "string" ? new TextEncoder().encode(input) : input;
    const stopped = await session.command(script, (vm, errand) =>
      runMachine(vm, errand, { timeoutMs, input: wholeInput(bytes), paced: false }),
    );
    const { status } = session;
    if (status === undefined) this.#over = ENDED[stopped];
    const report = checkRun(linuxRecordOf(session, script, stopped));
    const [stdoutBytes, stderrBytes] = [this.#stdout.drain(), this.#stderr.drain()];
    const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
    return { status, stdout: text(stdoutBytes), stderr: text(stderrBytes), stdoutBytes, stderrBytes, report };
  }

  close(): void {
    this.#over = CLOSED;
    this.#session = undefined;
  }
}

/** Why a guest takes no more commands, by how its last one stopped. */
const ENDED: Readonly<Record<Stopped, string>> = {
  off: "the guest is off",
  reset: "the guest has panicked or rebooted",
  asleep: "the guest sleeps for good",
  timeout: "the last command was stopped by its timeout",
  quit: "the guest was left",
  done: "the guest does not answer",
  memory: "the guest has touched all memory that there is room for",
  idle: "the guest waits for input that cannot come",
};

/** A place in the guest, as mount(8) takes it. */
function checkPlace(at: string | undefined): void {
  if (at !== undefined && (!at.startsWith("/") || at === "/"))
    throw new UserError(`shares: ${at} is not an absolute path below the guest's root`);
}

/** See index.ts. */
export async function boot(options: GuestOptions): Promise<GuestSession> {
  const onWarning = options.onWarning ?? (() => undefined);
  const { policy = DEFAULTS.policy } = options;
  const profile = profileNamed(options.profile ?? DEFAULTS.profile);
  const pinPolicy = chosen(
    typeof policy === "string"
      ? { kind: "named", name: policy }
      : { kind: "loaded", file: `policy "${policy.name}"`, policy },
  );
  for (const { at } of options.shares ?? []) checkPlace(at);
  const placed = placeShares(
    (options.shares ?? []).map(({ directory, at, readOnly = false }) => ({
      text: directory,
      path: directory,
      directory: at,
      readOnly,
    })),
  );
  const shares = placed.map(({ tag, path, readOnly }) => ({ tag, files: openShare(path, { readOnly }) }));
  const config: MachineConfig = {
    cpus: whole("cpus", options.cpus ?? 1, 1, MOST_CPUS),
    clockGHz: DEFAULT_CLOCK,
    memoryBytes: whole("memoryBytes", options.memoryBytes ?? DEFAULTS.memoryBytes, 64 * MIB, 2 ** 53 - 1),
    policy: pinPolicy.name,
    profile: profile.name,
    seed: whole("seed", options.seed ?? DEFAULTS.seed, 0, 2 ** 32 - 1),
    startSeconds: START_SECONDS,
    shares: placed.map(({ tag }) => tag),
    disks: [],
    spe: { ...DEFAULT_SPE, models: "sampled" },
    host: DEFAULT_HOST,
    agent: true,
  };
  const cacheDir = options.cacheFolder ?? cacheFolder(process.env);
  // The cloud kernel has no 9P.
  const guest = await storedGuest(options, placed.length === 0 ? "cloud" : "generic", cacheDir);
  const boots = new Boots(cacheDir, sourceVersion());
  const append = DEFAULT_COMMAND_LINE;
  const booting = bootingConfig(config, pinPolicy);
  const key = { config: booting, append, files: guest.manifest.files };
  const isOwn = booting === config;
  // A policy that has no name in the list may be another one the next time.
  const isKept = !isOwn || typeof policy === "string";
  const kept = isKept ? boots.find(key) : undefined;
  const bootAndKeep = async (): Promise<SavedSession> => {
    const first = new Guest(options, {
      config: booting,
      policy: isOwn ? pinPolicy : BOOTING_POLICY,
      costs: costTable(profileNamed(booting.profile)),
      shares,
      boot: await bootFiles(guest, append),
    });
    const booted = await savedBoot(first.session);
    if (isKept) boots.keepBoot(key, { config: booting, ...booted }, onWarning);
    return booted;
  };
  const saved = kept === undefined ? await bootAndKeep() : { ...kept, pages: await kept.pages };
  const made = new Guest(options, {
    config,
    policy: pinPolicy,
    costs: costTable(profile),
    shares,
    boot: undefined,
  });
  made.session.restore(saved);
  made.session.mount(placed);
  return made;
}

async function savedBoot(session: Session): Promise<SavedSession> {
  const { stopped } = await session.boot((vm, errand) =>
    runMachine(vm, errand, { timeoutMs: 0, input: undefined, paced: false }),
  );
  if (!session.agent.ready) throw new Error(`the guest did not boot: ${ENDED[stopped]}`);
  const saved = session.save();
  if (typeof saved === "string") throw new Error(`a guest that has booted cannot be saved: ${saved}`);
  return saved;
}

const bootFiles = async (guest: StoredGuest, append: string): Promise<BootFiles> => ({
  kernel: await readKernel(guest.image),
  initrd: readInitrd(guest.initrd),
  append,
  deviceTree: undefined,
});
