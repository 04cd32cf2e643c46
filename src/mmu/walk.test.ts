import { describe, expect, it } from "vitest";
import { stage1Leaf, stage2Leaf } from "../arm/descriptors.ts";
import { TCR_EL1, VTCR_EL2 } from "../arm/registers-system.ts";
import { type Ipn, ipn, type Pfn, pfn, vpn, vpnOf } from "../common/address.ts";
import { AT_READ, AT_WRITE } from "./access.ts";
import { mapRange } from "./build.ts";
import { halfOf, type Stage1Registers, stage1Regime, stage2Config } from "./config.ts";
import { isFault } from "./fault.ts";
import { TestMemory } from "./memory.testing.ts";
import type { TableMemory } from "./table-memory.ts";
import { translate, translateBoth } from "./translate.ts";
import { visitRange } from "./visit.ts";

const REGISTERS: Stage1Registers = {
  TCR_EL1: TCR_EL1.with(0n, { T0SZ: 16, T1SZ: 16, TG1: 2, IPS: 5 }),
  TTBR0_EL1: 0x10_0000n,
  TTBR1_EL1: 0x10_1000n,
  SCTLR_EL1: 0x1005n,
  MAIR_EL1: 0xffn,
};

describe("a 4 KiB stage 1 regime", () => {
  const regime = stage1Regime(REGISTERS);
  const memory = new TestMemory(1, 0x102);
  memory.add(0x100, 2);
  const first = vpnOf(0xffff_8000_1000_0000n);
  mapRange(halfOf(regime, first), memory, first, ipn(0x4_0000), 600, stage1Leaf());

  it("selects TTBR1 for the upper half", () => expect(halfOf(regime, first)).toBe(regime.upper));

  it("translates what was mapped", () =>
    expect(translate(regime.upper, vpn(first + 599), AT_WRITE, memory)).toMatchObject({
      outputPage: 0x4_0000 + 599,
      level: 3,
      attributes: { writable: true, executable: false, memory: 0xff },
    }));

  it("gives a translation fault at the level where nothing is", () =>
    expect(translate(regime.upper, vpn(first + 600), AT_READ, memory)).toMatchObject({
      stage: 1,
      kind: "translation",
      level: 3,
      vpn: first + 600,
    }));

  it("tells one run, its tables, and the holes around it", () => {
    const told: unknown[] = [];
    const counts = visitRange(regime.upper, vpn(first - 10), 1000, AT_READ, memory, {
      leaf: (at, output, pages) => told.push(["leaf", at - first, output, pages]),
      table: (page, level) => told.push(["table", page, level]),
      hole: (at, pages, fault) => told.push(["hole", at - first, pages, fault.level]),
    });
    expect(told).toEqual([
      ["table", 0x101, 0],
      ["table", 0x102, 1],
      ["table", 0x103, 2],
      ["table", 0x104, 3],
      ["hole", -10, 10, 2],
      ["table", 0x105, 3],
      ["leaf", 0, 0x4_0000, 600],
      ["hole", 600, 390, 3],
    ]);
    expect(counts).toEqual({ descriptors: [1, 1, 3, 990], tablePages: 5 });
  });
});

describe("both stages", () => {
  const regime = stage1Regime(REGISTERS);
  const stage2 = stage2Config({
    VTCR_EL2: VTCR_EL2.with(0n, { T0SZ: 24, SL0: 1, PS: 5 }),
    VTTBR_EL2: 0x8000_0000n,
  });
  const physical = new TestMemory(1, 0x9_0000);
  physical.add(0x8_0000, 2);
  // The guest's memory: IPA pages 0x100 to 0x1ff are PA pages 0x20100 to 0x201ff.
  physical.add(0x2_0100, 0x100);
  const guest: TableMemory<Ipn> & { memory: TableMemory<Ipn>; allocateTablePage(): Ipn; next: number } = {
    page: (page) => physical.page(page + 0x2_0000),
    wrote: () => {},
    get memory() {
      return this;
    },
    next: 0x102,
    allocateTablePage() {
      return this.next++ as Ipn;
    },
  };
  mapRange(regime.lower, guest, vpn(0), ipn(0x180), 16, stage1Leaf());
  const writer = {
    memory: physical as TableMemory<Pfn>,
    allocateTablePage: () => physical.allocateTablePage() as Pfn,
  };
  mapRange(stage2, writer, ipn(0x100), pfn(0x2_0100), 0x88, stage2Leaf());

  it("puts a page where stage 2 has stage 1's output", () =>
    expect(translateBoth(regime.lower, stage2, vpn(7), AT_READ, physical as TableMemory<Pfn>)).toMatchObject({
      outputPage: 0x2_0187,
      memory: 0xff,
    }));

  it("blames stage 2 for an output page it has not", () =>
    expect(translateBoth(regime.lower, stage2, vpn(8), AT_READ, physical as TableMemory<Pfn>)).toMatchObject({
      stage: 2,
      kind: "translation",
      level: 3,
      onWalk: false,
      vpn: 8,
      ipn: 0x188,
    }));

  it("blames stage 2 on the walk for a table it has not", () => {
    const far = stage1Regime({ ...REGISTERS, TTBR0_EL1: 0x20_0000n });
    const fault = translateBoth(far.lower, stage2, vpn(8), AT_READ, physical as TableMemory<Pfn>);
    expect(isFault(fault)).toBe(true);
    expect(fault).toMatchObject({
      stage: 2,
      kind: "translation",
      level: 2,
      onWalk: true,
      vpn: 8,
      ipn: 0x200,
    });
  });
});
