import { beforeEach, describe, expect, it } from "vitest";
import { STATE_BYTES } from "../a64/state.ts";
import type { Encoding } from "../arm/registers.ts";
import { Debug } from "./debug.ts";
import { VcpuState } from "./vcpu-state.ts";

const MDSCR: Encoding = [2, 0, 0, 2, 2];
const OSLAR: Encoding = [2, 0, 1, 0, 4];
const OSLSR: Encoding = [2, 0, 1, 1, 4];
const OSDLR: Encoding = [2, 0, 1, 3, 4];
const DBGPRCR: Encoding = [2, 0, 1, 4, 4];
const CLAIMSET: Encoding = [2, 0, 7, 8, 6];
const CLAIMCLR: Encoding = [2, 0, 7, 9, 6];
const MDCCSR: Encoding = [2, 3, 0, 1, 0];
const bvr = (n: number): Encoding => [2, 0, 0, n, 4];
const bcr = (n: number): Encoding => [2, 0, 0, n, 5];
const wvr = (n: number): Encoding => [2, 0, 0, n, 6];
const wcr = (n: number): Encoding => [2, 0, 0, n, 7];
const SS = 1n;
const TDCC = 1n << 12n;
const KDE = 1n << 13n;
const MDE = 1n << 15n;
const MASKED = 0x200;
const SPSR_SS = 1 << 21;

let state: VcpuState;
let debug: Debug;
let changes: number;

/** At a level, with PSTATE.D and the OS lock clear. */
function at(el: 0 | 1, daif = 0): void {
  state.set32("EL", el);
  state.set32("DAIF", daif);
}

beforeEach(() => {
  changes = 0;
  state = new VcpuState(new DataView(new ArrayBuffer(STATE_BYTES)), 0);
  debug = new Debug(state, () => {
    changes++;
  });
  debug.write(OSLAR, 0n);
});

describe("debug registers", () => {
  it("exist as often as ID_AA64DFR0_EL1 says", () => {
    expect(debug.read(bvr(5))).toBe(0n);
    expect(debug.read(bvr(6))).toBeUndefined();
    expect(debug.read(wcr(3))).toBe(0n);
    expect(debug.read(wcr(4))).toBeUndefined();
    expect(debug.write(wvr(4), 0n)).toBe(false);
  });

  it("OSLSR tells the OS lock, and that there is one", () => {
    expect(debug.read(OSLSR)).toBe(8n);
    debug.write(OSLAR, 1n);
    expect(debug.read(OSLSR)).toBe(10n);
    expect(debug.write(OSLSR, 0n)).toBe(false);
    expect(debug.read(OSLAR)).toBeUndefined();
  });

  it("claim tags are set and cleared one by one", () => {
    debug.write(CLAIMSET, 0x105n);
    debug.write(CLAIMSET, 0x2n);
    debug.write(CLAIMCLR, 0x1n);
    expect(debug.read(CLAIMCLR)).toBe(6n);
    expect(debug.read(CLAIMSET)).toBe(0xffn);
  });

  it("an external debugger's bits of MDSCR change under the OS lock only", () => {
    debug.write(MDSCR, 0xffff_ffffn);
    expect(debug.read(MDSCR)).toBe(SS | TDCC | KDE | MDE);
    debug.write(OSLAR, 1n);
    debug.write(MDSCR, 0xffff_ffffn);
    expect(debug.read(MDSCR)).toBe(0x6ce0_f041n);
    expect(debug.channelTraps).toBe(true);
    expect(debug.read(MDCCSR)).toBe(0n);
  });

  it("come back from what was saved, with what they enable", () => {
    debug.write(bvr(2), 0x4000n);
    debug.write(bcr(2), 0x1e7n);
    debug.write(wvr(1), 0x5000n);
    debug.write(wcr(1), 0x1ff7n);
    debug.write(CLAIMSET, 0x10n);
    debug.write(MDSCR, MDE);
    at(0);
    const other = new Debug(state, () => undefined);
    other.restore(JSON.parse(JSON.stringify(debug.save())));
    for (const encoding of [bvr(2), bcr(2), wvr(1), wcr(1), CLAIMCLR, OSLSR])
      expect(other.read(encoding)).toBe(debug.read(encoding));
    expect(other.breakpointAt(0x4000n)).toBe(true);
    expect(other.guardsData(0x5123n, 0)).toBe(true);
    expect(other.save()).toEqual(debug.save());
  });

  it("are as at power-on after a reset", () => {
    debug.write(bcr(0), 0x1e7n);
    debug.reset();
    expect(debug.read(bcr(0))).toBe(0n);
    expect(debug.read(OSLSR)).toBe(10n);
    expect(debug.active).toBe(false);
  });
});

describe("what is enabled", () => {
  const breakpoint = (mdscr: bigint): void => {
    debug.write(bvr(0), 0x4008n);
    debug.write(bcr(0), 0x1e7n);
    debug.write(MDSCR, mdscr);
  };

  it("nothing is active until something is", () => {
    expect(debug.active).toBe(false);
    breakpoint(0n);
    expect(debug.active).toBe(false);
    expect(changes).toBe(0);
    breakpoint(MDE);
    expect(debug.active).toBe(true);
    expect(changes).toBeGreaterThan(0);
  });

  it("EL1 needs KDE and PSTATE.D clear, EL0 neither", () => {
    breakpoint(MDE);
    at(0, MASKED);
    expect(debug.breakpointAt(0x4008n)).toBe(true);
    at(1);
    expect(debug.breakpointAt(0x4008n)).toBe(false);
    breakpoint(MDE | KDE);
    expect(debug.breakpointAt(0x4008n)).toBe(true);
    at(1, MASKED);
    expect(debug.breakpointAt(0x4008n)).toBe(false);
    // D may be cleared at any instruction: they are looked at one by one in that page.
    expect(debug.confines(0x4ffcn)).toBe(true);
    expect(debug.confines(0x5000n)).toBe(false);
  });

  it("the OS lock and the OS double lock disable all, but the latter not while power is requested", () => {
    breakpoint(MDE | SS);
    at(0);
    debug.write(OSLAR, 1n);
    expect(debug.active).toBe(false);
    debug.write(OSLAR, 0n);
    expect(debug.active).toBe(true);
    debug.write(OSDLR, 1n);
    expect(debug.breakpointAt(0x4008n)).toBe(false);
    expect(debug.stepIsDue).toBe(false);
    debug.write(DBGPRCR, 1n);
    expect(debug.breakpointAt(0x4008n)).toBe(true);
  });

  it("a context breakpoint has every instruction looked at", () => {
    debug.write(bvr(4), 77n);
    debug.write(bcr(4), BigInt(0b101 | (2 << 20)));
    debug.write(MDSCR, MDE);
    at(0);
    state.set64("CONTEXTIDR_EL1", 77n);
    expect(debug.confines(0x1234_0000n)).toBe(true);
    expect(debug.breakpointAt(0x1234_0000n)).toBe(true);
    state.set64("CONTEXTIDR_EL1", 78n);
    expect(debug.breakpointAt(0x1234_0000n)).toBe(false);
  });

  it("EL1's accesses with EL0's privileges need KDE", () => {
    debug.write(wvr(0), 0x4000n);
    debug.write(wcr(0), 0x1ffdn);
    const access = { va: 0x4000n, bytes: 4, write: false, atomic: false, el: 0 } as const;
    debug.write(MDSCR, MDE);
    at(0);
    expect(debug.watchpointAt(access)).toBeDefined();
    at(1);
    expect(debug.watchpointAt(access)).toBeUndefined();
    debug.write(MDSCR, MDE | KDE);
    expect(debug.watchpointAt(access)).toBeDefined();
    expect(debug.watchpointAt({ ...access, el: 1 })).toBeUndefined();
    at(1, MASKED);
    expect(debug.watchpointAt(access)).toBeUndefined();
  });
});

describe("software step", () => {
  it("is due at EL0 while SS is 0, whatever D says", () => {
    debug.write(MDSCR, SS);
    at(0, MASKED);
    expect(debug.stepIsDue).toBe(true);
    state.set32("SS", 1);
    expect(debug.stepIsDue).toBe(false);
    at(1);
    state.set32("SS", 0);
    expect(debug.stepIsDue).toBe(false);
  });

  it("an exception return takes SPSR.SS where stepping begins", () => {
    debug.write(MDSCR, SS);
    at(1);
    expect(debug.stepAfterReturn(SPSR_SS, 0)).toBe(1);
    expect(debug.stepAfterReturn(0, 0)).toBe(0);
    expect(debug.stepAfterReturn(SPSR_SS, 1)).toBe(0);
    // From where it is enabled already the return itself was the step.
    debug.write(MDSCR, SS | KDE);
    expect(debug.stepAfterReturn(SPSR_SS, 0)).toBe(0);
    at(1, MASKED);
    expect(debug.stepAfterReturn(SPSR_SS, 1)).toBe(1);
    expect(debug.stepAfterReturn(SPSR_SS | MASKED, 1)).toBe(0);
  });

  it("tells what was stepped unless another exception came", () => {
    const EX = 1 << 6;
    const ISV = 1 << 24;
    const syndromeOf = (word: number): number => {
      debug.stepped(word, 5);
      return debug.stepSyndrome(5);
    };
    expect(syndromeOf(0xd503201f)).toBe(ISV);
    expect(syndromeOf(0xc85f7c03)).toBe(ISV | EX); // LDXR
    expect(syndromeOf(0x885ffc03)).toBe(ISV | EX); // LDAXR
    expect(syndromeOf(0xc87f1003)).toBe(ISV | EX); // LDXP
    expect(syndromeOf(0xc8047c03)).toBe(ISV); // STXR
    expect(syndromeOf(0x48607c02)).toBe(ISV); // CASPA
    expect(debug.stepSyndrome(6)).toBe(0);
  });

  it("SVC counts as stepped", () => {
    state.set32("SS", 1);
    debug.advance();
    expect(state.get32("SS")).toBe(1);
    debug.write(MDSCR, SS);
    debug.advance();
    expect(state.get32("SS")).toBe(0);
  });
});
