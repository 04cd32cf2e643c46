/** A machine that stands, and the conversation with its guest: until it is ready, during a command, at its console. */
import type { CostTable } from "../../host/costs.ts";
import type { PinPolicy } from "../../kvm/spe/policy.ts";
import { GuestAgent, releaseWithoutPort } from "../../vmm/agent.ts";
import { type RunOptions, runMachine, type Stopped } from "../../vmm/node/run-machine.ts";
import type { MachineConfig, OpenedSnapshot } from "../../vmm/node/snapshot-file.ts";
import { type Input, inputAtOnce, openInput, wholeInput } from "../../vmm/node/terminal.ts";
import { type BootFiles, VirtualMachine } from "../../vmm/virtual-machine.ts";
import type { TextOut } from "../world.ts";
import { OutStream } from "./collect.ts";
import { ByteStream, SerialConsole } from "./console.ts";
import type { HostDevices } from "./devices.ts";

const UNKNOWN_SIZE = { rows: 24, columns: 80 };

/** Nobody's input. */
const NOTHING = { input: undefined, feed: () => 0, paced: false } as const;

export interface SessionOptions {
  readonly config: MachineConfig;
  readonly policy: PinPolicy;
  readonly costs: CostTable;
  readonly devices: HostDevices;
  /** Undefined: `restore` follows. */
  readonly boot: BootFiles | undefined;
  readonly stdout: TextOut;
  readonly stderr: TextOut;
  /** The guest refused an order. */
  readonly onError: (order: string, text: string) => void;
  /** Milliseconds that are left of the machine's time; 0: it has no end. */
  readonly leftMs: () => number;
}

export class Session {
  readonly vm: VirtualMachine;
  readonly agent: GuestAgent;
  readonly serial = new SerialConsole();
  /** What the guest sends of its /out. */
  readonly out = new OutStream();
  /** The command's exit status, once it has ended. */
  status: number | undefined;
  readonly #options: SessionOptions;
  readonly #stdout: ByteStream;
  readonly #stderr: ByteStream;
  #input: Input | undefined;

  constructor(options: SessionOptions) {
    const { config, devices } = options;
    this.#options = options;
    this.#stdout = new ByteStream(options.stdout);
    this.#stderr = new ByteStream(options.stderr);
    this.agent = new GuestAgent({
      onOut: this.out.take,
      onStdout: this.#stdout.write,
      onStderr: this.#stderr.write,
      onReady: () => this.vm.machine.pause(),
      onError: options.onError,
      onExit: (code) => {
        this.status = code;
        this.vm.machine.pause();
      },
    });
    this.vm = new VirtualMachine({
      cpus: config.cpus,
      memoryBytes: config.memoryBytes,
      policy: options.policy,
      costs: options.costs,
      backing: "thp",
      seed: config.seed,
      startSeconds: config.startSeconds,
      boot: options.boot,
      console: this.serial.byte,
      ports: config.agent ? this.agent.ports : [],
      disks: devices.disks.map(({ disk }, i) => ({ disk, id: config.disks[i]?.id ?? "" })),
      shares: devices.shares,
    });
    if (this.vm.board.console !== undefined) this.agent.attach(this.vm.board.console);
  }

  /** Goes on where a saved machine was. */
  async restore({ state, pages, agent, disks }: OpenedSnapshot): Promise<void> {
    this.vm.restore(state, await pages);
    if (agent !== undefined) this.agent.restore(agent);
    for (const [i, disk] of disks.entries()) if (disk !== null) this.#options.devices.disks[i]?.restore(disk);
  }

  /**
   * Runs until the guest is ready for orders, or has said that it takes none.
   * @param onDeaf told when it has said so: what its console says from there on is the shell that there is instead
   * @returns why it stopped, and the release of the kernel of a guest that takes none
   */
  async boot(onDeaf: () => void): Promise<{ stopped: Stopped; deaf: string | undefined }> {
    let deaf: string | undefined;
    this.serial.onLine = (line) => {
      deaf ??= releaseWithoutPort(line);
      if (deaf === undefined) return;
      onDeaf();
      this.vm.machine.pause();
    };
    const stopped = await this.#run({ ...NOTHING, isDone: () => this.agent.ready || deaf !== undefined });
    this.serial.onLine = undefined;
    return { stopped, deaf };
  }

  /** Runs a shell script with this process's standard input, until it has ended: see `status`. */
  async command(script: string): Promise<Stopped> {
    this.agent.run(script);
    const whole = inputAtOnce(0);
    this.#input = whole === undefined ? openInput(process.stdin, false) : wholeInput(whole);
    return this.#run({
      input: this.#input,
      feed: (bytes) => this.agent.input(bytes),
      onInputEnd: () => this.agent.endInput(),
      isDone: () => this.status !== undefined,
      paced: false,
      settled: () => this.#stdout.drained ?? this.#stderr.drained,
    });
  }

  /**
   * Connects the serial console to this process's standard input, and to `out`, until the machine ends, or waits for input
   * that will not come. A shell that does so has ended.
   */
  async console(out: TextOut): Promise<Stopped> {
    const { config } = this.#options;
    const tty = process.stdin.isTTY === true;
    const { stdout } = process;
    const resize = (): void =>
      this.agent.size(stdout.rows || UNKNOWN_SIZE.rows, stdout.columns || UNKNOWN_SIZE.columns);
    if (tty || !process.stdin.readableEnded) this.#input = openInput(process.stdin, tty);
    this.serial.out = out;
    if (config.agent) {
      if (tty) {
        resize();
        stdout.on("resize", resize);
      }
      this.agent.console();
    }
    try {
      const stopped = await this.#run({
        input: this.#input,
        feed: (bytes) => this.vm.type(bytes),
        isDone: () => false,
        paced: tty,
        said: () => this.serial.bytes,
      });
      return stopped === "idle" && this.agent.ready ? await this.powerOff() : stopped;
    } finally {
      stdout.off("resize", resize);
    }
  }

  /** Has the guest write what its page cache holds, and power off. */
  async powerOff(): Promise<Stopped> {
    this.agent.powerOff();
    return this.#run({ ...NOTHING, isDone: () => false });
  }

  /** Leaves the terminal as it was. */
  close(): void {
    this.#input?.close();
  }

  #run(options: Omit<RunOptions, "timeoutMs">): Promise<Stopped> {
    return runMachine(this.vm, { ...options, timeoutMs: this.#options.leftMs() });
  }
}
