/** What the PMU counts of the profiling unit and its models, beside what is counted here from the log of the same program. */
import { describe, expect, it } from "vitest";
import { fieldsOf } from "../../a64/encoding.ts";
import { type BranchOp, opClassOf } from "../../a64/op-class.ts";
import { DECODED, LOG } from "../../a64/state.ts";
import { PMU_EVENT } from "../../arm/pmu-events.ts";
import { type Encoding, PMSFCR_EL1 as PMSFCR } from "../../arm/registers.ts";
import { randomStream } from "../../common/random.ts";
import { Pmu } from "../../kvm/pmu.ts";
import { VCPU_AREA } from "../memory.ts";
import { BranchModel } from "./branch-model.ts";
import { assemble, type Program, randomProgram, VECTOR } from "./random-program.testing.ts";
import { PLACE, type SpeCore, speCore } from "./spe-core.testing.ts";

type Name = keyof typeof PMU_EVENT;
const MODELS = [
  "L1D_CACHE",
  "L1D_CACHE_REFILL",
  "L1D_TLB",
  "L1D_TLB_REFILL",
  "DTLB_WALK",
  "BR_PRED",
  "BR_MIS_PRED",
] as const satisfies readonly Name[];
const UNIT = [
  "SAMPLE_POP",
  "SAMPLE_FEED",
  "SAMPLE_FILTRATE",
  "SAMPLE_COLLISION",
] as const satisfies readonly Name[];

/** By event, at EL0 and at EL1. */
type Counts = Readonly<Record<string, readonly number[]>>;

const countsOf = ({ spe }: SpeCore, names: readonly Name[]): Counts =>
  Object.fromEntries(names.map((name) => [name, spe.sampling.events.countsOf(PMU_EVENT[name])]));

/** Whoever counts one of the models' events has them all. */
const countModels = ({ spe }: SpeCore): void => spe.sampling.events.count(new Set([PMU_EVENT.BR_PRED]));

function ready(program: Program, el: 0 | 1, exact = false): SpeCore {
  const bare = speCore(1, exact);
  for (const vector of [0x200, 0x400]) bare.load(PLACE.vectors + vector, VECTOR.words);
  bare.load(PLACE.code, program.words);
  const { state } = bare.core;
  state.setX(1, BigInt(PLACE.data));
  state.setX(2, BigInt(PLACE.data + 3));
  state.pc = BigInt(PLACE.code);
  if (el === 0) {
    state.select(0, 0);
    bare.core.space.select();
  }
  return bare;
}

/** So many of each set, the one used last first. */
class Recent {
  readonly #sets: number;
  readonly #ways: number;
  readonly #used = new Map<number, number[]>();

  constructor(sets: number, ways: number) {
    this.#sets = sets;
    this.#ways = ways;
  }

  has(key: number): boolean {
    const set = this.#used.get(key % this.#sets) ?? [];
    const had = set.includes(key);
    this.#used.set(key % this.#sets, [key, ...set.filter((other) => other !== key)].slice(0, this.#ways));
    return had;
  }
}

/** Executes a program with a log, an instruction at a time, and counts over that. Ends at the same cycle as what it is compared with. */
function countedFromLog(bare: SpeCore, instructions: number): { counts: Counts; cycles: number } {
  const { core } = bare;
  const { code, state } = core;
  const { view } = code.memory;
  const first = state.base + VCPU_AREA.LOG;
  const counts: Record<string, [number, number]> = Object.fromEntries(MODELS.map((name) => [name, [0, 0]]));
  const count = (name: (typeof MODELS)[number]): void => {
    counts[name]![state.el]! += 1;
  };
  const l1d = new Recent(256, 4);
  const tlb = new Recent(16, 3);
  const l2Tlb = new Recent(256, 5);
  const branches = new BranchModel();
  const access = (va: number, bytes: number): void => {
    const page = Math.floor(va / 4096);
    count("L1D_TLB");
    if (!tlb.has(page)) {
      count("L1D_TLB_REFILL");
      if (!l2Tlb.has(page)) count("DTLB_WALK");
    }
    for (let line = Math.floor(va / 64); line <= Math.floor((va + bytes - 1) / 64); line++) {
      count("L1D_CACHE");
      if (!l1d.has(line)) count("L1D_CACHE_REFILL");
    }
  };
  const branch = (op: BranchOp, from: number): void => {
    const to = Number(state.pc) / 4;
    count("BR_PRED");
    if (!branches.follow(op, from / 4, to, !op.conditional || to !== from / 4 + 1)) count("BR_MIS_PRED");
  };
  const follow = (): void => {
    for (let at = first; at < state.get32("LOG_AT"); at += LOG.ENTRY_BYTES) {
      const what = view.getUint32(at + LOG.WHAT, true);
      const address = Number(view.getBigUint64(at + LOG.ADDRESS, true));
      if (what !== 0) access(address, what & LOG.SIZE);
      else {
        const where = view.getUint32(at + LOG.WHERE, true);
        const place = code.memory.code.placeOf(where)!;
        const word = view.getUint32(place.page + ((where - place.decoded) / DECODED.BYTES) * 4, true);
        const row = code.decoder.decode(word)!;
        const op = opClassOf(row, fieldsOf(row, word));
        if (op.kind === "branch") branch(op, address);
      }
    }
  };
  core.watcher = {
    isWatching: true,
    levelChanges: () => undefined,
    enter: () => {
      state.set32("LOG_AT", first);
      const reason = code.careful.run(state.base);
      follow();
      return reason;
    },
    begins: () => undefined,
    ends: () => undefined,
    skips: () => undefined,
  };
  while (core.executed < instructions) core.run(1);
  return { counts, cycles: core.cycles };
}

/** Runs up to a cycle, in pieces. */
function runTo(bare: SpeCore, cycles: number, seed: number): void {
  const random = randomStream(seed);
  while (bare.core.cycles < cycles) bare.run(Math.min(cycles - bare.core.cycles, random.integer(1, 3000)));
}

const PROFILED = { E0SPE: 1, E1SPE: 1 };

describe("the models' events", () => {
  it.each([1, 2, 3, 4])(
    "are counted of each instruction of a random program, profiled or not (%d)",
    (seed) => {
      const random = randomStream(seed);
      const program = randomProgram(random, random.integer(20, 300));
      const el = (seed % 2) as 0 | 1;
      const { counts, cycles } = countedFromLog(ready(program, el), 8000);
      expect(counts["BR_MIS_PRED"]!.reduce((a, b) => a + b)).toBeGreaterThan(0);
      for (const [exact, control] of [
        [false, undefined],
        [false, PROFILED],
        [true, { E1SPE: 1 }],
      ] as const) {
        const bare = ready(program, el, exact);
        if (control !== undefined) bare.profile(control, { PMSICR_EL1: 256n, PMSIRR_EL1: 256n });
        countModels(bare);
        runTo(bare, cycles, seed);
        expect(countsOf(bare, MODELS)).toEqual(counts);
      }
    },
  );

  it("are those of a loop over more lines and pages than there is room for", () => {
    const bare = speCore();
    // 1,536 lines of 64 bytes, which are 24 pages: each is gone before it comes round again.
    bare.load(PLACE.code, [
      assemble("MOVZ", { sf: 1, imm16: 0, Rd: 5 }),
      assemble("LDR_reg", { size: 3, Rm: 5, option: 3, S: 0, Rn: 1, Rt: 4 }),
      assemble("ADD_imm", { sf: 1, imm12: 64, Rn: 5, Rd: 5 }),
      assemble("SUBS_imm", { sf: 1, imm12: 24, sh: 1, Rn: 5, Rd: 31 }),
      // B.NE to the load.
      assemble("B_cond", { cond: 1, imm19: -3 & 0x7_ffff }),
      assemble("B", { imm26: -5 & 0x3ff_ffff }),
    ]);
    bare.core.state.setX(1, BigInt(PLACE.data));
    bare.core.state.pc = BigInt(PLACE.code);
    countModels(bare);
    const LINES = 1536;
    const ROUNDS = 10;
    runTo(bare, ROUNDS * (LINES * 4 + 2), 1);
    const total = countsOf(bare, MODELS);
    const lines = ROUNDS * LINES;
    expect(total["L1D_CACHE"]).toEqual([0, lines]);
    expect(total["L1D_CACHE_REFILL"]).toEqual([0, lines]);
    expect(total["L1D_TLB"]).toEqual([0, lines]);
    // 24 pages fit into 48 entries, and walks happen once.
    expect([total["L1D_TLB_REFILL"], total["DTLB_WALK"]]).toEqual([
      [0, 24],
      [0, 24],
    ]);
    expect(total["BR_PRED"]).toEqual([0, lines + ROUNDS]);
    // It is learned in some turns, and then wrong where the loop ends.
    const [, wrong = 0] = total["BR_MIS_PRED"]!;
    expect(wrong).toBeGreaterThanOrEqual(ROUNDS);
    expect(wrong).toBeLessThan(ROUNDS * 3 + 10);
  });

  it("are not counted, and cost nothing, while nobody counts them", () => {
    const bare = ready(randomProgram(randomStream(1), 100), 1);
    bare.run(1500);
    countModels(bare);
    expect(bare.spe.sampling.isWatching).toBe(true);
    bare.spe.sampling.events.count(new Set([PMU_EVENT.SAMPLE_POP, PMU_EVENT.INST_RETIRED]));
    expect(bare.spe.sampling.isWatching).toBe(false);
    bare.run(1500);
    expect(Object.values(countsOf(bare, MODELS)).flat()).toEqual(MODELS.flatMap(() => [0, 0]));
  });
});

describe("the unit's events", () => {
  it.each([1, 2, 3])("are its population, and what becomes of its samples (%d)", (seed) => {
    const program = randomProgram(randomStream(seed), 200);
    const bare = ready(program, 0);
    bare.run(3000);
    expect(Object.values(countsOf(bare, UNIT)).flat()).toEqual(UNIT.flatMap(() => [0, 0]));
    // Loads and branches are kept, and at EL0 alone are ops sampled at first.
    const PMSFCR_EL1 = PMSFCR.with(0n, { FT: 1, B: 1, LD: 1 });
    bare.profile({ E0SPE: 1 }, { PMSIRR_EL1: 256n, PMSFCR_EL1 });
    runTo(bare, 100_000, seed);
    const atEl0 = countsOf(bare, UNIT);
    const { population, selected, filtered, written } = bare.spe.spu.counters;
    expect(written).toBe(bare.records().length);
    expect(Math.min(written, filtered)).toBeGreaterThan(3);
    expect(atEl0).toEqual({
      SAMPLE_POP: [population, 0],
      SAMPLE_FEED: [selected, 0],
      SAMPLE_FILTRATE: [selected - filtered, 0],
      SAMPLE_COLLISION: [0, 0],
    });
    bare.profile({ E1SPE: 1 });
    runTo(bare, 150_000, seed);
    const all = bare.spe.spu.counters;
    expect(countsOf(bare, UNIT)).toEqual({
      SAMPLE_POP: [population, all.population - population],
      SAMPLE_FEED: [selected, all.selected - selected],
      SAMPLE_FILTRATE: [written, all.written - written],
      SAMPLE_COLLISION: [0, 0],
    });
  });

  it("are at the level of the op, also where it is one that changes that", () => {
    // SVC at EL0, and its handler at EL1, which returns to it.
    const svc = assemble("SVC", { imm16: 0 });
    const program: Program = { words: [svc, assemble("B", { imm26: -1 & 0x3ff_ffff })], expected: [] };
    const bare = ready(program, 0);
    bare.profile(PROFILED, { PMSIRR_EL1: 256n });
    const { core, spe } = bare;
    let [atEl0, atEl1] = [0, 0];
    while (core.executed < 2000) {
      const { el } = core.state;
      const before = spe.spu.counters.population;
      bare.run(1);
      const passed = spe.spu.counters.population - before;
      if (el === 0) atEl0 += passed;
      else atEl1 += passed;
    }
    expect(countsOf(bare, ["SAMPLE_POP"])).toEqual({ SAMPLE_POP: [atEl0, atEl1] });
  });

  it("tell a collision from a sample that is taken", () => {
    const bare = ready(randomProgram(randomStream(1), 50), 1);
    bare.profile({ E1SPE: 1 }, { PMSIRR_EL1: 256n, PMSICR_EL1: 1n });
    const { spu, sampling } = bare.spe;
    spu.select();
    spu.advance(1);
    spu.write("PMSICR_EL1", 1n);
    spu.select();
    sampling.events.happened(1);
    expect(countsOf(bare, ["SAMPLE_POP", "SAMPLE_FEED", "SAMPLE_COLLISION"])).toEqual({
      SAMPLE_POP: [0, 3],
      SAMPLE_FEED: [0, 1],
      SAMPLE_COLLISION: [0, 1],
    });
  });
});

describe("overflow", () => {
  /** Instructions by which it must have come. */
  const FOR_EVER = 50_000;
  const PMCR: Encoding = [3, 3, 9, 12, 0];
  const CNTENSET: Encoding = [3, 3, 9, 12, 1];
  const INTENSET: Encoding = [3, 0, 9, 14, 1];
  const EVCNTR0: Encoding = [3, 3, 14, 8, 0];
  const EVTYPER0: Encoding = [3, 3, 14, 12, 0];

  /** Runs as a machine does until the counter, that far from its overflow, interrupts. Returns the instructions until then. */
  function overflowsAfter(bare: SpeCore, event: number, times: number): number {
    const pmu = new Pmu();
    const { core } = bare;
    pmu.attach(
      () => ({
        instructions: core.executedByLevel,
        cycles: core.cyclesByLevel,
        exceptionsTaken: core.exceptions.taken,
        exceptionReturns: core.exceptions.returns,
      }),
      bare.spe.sampling.events,
    );
    for (const [register, value] of [
      [EVTYPER0, event],
      [EVCNTR0, 2 ** 32 - times],
      [INTENSET, 1],
      [CNTENSET, 1],
      [PMCR, 1],
    ] as const)
      pmu.write(register, BigInt(value), 1);
    while (!pmu.line && core.executed < FOR_EVER) bare.run(Math.min(500_000, pmu.instructionsToOverflow()));
    return core.executed;
  }

  /** The instruction with which the event has happened so often, found one by one. */
  function happensAt(bare: SpeCore, event: number, times: number): number {
    const { events } = bare.spe.sampling;
    events.count(new Set([event]));
    const happened = (): number => events.countsOf(event).reduce((a, b) => a + b);
    while (happened() < times && bare.core.executed < FOR_EVER) bare.run(1);
    expect(happened()).toBeGreaterThanOrEqual(times);
    return bare.core.executed;
  }

  it.each(["BR_PRED", "BR_MIS_PRED", "L1D_CACHE", "L1D_CACHE_REFILL", "L1D_TLB"] as const)(
    "of %s is at the instruction that brings it",
    (name) => {
      const program = randomProgram(randomStream(3), 150);
      for (const times of [1, 3, 6]) {
        const event = PMU_EVENT[name];
        expect(overflowsAfter(ready(program, 0), event, times)).toBe(
          happensAt(ready(program, 0), event, times),
        );
      }
    },
  );

  it("of the samples is at the instruction that brings it", () => {
    const program = randomProgram(randomStream(4), 150);
    const profiled = (): SpeCore => {
      const bare = ready(program, 0);
      bare.profile(PROFILED, { PMSIRR_EL1: 256n });
      return bare;
    };
    for (const event of [PMU_EVENT.SAMPLE_POP, PMU_EVENT.SAMPLE_FEED])
      expect(overflowsAfter(profiled(), event, 9)).toBe(happensAt(profiled(), event, 9));
  });

  it("by an instruction of many accesses is less than a log's length late", () => {
    // LD4 of 64 bytes, one by one: of it the last of 1,500 lookups is one in the middle.
    const words = [
      assemble("LDST_multiple", { Q: 1, L: 1, opcode: 0, size: 0, Rn: 1, Rt: 0 }),
      ...Array(9).fill(0xd503201f),
    ];
    const program: Program = {
      words: [...words, assemble("B", { imm26: -words.length & 0x3ff_ffff })],
      expected: [],
    };
    const at = happensAt(ready(program, 1), PMU_EVENT.L1D_CACHE, 1500);
    const late = overflowsAfter(ready(program, 1), PMU_EVENT.L1D_CACHE, 1500) - at;
    expect(late).toBeGreaterThanOrEqual(0);
    expect(late).toBeLessThan(LOG.OPS);
  });
});
