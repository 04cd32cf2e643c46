/** Cases of every row, here and on QEMU, and where the two differ. */

import type { Semantics } from "../../src/a64/emit.ts";
import { fieldsOf } from "../../src/a64/encoding.ts";
import { ALL_ROWS } from "../../src/a64/encodings/index.ts";
import { SEMANTICS } from "../../src/a64/semantics/index.ts";
import { randomStream } from "../../src/common/random.ts";
import { exclusionOf, mayDiffer } from "./exclusions.ts";
import { INPUT, OUTPUT, SIGNAL } from "./format.ts";
import { type Subject, writeCase } from "./generate.ts";
import { CaseMachine } from "./machine.ts";
import { askQemu } from "./oracle.ts";

/** Cases to a process of QEMU's. */
export const BATCH = 10_000;

export interface Mismatch {
  readonly row: string;
  readonly word: number;
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
  readonly mismatches: readonly Mismatch[];
  readonly cases: number;
}

const MOST_SHOWN = 1000;

/** The rows that this machine implements. */
export const SUBJECTS: readonly Subject[] = ALL_ROWS.flatMap((row) => {
  const semantics = (SEMANTICS as Record<string, Semantics>)[row.name];
  return semantics === undefined ? [] : [{ row, semantics }];
});

const hex = (value: bigint | number, digits: number): string => value.toString(16).padStart(digits, "0");

function differences(ours: DataView, theirs: DataView, faultingAccess: boolean): string[] {
  const out: string[] = [];
  const differ64 = (name: string, at: number): void => {
    const a = ours.getBigUint64(at, true);
    const b = theirs.getBigUint64(at, true);
    if (a !== b) out.push(`${name} ${hex(a, 16)} against ${hex(b, 16)}`);
  };
  const differ32 = (name: string, at: number): void => {
    const a = ours.getUint32(at, true);
    const b = theirs.getUint32(at, true);
    if (a !== b) out.push(`${name} ${hex(a, 8)} against ${hex(b, 8)}`);
  };
  differ32("signal", OUTPUT.SIGNAL);
  differ64("PC", OUTPUT.PC);
  // What an access that faulted has loaded or stored by then is UNKNOWN (Arm ARM B2.2.1, D1.3.3).
  if (faultingAccess) return out;
  for (let i = 0; i < 31; i++) differ64(`X${i}`, OUTPUT.X + 8 * i);
  differ64("SP", OUTPUT.SP);
  differ32("NZCV", OUTPUT.NZCV);
  differ32("FPSR", OUTPUT.FPSR);
  for (let i = 0; i < 64; i++) differ64(`V${i >> 1}.D[${i & 1}]`, OUTPUT.V + 8 * i);
  differ32("memory", OUTPUT.MEMORY);
  return out;
}

const WORDS_COMPARED = OUTPUT.BYTES / 4;

function describeInput(subject: Subject, view: DataView): string {
  const word = view.getUint32(INPUT.WORDS, true);
  const f = fieldsOf(subject.row, word);
  const parts = [
    `NZCV ${hex(view.getUint32(INPUT.NZCV, true), 8)}`,
    `FPCR ${hex(view.getUint32(INPUT.FPCR, true), 8)}`,
  ];
  for (const name of ["Rd", "Rt", "Rt2", "Rs", "Rn", "Rm", "Ra"] as const) {
    if (subject.row.fields[name] === undefined) continue;
    const n = f[name];
    const x = n === 31 ? view.getBigUint64(INPUT.SP, true) : view.getBigUint64(INPUT.X + 8 * n, true);
    const low = view.getBigUint64(INPUT.V + 16 * n, true);
    const high = view.getBigUint64(INPUT.V + 16 * n + 8, true);
    parts.push(`${name}=${n}: X ${hex(x, 16)} V ${hex(high, 16)}_${hex(low, 16)}`);
  }
  return parts.join(", ");
}

/**
 * Runs cases round robin over the rows.
 * @param total how many cases at least
 * @param onProgress told of how many are done
 */
export async function fuzz(options: {
  readonly runner: string;
  readonly total: number;
  readonly seed: number;
  readonly only?: RegExp;
  /** Whether each case is translated before it is executed. */
  readonly translated?: boolean;
  readonly onProgress?: (done: number) => void;
}): Promise<FuzzResult> {
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
  const mismatches: Mismatch[] = [];
  let done = 0;
  while (done < total && active.length > 0) {
    const count = Math.min(BATCH, total - done);
    const cases = new Uint8Array(count * INPUT.BYTES);
    const of: Subject[] = [];
    let turn = done;
    let refused = 0;
    while (of.length < count && refused < 10_000) {
      const subject = active[turn++ % active.length]!;
      if (writeCase(subject, decoder, random, cases, of.length)) of.push(subject);
      else refused += 1;
    }
    const answer = askQemu(runner, cases, of.length);
    const ours = new Uint8Array(of.length * OUTPUT.BYTES);
    machine.load(cases, of.length);
    for (let i = 0; i < of.length; i++) machine.run(cases, i, ours);
    const theirs = await answer;
    const a = new Uint32Array(ours.buffer);
    const b = new Uint32Array(theirs.buffer, theirs.byteOffset, theirs.length / 4);
    for (let i = 0; i < of.length; i++) {
      const subject = of[i]!;
      const entry = coverage.get(subject.row.name)!;
      entry.cases += 1;
      const signal = new DataView(
        theirs.buffer,
        theirs.byteOffset + i * OUTPUT.BYTES,
        OUTPUT.BYTES,
      ).getUint32(OUTPUT.SIGNAL, true);
      if (signal !== SIGNAL.TRAP) entry.faults += 1;
      let same = true;
      for (let word = i * WORDS_COMPARED; same && word < (i + 1) * WORDS_COMPARED; word++)
        same = a[word] === b[word];
      if (same) continue;
      const found = differences(
        new DataView(ours.buffer, i * OUTPUT.BYTES, OUTPUT.BYTES),
        new DataView(theirs.buffer, theirs.byteOffset + i * OUTPUT.BYTES, OUTPUT.BYTES),
        signal === SIGNAL.SEGV || signal === SIGNAL.BUS,
      );
      if (found.length === 0) continue;
      const view = new DataView(cases.buffer, i * INPUT.BYTES, INPUT.BYTES);
      const word = view.getUint32(INPUT.WORDS + 4 * (view.getUint32(INPUT.COUNT, true) - 1), true);
      const here = new DataView(ours.buffer, i * OUTPUT.BYTES).getUint32(OUTPUT.SIGNAL, true);
      if (mayDiffer(subject.row, fieldsOf(subject.row, word), here, signal)) continue;
      entry.mismatches += 1;
      if (mismatches.length < MOST_SHOWN) {
        mismatches.push({
          row: subject.row.name,
          word,
          seed,
          differences: found,
          input: describeInput(subject, view),
        });
      }
    }
    done += of.length;
    options.onProgress?.(done);
  }
  return { coverage: [...coverage.values()], mismatches, cases: done };
}
