import { describe, expect, it } from "vitest";
import { encodingKey } from "../arm/registers.ts";
import {
  BREAKPOINTS,
  breakpointControl,
  breakpointMatches,
  breakpointPage,
  CONTEXT_BREAKPOINTS,
  matchesAnywhere,
  type Pair,
  pageHas,
  WATCHPOINTS,
  watchedBytes,
  watchpointControl,
  watchpointMatch,
  watchpointValue,
} from "./debug-match.ts";
import { idRegisters } from "./id-registers.ts";
import { IMPLEMENTATION } from "./implementation.ts";

const OFF: Pair = { value: 0n, control: 0 };
/** DBGBCR and DBGWCR: E, both levels. */
const ON = 0b111;
const LINKED_CONTEXT = 3 << 20;
const bas = (bits: number): number => bits << 5;
const LOADS = 1 << 3;
const STORES = 2 << 3;

/** Six breakpoints, of which some are given. */
const breakpoints = (given: Readonly<Record<number, Pair>>): readonly Pair[] =>
  Array.from({ length: BREAKPOINTS }, (_, n) => given[n] ?? OFF);

describe("how many there are", () => {
  it("is what ID_AA64DFR0_EL1 says", () => {
    const id = idRegisters(IMPLEMENTATION).get(encodingKey([3, 0, 0, 5, 0])) as bigint;
    expect(Number((id >> 12n) & 15n) + 1).toBe(BREAKPOINTS);
    expect(Number((id >> 20n) & 15n) + 1).toBe(WATCHPOINTS);
    expect(Number((id >> 28n) & 15n) + 1).toBe(CONTEXT_BREAKPOINTS);
  });
});

describe("what registers keep", () => {
  it("RES0 bits are zero, and BAS of a breakpoint is RES1 without AArch32", () => {
    expect(breakpointControl(0xffff_ffff_ffff_ffffn)).toBe(0x00ff_e1e7);
    expect(breakpointControl(0n)).toBe(0x1e0);
    expect(watchpointControl(0xffff_ffff_ffff_ffffn)).toBe(0x1f1f_ffff);
  });

  it("bits 63:49 of a watchpoint's address repeat bit 48, bits 1:0 are zero", () => {
    expect(watchpointValue(0x0001_8000_0000_0007n)).toBe(0xffff_8000_0000_0004n);
    expect(watchpointValue(0xfffe_7fff_ffff_ffffn)).toBe(0x0000_7fff_ffff_fffcn);
  });
});

describe("breakpoints", () => {
  const at = (control: number, given: Readonly<Record<number, Pair>> = {}): readonly Pair[] =>
    breakpoints({ 0: { value: 0xffff_8000_0000_1004n, control }, ...given });

  it("match the address in bits 48:2, whatever is above", () => {
    expect(breakpointMatches(at(ON), 0xffff_8000_0000_1004n, 1, 0n)).toBe(true);
    expect(breakpointMatches(at(ON), 0xffff_8000_0000_1008n, 1, 0n)).toBe(false);
    const raw = breakpoints({ 0: { value: 0x0001_8000_0000_1004n, control: ON } });
    expect(breakpointMatches(raw, 0xffff_8000_0000_1004n, 1, 0n)).toBe(true);
  });

  it("match only while enabled, at the levels of PMC, and not in Secure state only", () => {
    const matches = (control: number): string =>
      ([0, 1] as const).filter((el) => breakpointMatches(at(control), 0xffff_8000_0000_1004n, el, 0n)).join();
    expect(matches(0b110)).toBe("");
    expect(matches(0b101)).toBe("0");
    expect(matches(0b011)).toBe("1");
    expect(matches(0b001)).toBe("");
    expect(matches(ON | (1 << 14))).toBe("0,1");
    expect(matches(ON | (2 << 14))).toBe("");
  });

  it("linked ones match in the context of a context-aware breakpoint", () => {
    const linkedTo = (n: number): number => ON | (1 << 20) | (n << 16);
    const context: Pair = { value: 0xdead_0000_1234n, control: ON | LINKED_CONTEXT };
    const pc = 0xffff_8000_0000_1004n;
    expect(breakpointMatches(at(linkedTo(5), { 5: context }), pc, 0, 0x1234n)).toBe(true);
    expect(breakpointMatches(at(linkedTo(5), { 5: context }), pc, 0, 0x1235n)).toBe(false);
    // Breakpoint 3 is not context-aware, 4 is not linked, 6 is not there.
    expect(breakpointMatches(at(linkedTo(3), { 3: context }), pc, 0, 0x1234n)).toBe(false);
    const alone: Pair = { value: 0x1234n, control: 0b001 | (2 << 20) };
    expect(breakpointMatches(at(linkedTo(4), { 4: alone }), pc, 0, 0x1234n)).toBe(false);
    expect(breakpointMatches(at(linkedTo(6)), pc, 0, 0x1234n)).toBe(false);
  });

  it("of a context alone match everywhere in it", () => {
    const all = breakpoints({ 4: { value: 0x1234n, control: 0b101 | (2 << 20) } });
    expect(breakpointMatches(all, 0x40_0000n, 0, 0x1234n)).toBe(true);
    expect(breakpointMatches(all, 0x40_0000n, 1, 0x1234n)).toBe(false);
    expect(breakpointMatches(all, 0x40_0000n, 0, 0x1235n)).toBe(false);
    expect(matchesAnywhere(all[4]!, 4, 0)).toBe(true);
    expect(matchesAnywhere(all[4]!, 3, 0)).toBe(false);
  });

  it("of types for EL2, VMIDs or AArch32 never match", () => {
    for (const type of [4, 5, 8, 9, 10, 11, 12, 13, 14, 15]) {
      const all = breakpoints({ 4: { value: 0n, control: ON | (type << 20) } });
      expect(breakpointMatches(all, 0n, 0, 0n), `type ${type}`).toBe(false);
    }
  });

  it("name the page in which they can match", () => {
    expect(breakpointPage({ value: 0xffff_8000_0000_1004n, control: 0b101 }, 0)).toBe(0x1_8000_0000_1);
    expect(breakpointPage({ value: 0x1004n, control: 0b101 }, 1)).toBeUndefined();
    expect(breakpointPage({ value: 0x1004n, control: ON | LINKED_CONTEXT }, 0)).toBeUndefined();
  });
});

describe("watched bytes", () => {
  const watched = (value: bigint, control: number): string => {
    const found = watchedBytes({ value, control });
    return found === undefined ? "none" : `${found.first.toString(16)}+${found.bytes}`;
  };

  it("are those of BAS, in a doubleword or a word", () => {
    expect(watched(0x1000n, bas(0xff))).toBe("1000+8");
    expect(watched(0x1000n, bas(0b0011_1000))).toBe("1003+3");
    expect(watched(0x1004n, bas(0b1111_0110))).toBe("1005+2");
    expect(watched(0x1004n, bas(0b1111_0000))).toBe("none");
    expect(watched(0x1000n, bas(0))).toBe("none");
  });

  it("of a BAS with gaps are the first run", () => expect(watched(0x1000n, bas(0b1011_0110))).toBe("1001+2"));

  it("are a power of two with MASK, whose values 1 and 2 are reserved", () => {
    expect(watched(0x1234_5678n, bas(0xff) | (12 << 24))).toBe("12345000+4096");
    expect(watched(0x1000n, bas(0xff) | (31 << 24))).toBe(`0+${2 ** 31}`);
    expect(watched(0x1000n, bas(0xff) | (1 << 24))).toBe("none");
    expect(watched(0x1000n, bas(0xff) | (2 << 24))).toBe("none");
  });

  it("make a page watched, at its first byte and its last", () => {
    expect(pageHas({ first: 0x1fffn, bytes: 1n }, 0x1234n)).toBe(true);
    expect(pageHas({ first: 0x1000n, bytes: 1n }, 0x1fffn)).toBe(true);
    expect(pageHas({ first: 0xfffn, bytes: 1n }, 0x1000n)).toBe(false);
    expect(pageHas({ first: 0x2000n, bytes: 8n }, 0x1fffn)).toBe(false);
    expect(pageHas({ first: 0n, bytes: 0x8000_0000n }, 0x7fff_f000n)).toBe(true);
  });
});

describe("watchpoints", () => {
  const control = ON | bas(0xff);
  const access = { va: 0x1000n, bytes: 8, write: false, atomic: false, el: 0 as const };
  const match = (pairs: readonly Pair[], changed: Partial<Parameters<typeof watchpointMatch>[2]> = {}) =>
    watchpointMatch(pairs, breakpoints({}), { ...access, ...changed }, 0n);

  it("match if any byte of an access is watched, and give the first", () => {
    const pairs = [{ value: 0x1008n, control: control | LOADS }];
    expect(match(pairs)).toBeUndefined();
    expect(match(pairs, { va: 0x1001n })).toEqual({ va: 0x1008n, write: false });
    expect(match(pairs, { va: 0x100fn, bytes: 1 })).toEqual({ va: 0x100fn, write: false });
    expect(match(pairs, { va: 0x1010n })).toBeUndefined();
    expect(match(pairs, { va: 0xfc0n, bytes: 128 })).toEqual({ va: 0x1008n, write: false });
  });

  it("ignore a tag and give it back", () =>
    expect(match([{ value: 0x1000n, control: control | LOADS }], { va: 0x5a00_0000_0000_0ffcn })).toEqual({
      va: 0x5a00_0000_0000_1000n,
      write: false,
    }));

  it("tell loads from stores", () => {
    const loads = [{ value: 0x1000n, control: control | LOADS }];
    const stores = [{ value: 0x1000n, control: control | STORES }];
    expect(match(loads, { write: true })).toBeUndefined();
    expect(match(stores)).toBeUndefined();
    expect(match(stores, { write: true })).toEqual({ va: 0x1000n, write: true });
  });

  it("take an atomic access as both; WnR is 0 where the load alone would match", () => {
    const atomic = { write: true, atomic: true };
    const loads = { value: 0x1000n, control: control | LOADS };
    const stores = { value: 0x1000n, control: control | STORES };
    expect(match([loads], atomic)?.write).toBe(false);
    expect(match([stores], atomic)?.write).toBe(true);
    expect(match([stores, loads], atomic)?.write).toBe(false);
  });

  it("match with the privileges of PAC", () => {
    const pairs = [{ value: 0x1000n, control: 0b101 | LOADS | bas(0xff) }];
    expect(match(pairs, { el: 0 })).toBeDefined();
    expect(match(pairs, { el: 1 })).toBeUndefined();
  });

  it("linked ones match in their context only", () => {
    const linked = [{ value: 0x1000n, control: control | LOADS | (1 << 20) | (4 << 16) }];
    const context = breakpoints({ 4: { value: 9n, control: ON | LINKED_CONTEXT } });
    expect(watchpointMatch(linked, context, access, 9n)).toBeDefined();
    expect(watchpointMatch(linked, context, access, 8n)).toBeUndefined();
    expect(watchpointMatch(linked, breakpoints({}), access, 9n)).toBeUndefined();
  });
});
