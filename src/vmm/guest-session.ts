/**
 * A machine with a guest, and the conversation with its first process: booted or restored, ready, one command after the
 * other. What of it is somebody's (streams, clocks, files) is passed in: a session is as deterministic as its machine.
 */
import type { CostTable } from "../host/costs.ts";
import type { PinPolicy } from "../kvm/spe/policy.ts";
import { implementationOf } from "../spe/implementation.ts";
import { type AgentState, GuestAgent, type MountedShare, releaseWithoutPort } from "./agent.ts";
import { ConsoleLines, KernelLog } from "./console-lines.ts";
import { type CodeFigures, codeFigures, restartPeaks, since } from "./figures.ts";
import type { MachineConfig } from "./machine-config.ts";
import {
  type BootFiles,
  type SavedPage,
  VirtualMachine,
  type VirtualMachineOptions,
  type VirtualMachineState,
} from "./virtual-machine.ts";

/** Why a machine stopped. */
export type Stopped =
  | "off"
  | "reset"
  /** Every vCPU sleeps, and nothing will wake one. */
  | "asleep"
  /** It waits for input that will not come. */
  | "idle"
  | "timeout"
  /** Whoever sits at it has left. */
  | "quit"
  /** What it was run for is done. */
  | "done"
  /** There is no memory left for its guest: it was stopped in the middle of an instruction, and can only be looked at. */
  | "memory";

/** What a machine is run for, and how whoever runs it gets input to its guest. */
export interface Errand {
  /** Asked after each stretch: whether it is done. */
  readonly isDone: () => boolean;
  /** Where input goes: as many bytes as are taken are returned. */
  readonly feed: (bytes: Uint8Array) => number;
  /** Told once that no input will come any more. */
  readonly onInputEnd?: () => void;
}

/** Runs a machine until its errand is done, or it stops for another reason: in real time, say, with somebody's input. */
export type RunGuest = (vm: VirtualMachine, errand: Errand) => Promise<Stopped>;

export interface SessionOptions {
  readonly config: MachineConfig;
  readonly policy: PinPolicy;
  readonly costs: CostTable;
  readonly disks: readonly VirtualMachineOptions["disks"][number]["disk"][];
  readonly shares: VirtualMachineOptions["shares"];
  /** Without a hypervisor; by default under one. */
  readonly bareMetal?: boolean;
  /** Undefined: `restore` follows. */
  readonly boot: BootFiles | undefined;
  /** Told of each character on the guest's serial console. */
  readonly onConsole: (byte: number) => void;
  readonly onStdout: (bytes: Uint8Array) => void;
  readonly onStderr: (bytes: Uint8Array) => void;
  /** What the guest sends of its /out. */
  readonly onOut?: (bytes: Uint8Array) => void;
  /** The guest refused an order. */
  readonly onError: (order: string, text: string) => void;
  /** A command begins, or has ended. */
  readonly onCommand?: (event: "begins" | "ended") => void;
}

/** What a machine did of its own, and what came before. */
export interface Work {
  /** What the machine had counted when it began: at its boot, or whatever a snapshot has behind it. Null: it was new. */
  readonly before: CodeFigures | null;
  /** What it has counted since. */
  readonly counted: CodeFigures;
  /** What its kernel has said since. */
  readonly said: KernelLog["said"];
}

/** A session's machine, and the host's side of the conversation with its guest. */
export interface SavedSession {
  readonly state: VirtualMachineState;
  readonly pages: readonly SavedPage[];
  /** Undefined where its guest takes no orders. */
  readonly agent: AgentState | undefined;
}

/** A session in the middle of a command. */
export interface SavedCommand extends SavedSession {
  /** What its machine had counted when the command began. */
  readonly before: CodeFigures;
  /** What its kernel has said since, and what has come of a line of its console. */
  readonly said: KernelLog["said"];
  readonly line: string;
}

/** Nobody's input. */
const NO_INPUT = { feed: () => 0 } as const;

export class Session {
  readonly config: MachineConfig;
  /** Whether its machine has no hypervisor: then its policy and profile mean nothing. */
  readonly isBareMetal: boolean;
  readonly vm: VirtualMachine;
  readonly agent: GuestAgent;
  readonly #log = new KernelLog();
  readonly #lines = new ConsoleLines((line) => {
    this.#log.line(line);
    this.#onLine?.(line);
  });
  /** When the work began that the session is for. */
  #before: CodeFigures | null = null;
  /** What the last command came to, once it has ended. */
  #done: Work | undefined;
  #status: number | undefined;
  #onLine: ((line: string) => void) | undefined;

  constructor(options: SessionOptions) {
    const { config } = options;
    this.config = config;
    this.isBareMetal = options.bareMetal === true;
    this.agent = new GuestAgent({
      onOut: (bytes) => options.onOut?.(bytes),
      onStdout: options.onStdout,
      onStderr: options.onStderr,
      onReady: () => this.vm.machine.pause(),
      onError: options.onError,
      onStart: () => {
        this.#begin();
        options.onCommand?.("begins");
      },
      onExit: (code) => {
        this.#status = code;
        options.onCommand?.("ended");
        this.vm.machine.pause();
      },
    });
    this.vm = new VirtualMachine({
      cpus: config.cpus,
      memoryBytes: config.memoryBytes,
      policy: options.policy,
      costs: options.costs,
      host: config.host,
      seed: config.seed,
      spe: implementationOf(config.spe),
      cyclesPerNs: config.clockGHz,
      exactModels: config.spe.models === "exact",
      startSeconds: config.startSeconds,
      boot: options.boot,
      bareMetal: this.isBareMetal,
      console: (byte) => {
        this.#lines.push(byte);
        options.onConsole(byte);
      },
      ports: config.agent ? this.agent.ports : [],
      disks: options.disks.map((disk, i) => ({ disk, id: config.disks[i]?.id ?? "" })),
      shares: options.shares,
    });
    if (this.vm.board.console !== undefined) this.agent.attach(this.vm.board.console);
  }

  /** The last command's exit status, as a shell has it; undefined while it runs, and where it has not ended. */
  get status(): number | undefined {
    return this.#status;
  }

  /** Goes on where a saved machine was, which was made with the same options. */
  restore(saved: Omit<SavedSession, "pages"> & { readonly pages: Iterable<SavedPage> }): void {
    this.#restore(saved);
    this.#begin();
  }

  /** See `VirtualMachine.populate`. */
  populate(): void {
    this.vm.populate();
    this.#begin();
  }

  /**
   * What the machine was there for, so far: the last command from its start to its end, else the console, else all since it was
   * made or restored.
   */
  get work(): Work {
    return this.#done ?? this.#count();
  }

  /** What `restore` takes. @returns why it cannot be saved, as a string */
  save(): SavedSession | string {
    const saved = this.vm.save();
    if (typeof saved === "string") return saved;
    return { ...saved, agent: this.config.agent ? this.agent.save() : undefined };
  }

  /**
   * Runs until the guest is ready for orders, or has said that it takes none.
   * @param onDeaf told when it has said so: what its console says from there on is the shell that there is instead
   * @returns why it stopped, and the release of the kernel of a guest that takes none
   */
  async boot(
    run: RunGuest,
    onDeaf: () => void = () => undefined,
  ): Promise<{ readonly stopped: Stopped; readonly deaf: string | undefined }> {
    let deaf: string | undefined;
    this.#onLine = (line) => {
      deaf ??= releaseWithoutPort(line);
      if (deaf === undefined) return;
      onDeaf();
      this.vm.machine.pause();
    };
    const stopped = await run(this.vm, {
      ...NO_INPUT,
      isDone: () => this.agent.ready || deaf !== undefined,
    });
    this.#onLine = undefined;
    return { stopped, deaf };
  }

  /** Mounts shares of the machine's, those that are not mounted. */
  mount(shares: readonly MountedShare[]): void {
    for (const share of shares) this.agent.share(share);
  }

  /** Runs a shell script until it has ended: see `status`. */
  async command(script: string, run: RunGuest): Promise<Stopped> {
    this.#order(script);
    return this.finish(run);
  }

  /** Runs the command that is under way to its end. */
  async finish(run: RunGuest): Promise<Stopped> {
    const stopped = await run(this.vm, {
      isDone: () => this.#status !== undefined,
      feed: (bytes) => this.agent.input(bytes),
      onInputEnd: () => this.agent.endInput(),
    });
    this.#done = this.#count();
    return stopped;
  }

  /**
   * Runs a shell script up to the guest's first access to a register of its profiling unit, which it has not made then. On one
   * vCPU the machine goes on as if nobody had stopped it.
   * @returns the command in its middle, for `resume`; or why it is not there, as a string
   */
  async commandUpToSpe(script: string, run: RunGuest): Promise<SavedCommand | string> {
    let reached = false;
    for (const core of this.vm.cores)
      core.beforeSpe = () => {
        reached = true;
        this.vm.machine.pause();
        return true;
      };
    this.#order(script);
    const stopped = await run(this.vm, { ...NO_INPUT, isDone: () => reached || this.#status !== undefined });
    for (const core of this.vm.cores) core.beforeSpe = undefined;
    if (!reached) return `the command has ended (${stopped}) without profiling`;
    const saved = this.save();
    const before = this.#before;
    if (typeof saved === "string" || before === null) return `it cannot be saved: ${saved}`;
    return { ...saved, before, said: this.#log.said, line: this.#lines.unfinished };
  }

  /** Like `restore`, of a session in the middle of a command: `finish` is for the rest of it. */
  resume(saved: SavedCommand): void {
    const { before, said, line } = saved;
    this.#restore(saved);
    this.#before = before;
    this.#log.restore(said);
    this.#lines.unfinished = line;
  }

  #restore({ state, pages, agent }: Parameters<Session["restore"]>[0]): void {
    this.vm.restore(state, pages);
    if (agent !== undefined) this.agent.restore(agent);
  }

  #order(script: string): void {
    this.#status = undefined;
    // A command before has had its input.
    this.agent.reopenInput();
    this.agent.run(script);
  }

  /** Connects the serial console to whoever runs the machine, until it ends. */
  async console(run: RunGuest): Promise<Stopped> {
    if (this.config.agent) {
      this.#begin();
      this.agent.console();
    }
    return run(this.vm, { isDone: () => false, feed: (bytes) => this.vm.type(bytes) });
  }

  /** Has the guest write what its page cache holds, and power off. */
  async powerOff(run: RunGuest): Promise<Stopped> {
    this.agent.powerOff();
    return run(this.vm, { ...NO_INPUT, isDone: () => false });
  }

  /** What comes from now on is what the machine is there for. */
  #begin(): void {
    this.#done = undefined;
    this.#before = codeFigures(this.vm);
    restartPeaks(this.vm.machine);
    this.#log.restart();
  }

  #count(): Work {
    const now = codeFigures(this.vm);
    const before = this.#before;
    return { before, counted: before === null ? now : since(now, before), said: this.#log.said };
  }
}
