import { describe, expect, it } from "vitest";
import { randomStream } from "../../common/random.ts";
import type { SpeRecord } from "../../perf/spe-record.ts";
import { EVENT } from "../../spe/op.ts";
import { TRANSLATION, type Translation } from "../execute/translator.ts";
import { expectedAt, type Program, randomProgram, VECTOR } from "./random-program.testing.ts";
import { PLACE, type SpeCore, speCore } from "./spe-core.testing.ts";

/** Cycles of the core to a tick of its counter. */
const TICK_CYCLES = 32;
const CONTEXT = 0x1234;

/** An instruction that was executed, with what a record of it must say. */
interface Step {
  readonly pc: bigint;
  readonly el: 0 | 1;
  readonly cycles: number;
  readonly opClass: string;
  readonly subclass: number;
  readonly va: bigint | undefined;
  readonly fails: boolean;
  readonly hasException: boolean;
  readonly next: bigint;
  readonly nextEl: 0 | 1;
}

function ready(
  program: Program,
  el: 0 | 1,
  isAhead?: () => boolean,
  translation: Translation = TRANSLATION,
): SpeCore {
  const bare = speCore(1, false, isAhead, translation);
  for (const vector of [0x200, 0x400]) bare.load(PLACE.vectors + vector, VECTOR.words);
  bare.load(PLACE.code, program.words);
  const { state } = bare.core;
  state.setX(1, BigInt(PLACE.data));
  state.setX(2, BigInt(PLACE.data + 3));
  state.set64("CONTEXTIDR_EL1", BigInt(CONTEXT));
  state.set64("CNTKCTL_EL1", 3n);
  state.pc = BigInt(PLACE.code);
  if (el === 0) {
    state.select(0, 0);
    bare.core.space.select();
  }
  return bare;
}

/** What a program executes, instruction by instruction, on a core that is not profiled. */
function steps(program: Program, el: 0 | 1, count: number): readonly Step[] {
  const { core, run } = ready(program, el);
  const { state, exceptions } = core;
  return Array.from({ length: count }, () => {
    const pc = state.pc;
    const { opClass, subclass, va, fails } = expectedAt(program, Number(pc));
    const before = {
      pc,
      el: state.el,
      cycles: core.cycles,
      opClass,
      subclass,
      va: va?.(state),
      fails: fails?.(state) === true,
    };
    const { taken } = exceptions;
    run(1);
    return { ...before, hasException: exceptions.taken !== taken, next: state.pc, nextEl: state.el };
  });
}

/** Which of them are selected, by the pseudocode's own steps (SPEToCollectSample) for a unit without jitter. */
function selectedOf(all: readonly Step[], levels: readonly number[], period: number): readonly Step[] {
  let count = period;
  return all.filter(({ el }) => {
    if (!levels.includes(el)) return false;
    if (count === 0) {
      count = period;
      return false;
    }
    count -= 1;
    return count === 0;
  });
}

const said = (record: SpeRecord) => ({
  pc: record.pc?.va,
  el: record.pc?.el,
  contextEl1: record.contextEl1,
  timestamp: record.timestamp,
  opClass: record.opClass,
  subclass: record.subclass,
  va: record.va,
  target: record.target?.va,
  targetEl: record.target?.el,
  notTaken: ((record.events ?? 0n) & BigInt(EVENT.notTaken)) !== 0n,
  exception: ((record.events ?? 0n) & BigInt(EVENT.exceptionGenerated)) !== 0n,
  retired: ((record.events ?? 0n) & BigInt(EVENT.retired)) !== 0n,
});

const due = (step: Step) => ({
  pc: step.pc,
  el: step.el,
  contextEl1: CONTEXT,
  timestamp: BigInt(Math.floor(step.cycles / TICK_CYCLES)),
  opClass: step.opClass,
  subclass: step.subclass,
  va: step.va,
  target: step.opClass === "branch" && !step.fails ? step.next : undefined,
  targetEl: step.opClass === "branch" && !step.fails ? step.nextEl : undefined,
  notTaken: step.fails,
  exception: step.hasException,
  retired: !step.hasException,
});

const INTERVAL = 256;
const SEEDS = [1, 2, 3, 4, 5, 6];
const RUN = { E0SPE: 1, E1SPE: 1, CX: 1, TS: 1 } as const;

describe("records of random programs", () => {
  it.each(SEEDS)(
    "are those of the instructions that the pseudocode selects, with all that they did (%d)",
    (seed) => {
      const random = randomStream(seed);
      const program = randomProgram(random, random.integer(20, 300));
      const el = random.integer(0, 1) as 0 | 1;
      const all = steps(program, el, 12_000);
      for (const levels of [[0, 1], [0], [1]]) {
        const waits = randomStream(seed);
        const isAhead = () => waits.integer(0, 2) === 0;
        const bare = ready(
          program,
          el,
          isAhead,
          seed % 2 === 0 ? { hotAfter: 1, batch: 1, patience: 1000 } : undefined,
        );
        const control = { ...RUN, E0SPE: levels.includes(0) ? 1 : 0, E1SPE: levels.includes(1) ? 1 : 0 };
        bare.profile(control, { PMSICR_EL1: 256n, PMSIRR_EL1: BigInt(INTERVAL) });
        const budgets = randomStream(seed);
        const end = (all[all.length - 1] as Step).cycles;
        while (bare.core.cycles < end) bare.run(Math.min(end - bare.core.cycles, budgets.integer(1, 3000)));
        const selected = selectedOf(all.slice(0, -1), levels, INTERVAL);
        expect(bare.records().map(said)).toEqual(selected.map(due));
        const { selected: count, written, population } = bare.spe.spu.counters;
        expect([count, written]).toEqual([selected.length, selected.length]);
        expect(population).toBe(all.slice(0, -1).filter((step) => levels.includes(step.el)).length);
      }
    },
  );
});

it("tells the ground truth that what ran until the buffer was full was sampled", () => {
  const bare = ready(randomProgram(randomStream(1), 100), 1);
  const { core, spe, truth } = bare;
  bare.profile(RUN, { PMSIRR_EL1: BigInt(INTERVAL), PMBPTR_EL1: BigInt(PLACE.bufferEnd - 3 * 128) });
  while (!spe.spu.pmbirq) bare.run(100_000);
  expect(spe.spu.counters.written).toBe(3);
  expect([truth.profiledInstructions, truth.lostWhileFull]).toEqual([core.executed, 0]);
  bare.run(20 * INTERVAL);
  expect(truth.lostWhileFull).toBeGreaterThan(0);
});
