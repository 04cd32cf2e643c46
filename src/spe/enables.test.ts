import { describe, expect, it } from "vitest";
import { bareMetalPe, type PeContext, ProfilingBufferEnabled } from "./enables.ts";
import { DEFAULT_IMPLEMENTATION } from "./implementation.ts";
import { Pseudocode } from "./pseudocode.testing.ts";
import { unit } from "./spu.testing.ts";

const BOTH = [false, true] as const;

function* everyPe(): Generator<PeContext> {
  for (const el of [0, 1, 2] as const)
    for (const el2 of BOTH)
      for (const e2pb of [0, 2, 3])
        for (const tge of BOTH)
          for (const e2h of BOTH) if (el2 || el < 2) yield { ...bareMetalPe(), el, el2, e2pb, tge, e2h };
}

describe("enables", () => {
  it("ProfilingBufferEnabled holds exactly while E is 1 and S is 0", () => {
    for (const PMBLIMITR_EL1 of [0n, 1n, 0xffff_f000n, 0xffff_f001n])
      for (const PMBSR_EL1 of [0n, 1n << 16n, 1n << 17n])
        expect(ProfilingBufferEnabled({ PMBLIMITR_EL1, PMBSR_EL1 })).toBe(
          (PMBLIMITR_EL1 & 1n) === 1n && PMBSR_EL1 !== 1n << 17n,
        );
  });

  it("StatisticalProfilingEnabled agrees with the pseudocode for every owner, level and enable", () => {
    const { spu } = unit();
    for (const pe of everyPe())
      for (let enables = 0n; enables < 64n; enables++) {
        Object.assign(spu.pe, pe);
        const expected = new Pseudocode(
          { ...pe },
          {
            asPublished: true,
            pmsidr: DEFAULT_IMPLEMENTATION.pmsidr,
            align: 6,
            pmsVer: 3,
            sve: false,
            ecv: false,
            random: () => 0,
            counter: () => 0n,
            faultAt: () => undefined,
            eventsBytes: 4,
            dataSourceBytes: 2,
          },
        );
        expected.PMBLIMITR_EL1 = enables & 1n;
        expected.PMBSR_EL1 = ((enables >> 1n) & 1n) << 17n;
        expected.PMSCR_EL1 = (enables >> 2n) & 3n;
        expected.PMSCR_EL2 = (enables >> 4n) & 3n;
        for (const name of ["PMBLIMITR_EL1", "PMBSR_EL1", "PMSCR_EL1", "PMSCR_EL2"] as const)
          spu.write(name, expected[name]);
        expect(spu.profilingBufferEnabled()).toBe(expected.ProfilingBufferEnabled());
        expect(spu.statisticalProfilingEnabled()).toBe(expected.StatisticalProfilingEnabled());
      }
  });

  it("an EL1-owned buffer stops by itself while the hypervisor runs at EL2", () => {
    const { spu } = unit();
    Object.assign(spu.pe, { el2: true, e2pb: 3, el: 1 });
    spu.write("PMBLIMITR_EL1", 1n);
    spu.write("PMSCR_EL1", 3n);
    spu.write("PMSCR_EL2", 2n);
    expect(spu.statisticalProfilingEnabled()).toBe(true);
    spu.pe.el = 2;
    expect(spu.statisticalProfilingEnabled()).toBe(false);
    expect(spu.profilingBufferEnabled()).toBe(true);
  });

  it("a host's EL2-owned buffer samples a guest unless the guest's enables in PMSCR_EL1 are 0", () => {
    const { spu } = unit();
    Object.assign(spu.pe, { el2: true, e2pb: 0, el: 1 });
    spu.write("PMBLIMITR_EL1", 1n);
    spu.write("PMSCR_EL1", 2n);
    expect(spu.statisticalProfilingEnabled()).toBe(true);
    spu.write("PMSCR_EL1", 0n);
    expect(spu.statisticalProfilingEnabled()).toBe(false);
  });
});
