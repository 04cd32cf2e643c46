/** What the walk does that AT instructions cannot ask for, and examples of what the QEMU test covers at random. */
import { describe, expect, it } from "vitest";
import { HI, LO, S2_MEMATTR, SH, stage1Leaf, stage2Leaf } from "../arm/descriptors.ts";
import { HCR_EL2, SCTLR_EL1, TCR_EL1, VTCR_EL2 } from "../arm/registers-system.ts";
import { ipn, type Pfn, pfn, vpn, vpnOf } from "../common/address.ts";
import { type Access, AT_READ, AT_WRITE, INSPECT, PROFILING_BUFFER_WRITE } from "./access.ts";
import { mapRange } from "./build.ts";
import { halfOf, type Stage1Config, stage1Regime, stage2Config } from "./config.ts";
import { faultStatusCode, isFault } from "./fault.ts";
import { MMU_FEATURES } from "./implementation.ts";
import { TestMemory } from "./memory.testing.ts";
import { parEl1 } from "./par.ts";
import type { TableMemory } from "./table-memory.ts";
import { translate, translateBoth } from "./translate.ts";

const EL1_LOAD: Access = { by: "load", el: 1, write: false, pan: false };
const EL1_STORE: Access = { by: "store", el: 1, write: true, pan: false };
const EL0_LOAD: Access = { by: "load", el: 0, write: false };
const EL0_STORE: Access = { by: "store", el: 0, write: true };
const EL0_FETCH: Access = { by: "fetch", el: 0, write: false };
const EL1_FETCH: Access = { by: "fetch", el: 1, write: false };

type TcrFields = Parameters<typeof TCR_EL1.with>[1];
type SctlrFields = Parameters<typeof SCTLR_EL1.with>[1];

/** A lower half whose tables map page 5 to page 0x4005 with one leaf. */
function mapped(
  leaf: Parameters<typeof stage1Leaf>[0],
  tcr: TcrFields = {},
  sctlr: SctlrFields = {},
): { half: Stage1Config; memory: TestMemory; leafWords(): [number, number] } {
  const regime = stage1Regime({
    TCR_EL1: TCR_EL1.with(0n, { T0SZ: 25, T1SZ: 25, TG1: 2, IPS: 5, ...tcr }),
    TTBR0_EL1: 0x10_0000n,
    TTBR1_EL1: 0x10_1000n,
    SCTLR_EL1: SCTLR_EL1.with(0n, { M: true, C: true, I: true, ...sctlr }),
    MAIR_EL1: 0xff44_00n,
  });
  const memory = new TestMemory(1, 0x200);
  memory.add(0x100, 2);
  mapRange(regime.lower, memory, vpn(5), ipn(0x4005), 1, stage1Leaf({ attrIndex: 2, ...leaf }));
  return {
    half: regime.lower,
    memory,
    leafWords: () => {
      const words = memory.pages.get(0x201) as Uint32Array;
      return [words[10] as number, words[11] as number];
    },
  };
}

const outcome = ({ half, memory }: { half: Stage1Config; memory: TestMemory }, access: Access): string => {
  const answer = translate(half, vpn(5), access, memory);
  return isFault(answer) ? `${answer.kind} ${answer.level}` : "translated";
};

describe("a profiling-buffer write", () => {
  it("has the owning exception level's privilege: PAN does not apply to it", () => {
    const user = mapped({ el0: true });
    expect(outcome(user, { ...EL1_STORE, pan: true })).toBe("permission 3");
    expect(outcome(user, { ...PROFILING_BUFFER_WRITE, pan: true })).toBe("translated");
  });

  it("is not an EL0 access: E0PD does not apply to it, nor what EL0 may do", () => {
    const kernel = mapped({}, { E0PD0: true });
    expect(outcome(kernel, EL0_STORE)).toBe("translation 0");
    expect(outcome(kernel, PROFILING_BUFFER_WRITE)).toBe("translated");
  });

  it("is a write: a read-only page refuses it, and a clean one becomes dirty", () => {
    expect(outcome(mapped({ readOnly: true }), PROFILING_BUFFER_WRITE)).toBe("permission 3");
    const clean = mapped({ readOnly: true, dirtyBitModifier: true }, { HA: true, HD: true });
    expect(outcome(clean, PROFILING_BUFFER_WRITE)).toBe("translated");
    expect(clean.leafWords()[0] & LO.apReadOnly).toBe(0);
    expect(clean.memory.writes.at(-1)).toBe(0x201);
  });
});

describe("the access flag", () => {
  it("faults where software manages it", () => {
    const page = mapped({ accessFlag: false });
    for (const access of [EL1_LOAD, AT_READ, PROFILING_BUFFER_WRITE])
      expect(outcome(page, access)).toBe("access-flag 3");
    expect(outcome(page, INSPECT)).toBe("translated");
    expect(page.leafWords()[0] & LO.accessFlag).toBe(0);
  });

  it("is set by hardware under TCR_EL1.HA, also by an AT instruction", () => {
    for (const access of [EL1_LOAD, AT_READ, PROFILING_BUFFER_WRITE]) {
      const page = mapped({ accessFlag: false }, { HA: true });
      expect(outcome(page, access)).toBe("translated");
      expect(page.leafWords()[0] & LO.accessFlag).toBe(LO.accessFlag);
    }
  });

  it("is left alone by an access that ends in a permission fault, and by software's reading", () => {
    const page = mapped({ accessFlag: false, readOnly: true }, { HA: true });
    expect(outcome(page, EL1_STORE)).toBe("permission 3");
    expect(outcome(page, INSPECT)).toBe("translated");
    expect(page.leafWords()[0] & LO.accessFlag).toBe(0);
  });
});

describe("the dirty state", () => {
  const clean = { readOnly: true, dirtyBitModifier: true } as const;

  it("is a permission fault for a write without TCR_EL1.HD", () =>
    expect(outcome(mapped(clean, { HA: true }), EL1_STORE)).toBe("permission 3"));

  it("is not changed by a read, nor by AT S1E1W", () => {
    const page = mapped(clean, { HA: true, HD: true });
    expect(outcome(page, EL1_LOAD)).toBe("translated");
    expect(translate(page.half, vpn(5), AT_WRITE, page.memory)).toMatchObject({
      attributes: { writable: true, clean: true },
    });
    expect(page.leafWords()[0] & LO.apReadOnly).toBe(LO.apReadOnly);
    expect(page.leafWords()[1] & HI.dirtyBitModifier).toBe(HI.dirtyBitModifier);
  });
});

describe("execution", () => {
  it("at EL1 is refused by PXN and by a page that EL0 can write", () => {
    expect(outcome(mapped({ privilegedExecuteNever: false }), EL1_FETCH)).toBe("translated");
    expect(outcome(mapped({ privilegedExecuteNever: true }), EL1_FETCH)).toBe("permission 3");
    expect(outcome(mapped({ privilegedExecuteNever: false, el0: true }), EL1_FETCH)).toBe("permission 3");
  });

  it("at EL0 is refused by UXN alone: a page that EL0 cannot read may be executed", () => {
    const executeOnly = mapped({ executeNever: false });
    expect(outcome(executeOnly, EL0_FETCH)).toBe("translated");
    expect(outcome(executeOnly, EL0_LOAD)).toBe("permission 3");
  });

  it("is refused by SCTLR_EL1.WXN on what can be written", () => {
    expect(outcome(mapped({ privilegedExecuteNever: false }, {}, { WXN: true }), EL1_FETCH)).toBe(
      "permission 3",
    );
    expect(
      outcome(mapped({ privilegedExecuteNever: false, readOnly: true }, {}, { WXN: true }), EL1_FETCH),
    ).toBe("translated");
  });

  it("of Device memory is as of Normal Non-cacheable", () => {
    const device = mapped({ privilegedExecuteNever: false, attrIndex: 0 });
    expect(translate(device.half, vpn(5), EL1_FETCH, device.memory)).toMatchObject({
      attributes: { memory: 0x44, shareability: SH.outer },
    });
  });

  it("at stage 2 follows both bits of XN where FEAT_XNX is implemented", () => {
    const allowed = [
      [0b00, true, true],
      [0b01, false, true],
      [0b10, false, false],
      [0b11, true, false],
    ] as const;
    for (const [executeNever, el1, el0] of allowed) {
      const { config, memory } = stage2Mapped({ executeNever });
      expect(isFault(translate(config, ipn(5), EL1_FETCH, memory))).toBe(!el1);
      expect(isFault(translate(config, ipn(5), EL0_FETCH, memory))).toBe(!el0);
    }
    const { config, memory } = stage2Mapped(
      { executeNever: 0b01 },
      { ...MMU_FEATURES, stage2ExecuteNeverByEl: false },
    );
    expect(isFault(translate(config, ipn(5), EL1_FETCH, memory))).toBe(false);
  });
});

function stage2Mapped(
  leaf: Parameters<typeof stage2Leaf>[0],
  features = MMU_FEATURES,
  hcr: bigint | undefined = undefined,
) {
  const config = stage2Config(
    {
      VTCR_EL2: VTCR_EL2.with(0n, { T0SZ: 24, SL0: 1, PS: 5 }),
      VTTBR_EL2: 0x80_0000n,
      ...(hcr === undefined ? {} : { HCR_EL2: hcr }),
    },
    features,
  );
  const memory = new TestMemory(1, 0x900);
  memory.add(0x800, 2);
  const physical = memory as TableMemory<Pfn>;
  mapRange(
    config,
    { memory: physical, allocateTablePage: () => memory.allocateTablePage() as Pfn },
    ipn(0),
    pfn(0),
    0x800,
    stage2Leaf(leaf),
  );
  return { config, memory: physical };
}

describe("PAN", () => {
  it("refuses data accesses at EL1 to what EL0 can access, and with EPAN to what EL0 can execute", () => {
    const pan: Access = { ...EL1_LOAD, pan: true };
    expect(outcome(mapped({ el0: true }), pan)).toBe("permission 3");
    expect(outcome(mapped({ executeNever: false }), pan)).toBe("translated");
    expect(outcome(mapped({ executeNever: false }, {}, { EPAN: true }), pan)).toBe("permission 3");
    expect(outcome(mapped({ el0: true, executeNever: false }), EL0_LOAD)).toBe("translated");
  });
});

describe("the halves of the VA space", () => {
  const { half, memory } = mapped({}, { TBI0: true, TBI1: false, TBID0: true });
  const regime = stage1Regime({
    TCR_EL1: TCR_EL1.with(0n, { T0SZ: 25, T1SZ: 25, TG1: 2, IPS: 5, TBI0: true }),
    TTBR0_EL1: 0n,
    TTBR1_EL1: 0n,
    SCTLR_EL1: 1n,
    MAIR_EL1: 0n,
  });

  it("are chosen by VA[55], whatever the tag says", () => {
    expect(halfOf(regime, vpnOf(0xff00_0000_0000_5000n))).toBe(regime.lower);
    expect(halfOf(regime, vpnOf(0x0080_0000_0000_5000n))).toBe(regime.upper);
  });

  it("ignore a tag under TBI, but for fetches under TBID", () => {
    const tagged = vpnOf(0xab00_0000_0000_5000n);
    expect(translate(half, tagged, EL1_LOAD, memory)).toMatchObject({ outputPage: 0x4005 });
    expect(translate(half, tagged, EL1_FETCH, memory)).toMatchObject({ kind: "translation", level: 0 });
  });
});

describe("table permissions", () => {
  it("limit everything below, unless HPD0 is set", () => {
    for (const [hpd, expected] of [
      [false, ["permission 3", "permission 3", "translated"]],
      [true, ["translated", "translated", "translated"]],
    ] as const) {
      const page = mapped({ el0: true, privilegedExecuteNever: false }, { HPD0: hpd });
      // APTable: no writes and no EL0 access.
      const root = page.memory.pages.get(0x100) as Uint32Array;
      root[1] = ((root[1] as number) | (0b11 << 29)) >>> 0;
      expect([EL1_STORE, EL0_LOAD, EL1_LOAD].map((access) => outcome(page, access))).toEqual(expected);
    }
  });
});

describe("a table page with nothing behind it", () => {
  it("is an external abort at the level of the descriptor that was to be read", () => {
    const page = mapped({});
    page.memory.pages.delete(0x201);
    const fault = translate(page.half, vpn(5), EL1_LOAD, page.memory);
    expect(fault).toMatchObject({ stage: 1, kind: "external", level: 3, vpn: 5, onWalk: false });
    expect(isFault(fault) && faultStatusCode(fault)).toBe(0b010111);
  });
});

describe("both stages", () => {
  const stage1 = stage1Regime({
    TCR_EL1: TCR_EL1.with(0n, { T0SZ: 25, T1SZ: 25, TG1: 2, IPS: 5, HA: true, HD: true }),
    TTBR0_EL1: 0x10_0000n,
    TTBR1_EL1: 0n,
    SCTLR_EL1: SCTLR_EL1.with(0n, { M: true, C: true, I: true }),
    MAIR_EL1: 0xffn,
  }).lower;
  const build = (
    leaf: Parameters<typeof stage2Leaf>[0],
    stage1Fields: Parameters<typeof stage1Leaf>[0],
    hcr?: bigint,
  ) => {
    const { config, memory } = stage2Mapped(leaf, MMU_FEATURES, hcr);
    const physical = memory as TestMemory & TableMemory<Pfn>;
    physical.add(0x100, 1);
    physical.add(0x200, 2);
    const guest = new TestMemory(1, 0x200);
    for (const page of [0x100, 0x200, 0x201]) guest.pages.set(page, physical.pages.get(page) as Uint32Array);
    guest.add = () => {};
    mapRange(stage1, guest, vpn(5), ipn(0x300), 1, stage1Leaf(stage1Fields));
    return { config, physical };
  };

  it("refuse to mark a stage 1 descriptor in memory that stage 2 lets nobody write: a stage 2 fault on the walk", () => {
    const { config, physical } = build({ write: false }, { accessFlag: false });
    expect(translateBoth(stage1, config, vpn(5), EL1_LOAD, physical)).toEqual({
      stage: 2,
      kind: "permission",
      level: 3,
      onWalk: true,
      vpn: 5,
      ipn: 0x201,
      write: true,
    });
    expect((physical.pages.get(0x201) as Uint32Array)[10]).toBe(
      0x300_000 | (stage1Leaf({ accessFlag: false }).lo | 3),
    );
  });

  it("mark the stage 1 table dirty at stage 2 when the MMU writes it", () => {
    const { config, physical } = build({ write: false, dirtyBitModifier: true }, { accessFlag: false });
    const managed = { ...config, hardwareAccessFlag: true, hardwareDirtyState: true, leafCache: new Map() };
    expect(isFault(translateBoth(stage1, managed, vpn(5), EL1_LOAD, physical))).toBe(false);
    const marked = (page: number): boolean => {
      const answer = translate(managed, ipn(page), INSPECT, physical);
      return !isFault(answer) && !answer.attributes.clean;
    };
    expect([0x201, 0x100, 0x300].map(marked)).toEqual([true, false, false]);
  });

  it("take HCR_EL2.PTW: a stage 1 table in Device memory is a stage 2 permission fault", () => {
    const device = { memAttr: S2_MEMATTR.deviceNGnRE };
    const { config, physical } = build(device, {}, HCR_EL2.with(0n, { VM: true, PTW: true }));
    expect(translateBoth(stage1, config, vpn(5), EL1_LOAD, physical)).toMatchObject({
      kind: "permission",
      onWalk: true,
      ipn: 0x100,
    });
    const unprotected = build(device, {});
    expect(translateBoth(stage1, unprotected.config, vpn(5), EL1_LOAD, unprotected.physical)).toMatchObject({
      outputPage: 0x300,
      memory: 0x04,
      shareability: SH.outer,
    });
  });
});

describe("PAR_EL1", () => {
  it("holds address, memory type and shareability of a success", () => {
    const page = mapped({});
    expect(parEl1(translate(page.half, vpn(5), AT_READ, page.memory))).toBe(0xff00_0000_0400_5b80n);
  });

  it("holds the status code, PTW and S of a fault", () => {
    const fault = {
      stage: 2,
      kind: "permission",
      level: 3,
      onWalk: true,
      vpn: vpn(5),
      ipn: ipn(1),
      write: false,
    } as const;
    expect(parEl1(fault)).toBe(0xb1fn);
    expect(parEl1({ ...fault, stage: 1, kind: "translation", level: 0, onWalk: false })).toBe(0x809n);
  });
});

describe("sizes", () => {
  const txsz = (T0SZ: number, features = MMU_FEATURES) =>
    stage1Regime(
      { TCR_EL1: TCR_EL1.with(0n, { T0SZ }), TTBR0_EL1: 0n, TTBR1_EL1: 0n, SCTLR_EL1: 1n, MAIR_EL1: 0n },
      features,
    ).lower;

  it("give the start level, and a translation fault outside of what is implemented", () => {
    expect([16, 24, 25, 33, 34, 42, 43, 48].map((size) => txsz(size).startLevel)).toEqual([
      0, 0, 1, 1, 2, 2, 3, 3,
    ]);
    expect([15, 16, 48, 49].map((size) => txsz(size).refuses)).toEqual([true, false, false, true]);
    expect(txsz(40, { ...MMU_FEATURES, smallTables: false }).refuses).toBe(true);
  });

  it("concatenate up to 16 first tables at stage 2", () => {
    const entries = (T0SZ: number, SL0: number) => {
      const config = stage2Config({ VTCR_EL2: VTCR_EL2.with(0n, { T0SZ, SL0, PS: 5 }), VTTBR_EL2: 0n });
      return config.refuses ? "refused" : config.rootEntries;
    };
    expect(entries(25, 1)).toBe(512);
    expect(entries(24, 1)).toBe(1024);
    expect(entries(21, 1)).toBe(8192);
    expect(entries(20, 1)).toBe("refused");
    expect(entries(34, 1)).toBe("refused");
  });
});
