/** Ordinary floating point stays in WebAssembly; the rest is left to exact arithmetic. Results are for test/fuzz-a64. */
import { expect, it } from "vitest";
import { INPUT, OUTPUT } from "./fuzz-a64/format.ts";
import { CaseMachine } from "./fuzz-a64/machine.ts";

const FADD_D0_D1_D2 = 0x1e62_2820;
const FMUL_V0_V1_V2_2D = 0x6e62_dc20;
const FMADD_D0_D1_D2_D1 = 0x1f42_0420;
const IXC = 0x10;

/** How often WebAssembly is left for one instruction on these doubles, once everything is decoded and mapped. */
function leaves(machine: CaseMachine, word: number, fpsr: number, a: number, b: number): number {
  const cases = new Uint8Array(INPUT.BYTES);
  const view = new DataView(cases.buffer);
  view.setUint32(INPUT.WORDS, word, true);
  view.setUint32(INPUT.COUNT, 1, true);
  view.setUint32(INPUT.FPSR, fpsr, true);
  for (const [register, value] of [
    [1, a],
    [2, b],
  ] as const)
    for (const at of [0, 8]) view.setFloat64(INPUT.V + 16 * register + at, value, true);
  machine.load(cases, 1);
  const results = new Uint8Array(OUTPUT.BYTES);
  machine.run(cases, 0, results);
  const { code } = machine.core;
  const { run } = code;
  let count = 0;
  const counted = code as { run: (cpu: number) => number };
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

it("adds, multiplies and does both to ordinary numbers without leaving WebAssembly", () => {
  const machine = new CaseMachine();
  for (const word of [FADD_D0_D1_D2, FMUL_V0_V1_V2_2D, FMADD_D0_D1_D2_D1]) {
    const least = leaves(machine, word, IXC, 1.5, 2.25);
    // It is not known whether a result is exact: IXC may have to be set.
    expect(leaves(machine, word, 0, 1.5, 2.25)).toBe(least + 1);
    expect(leaves(machine, word, IXC, Number.NaN, 1)).toBe(least + 1);
    expect(leaves(machine, word, IXC, 1e-308, 1e-308)).toBe(least + 1);
  }
});
