/** Cases of every row, here and on QEMU, and where the two differ. */

import type { Decoder } from "../../src/a64/decoder.ts";
import type { Semantics } from "../../src/a64/emit.ts";
import { fieldsOf, type Row } from "../../src/a64/encoding.ts";
import { ALL_ROWS } from "../../src/a64/encodings/index.ts";
import { SEMANTICS } from "../../src/a64/semantics/index.ts";
import { type RandomStream, randomStream } from "../../src/common/random.ts";
import { describeInput, differences, signalOf } from "./compare.ts";
import { exclusionOf, mayDiffer } from "./exclusions.ts";
import { INPUT, OUTPUT, SIGNAL, startOf } from "./format.ts";
import { type Subject, writeCase } from "./generate.ts";
import { CaseMachine } from "./machine.ts";
import { askQemuInPieces } from "./oracle.ts";
import { sequencesOf, writeSequence } from "./sequences.ts";

/** Cases to a process of QEMU's. */
export const BATCH = 10_000;

export interface Mismatch {
  /** The case's instructions, by row and word. */
  readonly rows: readonly string[];
  readonly words: readonly number[];
  readonly seed: number;
  /** What differs: here, and on QEMU. */
  readonly differences: readonly string[];
  readonly input: string;
}

export interface Coverage {
  readonly row: string;
  cases: number;
  /** How many of them ended in a fault. */
  faults: number;
  mismatches: number;
  readonly excluded: string | undefined;
}

export interface FuzzResult {
  readonly coverage: readonly Coverage[];
  /** The first of them. */
  readonly mismatches: readonly Mismatch[];
  readonly mismatched: number;
  readonly cases: number;
}

const MOST_SHOWN = 1000;

/** The rows that this machine implements. */
export const SUBJECTS: readonly Subject[] = ALL_ROWS.flatMap((row) => {
  const semantics = (SEMANTICS as Record<string, Semantics>)[row.name];
  return semantics === undefined ? [] : [{ row, semantics }];
});

const WORDS_COMPARED = OUTPUT.BYTES / 4;

/** Writes the next case and says which instructions it is of, but for what only prepares it. Undefined: draw again. */
type Next = (cases: Uint8Array, index: number) => readonly Subject[] | undefined;

interface Batch {
  readonly cases: Uint8Array;
  readonly of: readonly (readonly Subject[])[];
}

function makeBatch(next: Next, count: number): Batch {
  const cases = new Uint8Array(count * INPUT.BYTES);
  const of: (readonly Subject[])[] = [];
  for (let refused = 0; of.length < count && refused < 10_000; ) {
    const subjects = next(cases, of.length);
    if (subjects === undefined) refused += 1;
    else of.push(subjects);
  }
  return { cases, of };
}

/** Single instructions, round robin over the rows. */
function singles(active: readonly Subject[], decoder: Decoder, random: RandomStream): Next {
  let turn = 0;
  return (cases, index) => {
    const subject = active[turn++ % active.length]!;
    return writeCase(subject, decoder, random, cases, index) ? [subject] : undefined;
  };
}

/** The instructions that a case is of, and their words: the last ones of its words. */
function instructionsOf({ cases, of }: Batch, i: number): { rows: readonly Row[]; words: number[] } {
  const view = new DataView(cases.buffer, i * INPUT.BYTES, INPUT.BYTES);
  const rows = of[i]!.map(({ row }) => row);
  const count = view.getUint32(INPUT.COUNT, true);
  const words = rows.map((_, j) => view.getUint32(INPUT.WORDS + 4 * (count - rows.length + j), true));
  return { rows, words };
}

/** Whether a difference is one that the architecture allows, by the instruction at which the case ended. */
function isAllowed(batch: Batch, i: number, ours: DataView, theirs: DataView): boolean {
  const { rows, words } = instructionsOf(batch, i);
  const view = new DataView(batch.cases.buffer, i * INPUT.BYTES, INPUT.BYTES);
  const start = startOf(i, view.getUint32(INPUT.BRANCHES, true) !== 0);
  const prepared = view.getUint32(INPUT.COUNT, true) - rows.length;
  const place = Number((ours.getBigUint64(OUTPUT.PC, true) - start) / 4n);
  const at = place - prepared;
  const row = rows[at];
  if (row === undefined) return false;
  return mayDiffer(row, fieldsOf(row, words[at]!), signalOf(ours), signalOf(theirs), place === 0);
}

export interface FuzzOptions {
  readonly runner: string;
  /** How many cases at least. */
  readonly total: number;
  readonly seed: number;
  readonly only?: RegExp;
  /** Whether each case is translated before it is executed. */
  readonly translated?: boolean;
  /** Whether cases are sequences of instructions. */
  readonly sequences?: boolean;
  /** Told of how many are done. */
  readonly onProgress?: (done: number) => void;
}

/** Runs cases. While QEMU answers for some the next ones are made, so that there are two batches in memory at most. */
export async function fuzz(options: FuzzOptions): Promise<FuzzResult> {
  const { runner, total, seed, only } = options;
  const subjects = SUBJECTS.filter(({ row }) => only === undefined || only.test(row.name));
  const coverage = new Map<string, Coverage>(
    subjects.map(({ row }) => [
      row.name,
      { row: row.name, cases: 0, faults: 0, mismatches: 0, excluded: exclusionOf(row) },
    ]),
  );
  const active = subjects.filter(({ row }) => exclusionOf(row) === undefined);
  const machine = new CaseMachine(
    options.translated === true ? { hotAfter: 1, batch: 1, patience: 1000 } : undefined,
  );
  const { decoder } = machine.core.code;
  const random = randomStream(seed);
  const sequences = sequencesOf(subjects, decoder);
  const next: Next =
    options.sequences === true
      ? (cases, index) => writeSequence(sequences, random, cases, index)
      : singles(active, decoder, random);
  const mismatches: Mismatch[] = [];
  let mismatched = 0;
  let done = 0;
  const upTo = (left: number): number => Math.min(BATCH, left);
  let batch = makeBatch(next, active.length === 0 ? 0 : upTo(total));
  while (batch.of.length > 0) {
    const { cases, of } = batch;
    const asked = askQemuInPieces(runner, cases, of.length);
    const ours = new Uint8Array(of.length * OUTPUT.BYTES);
    machine.load(cases, of.length);
    for (let i = 0; i < of.length; i++) machine.run(cases, i, ours);
    const following = makeBatch(next, upTo(total - done - of.length));
    const { answers, stopped } = await asked;
    const a = new Uint32Array(ours.buffer);
    const b = new Uint32Array(answers.buffer);
    for (const [i, subjectsOf] of of.entries()) {
      const here = new DataView(ours.buffer, i * OUTPUT.BYTES, OUTPUT.BYTES);
      const there = new DataView(answers.buffer, i * OUTPUT.BYTES, OUTPUT.BYTES);
      const entries = subjectsOf.map(({ row }) => coverage.get(row.name)!);
      for (const entry of entries) {
        entry.cases += 1;
        if (signalOf(there) !== SIGNAL.TRAP) entry.faults += 1;
      }
      let same = true;
      for (let word = i * WORDS_COMPARED; same && word < (i + 1) * WORDS_COMPARED; word++)
        same = a[word] === b[word];
      const silent = stopped.get(i);
      if (same && silent === undefined) continue;
      const found = silent === undefined ? differences(here, there) : [silent];
      if (found.length === 0 || (silent === undefined && isAllowed(batch, i, here, there))) continue;
      mismatched += 1;
      for (const entry of entries) entry.mismatches += 1;
      if (mismatches.length < MOST_SHOWN) {
        const { rows, words } = instructionsOf(batch, i);
        const input = describeInput(rows, words, new DataView(cases.buffer, i * INPUT.BYTES, INPUT.BYTES));
        mismatches.push({ rows: rows.map(({ name }) => name), words, seed, differences: found, input });
      }
    }
    done += of.length;
    options.onProgress?.(done);
    batch = following;
  }
  return { coverage: [...coverage.values()], mismatches, mismatched, cases: done };
}
