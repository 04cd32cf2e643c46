import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PMSIDR_EL1 } from "../arm/registers.ts";
import { DEFAULT_IMPLEMENTATION } from "./implementation.ts";
import type { SampledOp } from "./op.ts";
import { anyOp, LOAD, start, toSample, unit } from "./spu.testing.ts";
import type { SpuOptions } from "./spu.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

/** The one record of an op, with PMSCR_EL1 as given and CONTEXTIDR_EL1 = 100, at EL0. */
function bytesOf(op: SampledOp, pmscr = 0x3bn, options: Partial<SpuOptions> = {}): Uint8Array {
  const { spu, memory } = unit(options);
  start(spu, 256);
  spu.write("PMSCR_EL1", pmscr);
  Object.assign(spu.pe, { el: 0, contextIdrEl1: 100 });
  toSample(spu);
  expect(spu.sample(op).kind).toBe("written");
  return memory.records[0] as Uint8Array;
}

describe("a record", () => {
  it("of a user load is, byte for byte, the one that three versions of perf decode alike", () => {
    const expected = [
      "64 64000000 98 1400 99 0500 9a 0300 b0 0010400000000080 b2 0010ff7f00000000",
      "b3 0010004000000080 53 0000 49 00 62 16000000 71 e803000000000000 00000000",
    ];
    expect(hex(bytesOf(LOAD))).toBe(expected.join(" ").replaceAll(" ", ""));
  });

  it("of a mispredicted conditional branch has its target and neither VA nor translation counter", () => {
    const branch: SampledOp = {
      kind: "branch",
      subclass: 1,
      events: 0x82,
      totalLatency: 3,
      issueLatency: 1,
      pc: 0x401000n,
      target: 0x402000n,
    };
    const expected = [
      "64 64000000 98 0300 99 0100 b0 0010400000000080 b1 0020400000000080 4a 01 62 82000000",
      "71 e803000000000000",
    ];
    expect(hex(bytesOf(branch))).toBe(expected.join(" ").replaceAll(" ", "").padEnd(128, "0"));
  });

  it("of a kernel PC carries NS and EL1 in the top byte", () => {
    const { spu, memory } = unit();
    start(spu, 256);
    toSample(spu);
    spu.sample({ ...LOAD, pc: 0xffff_8000_8000_1000n });
    expect(hex(memory.records[0] as Uint8Array)).toContain("b0001000800080ffa0");
  });

  it("ends with END where no timestamp is collected", () => {
    const bytes = bytesOf({ ...LOAD, va: undefined, pa: undefined }, 0x03n);
    expect(hex(bytes.slice(0, 36))).toBe(
      "9814009905009a0300b00010400000000080530000490062160000000100000000000000",
    );
  });

  it("leaves out the PA unless PMSCR_EL1.PA, and PMSCR_EL2.PA where EL2 exists", () => {
    const hasPa = (bytes: Uint8Array): boolean => hex(bytes).includes("b30010004000000080");
    expect(hasPa(bytesOf(LOAD, 0x3bn))).toBe(true);
    expect(hasPa(bytesOf(LOAD, 0x2bn))).toBe(false);
    const { spu, memory } = unit();
    start(spu, 256);
    spu.write("PMSCR_EL1", 0x3bn);
    Object.assign(spu.pe, { el2: true, e2pb: 3 });
    for (const pmscrEl2 of [0n, 0x10n]) {
      spu.write("PMSCR_EL2", pmscrEl2);
      toSample(spu);
      spu.sample(LOAD);
    }
    expect(memory.records.map(hasPa)).toEqual([false, true]);
  });

  it("has a data source for loads only, and none without PMSIDR_EL1.LDS", () => {
    const has = (bytes: Uint8Array): boolean => hex(bytes).includes("530d00");
    const source = { dataSource: 0x0d };
    expect(has(bytesOf({ ...LOAD, ...source }))).toBe(true);
    expect(has(bytesOf({ ...LOAD, ...source, kind: "store", subclass: 1 }))).toBe(false);
    const implementation = {
      ...DEFAULT_IMPLEMENTATION,
      pmsidr: PMSIDR_EL1.with(DEFAULT_IMPLEMENTATION.pmsidr, { LDS: 0 }),
    };
    expect(has(bytesOf({ ...LOAD, ...source }, 0x3bn, { implementation }))).toBe(false);
  });

  it("saturates its counters at 12 bits", () => {
    expect(hex(bytesOf({ ...LOAD, totalLatency: 4096, issueLatency: 70000 }))).toContain("98ff0f99ff0f");
  });

  it("with two contexts and everything else still fits into 64 bytes, with an 8-bit source", () => {
    const { spu, memory } = unit();
    start(spu, 256);
    Object.assign(spu.pe, { el2: true, e2pb: 3, contextIdrEl1: 1, contextIdrEl2: 2 });
    spu.write("PMSCR_EL1", 0x3bn);
    spu.write("PMSCR_EL2", 0x18n);
    toSample(spu);
    spu.sample(LOAD);
    const text = hex(memory.records[0] as Uint8Array);
    expect(text.length).toBe(128);
    expect(text.startsWith("64010000006502000000")).toBe(true);
    expect(text).toContain("430049006216000000");
    toSample(spu);
    spu.sample({ ...LOAD, dataSource: 0x100 }); // then the events have to give way
    expect(hex(memory.records[1] as Uint8Array)).toContain("530001" + "4900" + "521600");
  });

  it("takes the time of the counter that CollectTimeStamp names", () => {
    const times: string[] = [];
    const { spu } = unit({
      counter: (kind) => {
        times.push(kind);
        return 2 ** 40 + 3;
      },
    });
    start(spu, 256);
    Object.assign(spu.pe, { el2: true, e2pb: 3 });
    for (const [pmscr, pmscrEl2] of [
      [0x23n, 0x00n], // PMSCR_EL2.PCT = 0: virtual, whatever PMSCR_EL1 says
      [0x63n, 0x00n],
      [0x23n, 0x40n],
      [0x63n, 0x40n],
    ] as const) {
      spu.write("PMSCR_EL1", pmscr);
      spu.write("PMSCR_EL2", pmscrEl2);
      toSample(spu);
      spu.sample(LOAD);
    }
    expect(times).toEqual(["virtual", "virtual", "virtual", "physical"]);
  });

  it("is never longer than PMSIDR_EL1.MaxSize, whatever the op and the controls", () => {
    fc.assert(
      fc.property(anyOp, fc.bigInt(0n, 0x7fn), fc.bigInt(0n, 0x7fn), fc.boolean(), (op, el1, el2, hasEl2) => {
        const { spu, memory } = unit();
        start(spu, 256);
        Object.assign(spu.pe, { el2: hasEl2, e2pb: 3, contextIdrEl1: 0xffff_ffff });
        spu.write("PMSCR_EL1", el1 | 2n);
        spu.write("PMSCR_EL2", el2);
        toSample(spu);
        expect(spu.sample(op).kind).toBe("written");
        expect(memory.records[0]?.length).toBe(64);
      }),
    );
  });
});
