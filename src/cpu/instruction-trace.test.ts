/** The instruction trace against a program that is stepped, and the same run without one. */
import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { randomStream } from "../common/random.ts";
import { InstructionTrace, type TracedInstruction, type TraceFilter } from "./instruction-trace.ts";
import { randomProgram, VECTOR } from "./spe/random-program.testing.ts";
import { PLACE, type SpeCore, speCore } from "./spe/spe-core.testing.ts";

const BUDGET = 5000;
const ALL: TraceFilter = { levels: [0, 1], ranges: [], skip: 0, count: Number.POSITIVE_INFINITY };

/** A core that is about to execute a random program at EL0, whose exceptions are handled at EL1. */
function ready(words: readonly number[], isProfiled: boolean): SpeCore {
  const made = speCore(1, false, undefined, { hotAfter: 2, batch: 1, patience: 0 });
  for (const vector of [0x200, 0x400]) made.load(PLACE.vectors + vector, VECTOR.words);
  made.load(PLACE.code, words);
  const { state, space, exceptions } = made.core;
  state.select(0, 0);
  space.select();
  exceptions.controlsChanged();
  state.setX(1, BigInt(PLACE.data));
  state.setX(2, BigInt(PLACE.data + 3));
  state.set64("CNTKCTL_EL1", 3n);
  state.pc = BigInt(PLACE.code);
  if (isProfiled) made.profile({ E0SPE: 1, E1SPE: 1 }, { PMSIRR_EL1: 0x101n });
  return made;
}

/** Time goes on where a run has ended: programs read the counter. */
function runTo({ core, spe }: SpeCore, cycles: number): void {
  while (core.cycles < cycles) {
    core.run(cycles - core.cycles, core.cycles);
    spe.pauses();
  }
}

/** What a trace has of a program. */
function traced(
  words: readonly number[],
  isProfiled: boolean,
  filter: Partial<TraceFilter> = {},
): TracedInstruction[] {
  const made = ready(words, isProfiled);
  const seen: TracedInstruction[] = [];
  const trace = new InstructionTrace({ ...ALL, ...filter }, (instruction) => seen.push(instruction));
  made.spe.sampling.trace = trace.of(0, made.core.executed);
  runTo(made, BUDGET);
  return seen;
}

describe.each([
  ["profiled", true],
  ["not profiled", false],
])("a random program that is %s", (_what, isProfiled) => {
  const { words } = randomProgram(randomStream(3), 120);

  it("is traced instruction by instruction", () => {
    const stepped = ready(words, isProfiled);
    const memory = new Uint32Array(stepped.bytes().buffer, stepped.bytes().byteOffset);
    const expected: TracedInstruction[] = [];
    while (stepped.core.cycles < BUDGET) {
      const { state, executed, cycles } = stepped.core;
      const pc = state.pc;
      const at = { vcpu: 0, number: executed, atNs: Math.floor(cycles / 2), el: state.el, pc };
      expected.push({ ...at, word: memory[Number(pc) / 4]! });
      runTo(stepped, cycles + 1);
    }
    const seen = traced(words, isProfiled);
    expect(seen.slice(0, expected.length)).toEqual(expected);
    expect(seen.length).toBeLessThanOrEqual(expected.length);
    expect(new Set(seen.map(({ el }) => el)).size).toBe(2);
  });
});

describe("a random program", () => {
  const { words } = randomProgram(randomStream(4), 120);

  it("does what it does untraced", () => {
    const ended = [false, true].map((isTraced) => {
      const made = ready(words, true);
      if (isTraced)
        made.spe.sampling.trace = new InstructionTrace(ALL, () => undefined).of(0, made.core.executed);
      runTo(made, BUDGET);
      const { state, cycles } = made.core;
      const registers = Array.from({ length: 31 }, (_, n) => state.x(n));
      // Records are in there as well.
      const memory = createHash("sha256").update(made.bytes()).digest("hex");
      return { registers, pc: state.pc, nzcv: state.nzcv, cycles, memory };
    });
    expect(ended[1]).toEqual(ended[0]);
  });

  it("is traced where, and as far as, somebody wants to see it", () => {
    const all = traced(words, false);
    const start = BigInt(PLACE.code + 4 * 30);
    const end = BigInt(PLACE.code + 4 * 40);
    const vectors = { start: BigInt(PLACE.vectors), end: BigInt(PLACE.vectors + 0x800) };
    const there = all.filter(({ pc }) => pc >= start && pc < end);
    const both = all.filter(
      (each) => there.includes(each) || (each.pc >= vectors.start && each.pc < vectors.end),
    );
    expect(there.length).toBeGreaterThan(20);
    expect(both.length).toBeGreaterThan(there.length);
    expect(traced(words, false, { ranges: [{ start, end }, vectors] })).toEqual(both);
    expect(traced(words, false, { levels: [0] })).toEqual(all.filter(({ el }) => el === 0));
    expect(traced(words, false, { ranges: [{ start, end }], skip: 3, count: 5 })).toEqual(there.slice(3, 8));
  });
});

it("numbers instructions from where it begins, and counts those of all vCPUs", () => {
  const seen: TracedInstruction[] = [];
  const trace = new InstructionTrace({ ...ALL, skip: 1, count: 2 }, (instruction) => seen.push(instruction));
  const [first, second] = [trace.of(0, 100), trace.of(1, 1000)];
  for (const vcpu of [first, second, first, second])
    if (vcpu.wants(1))
      vcpu.executes(
        8n,
        1,
        vcpu === first ? 105 : 1005,
        () => 7,
        () => 0xd503_201f,
      );
  const common = { number: 5, atNs: 7, el: 1, pc: 8n, word: 0xd503_201f };
  expect(seen).toEqual([
    { vcpu: 1, ...common },
    { vcpu: 0, ...common },
  ]);
  expect(second.wants(1)).toBe(false);
});
