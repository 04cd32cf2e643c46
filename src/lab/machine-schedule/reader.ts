/**
 * When perf's reader has read what is in a buffer: not seen itself, but told by where the next records may go. The driver's own
 * rules say what LIMIT would be if nothing had been read since; where it is another, something has.
 */
import { AuxBuffer } from "../../guest/aux-buffer.ts";
import type { ScheduleLine } from "./file.ts";

/** A buffer, as the driver moves it. */
export interface BufferFacts {
  readonly base: bigint;
  readonly bytes: number;
  readonly maxRecordBytes: number;
  readonly alignBytes: number;
}

export interface ReaderMarks {
  /** Indexes of lines: the reader has read before what happens there. */
  readonly before: ReadonlySet<number>;
  /** Windows that the driver's rules do not explain, with or without a reader. */
  readonly unexplained: number;
}

/** Records that the driver has handed over, up to a head of the buffer's. */
interface Commit {
  readonly head: number;
  /** When, and the lines since then up to the next one: the reader has read so far at one of them. */
  atNs: number;
  readonly lines: number[];
}

class Reader {
  readonly before = new Set<number>();
  unexplained = 0;
  readonly #lines: readonly ScheduleLine[];
  readonly #facts: BufferFacts;
  readonly #aux: AuxBuffer;
  /** Those that may not have been read. */
  #commits: Commit[] = [];
  #hasStopped = false;

  constructor(lines: readonly ScheduleLine[], facts: BufferFacts) {
    this.#lines = lines;
    this.#facts = facts;
    this.#aux = new AuxBuffer({ ...facts, snapshot: false, watermarkBytes: 0 });
  }

  take(line: ScheduleLine, at: number): void {
    switch (line[0]) {
      case "on":
        this.#passes(at);
        this.#opens(line[7], line[8]);
        this.#hasStopped = false;
        return;
      case "resumed":
        this.#opens(line[7], line[8]);
        this.#commits.at(-1)!.atNs = line[2];
        this.#hasStopped = false;
        return;
      case "stopped":
        this.#passes(at);
        this.#commit(line[7], line[2]);
        this.#hasStopped = true;
        return;
      case "off":
        this.#passes(at);
        // One that had stopped is committed already: there was no space.
        if (this.#hasStopped) this.#aux.begin();
        else this.#commit(line[7], line[2]);
        this.#hasStopped = false;
        return;
      case "task":
      case "idle":
        this.#passes(at);
        return;
      case "buffer":
      case "event":
      case "end":
        return;
    }
  }

  #offsetOf(address: string): number {
    return Number(BigInt(address) - this.#facts.base);
  }

  #passes(at: number): void {
    if (!this.#hasStopped) this.#commits.at(-1)?.lines.push(at);
  }

  #commit(pointer: string, atNs: number): void {
    this.#aux.end(this.#offsetOf(pointer));
    this.#commits.push({ head: this.#aux.head, atNs, lines: [] });
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
    if (fits(saved.tail)) return;
    // What has stopped it just now nobody can have read.
    const last = this.#commits.length - (this.#hasStopped ? 2 : 1);
    for (let i = last; i >= 0; i--) {
      const commit = this.#commits[i]!;
      if (!fits(commit.head)) continue;
      this.before.add(this.#placeOf(commit));
      this.#commits = this.#commits.slice(i + 1);
      return;
    }
    this.unexplained += 1;
    fits(saved.head);
  }

  /** The switch-in after it, or the line half way to the next commit; where none is far from both, that: half way there it is. */
  #placeOf({ atNs, lines }: Commit): number {
    const end = lines.at(-1)!;
    const switchIn = lines.find((line) => this.#lines[line]![0] === "on");
    if (switchIn !== undefined) return switchIn;
    const timeOf = (line: number): number => this.#lines[line]![2] as number;
    const distance = (line: number): number => Math.abs(timeOf(line) - (atNs + timeOf(end)) / 2);
    const [nearest = end] = lines.slice(0, -1).sort((a, b) => distance(a) - distance(b));
    return distance(nearest) < (timeOf(end) - atNs) / 4 ? nearest : end;
  }
}

/** @param lines of all vCPUs; those of `vcpu` count */
export function readerMarks(lines: readonly ScheduleLine[], vcpu: number, facts: BufferFacts): ReaderMarks {
  const reader = new Reader(lines, facts);
  const isOurs = (address: string): boolean => {
    const offset = BigInt(address) - facts.base;
    return offset >= 0n && offset <= BigInt(facts.bytes);
  };
  for (const [at, line] of lines.entries()) {
    if (line[1] !== vcpu) continue;
    const pointer = "on off stopped resumed".includes(line[0]) ? (line[7] as string) : undefined;
    if (pointer === undefined || isOurs(pointer)) reader.take(line, at);
  }
  return reader;
}
