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

/** @param lines of all vCPUs; those of `vcpu` count */
export function readerMarks(lines: readonly ScheduleLine[], vcpu: number, facts: BufferFacts): ReaderMarks {
  const aux = new AuxBuffer({ ...facts, snapshot: false, watermarkBytes: 0 });
  const before = new Set<number>();
  let unexplained = 0;
  /** Lines since something was last committed: the reader comes at one of them. */
  let since: number[] = [];
  let hasStopped = false;
  const offsetOf = (address: string): number => Number(BigInt(address) - facts.base);
  const isOurs = (address: string): boolean => offsetOf(address) >= 0 && offsetOf(address) <= facts.bytes;
  const opens = (at: number, pointer: string, limit: string): void => {
    const fits = (): boolean => {
      const window = aux.begin();
      return window?.headBytes === offsetOf(pointer) && window.limitBytes === offsetOf(limit);
    };
    const saved = aux.save();
    if (fits()) return;
    aux.restore(saved);
    aux.consume();
    if (!fits()) unexplained += 1;
    before.add(since.find((line) => line !== at) ?? at);
  };
  for (const [i, line] of lines.entries()) {
    if (line[1] !== vcpu) continue;
    switch (line[0]) {
      case "on":
        if (!isOurs(line[7])) break;
        since = [i];
        opens(i, line[7], line[8]);
        since = [];
        break;
      case "stopped":
        if (!isOurs(line[7])) break;
        aux.end(offsetOf(line[7]));
        hasStopped = true;
        since.push(i);
        break;
      case "resumed":
        if (!isOurs(line[7])) break;
        opens(i, line[7], line[8]);
        hasStopped = false;
        since = [];
        break;
      case "off":
        if (!isOurs(line[7])) break;
        // One that had stopped is committed already: there was no space.
        if (hasStopped) aux.begin();
        else aux.end(offsetOf(line[7]));
        hasStopped = false;
        since = [];
        break;
      case "task":
      case "idle":
        since.push(i);
        break;
      case "buffer":
      case "event":
      case "end":
        break;
    }
  }
  return { before, unexplained };
}
