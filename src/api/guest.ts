/** A guest that has booted, and the commands that are run in it. */
import { cacheFolder, sourceVersion } from "../cli/cache-folder.ts";
import { chosen, profileNamed } from "../cli/lab.ts";
import { Boots } from "../cli/run/boots.ts";
import { recordOf } from "../cli/run/record.ts";
import { placeShares } from "../cli/run/shares.ts";
import { UserError } from "../common/errors.ts";
import type { Kernel } from "../guest/debian/recipe.ts";
import { fetchGuest, RECIPE_ID } from "../guest/node/fetch-guest.ts";
import { guestFiles, type StoredGuest } from "../guest/node/guests.ts";
import { machineMirror } from "../guest/node/mirror.ts";
import { costTable } from "../host/costs.ts";
import { GuestAgent, quoted } from "../vmm/agent.ts";
import { readInitrd, readKernel } from "../vmm/node/boot-files.ts";
import { runMachine, type Stopped } from "../vmm/node/run-machine.ts";
import { openShare } from "../vmm/node/share.ts";
import type { MachineConfig } from "../vmm/node/snapshot-file.ts";
import { wholeInput } from "../vmm/node/terminal.ts";
import { VirtualMachine } from "../vmm/virtual-machine.ts";
import type { CommandOptions, CommandResult, GuestOptions, GuestSession } from "./session.ts";

const MIB = 1024 ** 2;
const DEFAULTS = { memoryBytes: 512 * MIB, policy: "adaptive", profile: "thread-normal", seed: 1 } as const;
/** 1 January 2026, as `spevisor run` has it. */
const START_SECONDS = 1_767_225_600;
const COMMAND_LINE = "console=ttyAMA0 panic=-1";
const MOST_CPUS = 16;
const NS_PER_MS = 1e6;

const nowNs = (): number => performance.now() * NS_PER_MS;

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

/** A booted machine and the conversation with its first process. */
class Session implements GuestSession {
  readonly #config: MachineConfig;
  readonly #stdout = new Collected();
  readonly #stderr = new Collected();
  readonly agent: GuestAgent;
  vm: VirtualMachine | undefined;
  /** How long it took until the machine took commands. */
  bootedNs = 0;
  /** Why no more commands can be run. */
  #over: string | undefined;
  #busy = false;
  #status: number | undefined;
  readonly #snapshot: "none" | "restored";

  constructor(config: MachineConfig, snapshot: "none" | "restored", onWarning: (text: string) => void) {
    this.#config = config;
    this.#snapshot = snapshot;
    this.agent = new GuestAgent({
      onStdout: this.#stdout.take,
      onStderr: this.#stderr.take,
      onReady: () => this.vm?.machine.pause(),
      onError: (order, text) => onWarning(`the guest refused "${order}": ${text}`),
      onExit: (status) => {
        this.#status = status;
        this.vm?.machine.pause();
      },
    });
  }

  async run(command: string | readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    const { vm } = this;
    if (vm === undefined || this.#over !== undefined)
      throw new UserError(`no command can be run: ${this.#over ?? "the guest was closed"}`);
    if (this.#busy) throw new UserError("a command is running", "Wait for its result");
    this.#busy = true;
    try {
      return await this.#run(
        vm,
        typeof command === "string" ? command : command.map(quoted).join(" "),
        options,
      );
    } finally {
      this.#busy = false;
    }
  }

  async #run(vm: VirtualMachine, script: string, options: CommandOptions): Promise<CommandResult> {
    const { input = "", timeoutMs = 0 } = options;
    const before = vm.instructions;
    const startedNs = nowNs();
    this.#status = undefined;
    // A command before has had its input.
    this.agent.reopenInput();
    this.agent.run(script);
    const stopped = await runMachine(vm, {
      timeoutMs,
      input: wholeInput(typeof input === "string" ? new TextEncoder().encode(input) : input),
      feed: (bytes) => this.agent.input(bytes),
      onInputEnd: () => this.agent.endInput(),
      isDone: () => this.#status !== undefined,
      paced: false,
    });
    const status = this.#status;
    if (status === undefined) this.#over = ENDED[stopped];
    const report = recordOf(vm, this.#config, {
      stopped,
      status,
      host: {
        startNs: this.bootedNs,
        runNs: nowNs() - startedNs,
        instructions: vm.instructions - before,
        snapshot: this.#snapshot,
      },
    });
    const [stdoutBytes, stderrBytes] = [this.#stdout.drain(), this.#stderr.drain()];
    const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
    return { status, stdout: text(stdoutBytes), stderr: text(stderrBytes), stdoutBytes, stderrBytes, report };
  }

  close(): void {
    this.#over = "the guest was closed";
    this.vm = undefined;
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
  const startedNs = nowNs();
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
    memoryBytes: whole("memoryBytes", options.memoryBytes ?? DEFAULTS.memoryBytes, 64 * MIB, 2 ** 53 - 1),
    policy: pinPolicy.name,
    profile: profile.name,
    seed: whole("seed", options.seed ?? DEFAULTS.seed, 0, 2 ** 32 - 1),
    startSeconds: START_SECONDS,
    shares: placed.map(({ tag }) => tag),
    disks: [],
    agent: true,
  };
  const cacheDir = options.cacheFolder ?? cacheFolder(process.env);
  // The cloud kernel has no 9P.
  const guest = await storedGuest(options, placed.length === 0 ? "cloud" : "generic", cacheDir);
  const boots = new Boots(cacheDir, sourceVersion());
  const append = COMMAND_LINE;
  // A policy that has no name in the list may be another one the next time.
  const key = typeof policy === "string" ? { config, append, files: guest.manifest.files } : undefined;
  const kept = key === undefined ? undefined : boots.find(key);

  const session = new Session(config, kept === undefined ? "none" : "restored", onWarning);
  const { agent } = session;
  const vm = new VirtualMachine({
    cpus: config.cpus,
    memoryBytes: config.memoryBytes,
    policy: pinPolicy,
    costs: costTable(profile),
    backing: "thp",
    seed: config.seed,
    startSeconds: config.startSeconds,
    boot:
      kept === undefined
        ? {
            kernel: await readKernel(guest.image),
            initrd: readInitrd(guest.initrd),
            append,
            deviceTree: undefined,
          }
        : undefined,
    console: options.onConsole ?? (() => undefined),
    ports: agent.ports,
    disks: [],
    shares,
  });
  session.vm = vm;
  if (vm.board.console !== undefined) agent.attach(vm.board.console);
  if (kept !== undefined) {
    vm.restore(kept.state, await kept.pages);
    if (kept.agent !== undefined) agent.restore(kept.agent);
  }
  if (!agent.ready) {
    const stopped = await runMachine(vm, {
      timeoutMs: 0,
      input: undefined,
      feed: () => 0,
      paced: false,
      isDone: () => agent.ready,
    });
    if (!agent.ready) throw new Error(`the guest did not boot: ${ENDED[stopped]}`);
    const state = key === undefined ? "not kept" : vm.save();
    if (typeof state !== "string")
      try {
        boots.keep(key, { config, agent: agent.save(), ...state });
      } catch (error) {
        onWarning(
          `the booted guest cannot be kept: ${error instanceof Error ? error.message : String(error)}`,
        );
      }
  }
  for (const share of placed) agent.share(share);
  session.bootedNs = nowNs() - startedNs;
  return session;
}
