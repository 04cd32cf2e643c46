/** Tables that are built, changed and taken down, against a plain map of pages. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type LeafBits, LO, stage1Leaf, stage2Leaf } from "../arm/descriptors.ts";
import { TCR_EL1, VTCR_EL2 } from "../arm/registers-system.ts";
import { INSPECT } from "./access.ts";
import { changeRange, mapPages, mapRange, type TableChange, unmapRange } from "./build.ts";
import { type StageConfig, stage1Regime, stage2Config } from "./config.ts";
import { TestMemory } from "./memory.testing.ts";
import { translate } from "./translate.ts";
import { visitRange } from "./visit.ts";

const TG0 = { 12: 0, 16: 1, 14: 2 } as const;
const TG1 = { 12: 2, 16: 3, 14: 1 } as const;
type Shift = 12 | 14 | 16;

/** Both stages, all granules, both halves; stage 2 with concatenated first tables at each granule. */
function configOf(stage: "lower" | "upper" | "stage 2", shift: Shift): StageConfig {
  if (stage === "stage 2") {
    const [T0SZ, SL0] = ({ 12: [22, 1], 14: [24, 1], 16: [20, 1] } as const)[shift];
    return stage2Config({
      VTCR_EL2: VTCR_EL2.with(0n, { TG0: TG0[shift], T0SZ, SL0, PS: 5 }),
      VTTBR_EL2: 0x10_0000n,
    });
  }
  const regime = stage1Regime({
    TCR_EL1: TCR_EL1.with(0n, { TG0: TG0[shift], TG1: TG1[shift], T0SZ: 25, T1SZ: 16, IPS: 5 }),
    TTBR0_EL1: 0x10_0000n,
    TTBR1_EL1: 0x10_0000n,
    SCTLR_EL1: 0x1005n,
    MAIR_EL1: 0xffn,
  });
  return stage === "upper" ? regime.upper : regime.lower;
}

interface Operation {
  readonly kind: "map" | "map pages" | "unmap" | "write-protect";
  readonly first: number;
  readonly granules: number;
  readonly output: number;
  readonly maxBlockLevel: 1 | 2 | 3;
  readonly contiguous: boolean;
}

const operation: fc.Arbitrary<Operation> = fc.record({
  kind: fc.constantFrom("map", "map", "map pages", "unmap", "write-protect"),
  // Around a block's edge, or at a block's start.
  first: fc.oneof(fc.integer({ min: 0, max: 2100 }), fc.constantFrom(0, 512, 1024, 2048)),
  granules: fc.oneof(fc.integer({ min: 1, max: 700 }), fc.constantFrom(1, 16, 128, 512, 1024, 2048)),
  output: fc.oneof(fc.integer({ min: 0x1000, max: 0x4000 }), fc.constantFrom(0x2000, 0x4000)),
  maxBlockLevel: fc.constantFrom(1, 2, 3),
  contiguous: fc.boolean(),
});

/** Granules from here on are never mapped. */
const GRANULES = 8192;

/** What a granule maps to (its first page), and whether it may be written. */
type Model = Map<number, { output: number; writable: boolean }>;

class World {
  readonly config: StageConfig;
  readonly memory: TestMemory;
  readonly model: Model = new Map();
  readonly live = new Set<number>();
  private readonly leaf: LeafBits;
  private readonly readOnly: { set?: LeafBits; clear?: LeafBits };

  constructor(stage: "lower" | "upper" | "stage 2", shift: Shift) {
    this.config = configOf(stage, shift);
    this.memory = new TestMemory(this.config.granulePages, 0x1000);
    this.memory.add(0x100, 0x100);
    this.leaf = stage === "stage 2" ? stage2Leaf() : stage1Leaf();
    this.readOnly =
      stage === "stage 2" ? { clear: { lo: LO.s2Write, hi: 0 } } : { set: { lo: LO.apReadOnly, hi: 0 } };
  }

  do(op: Operation): TableChange {
    const { config, memory, model } = this;
    const unit = config.granulePages;
    const at = op.first * unit;
    const first = config.firstPage + at;
    const pages = op.granules * unit;
    const before = new Map([...memory.pages].map(([page, words]) => [page, words.slice()]));
    memory.writes.length = 0;
    let change: TableChange;
    if (op.kind === "map") {
      change = mapRange(config, memory, first, op.output * unit, pages, this.leaf, op);
      for (let i = 0; i < op.granules; i++)
        model.set(op.first + i, { output: (op.output + i) * unit, writable: true });
    } else if (op.kind === "map pages") {
      const outputs = Array.from(
        { length: op.granules },
        (_, i) => (0x1000 + ((i * 7919 + op.output) % 0x4000)) * unit,
      );
      change = mapPages(config, memory, first, outputs, this.leaf);
      for (const [i, output] of outputs.entries()) model.set(op.first + i, { output, writable: true });
    } else if (op.kind === "unmap") {
      change = unmapRange(config, memory, first, pages);
      for (let i = 0; i < op.granules; i++) model.delete(op.first + i);
    } else {
      change = changeRange(config, memory, first, pages, this.readOnly);
      for (let i = 0; i < op.granules; i++) {
        const granule = model.get(op.first + i);
        if (granule !== undefined) model.set(op.first + i, { ...granule, writable: false });
      }
    }
    this.checkWrites(before);
    for (const page of change.allocated) this.live.add(page);
    for (const page of change.freed)
      expect(this.live.delete(page), `table ${page} was freed but not live`).toBe(true);
    memory.free(change.freed);
    return change;
  }

  /** A page whose words changed was announced by `wrote`. */
  private checkWrites(before: Map<number, Uint32Array>): void {
    const announced = new Set(this.memory.writes);
    for (const [page, words] of this.memory.pages) {
      const old = before.get(page);
      if (announced.has(page) || old === undefined) continue;
      if (words.some((word, i) => word !== old[i])) expect.fail(`page ${page} changed without a word`);
    }
  }

  check(): void {
    const { config, memory, model } = this;
    const unit = config.granulePages;
    const found: Model = new Map();
    visitRange(config, config.firstPage, GRANULES * unit, INSPECT, memory, {
      leaf(first, output, pages, attributes) {
        const granule = (first - config.firstPage) / unit;
        for (let i = 0; i < pages / unit; i++)
          found.set(granule + i, { output: output + i * unit, writable: attributes.writable });
      },
    });
    expect(found.size).toBe(model.size);
    for (const [granule, want] of model) {
      const have = found.get(granule);
      if (have?.output !== want.output || have.writable !== want.writable)
        expect.fail(`granule ${granule}: ${JSON.stringify(have)} instead of ${JSON.stringify(want)}`);
    }
  }
}

const stage = fc.constantFrom("lower" as const, "upper" as const, "stage 2" as const);
const shift = fc.constantFrom<Shift[]>(12, 14, 16);

describe("mapping, changing and unmapping ranges", () => {
  it("gives what a plain map of pages gives, whatever the order", () => {
    fc.assert(
      fc.property(
        stage,
        shift,
        fc.array(operation, { minLength: 1, maxLength: 8 }),
        (which, granule, operations) => {
          const world = new World(which, granule);
          for (const op of operations) world.do(op);
          world.check();
        },
      ),
      { numRuns: 150 },
    );
  });

  it("leaves no tables once all is unmapped", () => {
    fc.assert(
      fc.property(
        stage,
        shift,
        fc.array(operation, { minLength: 1, maxLength: 6 }),
        (which, granule, operations) => {
          const world = new World(which, granule);
          for (const op of operations) world.do(op);
          world.do({
            kind: "unmap",
            first: 0,
            granules: GRANULES,
            output: 0,
            maxBlockLevel: 3,
            contiguous: false,
          });
          expect(world.live.size).toBe(0);
          for (const words of world.memory.pages.values())
            expect(words.every((word) => word === 0)).toBe(true);
        },
      ),
      { numRuns: 100 },
    );
  });

  it("reports the pages that had a mapping before", () => {
    const world = new World("stage 2", 12);
    const op = { output: 0x2000, maxBlockLevel: 2, contiguous: false } as const;
    expect(world.do({ ...op, kind: "map", first: 0, granules: 1024 }).pagesChanged).toBe(0);
    expect(world.do({ ...op, kind: "unmap", first: 500, granules: 100 })).toMatchObject({
      pagesChanged: 100,
      freed: [],
    });
    expect(world.do({ ...op, kind: "unmap", first: 0, granules: GRANULES }).pagesChanged).toBe(924);
  });

  it("makes blocks only from the level that it is told", () => {
    const world = new World("lower", 12);
    const config = world.config;
    mapRange(config, world.memory, 0, 0x4_0000, 0x4_0000, stage1Leaf(), { maxBlockLevel: 1 });
    expect(translate(config, 5, INSPECT, world.memory)).toMatchObject({
      level: 1,
      leafPages: 0x4_0000,
      outputPage: 0x4_0005,
    });
    mapRange(config, world.memory, 0x4_0000, 0x8_0000, 0x4_0000, stage1Leaf(), { maxBlockLevel: 2 });
    expect(translate(config, 0x4_0005, INSPECT, world.memory)).toMatchObject({ level: 2, leafPages: 512 });
    mapRange(config, world.memory, 0x8_0000, 0xc_0000, 0x200, stage1Leaf());
    expect(translate(config, 0x8_0005, INSPECT, world.memory)).toMatchObject({ level: 3, leafPages: 1 });
  });

  it("takes the contiguous hint from all of a run when one of its entries changes", () => {
    const world = new World("lower", 12);
    mapRange(world.config, world.memory, 0, 0x2000, 64, stage1Leaf(), { contiguous: true });
    unmapRange(world.config, world.memory, 20, 1);
    const hinted = Array.from({ length: 64 }, (_, page) => {
      const answer = translate(world.config, page, INSPECT, world.memory);
      return "contiguous" in answer && answer.contiguous;
    });
    expect(hinted).toEqual(Array.from({ length: 64 }, (_, page) => page < 16 || page >= 32));
  });

  it("refuses what is not a whole granule, or outside of the ranges", () => {
    const { config, memory } = new World("lower", 16);
    expect(() => mapRange(config, memory, 8, 0, 16, stage1Leaf())).toThrow("whole granules");
    expect(() => mapRange(config, memory, 0, 8, 16, stage1Leaf())).toThrow("not aligned");
    expect(() => mapRange(config, memory, config.pages, 0, 16, stage1Leaf())).toThrow("input range");
    expect(() => mapRange(config, memory, 0, config.outputPages, 16, stage1Leaf())).toThrow("output size");
  });
});
