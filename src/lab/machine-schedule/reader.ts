/**
 * How far perf's reader has read a buffer whenever the driver opens a window in it: not seen itself, but told by where the next
 * records may go. The driver's own rules say what LIMIT would be if nothing had been read since; where it is another, something has.
 */
import { AuxBuffer, type AuxReading } from "../../guest/aux-buffer.ts";
import type { ScheduleLine } from "./file.ts";

/** A buffer, as the driver moves it. */
export interface BufferFacts {
  readonly base: bigint;
  readonly bytes: number;
  readonly maxRecordBytes: number;
  readonly alignBytes: number;
  /** perf record -S: nobody reads, and the driver overwrites. */
  readonly snapshot: boolean;
}

export interface Readings {
  /** For each window that was opened, or was not to be had, in order. */
  readonly windows: readonly AuxReading[];
  /** Windows that the driver's rules do not explain, with or without a reader. */
  readonly unexplained: number;
}

class Reader {
  readonly windows: AuxReading[] = [];
  unexplained = 0;
  readonly #facts: BufferFacts;
  readonly #aux: AuxBuffer;
  /** Heads of what the driver has handed over, and nobody may have read. */
  #commits: number[] = [];
  #hasStopped = false;
  #isOn = false;

  constructor(facts: BufferFacts) {
    this.#facts = facts;
    this.#aux = new AuxBuffer({ ...facts, watermarkBytes: 0 });
  }

  take(line: ScheduleLine): void {
    switch (line[0]) {
      case "on":
        this.#isOn = true;
        this.#opens(line[7], line[8]);
        return;
      case "resumed":
        // Else it has been turned off for want of space, and S is cleared behind that.
        if (this.#isOn) this.#opens(line[7], line[8]);
        return;
      case "stopped":
        this.#commit(line[7]);
        this.#hasStopped = true;
        return;
      case "off":
        if (this.#hasStopped) {
          // It is committed already: there was no space.
          const { head, tail } = this.#aux;
          this.windows.push({ head, tail });
          this.#aux.begin();
          // What it has filled up instead is read with the rest.
          this.#commits.push(this.#aux.head);
        } else this.#commit(line[7]);
        this.#hasStopped = false;
        this.#isOn = false;
        return;
      case "task":
      case "idle":
      case "buffer":
      case "event":
      case "ran":
      case "fault":
      case "limit":
      case "host":
      case "mapped":
      case "end":
        return;
    }
  }

  #offsetOf(address: string): number {
    return Number(BigInt(address) - this.#facts.base);
  }

  #commit(pointer: string): void {
    this.#aux.end(this.#offsetOf(pointer));
    this.#commits.push(this.#aux.head);
  }

  /** The driver opens a window: if nothing more had been read it would be another, perhaps. */
  #opens(pointer: string, limit: string): void {
    const aux = this.#aux;
    const saved = aux.save();
    const fits = (tail: number): boolean => {
      aux.restore({ ...saved, tail });
      const window = aux.begin();
      return window?.headBytes === this.#offsetOf(pointer) && window.limitBytes === this.#offsetOf(limit);
    };
    // What has stopped it just now nobody can have read.
    const commits = this.#hasStopped ? this.#commits.slice(0, -1) : this.#commits;
    // Of several that fit the least: what has been read more shows in a later window.
    const read = [saved.tail, ...commits].find(fits);
    if (read === undefined) {
      this.unexplained += 1;
      fits(saved.head);
    }
    const { tail } = aux;
    this.#commits = this.#commits.filter((head) => head > tail);
    this.windows.push({ head: saved.head, tail });
    this.#hasStopped = false;
  }
}

/** @param lines the buffer's own (buffers.ts) */
export function readingsOf(lines: readonly ScheduleLine[], facts: BufferFacts): Readings {
  const reader = new Reader(facts);
  for (const line of lines) reader.take(line);
  return reader;
}
