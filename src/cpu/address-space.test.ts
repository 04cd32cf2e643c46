import { beforeEach, describe, expect, it } from "vitest";
import { ROWS } from "../a64/encodings/index.ts";
import { type Stage1LeafFields, stage1Leaf } from "../arm/descriptors.ts";
import { SCTLR_EL1, TCR_EL1 } from "../arm/registers.ts";
import { HCR_EL2, VTCR_EL2 } from "../arm/registers-system.ts";
import { ipn, PAGE_BYTES } from "../common/address.ts";
import { stage2Config } from "../mmu/config.ts";
import type { AddressSpace } from "./address-space.ts";
import { type Bare, bareCore, CODE, DATA } from "./core.testing.ts";
import type { VcpuState } from "./vcpu-state.ts";

/** Tables of the lower half and of the upper one, levels 1 to 3; and another root of each that leads to the same. */
const LOWER_TABLES = [10, 11, 12] as const;
const UPPER_TABLES = [13, 14, 15] as const;
const OTHER_LOWER_ROOT = 16;
const OTHER_UPPER_ROOT = 17;
const VALID = 3;
/** Where page n of each half is mapped to what the tests want. */
const UPPER = 0xffff_ff80_0000_0000n;
const at = (page: number): bigint => BigInt(page * PAGE_BYTES);
/** Where `bareCore` has vectors. */
const VECTORS = 0x2000n;
/** A page of either half that loads are made from, and the frames that it may lead to: each holds its own number. */
const PLACE = 20;
/** One of the upper half that has another place in the soft TLB. */
const UPPER_PLACE = 22;
const [OLD, NEW] = [24, 25];
const NOT_MAPPED = 21;
/** No memory is behind it. */
const NOWHERE = 100;

const KERNEL: Partial<Stage1LeafFields> = {};
const OF_CONTEXT: Partial<Stage1LeafFields> = { notGlobal: true };
const OF_EL0: Partial<Stage1LeafFields> = { el0: true, notGlobal: true };
const EXECUTABLE: Partial<Stage1LeafFields> = { privilegedExecuteNever: false };

const ldr = (ROWS.LDR_imm_unsigned.value | (3 << 30) | (1 << 5)) >>> 0;
const ldtr = (ROWS.LDTR.value | (3 << 30) | (1 << 5)) >>> 0;

/** Stage 2 of which an empty table is the root. */
const EMPTY_ROOT = 30;
const NOTHING = stage2Config({
  VTCR_EL2: VTCR_EL2.with(0n, { T0SZ: 25, SL0: 1, PS: 5 }),
  VTTBR_EL2: at(EMPTY_ROOT),
  HCR_EL2: HCR_EL2.with(0n, { VM: 1 }),
});

let bare: Bare;
let state: VcpuState;
let space: AddressSpace;

function table(pages: Bare["pages"], root: number, [, second, third]: readonly number[]): void {
  pages[root]!.set([(second! << 12) | VALID, 0]);
  pages[second!]!.set([(third! << 12) | VALID, 0]);
}

/** Maps a page of a half to a frame. */
function map(
  [, , third]: readonly number[],
  page: number,
  frame: number,
  fields: Partial<Stage1LeafFields>,
): void {
  const { lo, hi } = stage1Leaf(fields);
  bare.pages[third!]!.set([((frame << 12) | lo | VALID) >>> 0, hi], 2 * page);
}

/** 39-bit addresses in both halves. */
const TCR = { T0SZ: 25, T1SZ: 25, TG1: 2 };

/** The MMU on, and what code, vectors and data need as it lies. */
function mapped(made: Bare): void {
  bare = made;
  ({ state, space } = bare.core);
  bare.core.reset();
  state.set64("VBAR_EL1", VECTORS);
  for (const page of [...LOWER_TABLES, ...UPPER_TABLES, OTHER_LOWER_ROOT, OTHER_UPPER_ROOT])
    bare.pages[page]!.fill(0);
  for (const root of [LOWER_TABLES[0], OTHER_LOWER_ROOT]) table(bare.pages, root, LOWER_TABLES);
  for (const root of [UPPER_TABLES[0], OTHER_UPPER_ROOT]) table(bare.pages, root, UPPER_TABLES);
  for (const page of [CODE, Number(VECTORS)].map((va) => va / PAGE_BYTES))
    map(LOWER_TABLES, page, page, EXECUTABLE);
  for (const frame of [OLD, NEW]) bare.pages[frame]![0] = frame;
  state.set64("TTBR0_EL1", at(LOWER_TABLES[0]));
  state.set64("TTBR1_EL1", at(UPPER_TABLES[0]));
  state.set64("TCR_EL1", TCR_EL1.with(0n, TCR));
  state.set64("MAIR_EL1", 0xffn);
  state.set64("SCTLR_EL1", SCTLR_EL1.with(state.get64("SCTLR_EL1"), { M: 1, C: 1 }));
  space.registersChanged();
}

/** They take a while to make: each test gets the same, out of reset. */
const alone = bareCore();
const underStage2 = bareCore(undefined, undefined, { stage2: NOTHING });

beforeEach(() => mapped(alone));

/** What a load gets: the number of the frame. */
function load(va: bigint, word = ldr): number {
  state.setX(1, va);
  expect(bare.execute([word])).toBeUndefined();
  return Number(state.x(0));
}

const isKept = (va: bigint, word = ldr): boolean => load(va, word) === OLD;

/** Writes a table register as the guest does. */
function write(register: "TTBR0_EL1" | "TTBR1_EL1", value: bigint): void {
  const before = state.get64(register);
  state.set64(register, value);
  space.tableRegisterChanged(register, before);
}

const asid = (value: number): bigint => BigInt(value) << 48n;

describe("what was translated", () => {
  it.each<[what: string, event: () => void, lower: boolean, upper: boolean]>([
    ["nothing", () => undefined, true, true],
    ["another exception level, and back", () => space.select(), true, true],
    ["a register that selects stage 1", () => space.registersChanged(), false, false],
    ["another TTBR0_EL1", () => write("TTBR0_EL1", at(OTHER_LOWER_ROOT)), false, true],
    ["TTBR1_EL1 with another ASID", () => write("TTBR1_EL1", at(UPPER_TABLES[0]) | asid(7)), false, true],
    ["TTBR1_EL1 with another table", () => write("TTBR1_EL1", at(OTHER_UPPER_ROOT)), false, false],
    ["a flush", () => space.flush(), false, false],
    ["TLBI of all", () => space.forget({ kind: "all" }), false, false],
    ["TLBI of the lower page", () => space.forget({ kind: "page", page: PLACE }), false, true],
    [
      "TLBI of the upper page",
      () =>
        space.forget({
          kind: "page",
          page: Number(((UPPER >> 12n) & (2n ** 44n - 1n)) + BigInt(UPPER_PLACE)),
        }),
      true,
      false,
    ],
    ["TLBI of an ASID", () => space.forget({ kind: "asid", register: asid(0) }), false, true],
    ["TLBI by IPA of the frame", () => space.forgetIpns(ipn(OLD), 1), false, false],
    ["TLBI by IPA of frames around it", () => space.forgetIpns(ipn(OLD + 1), 6), true, true],
  ])(
    "%s: of the lower half and of the upper half's global pages is it kept?",
    (_what, event, lower, upper) => {
      map(LOWER_TABLES, PLACE, OLD, OF_CONTEXT);
      map(UPPER_TABLES, UPPER_PLACE, OLD, KERNEL);
      const [low, high] = [at(PLACE), UPPER + at(UPPER_PLACE)];
      expect([load(low), load(high)]).toEqual([OLD, OLD]);
      map(LOWER_TABLES, PLACE, NEW, OF_CONTEXT);
      map(UPPER_TABLES, UPPER_PLACE, NEW, KERNEL);
      event();
      expect([isKept(low), isKept(high)]).toEqual([lower, upper]);
    },
  );

  it.each<[what: string, tcr: Parameters<typeof TCR_EL1.with>[1], named: number, kept: boolean]>([
    ["its own", { AS: 1 }, 0x105, false],
    ["another one", { AS: 1 }, 0x106, true],
    ["another one in bits that 16-bit ASIDs have", { AS: 1 }, 5, true],
    ["the same in the 8 bits that there are", { AS: 0 }, 5, false],
    ["TTBR0_EL1's, where TTBR1_EL1 has it", { AS: 1, A1: 1 }, 0x105, true],
    ["TTBR1_EL1's, where that has it", { AS: 1, A1: 1 }, 0x207, false],
  ])("of EL0 goes with the TLBI of %s", (_what, fields, named, kept) => {
    state.set64("TCR_EL1", TCR_EL1.with(0n, { ...TCR, ...fields }));
    state.set64("TTBR0_EL1", at(LOWER_TABLES[0]) | asid(0x105));
    state.set64("TTBR1_EL1", at(UPPER_TABLES[0]) | asid(0x207));
    space.registersChanged();
    map(LOWER_TABLES, PLACE, OLD, OF_EL0);
    expect(load(at(PLACE), ldtr)).toBe(OLD);
    map(LOWER_TABLES, PLACE, NEW, OF_EL0);
    space.forget({ kind: "asid", register: asid(named) });
    expect(isKept(at(PLACE), ldtr)).toBe(kept);
  });

  it("of EL0 is found again when its TTBR0_EL1 comes back", () => {
    /** EL0 executes in a context. */
    const visit = (ttbr0: bigint): void => {
      write("TTBR0_EL1", ttbr0);
      for (const el of [0, 1] as const) {
        state.select(el, el);
        space.select();
      }
    };
    map(LOWER_TABLES, PLACE, OLD, OF_EL0);
    load(at(PLACE), ldtr);
    map(LOWER_TABLES, PLACE, NEW, OF_EL0);
    visit(at(OTHER_LOWER_ROOT) | asid(2));
    expect(isKept(at(PLACE), ldtr)).toBe(false);
    visit(at(LOWER_TABLES[0]));
    expect(isKept(at(PLACE), ldtr)).toBe(true);
  });
});

describe("the regime", () => {
  it("is that of the tables, made once for each, and anew with any other register", () => {
    const first = space.regime;
    write("TTBR0_EL1", at(OTHER_LOWER_ROOT));
    expect(space.regime).not.toEqual(first);
    write("TTBR0_EL1", at(LOWER_TABLES[0]));
    expect(space.regime).toBe(first);
    state.set64("TCR_EL1", TCR_EL1.with(0n, { ...TCR, EPD0: 1 }));
    space.registersChanged();
    expect(space.regime).not.toEqual(first);
  });
});

describe("PC", () => {
  it.each([
    ["tags that are ignored", { TBI0: 1 }, 0xab00_0000_0000_1000n, 0x1000n],
    ["tags that are not", {}, 0xab00_0000_0000_1000n, 0xab00_0000_0000_1000n],
    [
      "tags that are ignored of data only",
      { TBI0: 1, TBID0: 1 },
      0xab00_0000_0000_1000n,
      0xab00_0000_0000_1000n,
    ],
    ["the upper half, by bit 55", { TBI1: 1 }, 0x01ff_ff80_0000_1000n | (1n << 55n), 0xffff_ff80_0000_1000n],
  ])("with %s", (_what, fields, pc, canonical) => {
    state.set64("TCR_EL1", TCR_EL1.with(0n, { ...TCR, ...fields }));
    space.registersChanged();
    expect(space.canonicalPc(pc).toString(16)).toBe(canonical.toString(16));
  });

  const fetch = (va: bigint) => {
    state.pc = va;
    return space.mapCode();
  };

  it("in a page that may be executed has it mapped", () => {
    map(LOWER_TABLES, PLACE, OLD, EXECUTABLE);
    expect(space.tlbs.isCodeMapped(at(PLACE))).toBe(false);
    expect(fetch(at(PLACE) + 8n)).toBeUndefined();
    expect(space.tlbs.isCodeMapped(at(PLACE))).toBe(true);
  });

  it("that is not aligned comes before any translation", () => {
    expect(fetch(at(NOT_MAPPED) + 2n)).toEqual({ kind: "pc-alignment" });
  });

  it("elsewhere has its fault", () => {
    map(LOWER_TABLES, PLACE, OLD, KERNEL);
    expect(fetch(at(NOT_MAPPED))).toEqual({ kind: "fetch", va: at(NOT_MAPPED), status: 0x07 });
    expect(fetch(at(PLACE))).toEqual({ kind: "fetch", va: at(PLACE), status: 0x0f });
    map(LOWER_TABLES, PLACE, NOWHERE, EXECUTABLE);
    expect(fetch(at(PLACE))).toEqual({ kind: "fetch", va: at(PLACE), status: 0x10 });
  });
});

it("the physical address behind a VA is told, and nothing is changed for it", () => {
  map(LOWER_TABLES, PLACE, OLD, { accessFlag: false });
  const before = [...bare.pages[LOWER_TABLES[2]]!];
  expect(space.physicalOf(at(PLACE) + 0x123n)).toBe(OLD * PAGE_BYTES + 0x123);
  expect(space.physicalOf(at(NOT_MAPPED))).toBeUndefined();
  expect([...bare.pages[LOWER_TABLES[2]]!]).toEqual(before);
});

describe("AT", () => {
  it.each<
    [what: string, fields: Partial<Stage1LeafFields>, el: 0 | 1, write: boolean, pan: boolean, par: bigint]
  >([
    ["of what EL1 may write to", KERNEL, 1, true, false, 0xff00_0000_0001_8980n],
    ["of what EL0 may not", KERNEL, 0, false, false, 0x81fn],
    ["of a write to what is read-only", { readOnly: true }, 1, true, false, 0x81fn],
    ["of EL0's page with PAN", OF_EL0, 1, false, true, 0x81fn],
    ["of EL0's page without", OF_EL0, 1, false, false, 0xff00_0000_0001_8980n],
    ["of what was not accessed", { accessFlag: false }, 1, false, false, 0x817n],
  ])("%s", (_what, fields, el, isWrite, pan, par) => {
    map(LOWER_TABLES, PLACE, OLD, fields);
    const found = space.translateForAt(at(PLACE) + 5n, el, isWrite, pan);
    expect((found as bigint).toString(16)).toBe(par.toString(16));
  });

  it("of nothing says at which level", () => {
    expect(space.translateForAt(at(NOT_MAPPED), 1, false, false)).toBe(0x80fn);
    expect(space.translateForAt(1n << 30n, 1, false, false)).toBe(0x80bn);
    expect(space.translateForAt(1n << 40n, 1, false, false)).toBe(0x809n);
  });

  it("of a table that is not there is no result but an external abort on the walk", () => {
    bare.pages[LOWER_TABLES[1]]!.set([(NOWHERE << 12) | VALID, 0], 2);
    expect(space.translateForAt(1n << 21n, 1, false, false)).toMatchObject({ kind: "data", status: 0x17 });
  });
});

describe("a line's maintenance", () => {
  const LINE = at(PLACE) + 0x48n;
  const fault = (va: bigint, status: number) => ({ kind: "data", va, status, write: true, cache: true });

  it("cleans what may be read, at EL1 of any page", () => {
    map(LOWER_TABLES, PLACE, OLD, { readOnly: true });
    expect(space.cleanLine(LINE)).toBeUndefined();
    expect(space.cleanLine(at(NOT_MAPPED))).toEqual(fault(at(NOT_MAPPED), 0x07));
  });

  it("invalidates what may be written to", () => {
    map(LOWER_TABLES, PLACE, OLD, KERNEL);
    expect(space.invalidateLine(LINE)).toBeUndefined();
    map(LOWER_TABLES, PLACE, OLD, { readOnly: true });
    space.forget({ kind: "all" });
    expect(space.invalidateLine(LINE)).toEqual(fault(LINE, 0x0f));
  });

  it("by EL0 is for what EL0 may read", () => {
    state.select(0, 0);
    space.select();
    map(LOWER_TABLES, PLACE, OLD, KERNEL);
    expect(space.cleanLine(LINE)).toEqual(fault(LINE, 0x0f));
    expect(space.forgetLine(LINE)).toEqual(fault(LINE, 0x0f));
    map(LOWER_TABLES, PLACE, OLD, { ...OF_EL0, readOnly: true });
    expect([space.cleanLine(LINE), space.forgetLine(LINE)]).toEqual([undefined, undefined]);
  });

  it("does not look at PSTATE.PAN", () => {
    state.set32("PAN", 1);
    space.select();
    map(LOWER_TABLES, PLACE, OLD, OF_EL0);
    expect([space.cleanLine(LINE), space.invalidateLine(LINE)]).toEqual([undefined, undefined]);
  });

  it("IC IVAU of a place without memory does nothing", () => {
    map(LOWER_TABLES, PLACE, NOWHERE, KERNEL);
    expect(space.forgetLine(LINE)).toBeUndefined();
  });
});

describe("under a stage 2 without translations", () => {
  beforeEach(() => {
    mapped(underStage2);
    // Stage 1 is off: a VA is an IPA.
    state.set64("SCTLR_EL1", SCTLR_EL1.with(state.get64("SCTLR_EL1"), { M: 0 }));
    space.registersChanged();
  });

  it("memory is the hypervisor's business, and a place without memory is not", () => {
    state.pc = DATA;
    expect(space.mapCode()).toEqual({ kind: "stage2", ipa: Number(DATA), write: false });
    state.pc = at(NOWHERE);
    expect(space.mapCode()).toEqual({ kind: "fetch", va: at(NOWHERE), status: 0x10 });
    expect(space.invalidateLine(DATA)).toEqual({ kind: "stage2", ipa: Number(DATA), write: true });
    // KVM skips it.
    expect(space.cleanLine(at(NOWHERE))).toBeUndefined();
  });
});
