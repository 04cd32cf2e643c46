import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PMBIDR_EL1, PMSIDR_EL1, type SpeRegisterName } from "../arm/registers.ts";
import { bareMetalPe, type PeContext } from "./enables.ts";
import { DEFAULT_IMPLEMENTATION, factsOf, type SpeImplementation } from "./implementation.ts";
import type { SampledOp } from "./op.ts";
import type { RecordFault } from "./outcomes.ts";
import { Pseudocode } from "./pseudocode.testing.ts";
import { anyOp, BUFFER, LOAD, SparseMemory, start, toSample, unit } from "./spu.testing.ts";
import { Spu } from "./spu.ts";

describe("registers", () => {
  it("reset to zero, PMBLIMITR_EL1.E above all", () => {
    const { spu } = unit();
    for (const name of [
      "PMSCR_EL1",
      "PMSICR_EL1",
      "PMSIRR_EL1",
      "PMBLIMITR_EL1",
      "PMBPTR_EL1",
      "PMBSR_EL1",
    ] as const)
      expect(spu.read(name)).toBe(0n);
  });

  it.each([
    ["PMSCR_EL1", 0x7bn],
    ["PMSCR_EL2", 0x7bn],
    ["PMSICR_EL1", 0xffff_ffffn],
    ["PMSIRR_EL1", 0xffff_ff01n],
    ["PMSFCR_EL1", 0x7000fn],
    ["PMSEVFR_EL1", 0x8ean],
    ["PMSNEVFR_EL1", 0x8ean],
    ["PMSLATFR_EL1", 0xfffn],
    ["PMBLIMITR_EL1", 0xffff_ffff_ffff_f027n],
    ["PMBPTR_EL1", 0xffff_ffff_ffff_ffc0n],
    ["PMBSR_EL1", 0xfc0f_ffffn],
  ] as [SpeRegisterName, bigint][])("%s keeps only the bits that exist", (name, mask) => {
    const { spu } = unit();
    spu.write(name, 0xffff_ffff_ffff_ffffn);
    expect(spu.read(name)).toBe(mask);
  });

  it("have more bits with ERnd, FDS, ECV, 16-bit counters and v1p4", () => {
    const { spu } = unit({
      implementation: {
        ...DEFAULT_IMPLEMENTATION,
        pmsVer: 5,
        ecv: true,
        pmsidr: PMSIDR_EL1.with(DEFAULT_IMPLEMENTATION.pmsidr, { ERnd: 1, FDS: 1, CountSize: 3 }),
      },
    });
    const all = 0xffff_ffff_ffff_ffffn;
    const expected: [SpeRegisterName, bigint][] = [
      ["PMSCR_EL1", 0xfbn],
      ["PMSICR_EL1", 0xff00_0000_ffff_ffffn],
      ["PMSFCR_EL1", 0x7001fn],
      ["PMSEVFR_EL1", 0xf8_0ffen],
      ["PMSLATFR_EL1", 0xffffn],
      ["PMSDSFR_EL1", all],
    ];
    for (const [name, mask] of expected) {
      spu.write(name, all);
      expect([name, spu.read(name)]).toEqual([name, mask]);
    }
  });

  it("that are read-only or absent are refused, and say so when asked", () => {
    const { spu } = unit();
    expect(spu.implements("PMSIDR_EL1", true)).toBe(false);
    expect(spu.implements("PMSDSFR_EL1", false)).toBe(false);
    expect(() => spu.write("PMSIDR_EL1", 0n)).toThrow(/cannot be written/);
    expect(() => spu.read("PMSDSFR_EL1")).toThrow(/does not exist in this unit/);
  });

  it("identify the implementation with which Linux probes cleanly", () => {
    const { spu } = unit();
    expect(spu.read("PMSIDR_EL1")).toBe(0x2685fn);
    expect(spu.read("PMBIDR_EL1")).toBe(0x26n); // Align 6, F; P is 0 for the owner
  });

  it("PMBIDR_EL1.P says that the buffer belongs to a higher exception level", () => {
    const { spu } = unit();
    Object.assign(spu.pe, { el: 1, el2: true, e2pb: 0 });
    expect(PMBIDR_EL1.is(spu.read("PMBIDR_EL1"), "P")).toBe(true);
    spu.pe.el = 2;
    expect(PMBIDR_EL1.is(spu.read("PMBIDR_EL1"), "P")).toBe(false);
    Object.assign(spu.pe, { el: 1, e2pb: 3 });
    expect(PMBIDR_EL1.is(spu.read("PMBIDR_EL1"), "P")).toBe(false);
  });

  it("PMSCR_EL12 reaches PMSCR_EL1", () => {
    const { spu } = unit();
    spu.write("PMSCR_EL12", 3n);
    expect(spu.read("PMSCR_EL1")).toBe(3n);
  });
});

describe("sampling", () => {
  it("freezes COUNT while profiling is off at the current exception level", () => {
    const { spu } = unit();
    start(spu, 4096);
    spu.write("PMSCR_EL1", 1n); // EL0 only
    spu.pe.el = 1;
    expect(spu.opsToNextSample()).toBe(Number.POSITIVE_INFINITY);
    spu.advance(1_000_000);
    expect(spu.read("PMSICR_EL1")).toBe(4096n);
    spu.pe.el = 0;
    spu.advance(96);
    expect(spu.read("PMSICR_EL1")).toBe(4000n);
  });

  it("reads COUNT exactly in the middle of an interval", () => {
    const { spu } = unit();
    start(spu, 4096);
    spu.advance(1234);
    expect(spu.read("PMSICR_EL1")).toBe(4096n - 1234n);
  });

  it("refuses to sample while profiling is off", () => {
    const { spu } = unit();
    expect(() => spu.sample(LOAD)).toThrow(/profiling is off/);
  });

  it("drops a sample selected while another is in flight, sets COLL and raises no interrupt", () => {
    const { spu } = unit();
    start(spu, 256);
    toSample(spu);
    expect(spu.select()).toBe(true);
    toSample(spu);
    expect(spu.sample(LOAD)).toEqual({ kind: "collided" });
    expect(spu.read("PMBSR_EL1")).toBe(1n << 16n);
    expect(spu.pmbirq).toBe(false);
    expect(spu.statisticalProfilingEnabled()).toBe(true);
    expect(spu.complete(LOAD).kind).toBe("written");
    expect(spu.counters).toMatchObject({ selected: 2, collided: 1, written: 1 });
  });

  it("drops the record of an op that disabled the buffer itself", () => {
    const { spu } = unit();
    start(spu);
    toSample(spu);
    spu.select();
    spu.write("PMBLIMITR_EL1", 0n);
    expect(spu.complete(LOAD)).toEqual({ kind: "buffer-off" });
    expect(spu.counters.truncated).toBe(1);
  });

  it("keeps the record of an op that cleared PMSCR_EL1 itself", () => {
    const { spu } = unit();
    start(spu);
    toSample(spu);
    spu.select();
    spu.write("PMSCR_EL1", 0n);
    expect(spu.complete(LOAD).kind).toBe("written");
  });
});

describe("the buffer", () => {
  it("is full when PMBPTR_EL1 passes LIMIT less the largest record, not when it reaches it", () => {
    const { spu } = unit();
    start(spu, 256, 4096);
    spu.write("PMBPTR_EL1", BUFFER + 4096n - 128n);
    toSample(spu);
    expect(spu.sample(LOAD)).toEqual({ kind: "written" });
    expect(spu.pmbirq).toBe(false);
    toSample(spu);
    expect(spu.sample(LOAD)).toEqual({ kind: "full-after-write" });
    expect(spu.read("PMBSR_EL1")).toBe((1n << 17n) | 1n); // S, EC 0, BSC filled, DL 0
    expect(spu.read("PMBPTR_EL1")).toBe(BUFFER + 4096n);
    expect(spu.pmbirq).toBe(true);
    expect(spu.opsToNextSample()).toBe(Number.POSITIVE_INFINITY);
  });

  it("resumes when software clears S, with E never having changed", () => {
    const { spu } = unit();
    start(spu, 256, 4096);
    spu.write("PMBPTR_EL1", BUFFER + 4096n - 64n);
    toSample(spu);
    spu.sample(LOAD);
    spu.write("PMBPTR_EL1", BUFFER);
    spu.write("PMBLIMITR_EL1", (BUFFER + 4096n) | 1n);
    expect(spu.opsToNextSample()).toBe(Number.POSITIVE_INFINITY);
    spu.write("PMBSR_EL1", 0n);
    expect(spu.pmbirq).toBe(false);
    expect(spu.opsToNextSample()).toBe(256);
  });

  it("keeps PMBIRQ high with E = 0 until S is cleared", () => {
    const { spu } = unit();
    spu.write("PMBSR_EL1", 1n << 17n);
    expect([spu.bufferEnable, spu.pmbirq]).toEqual([false, true]);
    spu.write("PMBSR_EL1", 0n);
    expect(spu.pmbirq).toBe(false);
  });

  it("writes nothing in discard mode and never fills", () => {
    const { spu, memory } = unit();
    start(spu, 256);
    spu.write("PMBLIMITR_EL1", 5n); // E, FM = discard, LIMIT 0, as Linux writes it
    for (let i = 0; i < 10; i++) {
      toSample(spu);
      expect(spu.sample(LOAD)).toEqual({ kind: "discarded" });
    }
    expect(spu.read("PMBPTR_EL1")).toBe(BUFFER);
    expect(memory.records).toEqual([]);
    expect(spu.counters.discarded).toBe(10);
  });

  it.each([
    ["stage 1 translation fault at level 3", { kind: "mmu", stage: 1, dfsc: 0x07 }, 0x9002_0007n],
    ["stage 2 translation fault at level 2", { kind: "mmu", stage: 2, dfsc: 0x06 }, 0x9402_0006n],
    ["stage 2 permission fault at level 3", { kind: "mmu", stage: 2, dfsc: 0x0f }, 0x9402_000fn],
    ["external abort", { kind: "external", stage: 1, dfsc: 0x10 }, 0x9006_0010n],
    ["external abort part-way", { kind: "external", stage: 1, dfsc: 0x11, incompleteBytes: 8 }, 0x900e_0011n],
    ["granule protection fault", { kind: "granule-protection", stage: 1, dfsc: 0 }, 0x7802_0000n],
    ["implementation defined", { kind: "implementation-defined", stage: 1, dfsc: 0 }, 0x7c02_0000n],
  ] as [string, RecordFault, bigint][])("reports a %s in PMBSR_EL1 and stops", (_name, fault, pmbsr) => {
    const { spu, memory } = unit();
    start(spu);
    memory.faultAt = () => fault;
    toSample(spu);
    expect(spu.sample(LOAD)).toEqual({ kind: "fault", fault });
    expect(spu.read("PMBSR_EL1")).toBe(pmbsr);
    expect(spu.read("PMBPTR_EL1")).toBe(BUFFER);
    expect(spu.pmbirq).toBe(true);
    expect(spu.opsToNextSample()).toBe(Number.POSITIVE_INFINITY);
    expect(spu.counters).toMatchObject({ selected: 1, written: 0, truncated: 1 });
  });

  it("drains what the memory batched at PSB CSYNC", () => {
    const { spu, memory } = unit();
    spu.psbCsync();
    expect(memory.drained).toBe(1);
  });
});

// ---- The unit against the pseudocode ----

const anyPe: fc.Arbitrary<PeContext> = fc.record({
  el: fc.constantFrom(0 as const, 1 as const, 2 as const),
  el2: fc.boolean(),
  e2pb: fc.constantFrom(0, 2, 3),
  tge: fc.boolean(),
  e2h: fc.boolean(),
  contextIdrEl1: fc.integer({ min: 0, max: 0xffff_ffff }),
  contextIdrEl2: fc.integer({ min: 0, max: 0xffff_ffff }),
});

const BUFFER_BYTES = 12288;
const anyImplementation: fc.Arbitrary<SpeImplementation> = fc
  .record({
    maxSize: fc.integer({ min: 7, max: 9 }),
    align: fc.integer({ min: 0, max: 9 }),
    countSize: fc.constantFrom(2, 3),
    ernd: fc.boolean(),
    pbt: fc.boolean(),
    lds: fc.boolean(),
    v1p4: fc.boolean(),
    ecv: fc.boolean(),
    eventsBytes: fc.constantFrom(2 as const, 4 as const),
    dataSourceBytes: fc.constantFrom(1 as const, 2 as const),
  })
  .map((r) => ({
    ...DEFAULT_IMPLEMENTATION,
    pmsVer: r.v1p4 ? 5 : 3,
    ecv: r.ecv,
    eventsBytes: r.eventsBytes,
    dataSourceBytes: r.dataSourceBytes,
    pmsidr: PMSIDR_EL1.with(DEFAULT_IMPLEMENTATION.pmsidr, {
      MaxSize: r.maxSize,
      CountSize: r.countSize,
      ERnd: r.ernd,
      PBT: r.pbt,
      LDS: r.lds,
      FDS: r.v1p4,
    }),
    pmbidr: PMBIDR_EL1.with(DEFAULT_IMPLEMENTATION.pmbidr, { Align: Math.min(r.align, r.maxSize) }),
  }));

type Step =
  | { do: "run"; ops: number; records: readonly SampledOp[]; trapsTo2: boolean }
  | { do: "write"; name: SpeRegisterName; value: bigint }
  | { do: "pe"; pe: PeContext }
  | { do: "faults"; pages: number; fault: RecordFault };

const anyWrite = (implementation: SpeImplementation): fc.Arbitrary<Step> => {
  const to = (name: SpeRegisterName, value: fc.Arbitrary<bigint>): fc.Arbitrary<Step> =>
    value.map((v) => ({ do: "write", name, value: v }));
  const choices = [
    to("PMSCR_EL1", fc.oneof(fc.constant(0x3bn), fc.bigInt(0n, 0xffn))),
    to("PMSCR_EL2", fc.bigInt(0n, 0xffn)),
    to("PMSICR_EL1", fc.bigInt(0n, 600n)),
    to("PMSIRR_EL1", fc.constantFrom(0x100n, 0x101n, 0x200n)),
    to("PMSFCR_EL1", fc.oneof(fc.constant(0n), fc.bigInt(0n, 0x7_001fn))),
    to("PMSEVFR_EL1", fc.bigInt(0n, 0xff_ffffn)),
    to("PMSLATFR_EL1", fc.bigInt(0n, 0xffn)),
    to("PMSNEVFR_EL1", fc.bigInt(0n, 0xff_ffffn)),
    to("PMBPTR_EL1", fc.bigInt(BUFFER, BUFFER + BigInt(BUFFER_BYTES))),
    to(
      "PMBLIMITR_EL1",
      fc.constantFrom(
        (BUFFER + BigInt(BUFFER_BYTES)) | 1n,
        (BUFFER + 8192n) | 1n,
        (BUFFER + 8192n) | 5n,
        BUFFER + 8192n,
      ),
    ),
    to("PMBSR_EL1", fc.constantFrom(0n, 0n, 0n, 1n << 17n, 1n << 16n)),
  ];
  if (factsOf(implementation).hasFds) choices.push(to("PMSDSFR_EL1", fc.bigInt(0n, (1n << 64n) - 1n)));
  return fc.oneof(...choices);
};

const anyStep = (implementation: SpeImplementation): fc.Arbitrary<Step> =>
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        do: fc.constant("run" as const),
        ops: fc.integer({ min: 1, max: 4000 }),
        records: fc.array(anyOp, { minLength: 1, maxLength: 4 }),
        trapsTo2: fc.boolean(),
      }),
    },
    { weight: 6, arbitrary: anyWrite(implementation) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("pe" as const), pe: anyPe }) },
    {
      weight: 1,
      arbitrary: fc.record({
        do: fc.constant("faults" as const),
        pages: fc.integer({ min: 0, max: 7 }),
        fault: fc.constantFrom<RecordFault>(
          { kind: "mmu", stage: 1, dfsc: 7 },
          { kind: "mmu", stage: 2, dfsc: 6 },
          { kind: "external", stage: 1, dfsc: 0x10 },
        ),
      }),
    },
  );

/** The same program on both: the unit, moved on by many ops at once, and the pseudocode, op by op. */
function runBoth(implementation: SpeImplementation, steps: readonly Step[], seed: number): void {
  const bytes = (): (() => number) => {
    let state = seed;
    return () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state >>> 24;
    };
  };
  const memory = new SparseMemory();
  const counter = (kind: string): bigint =>
    kind === "virtual" ? 0x1234_5678_9abcn : kind === "physical" ? 7n : 9n;
  const spu = new Spu({ implementation, memory, random: bytes(), counter });
  const expected = new Pseudocode(bareMetalPe(), {
    asPublished: false,
    pmsidr: implementation.pmsidr,
    align: PMBIDR_EL1.num(implementation.pmbidr, "Align"),
    pmsVer: implementation.pmsVer,
    sve: false,
    ecv: implementation.ecv,
    random: bytes(),
    counter,
    faultAt: (va) => memory.faultAt(va),
    eventsBytes: implementation.eventsBytes,
    dataSourceBytes: implementation.dataSourceBytes,
  });
  const write = (name: SpeRegisterName, value: bigint): void => {
    spu.write(name, value);
    // Which bits exist is tested by itself; here both start from the same value.
    (expected as unknown as Record<string, bigint>)[name] = spu.read(name);
  };
  write("PMBPTR_EL1", BUFFER);
  write("PMBLIMITR_EL1", (BUFFER + BigInt(BUFFER_BYTES)) | 1n);
  write("PMSIRR_EL1", 0x100n);
  write("PMSCR_EL1", 0x3bn);

  for (const step of steps) {
    switch (step.do) {
      case "write":
        write(step.name, step.value);
        break;
      case "pe":
        Object.assign(spu.pe, step.pe, { el: step.pe.el2 ? step.pe.el : Math.min(step.pe.el, 1) });
        Object.assign(expected.pe, spu.pe);
        break;
      case "faults":
        memory.faultAt = (va) => ((step.pages >> Number((va - BUFFER) >> 12n)) & 1 ? step.fault : undefined);
        break;
      case "run":
        runOps(spu, expected, step);
        break;
    }
    expect(spu.read("PMSICR_EL1")).toBe(expected.PMSICR_EL1);
    expect(spu.read("PMBPTR_EL1")).toBe(expected.PMBPTR_EL1);
    expect(spu.read("PMBSR_EL1")).toBe(expected.PMBSR_EL1);
    expect(spu.pmbirq).toBe(expected.pmbirq);
  }
  expect([...memory.bytes]).toEqual([...expected.memory]);
  const { counters } = spu;
  expect(counters.population).toBe(expected.events.SAMPLE_POP ?? 0);
  expect(counters.selected).toBe(expected.events.SAMPLE_FEED ?? 0);
  expect(counters.selected - counters.filtered).toBe(expected.events.SAMPLE_FILTRATE ?? 0);
  expect(counters.filledBuffers).toBe(expected.events.SAMPLE_WRAP ?? 0);
  expect(counters.selected).toBe(
    counters.written + counters.filtered + counters.collided + counters.discarded + counters.truncated,
  );
}

function runOps(spu: Spu, expected: Pseudocode, step: Step & { do: "run" }): void {
  const home = spu.pe.el;
  let left = step.ops;
  let nth = 0;
  while (left > 0) {
    const ops = Math.min(left, spu.opsToNextSample());
    spu.advance(ops);
    let early = 0;
    for (let i = 0; i < ops; i++) if (expected.preExecution()) early++;
    expect(early).toBe(0);
    left -= ops;
    if (left === 0) break;
    const op = step.records[nth++ % step.records.length] as SampledOp;
    expect(spu.select()).toBe(true);
    expect(expected.preExecution()).toBe(true);
    if (step.trapsTo2 && spu.pe.el2) spu.pe.el = expected.pe.el = 2;
    spu.complete(op);
    expected.postExecution(op);
    spu.pe.el = expected.pe.el = home;
    left--;
  }
}

describe("against the pseudocode", () => {
  it("has the same registers, memory, interrupt line and counts after any program", () => {
    fc.assert(
      fc.property(
        anyImplementation.chain((implementation) =>
          fc.tuple(fc.constant(implementation), fc.array(anyStep(implementation), { maxLength: 25 })),
        ),
        fc.integer(),
        ([implementation, steps], seed) => runBoth(implementation, steps, seed),
      ),
      { numRuns: 300 },
    );
  });
});

// ---- Many samples at once ----

describe("samples taken at once", () => {
  const anyRun = fc.record({
    interval: fc.integer({ min: 1, max: 16 }),
    count: fc.integer({ min: 0, max: 5000 }),
    offset: fc.integer({ min: 0, max: 4095 }),
    pages: fc.integer({ min: 1, max: 5 }),
    samples: fc.integer({ min: 0, max: 400 }),
    discard: fc.boolean(),
  });

  const prepared = (r: typeof anyRun extends fc.Arbitrary<infer T> ? T : never): Spu => {
    const { spu } = unit({ storeRecords: false });
    spu.write("PMBPTR_EL1", BUFFER + BigInt(r.offset));
    spu.write("PMBLIMITR_EL1", (BUFFER + BigInt(r.pages * 4096)) | (r.discard ? 5n : 1n));
    spu.write("PMSIRR_EL1", BigInt(r.interval * 256));
    spu.write("PMSICR_EL1", BigInt(r.count));
    spu.write("PMSCR_EL1", 0x2bn);
    return spu;
  };

  it("leave the same PMBPTR_EL1, PMBSR_EL1, PMSICR_EL1 and counts as one by one", () => {
    fc.assert(
      fc.property(anyRun, (r) => {
        const [many, single] = [prepared(r), prepared(r)];
        const samples = Math.min(r.samples, many.bulk.recordsToFull());
        let ops = 0;
        for (let i = 0; i < samples; i++) {
          ops += single.opsToNextSample() + 1;
          toSample(single);
          single.sample(LOAD);
        }
        expect(many.bulk.canTakeSamples).toBe(true);
        expect(many.bulk.takeSamples(samples)).toBe(ops);
        expect(many.save()).toEqual(single.save());
        expect(many.pmbirq).toBe(!r.discard && samples > 0 && samples === prepared(r).bulk.recordsToFull());
      }),
    );
  });

  it("leave the same state as one by one when all of them are filtered out", () => {
    fc.assert(
      fc.property(anyRun, (r) => {
        const [many, single] = [prepared(r), prepared(r)];
        for (const spu of [many, single]) {
          spu.write("PMSFCR_EL1", 4n);
          spu.write("PMSLATFR_EL1", 1000n);
        }
        expect(many.bulk.rejectsEverything({ maxTotalLatency: 999 })).toBe(true);
        let ops = 0;
        for (let i = 0; i < r.samples; i++) {
          ops += single.opsToNextSample() + 1;
          toSample(single);
          expect(single.sample(LOAD).kind).toBe("filtered");
        }
        expect(many.bulk.takeRejectedSamples(r.samples)).toBe(ops);
        expect(many.save()).toEqual(single.save());
      }),
    );
  });

  it("are refused where they would be wrong", () => {
    const { spu } = unit();
    start(spu, 256);
    expect(spu.bulk.canTakeSamples).toBe(false); // its records are stored
    expect(() => spu.bulk.takeSamples(1)).toThrow(/one by one/);
    const counting = unit({ storeRecords: false }).spu;
    start(counting, 256, 4096);
    expect(() => counting.bulk.takeSamples(65)).toThrow(/do not fit/);
    counting.write("PMSFCR_EL1", 4n);
    counting.write("PMSLATFR_EL1", 1n);
    expect(counting.bulk.canTakeSamples).toBe(false);
    counting.write("PMSFCR_EL1", 0n);
    counting.write("PMSIRR_EL1", 0x101n);
    expect([counting.bulk.canTakeSamples, counting.bulk.periodOps]).toEqual([false, undefined]);
  });

  it("know the distance to the page end and to the full buffer", () => {
    const { spu } = unit({ storeRecords: false });
    start(spu, 256, 8192);
    expect([spu.bulk.recordsToPageEnd(), spu.bulk.recordsToFull(), spu.bulk.periodOps]).toEqual([
      64, 128, 257,
    ]);
    spu.bulk.takeSamples(3);
    expect([spu.bulk.recordsToPageEnd(), spu.bulk.recordsToFull()]).toEqual([61, 125]);
    expect(spu.bulk.samplesWithin(257 * 5)).toBe(5);
    expect(spu.bulk.samplesWithin(257 * 5 - 1)).toBe(4);
  });

  it("size records as storing them does, whatever the alignment", () => {
    fc.assert(
      fc.property(anyImplementation, anyOp, fc.bigInt(0n, 0x7fn), (implementation, op, pmscr) => {
        const units = [true, false].map((storeRecords) => unit({ implementation, storeRecords }).spu);
        for (const spu of units) {
          start(spu, 256);
          spu.write("PMSCR_EL1", pmscr | 2n);
          toSample(spu);
          spu.sample(op);
        }
        expect(units[1]?.save().buffer).toEqual(units[0]?.save().buffer);
      }),
    );
  });
});

describe("the whole state", () => {
  it("can be saved, restored and shadowed in the middle of a sample", () => {
    const { spu } = unit();
    start(spu, 256);
    spu.pe.contextIdrEl1 = 42;
    toSample(spu);
    spu.select();
    const saved = structuredClone(spu.save());
    const copy = unit();
    copy.spu.restore(saved);
    expect(copy.spu.save()).toEqual(saved);
    const shadow = unit();
    shadow.spu.shadow(spu);
    expect(shadow.spu.pe).toEqual(spu.pe);
    expect(shadow.spu.counters.selected).toBe(0);
    spu.pe.contextIdrEl1 = 43; // collected at selection, so it does not show
    spu.complete(LOAD);
    copy.spu.complete(LOAD);
    shadow.spu.complete(LOAD);
    expect(copy.spu.save()).toEqual(spu.save());
    expect(shadow.spu.read("PMBPTR_EL1")).toBe(spu.read("PMBPTR_EL1"));
    expect(copy.spu.counters).toEqual(spu.counters);
    spu.resetCounters();
    expect(spu.counters.selected).toBe(0);
  });
});
