import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { stage1Leaf } from "../../arm/descriptors.ts";
import { TCR_EL1 } from "../../arm/registers-system.ts";
import { type Ipn, ipn, vpn } from "../../common/address.ts";
import { Timeline } from "../../common/timeline.ts";
import { costTable } from "../../host/costs.ts";
import { PROFILES } from "../../host/profiles.ts";
import { AT_WRITE } from "../../mmu/access.ts";
import { mapRange, unmapRange } from "../../mmu/build.ts";
import { halfOf, type Stage1Regime, stage1Regime } from "../../mmu/config.ts";
import { isFault } from "../../mmu/fault.ts";
import { TestMemory } from "../../mmu/memory.testing.ts";
import { translate } from "../../mmu/translate.ts";
import { Memslots } from "../memslots.ts";
import { BufferWalker } from "./buffer-walk.ts";
import type { BufferWalk, SpeBuffer } from "./policy.ts";

const COSTS = costTable(PROFILES[0] as (typeof PROFILES)[number]);

type Shift = 12 | 14 | 16;
const TG0 = { 12: 0, 14: 2, 16: 1 } as const;
const TG1 = { 12: 2, 14: 1, 16: 3 } as const;
const ROOT = 0x100;

/** Guest memory with one empty table, the memslot that holds all of it, and walkers over it. */
class Guest {
  readonly granulePages: number;
  readonly memory: TestMemory;
  readonly regime: Stage1Regime;
  readonly memslots = new Memslots();
  readonly time = new Timeline("vcpu");
  /** Table pages that KVM cannot read without a host fault. */
  readonly unreadable = new Set<number>();
  generation = 0;
  /** How often a table page was read. */
  reads = 0;

  constructor(shift: Shift, slotPages = 0x100000) {
    this.granulePages = 2 ** (shift - 12);
    this.memory = new TestMemory(this.granulePages, ROOT);
    this.memory.add(this.memory.allocateTablePage(), this.granulePages);
    this.regime = stage1Regime({
      TCR_EL1: TCR_EL1.with(0n, { TG0: TG0[shift], TG1: TG1[shift], T0SZ: 16, T1SZ: 16, IPS: 5 }),
      TTBR0_EL1: BigInt(ROOT) << 12n,
      TTBR1_EL1: BigInt(ROOT) << 12n,
      SCTLR_EL1: 0x1005n,
      MAIR_EL1: 0xffn,
    });
    this.memslots.add({ firstIpn: ipn(0), pages: slotPages, hostPage: 0 });
  }

  walker(extents: boolean, isToldOfStores = true): BufferWalker {
    return new BufferWalker({
      memslots: this.memslots,
      costs: COSTS,
      guestMemory: () => ({
        page: (page) => {
          this.reads += 1;
          return this.memory.page(page);
        },
        wrote: () => undefined,
      }),
      contentGeneration: () => this.generation,
      readable: (page) => !this.unreadable.has(page),
      wordsOf: isToldOfStores ? undefined : (page) => this.memory.page(page) as Uint32Array,
      extents,
    });
  }

  map(first: number, output: number, pages: number, readOnly = false, maxBlockLevel: 2 | 3 = 3): void {
    mapRange(
      halfOf(this.regime, vpn(first)),
      this.memory,
      vpn(first),
      ipn(output),
      pages,
      stage1Leaf({ readOnly }),
      {
        maxBlockLevel,
      },
    );
    this.generation += 1;
  }

  unmap(first: number, pages: number): void {
    this.memory.free(
      unmapRange(halfOf(this.regime, vpn(first)), this.memory, vpn(first), pages).freed as number[],
    );
    this.generation += 1;
  }

  /** One page's translation, and the table pages that it read in their order. */
  translated(page: number) {
    const tables: number[] = [];
    const result = translate(halfOf(this.regime, vpn(page)), vpn(page), AT_WRITE, {
      page: (table) => {
        tables.push(table);
        return this.memory.page(table);
      },
      wrote: () => undefined,
    });
    return { result, tables };
  }
}

const bufferAt = (firstPage: number, pages: number): SpeBuffer => ({
  pointer: BigInt(firstPage) << 12n,
  limit: BigInt(firstPage + pages) << 12n,
  firstPage,
  pages,
});

const listed = (set: BufferWalk["pages"]): number[] => {
  const pages: number[] = [];
  set.each((page) => pages.push(page));
  return pages;
};

const ordered = (pages: Iterable<number>): number[] => [...pages].sort((a, b) => a - b);

/** What a walk says, in a form that can be compared; and what it charged. */
function told(guest: Guest, walker: BufferWalker, buffer: SpeBuffer) {
  const before = guest.time.spentNs("walk");
  const walk = walker.walk(buffer, guest.regime, guest.time);
  const ns = guest.time.spentNs("walk") - before;
  if (walk.kind !== "walked") return { walk, ns };
  expect(walk.buffer).toEqual(buffer);
  expect(walk.tables.runs.every((run) => run.list.areTables)).toBe(true);
  return {
    pages: listed(walk.pages),
    tables: ordered(listed(walk.tables)),
    all: ordered(listed(walk.all)),
    ns,
  };
}

interface Layout {
  readonly shift: Shift;
  readonly upper: boolean;
  /** The buffer's first page, counted from the start of its half, in granules. */
  readonly start: number;
  /** Output granules, one for each granule of the buffer. */
  readonly outputs: readonly number[];
}

/** Scattered buffers over the edges of table pages; some use a page twice, or lie over their own tables. */
const layout: fc.Arbitrary<Layout> = fc
  .record({
    shift: fc.constantFrom<Shift>(12, 14, 16),
    upper: fc.boolean(),
    edge: fc.constantFrom(1, 4, 16, 512, 2048),
    before: fc.nat(20),
    length: fc.oneof(fc.integer({ min: 2, max: 50 }), fc.integer({ min: 500, max: 1100 })),
    seed: fc.nat(),
    strange: fc.array(fc.record({ at: fc.nat(49), output: fc.constantFrom(0, 1, 2, 3, 4, 5) }), {
      maxLength: 2,
    }),
  })
  .map(({ shift, upper, edge, before, length, seed, strange }) => {
    const outputs = Array.from({ length }, (_, i) => 0x400 + ((i * 577 + (seed % 997)) % 1151));
    // The first granules of table memory, or a page that the buffer has elsewhere.
    for (const { at, output } of strange)
      if (seed % 3 === 0)
        outputs[at % length] = output < 4 ? ROOT / 2 ** (shift - 12) + output : (outputs[0] as number);
    return { shift, upper, start: edge * 512 - before, outputs };
  });

function guestWith({ shift, upper, start, outputs }: Layout): { guest: Guest; first: number; pages: number } {
  const guest = new Guest(shift);
  const { granulePages } = guest;
  const first = (upper ? guest.regime.upper.firstPage : 0) + start * granulePages;
  outputs.forEach((output, i) => {
    guest.map(first + i * granulePages, output * granulePages, granulePages);
  });
  return { guest, first, pages: outputs.length * granulePages };
}

const cuts = fc.array(fc.tuple(fc.nat(), fc.nat()), { minLength: 1, maxLength: 8 });
const cut = (pages: number, [a, b]: readonly [number, number]): { from: number; count: number } => {
  const [x, y] = [a % pages, b % pages];
  return { from: Math.min(x, y), count: Math.abs(x - y) + 1 };
};

describe("a walk over the buffer", () => {
  it("finds what single translations find, and charges each table page and each leaf once", () => {
    fc.assert(
      fc.property(layout, fc.tuple(fc.nat(), fc.nat()), (at, place) => {
        const { guest, first, pages } = guestWith(at);
        const { from, count } = cut(Math.min(pages, 300), place);
        const outputs: number[] = [];
        const tables = new Set<number>();
        for (let i = 0; i < count; i++) {
          const one = guest.translated(first + from + i);
          if (isFault(one.result)) throw new Error("not mapped");
          outputs.push(one.result.outputPage);
          for (const table of one.tables) tables.add(table);
        }
        const leaves = new Set(outputs.map((_, i) => Math.floor((first + from + i) / guest.granulePages)))
          .size;
        const found = told(guest, guest.walker(true), bufferAt(first + from, count));
        expect(found).toEqual({
          pages: [...new Set(outputs)],
          tables: ordered(tables),
          all: ordered(new Set([...outputs, ...tables])),
          ns: tables.size * COSTS.walkTable + leaves * COSTS.walkDescriptor,
        });
      }),
      { numRuns: 60 },
    );
  });

  it("gives for a part of a kept walk what a walk of that part alone gives, and charges the same", () => {
    fc.assert(
      fc.property(layout, cuts, (at, places) => {
        const { guest, first, pages } = guestWith(at);
        const kept = guest.walker(true);
        kept.walk(bufferAt(first, pages), guest.regime, guest.time);
        for (const place of places) {
          const { from, count } = cut(pages, place);
          const buffer = bufferAt(first + from, count);
          const slice = told(guest, kept, buffer);
          const fresh = told(guest, guest.walker(false), buffer);
          expect(slice).toEqual(fresh);
        }
      }),
      { numRuns: 100 },
    );
  });

  it("is done again after the guest changed its tables or another regime is selected", () => {
    fc.assert(
      fc.property(
        layout,
        fc.array(fc.tuple(fc.nat(), fc.nat(), fc.nat()), { maxLength: 6 }),
        (at, changes) => {
          const { guest, first, pages } = guestWith(at);
          const kept = guest.walker(true);
          const { granulePages } = guest;
          for (const [a, b, output] of changes) {
            const { from, count } = cut(pages, [a, b]);
            const granule = Math.floor(from / granulePages);
            guest.map(first + granule * granulePages, (0x1000 + (output % 64)) * granulePages, granulePages);
            const buffer = bufferAt(first + from, count);
            const whole = bufferAt(first, pages);
            for (const each of [whole, buffer]) {
              const mine = told(guest, kept, each);
              const fresh = told(guest, guest.walker(false), each);
              expect(mine).toEqual(fresh);
            }
          }
        },
      ),
      { numRuns: 40 },
    );
  });

  it("keeps block mappings apart: the same answers, kept or not", () => {
    const guest = new Guest(12);
    const first = guest.regime.upper.firstPage + 1024;
    guest.map(first, 0x2000, 512, false, 2);
    guest.map(first + 512, 0x5000, 100);
    const kept = guest.walker(true);
    for (const [from, count] of [
      [0, 612],
      [0, 612],
      [3, 100],
      [500, 60],
      [512, 100],
    ] as const) {
      const buffer = bufferAt(first + from, count);
      expect(told(guest, kept, buffer)).toEqual(told(guest, guest.walker(false), buffer));
    }
    // Level 0 to 2, and level 3 for the pages behind the block.
    const whole = told(guest, kept, bufferAt(first, 612));
    expect(whole.ns).toBe(4 * COSTS.walkTable + 101 * COSTS.walkDescriptor);
  });

  it("gives the same value for the same buffer, so that a policy can see that nothing changed", () => {
    const { guest, first } = guestWith({
      shift: 12,
      upper: true,
      start: 500,
      outputs: [1, 2, 3, 4, 5, 6].map((n) => n + 0x400),
    });
    const kept = guest.walker(true);
    kept.walk(bufferAt(first, 6), guest.regime, guest.time);
    const once = kept.walk(bufferAt(first + 1, 4), guest.regime, guest.time);
    expect(kept.walk(bufferAt(first + 1, 4), guest.regime, guest.time)).toBe(once);
  });

  it("reads the tables once while they stay as they are, and again where the host took one", () => {
    const { guest, first } = guestWith({ shift: 12, upper: true, start: 500, outputs: [0x401, 0x402] });
    const kept = guest.walker(true);
    const readsOf = (): number => {
      const before = guest.reads;
      kept.walk(bufferAt(first, 2), guest.regime, guest.time);
      return guest.reads - before;
    };
    expect(readsOf()).toBeGreaterThan(0);
    expect(readsOf()).toBe(0);
    guest.unreadable.add(guest.translated(first).tables[2] as number);
    expect(readsOf()).toBeGreaterThan(0);
    guest.unreadable.clear();
    guest.generation += 1;
    expect(readsOf()).toBeGreaterThan(0);
    expect(readsOf()).toBe(0);
  });

  it.each([12, 14, 16] as const)(
    "stops at the first page that stage 1 does not map (2^%i granule)",
    (shift) => {
      const guest = new Guest(shift);
      const { granulePages } = guest;
      const first = guest.regime.upper.firstPage + 512 * granulePages;
      guest.map(first, 0x4000, 6 * granulePages);
      guest.unmap(first + 3 * granulePages, 2 * granulePages);
      const hole = first + 3 * granulePages;
      const expected = guest.translated(hole).result;
      for (const extents of [true, false])
        expect(
          guest.walker(extents).walk(bufferAt(first + 1, 5 * granulePages), guest.regime, guest.time),
        ).toEqual({
          kind: "stage1-fault",
          firstPage: hole,
          fault: expected,
        });
      expect(expected).toMatchObject({ stage: 1, kind: "translation", level: 3, write: true });
    },
  );

  it("takes a read-only page for a permission fault: the SPU writes", () => {
    const guest = new Guest(12);
    const first = guest.regime.upper.firstPage + 8;
    guest.map(first, 0x400, 4);
    guest.map(first + 2, 0x402, 1, true);
    const walk = guest.walker(true).walk(bufferAt(first, 4), guest.regime, guest.time);
    expect(walk).toMatchObject({
      kind: "stage1-fault",
      firstPage: first + 2,
      fault: { kind: "permission", level: 3 },
    });
  });

  it("names a page of the buffer that lies in no memslot", () => {
    const guest = new Guest(12, 0x1000);
    const first = guest.regime.upper.firstPage + 8;
    guest.map(first, 0xffe, 4);
    for (const extents of [true, false])
      expect(guest.walker(extents).walk(bufferAt(first, 4), guest.regime, guest.time)).toEqual({
        kind: "unbacked",
        page: 0x1000,
      });
  });
});

describe("the page that the SPU misses at stage 2", () => {
  it("is the first table page of the walk, then the page itself, as single translations have it", () => {
    const { guest, first } = guestWith({
      shift: 12,
      upper: true,
      start: 510,
      outputs: [0x401, 0x402, 0x403, 0x404],
    });
    guest.unmap(first + 3, 1);
    const walker = guest.walker(true);
    fc.assert(
      fc.property(fc.nat(3), fc.nat(0x1f), (at, gone) => {
        const page = first + at;
        const { result, tables } = guest.translated(page);
        const way = isFault(result) ? tables : [...tables, result.outputPage];
        const absent = new Set(way.filter((_, i) => ((gone >> i) & 1) === 1));
        const before = guest.time.nowNs;
        const missing = walker.missing(vpn(page), guest.regime, (p: Ipn) => !absent.has(p), guest.time);
        expect(guest.time.nowNs - before).toBe(tables.length * COSTS.walkTable + COSTS.walkDescriptor);
        const index = way.findIndex((p) => absent.has(p));
        if (index >= 0 && index < tables.length) expect(missing).toEqual({ page: way[index], onWalk: true });
        else if (isFault(result))
          expect(missing).toEqual({ kind: "stage1-fault", fault: result, firstPage: page });
        else if (index >= 0) expect(missing).toEqual({ page: way[index], onWalk: false });
        else expect(missing).toBeUndefined();
      }),
    );
  });
});

it("walks again where the guest has stored to a table, though nobody was told", () => {
  const guest = new Guest(12);
  guest.map(64, 4096, 16);
  const walker = guest.walker(true, false);
  const buffer = bufferAt(64, 16);
  const before = told(guest, walker, buffer);
  const { reads, generation } = guest;
  expect(told(guest, walker, buffer)).toEqual(before);
  expect(guest.reads).toBe(reads);
  guest.map(64, 8192, 1);
  guest.generation = generation;
  const after = told(guest, walker, buffer);
  expect("pages" in after && after.pages[0]).toBe(8192);
  expect(guest.reads).toBeGreaterThan(reads);
});
