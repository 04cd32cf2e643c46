/** Where the guest's bytes go: its serial console, and the streams of its command. */
import type { TextOut } from "../world.ts";

/** What is kept of the serial console, for when something goes wrong. */
const KEPT_BYTES = 16 * 1024;
const KEPT_LINES = 30;

/** The guest's serial console: its last lines, and its bytes as they come, whatever they mean, where somebody looks at them. */
export class SerialConsole {
  #kept: number[] = [];
  /** How many bytes have come. */
  bytes = 0;
  /** Where it is shown, if at all. */
  out: TextOut | undefined;

  readonly byte = (byte: number): void => {
    this.bytes += 1;
    this.#kept.push(byte);
    if (this.#kept.length > 2 * KEPT_BYTES) this.#kept = this.#kept.slice(-KEPT_BYTES);
    this.out?.write(Uint8Array.of(byte));
  };

  /** The last lines. */
  get tail(): string {
    const text = new TextDecoder("utf-8").decode(Uint8Array.from(this.#kept.slice(-KEPT_BYTES)));
    return text.trimEnd().split(/\r?\n/).slice(-KEPT_LINES).join("\n");
  }
}

/** Writes bytes to a stream, and knows when it is full. */
export class ByteStream {
  readonly #out: TextOut;
  #draining: Promise<void> | undefined;

  constructor(out: TextOut) {
    this.#out = out;
  }

  readonly write = (bytes: Uint8Array): void => {
    const { once } = this.#out;
    if (this.#out.write(bytes) !== false || once === undefined || this.#draining !== undefined) return;
    this.#draining = new Promise((resolve) => {
      once.call(this.#out, "drain", () => {
        this.#draining = undefined;
        resolve();
      });
    });
  };

  /** Resolves when the reader has caught up; undefined if it has. */
  get drained(): Promise<void> | undefined {
    return this.#draining;
  }
}
