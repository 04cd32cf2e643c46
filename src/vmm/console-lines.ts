/** The guest's serial console by lines. */

/** Longer lines are cut: they are nothing that is looked for. */
const LINE_BYTES = 256;
const LINE_FEED = 0x0a;

export class ConsoleLines {
  #line = "";
  readonly #onLine: (line: string) => void;

  /** @param onLine told of each line without its end, before the character that ends it is handed on */
  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine;
  }

  push(byte: number): void {
    if (byte === LINE_FEED) {
      const line = this.#line;
      this.#line = "";
      this.#onLine(line);
    } else if (this.#line.length < LINE_BYTES) this.#line += String.fromCharCode(byte);
  }
}
