/** A session (vmm/guest-session.ts) of this process's: its streams, its terminal, its clock. */
import { type RunGuest, Session, type SessionOptions, type Stopped } from "../../vmm/guest-session.ts";
import { type RunOptions, runMachine } from "../../vmm/node/run-machine.ts";
import { type Input, inputAtOnce, openInput, wholeInput } from "../../vmm/node/terminal.ts";
import type { StandardInput, TextOut } from "../world.ts";
import { OutStream } from "./collect.ts";
import { ByteStream, SerialConsole } from "./console.ts";

const UNKNOWN_SIZE = { rows: 24, columns: 80 };

/** Nobody's input. */
const NOTHING = { input: undefined, paced: false } as const;

export interface TerminalSessionOptions
  extends Pick<
    SessionOptions,
    "config" | "policy" | "costs" | "disks" | "shares" | "bareMetal" | "boot" | "onCommand"
  > {
  readonly stdin: StandardInput;
  readonly stdout: TextOut;
  readonly stderr: TextOut;
  /** Milliseconds that are left of the machine's time; 0: it has no end. */
  readonly leftMs: () => number;
}

export class TerminalSession {
  readonly guest: Session;
  readonly serial = new SerialConsole();
  /** What the guest sends of its /out. */
  readonly out = new OutStream();
  readonly #leftMs: () => number;
  readonly #stdin: StandardInput;
  readonly #stdout: ByteStream;
  readonly #stderr: ByteStream;
  #input: Input | undefined;

  constructor(options: TerminalSessionOptions) {
    this.#leftMs = options.leftMs;
    this.#stdin = options.stdin;
    this.#stdout = new ByteStream(options.stdout);
    this.#stderr = new ByteStream(options.stderr);
    this.guest = new Session({
      ...options,
      onConsole: this.serial.byte,
      onStdout: this.#stdout.write,
      onStderr: this.#stderr.write,
      onOut: this.out.take,
      onError: (order, text) => options.stderr.write(`spevisor: the guest refused "${order}": ${text}\n`),
    });
  }

  /** See `Session.boot`. */
  boot(onDeaf: () => void): ReturnType<Session["boot"]> {
    return this.guest.boot(this.#run(NOTHING), onDeaf);
  }

  /** Runs a shell script with standard input, until it has ended: see `Session.status`. */
  command(script: string): Promise<Stopped> {
    const whole = inputAtOnce(this.#stdin.fd);
    this.#input = whole === undefined ? openInput(this.#stdin.stream, false) : wholeInput(whole);
    return this.guest.command(
      script,
      this.#run({
        input: this.#input,
        paced: false,
        settled: () => this.#stdout.drained ?? this.#stderr.drained,
      }),
    );
  }

  /**
   * Connects the serial console to standard input, and to `out`, until the machine ends, or waits for input
   * that will not come. A shell that does so has ended.
   */
  async console(out: TextOut): Promise<Stopped> {
    const { agent, config } = this.guest;
    const { stream } = this.#stdin;
    const tty = stream.isTTY === true;
    const { stdout } = process;
    const resize = (): void =>
      agent.size(stdout.rows || UNKNOWN_SIZE.rows, stdout.columns || UNKNOWN_SIZE.columns);
    if (tty || !stream.readableEnded) this.#input = openInput(stream, tty);
    this.serial.out = out;
    if (config.agent && tty) {
      resize();
      stdout.on("resize", resize);
    }
    try {
      const said = () => this.serial.bytes;
      const stopped = await this.guest.console(this.#run({ input: this.#input, paced: tty, said }));
      return stopped === "idle" && agent.ready ? await this.powerOff() : stopped;
    } finally {
      stdout.off("resize", resize);
    }
  }

  /** See `Session.powerOff`. */
  powerOff(): Promise<Stopped> {
    return this.guest.powerOff(this.#run(NOTHING));
  }

  /** Leaves the terminal as it was. */
  close(): void {
    this.#input?.close();
  }

  #run(options: Omit<RunOptions, "timeoutMs">): RunGuest {
    return (vm, errand) => runMachine(vm, errand, { ...options, timeoutMs: this.#leftMs() });
  }
}
