/** A client of QEMU's GDB stub (GDB manual, appendix E): what lockstep needs of it. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { createConnection, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

const ANSWER_MS = 20_000;
const CONNECT_TRIES = 1000;
const CONNECT_EVERY_MS = 25;

export class GdbClient {
  readonly #child: ChildProcess;
  readonly #socket: Socket;
  #text = "";
  #waiting: ((answer: string) => void) | undefined;
  #failed: Error | undefined;

  private constructor(child: ChildProcess, socket: Socket) {
    this.#child = child;
    this.#socket = socket;
    socket.setEncoding("latin1");
    socket.on("data", (more: string) => {
      this.#text += more;
      this.#deliver();
    });
    socket.on("error", (error) => {
      this.#failed = error;
    });
  }

  /** Starts a program on qemu-aarch64, stopped before its first instruction. */
  static async start(program: string, cpu: string, directory: string): Promise<GdbClient> {
    const path = join(mkdtempSync(join(directory, "gdb-")), "socket");
    const child = spawn("qemu-aarch64", ["-cpu", cpu, "-g", path, program], { stdio: "ignore" });
    for (let tries = 0; tries < CONNECT_TRIES; tries++) {
      await delay(CONNECT_EVERY_MS);
      const socket = createConnection(path);
      const connected = await new Promise<boolean>((resolve) => {
        socket.once("connect", () => resolve(true));
        socket.once("error", () => resolve(false));
      });
      if (connected) return new GdbClient(child, socket);
    }
    child.kill("SIGKILL");
    throw new Error("qemu-aarch64 does not open its GDB stub");
  }

  /** Answers are "$text#xx", between acknowledgements. */
  #deliver(): void {
    const found = /\$([^#]*)#../.exec(this.#text);
    if (found === null) return;
    this.#text = this.#text.slice(found.index + found[0].length);
    this.#waiting?.(found[1]!);
  }

  /** One at a time: the stub loses what comes before it has answered. */
  async ask(command: string): Promise<string> {
    if (this.#failed !== undefined) throw this.#failed;
    const sum = [...command].reduce((all, character) => (all + character.charCodeAt(0)) & 0xff, 0);
    const answer = new Promise<string>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`QEMU does not answer "${command}"`)), ANSWER_MS);
      this.#waiting = (text) => {
        clearTimeout(timer);
        resolve(text);
      };
    });
    this.#socket.write(`+$${command}#${sum.toString(16).padStart(2, "0")}`);
    return answer;
  }

  close(): void {
    this.#socket.destroy();
    this.#child.kill("SIGKILL");
  }
}
