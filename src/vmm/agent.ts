/**
 * The host's side of the conversation with the guest's first process (guest/debian/init.sh), over named ports of the
 * virtio console: it waits for "ready", gives orders one by one, and takes their answers.
 */
import type { ConsolePort, VirtioConsole } from "../board/virtio/console.ts";

/** Places of the named ports: port 0 is the console. */
const PORT = { control: 1, stdin: 2, stdout: 3, stderr: 4, out: 5 } as const;
/** As timeout(1) and chroot(1) have it: the command could not be run. */
const EXIT_NOT_RUN = 125;
/** A line of the guest that is longer is cut. */
const MOST_LINE_BYTES = 4096;

/**
 * The line on the serial console by which the guest's first process says that it found no control port: nobody will take
 * orders. Gives the release of its kernel; undefined for other lines.
 */
export const releaseWithoutPort = (line: string): string | undefined =>
  /^spevisor: no control port on Linux (\S+)\s*$/.exec(line)?.[1];

export interface AgentOptions {
  readonly onStdout: (bytes: Uint8Array) => void;
  readonly onStderr: (bytes: Uint8Array) => void;
  /** The guest is ready for orders. */
  readonly onReady: () => void;
  /** An order was refused: what the guest said. */
  readonly onError: (order: string, text: string) => void;
  /** The order of a `run` goes out: its command starts. */
  readonly onStart?: () => void;
  /** The command of a `run` has ended. */
  readonly onExit: (status: number) => void;
  /** What comes after `collect` and `symbols`: a tar archive, and the line "exit STATUS". */
  readonly onOut?: (bytes: Uint8Array) => void;
}

/** A share of the machine's. */
export interface MountedShare {
  readonly tag: string;
  /** Where it is in the guest. */
  readonly directory: string;
  readonly readOnly: boolean;
}

/** How far the conversation has come: plain data. */
export interface AgentState {
  readonly ready: boolean;
  readonly line: string;
  readonly orders: readonly string[];
  readonly asked: string | null;
  readonly shared: readonly MountedShare[];
}

/** Bytes as base64, as `run` takes a script. */
const base64 = (text: string): string => {
  let binary = "";
  for (const byte of new TextEncoder().encode(text)) binary += String.fromCharCode(byte);
  return btoa(binary);
};

/** A word as a shell reads it. */
export const quoted = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;

export class GuestAgent {
  readonly #options: AgentOptions;
  #console: VirtioConsole | undefined;
  #line = "";
  #ready = false;
  #orders: string[] = [];
  /** Shares that it has been told to mount: a second mount of one would be refused. */
  #shared: MountedShare[] = [];
  /** The order whose answer is awaited. */
  #asked: string | undefined;

  constructor(options: AgentOptions) {
    this.#options = options;
  }

  /** The ports that a board must have for it. */
  get ports(): readonly ConsolePort[] {
    return [
      { name: "org.spevisor.control", onData: (bytes) => this.#hear(bytes) },
      { name: "org.spevisor.stdin", onData: () => undefined },
      { name: "org.spevisor.stdout", onData: this.#options.onStdout },
      { name: "org.spevisor.stderr", onData: this.#options.onStderr },
      { name: "org.spevisor.out", onData: (bytes) => this.#options.onOut?.(bytes) },
    ];
  }

  attach(console: VirtioConsole): void {
    this.#console = console;
  }

  get ready(): boolean {
    return this.#ready;
  }

  save(): AgentState {
    return {
      ready: this.#ready,
      line: this.#line,
      orders: [...this.#orders],
      asked: this.#asked ?? null,
      shared: [...this.#shared],
    };
  }

  /** For a machine that a snapshot has made: goes on where the other host's side was. */
  restore({ ready, line, orders, asked, shared }: AgentState): void {
    this.#ready = ready;
    this.#line = line;
    this.#orders = [...orders];
    this.#asked = asked ?? undefined;
    this.#shared = [...shared];
  }

  /** Mounts a share, unless it is mounted. */
  share({ tag, directory, readOnly }: MountedShare): void {
    if (this.#shared.some((there) => there.tag === tag)) return;
    this.#shared.push({ tag, directory, readOnly });
    this.#order(`share ${tag} ${base64(directory)}${readOnly ? " ro" : ""}`);
  }

  /** Sets the guest's clock, in seconds since 1970. */
  date(seconds: number): void {
    this.#order(`date ${seconds}`);
  }

  size(rows: number, columns: number): void {
    this.#order(`size ${rows} ${columns}`);
  }

  /** An interactive shell on the serial console. */
  console(): void {
    this.#order("console");
  }

  /** Runs a shell script; `onExit` gets its status. */
  run(script: string): void {
    this.#order(`run ${base64(script)}`);
  }

  /** Asks for a tar archive of the guest's /out, also while a command runs; `onOut` gets it. */
  collect(): void {
    this.#console?.send(PORT.out, new TextEncoder().encode("collect\n"));
  }

  /**
   * Asks for a tar archive of kallsyms and, below symfs, of those of some files that are there, links followed; `onOut` gets it.
   * @param paths absolute ones, none with a line break
   */
  symbols(paths: readonly string[]): void {
    const list = paths.map((path) => `${path}\n`).join("");
    this.#console?.send(PORT.out, new TextEncoder().encode(`symbols ${base64(list)}\n`));
  }

  powerOff(): void {
    this.#order("poweroff");
  }

  /** Input for the command; as many bytes as there is room for are taken. */
  input(bytes: Uint8Array): number {
    return this.#console?.send(PORT.stdin, bytes) ?? 0;
  }

  endInput(): void {
    this.#console?.close(PORT.stdin);
  }

  /** For one more command, after `endInput`. */
  reopenInput(): void {
    this.#console?.open(PORT.stdin);
  }

  #order(line: string): void {
    this.#orders.push(line);
    this.#next();
  }

  #next(): void {
    if (!this.#ready || this.#asked !== undefined) return;
    const order = this.#orders.shift();
    if (order === undefined) return;
    // `console` and `poweroff` have no answer.
    if (/^(share|date|size|run|module) /.test(order)) this.#asked = order;
    if (order.startsWith("run ")) this.#options.onStart?.();
    this.#console?.send(PORT.control, new TextEncoder().encode(`${order}\n`));
    if (this.#asked === undefined) this.#next();
  }

  #hear(bytes: Uint8Array): void {
    for (const byte of bytes) {
      if (byte !== 0x0a) {
        if (this.#line.length < MOST_LINE_BYTES) this.#line += String.fromCharCode(byte);
        continue;
      }
      const line = this.#line;
      this.#line = "";
      this.#answered(line);
    }
  }

  #answered(line: string): void {
    const order = this.#asked;
    const exit = order?.startsWith("run ") === true ? /^exit (\d{1,3})$/.exec(line) : null;
    const isAnswer = exit !== null || line === "ok" || line.startsWith("error");
    if (isAnswer) this.#asked = undefined;
    if (line === "ready" && !this.#ready) {
      this.#ready = true;
      this.#options.onReady();
    } else if (exit !== null) this.#options.onExit(Number(exit[1]));
    else if (line.startsWith("error")) {
      this.#options.onError(order?.split(" ")[0] ?? "", line.slice("error".length).trim());
      // The command has not run.
      if (order?.startsWith("run ")) this.#options.onExit(EXIT_NOT_RUN);
    }
    this.#next();
  }
}
