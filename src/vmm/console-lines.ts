/** The guest's serial console by lines. */

/** Longer lines are cut: they are nothing that is looked for. */
const LINE_BYTES = 256;
const LINE_FEED = 0x0a;

/** What is kept of what a guest's kernel says. */
const KEPT_LINES = 30;
const KEPT_COMPLAINTS = 100;
/** Warnings and worse of Linux (lib/bug.c, kernel/watchdog.c, kernel/rcu/tree_stall.h, kernel/hung_task.c, kernel/panic.c). */
const COMPLAINT =
  /\b(?:BUG: |WARNING: |Kernel panic|Internal error: |Unable to handle kernel |(?:rcu: )?INFO: rcu_\w+ |INFO: task .* blocked for more than )/;

/** What a guest's kernel has said since somebody asked for it last. */
export class KernelLog {
  #last: string[] = [];
  #complaints: string[] = [];

  line(line: string): void {
    const text = line.trimEnd();
    this.#last.push(text);
    if (this.#last.length > KEPT_LINES) this.#last.shift();
    if (COMPLAINT.test(text) && this.#complaints.length < KEPT_COMPLAINTS) this.#complaints.push(text);
  }

  restart(): void {
    this.restore({ last: [], complaints: [] });
  }

  restore({ last, complaints }: KernelLog["said"]): void {
    this.#last = [...last];
    this.#complaints = [...complaints];
  }

  /** The last lines, and all that were warnings or worse. */
  get said(): { readonly last: readonly string[]; readonly complaints: readonly string[] } {
    return { last: [...this.#last], complaints: [...this.#complaints] };
  }
}

export class ConsoleLines {
  #line = "";
  readonly #onLine: (line: string) => void;

  /** What has come of a line that has not ended. */
  get unfinished(): string {
    return this.#line;
  }

  set unfinished(line: string) {
    this.#line = line;
  }

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
