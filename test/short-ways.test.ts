/**
 * Floating point of ordinary numbers, and all of Advanced SIMD on integers, stay in WebAssembly; the rest is left to exact
 * arithmetic. Results are for test/fuzz-a64.
 */
import { describe, expect, it } from "vitest";
import { fieldsOf, type Row } from "../src/a64/encoding.ts";
import { ALL_ROWS, type RowName } from "../src/a64/encodings/index.ts";
import { INPUT, OUTPUT } from "./fuzz-a64/format.ts";
import { CaseMachine } from "./fuzz-a64/machine.ts";

const IXC = 0x10;
const FZ = 1 << 24;

/** Rows that TypeScript carries out whatever the operands are. */
const EXACT: readonly RowName[] = [
  "FCVTZ_to_fixed",
  "CVTF_from_fixed",
  "SCVTF_fixed",
  "UCVTF_fixed",
  "FCVTZS_fixed",
  "FCVTZU_fixed",
  "SCVTF_fixed_scalar",
  "UCVTF_fixed_scalar",
  "FCVTZS_fixed_scalar",
  "FCVTZU_fixed_scalar",
  "FRECPE",
  "FRSQRTE",
  "FRECPE_scalar",
  "FRECPX_scalar",
  "FRSQRTE_scalar",
  "URECPE",
  "URSQRTE",
  "FRECPS",
  "FRSQRTS",
  "FRECPS_scalar",
  "FRSQRTS_scalar",
  "FCVTXN",
  "FCVTXN_scalar",
];

const rowNamed = (name: RowName): Row => ALL_ROWS.find((row) => row.name === name)!;

/** The word of a row with these fields, others 0. */
function wordOf(row: Row, fields: Readonly<Record<string, number>>): number {
  let word = row.value;
  for (const [name, value] of Object.entries(fields)) {
    const field = row.fields[name];
    if (field !== undefined) word += value * 2 ** field.low;
  }
  return word;
}

/** Words of a row that are allocated: V0 from V1, V2 and V3, singles and doubles, lanes of each size. */
function words(row: Row): number[] {
  const found = new Set<number>();
  for (const size of [0, 1, 2, 3])
    for (const [sz, Q] of [
      [0, 0],
      [0, 1],
      [1, 1],
    ] as const) {
      const shift = { immh: 2 ** size, immb: 3 };
      const registers = { Rn: 1, Rm: 2, Ra: 3, imm5: 2 ** size, cmode: 14, ...shift };
      // FCVT: of the other format.
      const word = wordOf(row, { ...registers, size, sz, Q, ftype: sz, opc: 1 - sz });
      if (row.isUndefined?.(fieldsOf(row, word)) !== true) found.add(word);
    }
  return [...found];
}

interface Given {
  readonly fpcr?: number;
  readonly fpsr: number;
  /** V1 and V3, and V2: singles or doubles as the word says. */
  readonly a: number;
  readonly b: number;
}

/** How often WebAssembly is left for one instruction, once everything is decoded and mapped. */
function leaves(
  machine: CaseMachine,
  word: number,
  isDouble: boolean,
  { fpcr = 0, fpsr, a, b }: Given,
): number {
  const cases = new Uint8Array(INPUT.BYTES);
  const view = new DataView(cases.buffer);
  view.setUint32(INPUT.WORDS, word, true);
  view.setUint32(INPUT.COUNT, 1, true);
  view.setUint32(INPUT.FPCR, fpcr, true);
  view.setUint32(INPUT.FPSR, fpsr, true);
  for (const [register, value] of [
    [0, a],
    [1, a],
    [2, b],
    [3, a],
  ] as const)
    for (let at = 0; at < 16; at += isDouble ? 8 : 4)
      if (isDouble) view.setFloat64(INPUT.V + 16 * register + at, value, true);
      else view.setFloat32(INPUT.V + 16 * register + at, value, true);
  machine.load(cases, 1);
  const results = new Uint8Array(OUTPUT.BYTES);
  machine.run(cases, 0, results);
  const { interpreter } = machine.core.code;
  const { run } = interpreter;
  let count = 0;
  const counted = interpreter as { run: (cpu: number) => number };
  counted.run = (cpu) => {
    count += 1;
    return run(cpu);
  };
  try {
    machine.run(cases, 0, results);
  } finally {
    counted.run = run;
  }
  return count;
}

describe("instructions that stay in WebAssembly", () => {
  const machine = new CaseMachine();
  const ordinary: Given = { fpsr: IXC, a: 1.5, b: 2.25 };
  const least = leaves(machine, wordOf(rowNamed("FMOV_register"), { ftype: 1 }), true, ordinary);
  const isDouble = (row: Row, word: number): boolean => {
    const { sz = 1, ftype = 1, size = 3 } = fieldsOf(row, word) as Partial<Record<string, number>>;
    return row.group === "Advanced SIMD floating point" || row.group === "Floating point"
      ? sz === 1 && ftype === 1
      : size === 3;
  };
  const rows = ALL_ROWS.filter(
    ({ group, name }) =>
      (group.startsWith("Floating point") || group.startsWith("Advanced SIMD")) &&
      !group.includes("loads") &&
      !EXACT.includes(name as RowName),
  );
  const left = (given: Given): string[] =>
    rows.flatMap((row) =>
      words(row)
        // Halves are left: FCVTN and FCVTL with sz = 0.
        .filter((word) => !/^FCVT[NL]$/.test(row.name) || fieldsOf(row, word).sz === 1)
        .filter((word) => leaves(machine, word, isDouble(row, word), given) !== least)
        .map((word) => `${row.name} ${word.toString(16)}`),
    );

  it("are all of those on ordinary numbers", () => {
    expect(rows.length).toBeGreaterThan(350);
    expect(left(ordinary)).toEqual([]);
  });

  it("are most of those whose result is exact while FPSR says that none was inexact yet", () => {
    // Vectors of quotients and roots are not worth finding out.
    expect([...new Set(left({ ...ordinary, fpsr: 0 }).map((name) => name.split(" ")[0]))]).toEqual([
      "FDIV",
      "FSQRT",
    ]);
  });

  it("are those on zeros, too", () => {
    expect(left({ fpsr: IXC, a: 0, b: 2.25 })).toEqual([]);
  });

  it("are the same where denormals are flushed, as long as there are none", () => {
    expect(left({ ...ordinary, fpcr: FZ })).toEqual([]);
    const sum = wordOf(rowNamed("FADD_scalar"), { Rn: 1, Rm: 2, ftype: 1 });
    expect(leaves(machine, sum, true, { ...ordinary, a: 2 ** -1070 })).toBe(least);
    expect(leaves(machine, sum, true, { ...ordinary, a: 2 ** -1070, fpcr: FZ })).toBe(least + 1);
  });

  it("are not those on NaNs, nor on what comes out denormal", () => {
    for (const name of ["FADD_scalar", "FMUL", "FMADD", "FMLA", "FCMGT", "FMAX", "FRINT"] as const) {
      const row = rowNamed(name);
      const word = wordOf(row, { Rn: 1, Rm: 2, Ra: 3, Q: 1, sz: 1, ftype: 1 });
      expect.soft(leaves(machine, word, true, { ...ordinary, a: Number.NaN }), name).toBe(least + 1);
    }
    const product = wordOf(rowNamed("FMUL_scalar"), { Rn: 1, Rm: 2, ftype: 1 });
    expect(leaves(machine, product, true, { fpsr: IXC, a: 2 ** -1000, b: 2 ** -60 })).toBe(least + 1);
  });
});
