import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { UserError } from "../common/errors.ts";
import { decodeFaultStatus, encodeFaultStatus, type FaultStatus } from "./fault-status.ts";
import { maxBufferBytes, withMaxBufferBytes } from "./max-buffer-size.ts";
import { encodingKey } from "./register.ts";
import { PMBIDR_EL1, PMBLIMITR_EL1 } from "./registers.ts";
import { dataAbortSyndrome, decodeSyndrome, psbCsyncSyndrome, sysregSyndrome } from "./syndromes.ts";

describe("ESR", () => {
  it("of a trapped MSR PMBLIMITR_EL1, X3 is EC 0x18 with the encoding and the register", () => {
    const esr = sysregSyndrome({ encoding: PMBLIMITR_EL1.encoding, rt: 3, isRead: false });
    // op0 3 << 20, op2 0 << 17, op1 0 << 14, CRn 9 << 10, Rt 3 << 5, CRm 10 << 1, write
    expect(esr).toBe(0x6230_2474);
  });

  it("of a trapped access reads back as it was written", () => {
    const encoding = fc.tuple(
      fc.integer({ min: 0, max: 3 }),
      fc.integer({ min: 0, max: 7 }),
      fc.integer({ min: 0, max: 15 }),
      fc.integer({ min: 0, max: 15 }),
      fc.integer({ min: 0, max: 7 }),
    );
    fc.assert(
      fc.property(encoding, fc.integer({ min: 0, max: 31 }), fc.boolean(), (enc, rt, isRead) => {
        expect(decodeSyndrome(sysregSyndrome({ encoding: enc, rt, isRead }))).toEqual({
          kind: "sysreg",
          encoding: enc,
          key: encodingKey(enc),
          rt,
          isRead,
        });
      }),
    );
  });

  it("of a data abort reads back as it was written", () => {
    const abort = { fromLower: true, isWrite: true, onStage1Walk: true, dfsc: 0x07 };
    expect(dataAbortSyndrome(abort)).toBe(0x9200_00c7);
    expect(decodeSyndrome(dataAbortSyndrome(abort))).toEqual({ kind: "data-abort", ...abort });
  });

  it("of a trapped PSB CSYNC is EC 0x0A, ISS 4", () => {
    expect(psbCsyncSyndrome()).toBe(0x2a00_0004);
    expect(decodeSyndrome(psbCsyncSyndrome())).toEqual({ kind: "psb-csync" });
  });

  it("of anything else keeps class and ISS", () => {
    expect(decodeSyndrome(0x5a00_0001)).toEqual({ kind: "other", ec: 0x16, iss: 1 });
  });
});

describe("fault status codes", () => {
  it.each([
    [{ kind: "address-size", level: 0 }, 0x00],
    [{ kind: "translation", level: 3 }, 0x07],
    [{ kind: "translation", level: -1 }, 0x2b],
    [{ kind: "access-flag", level: 2 }, 0x0a],
    [{ kind: "permission", level: 3 }, 0x0f],
    [{ kind: "external" }, 0x10],
    [{ kind: "asynchronous-external" }, 0x11],
    [{ kind: "external-on-walk", level: 1 }, 0x15],
    [{ kind: "alignment" }, 0x21],
    [{ kind: "tlb-conflict" }, 0x30],
  ] as [FaultStatus, number][])("%o is 0x%s", (fault, code) => {
    expect(encodeFaultStatus(fault)).toBe(code);
  });

  it("read back as they were written, and no two faults share a code", () => {
    let known = 0;
    for (let code = 0; code < 64; code++) {
      const fault = decodeFaultStatus(code);
      if (fault === undefined) continue;
      known++;
      expect(encodeFaultStatus(fault)).toBe(code);
    }
    expect(known).toBe(28);
    expect(() => encodeFaultStatus({ kind: "permission", level: -1 })).toThrow(/level -1/);
  });
});

describe("PMBIDR_EL1.MaxBuffSize", () => {
  it.each([
    [4096, 0, 1],
    [511 * 4096, 0, 511],
    [512 * 4096, 1, 0],
    [4 * 1024 ** 2, 2, 0],
    [256 * 1024 ** 2, 8, 0],
    [(512 + 3) * 4096, 1, 3],
    [1023 * 2 ** 42, 31, 511],
  ])("%i bytes is E = %i, M = %i", (bytes, exponent, mantissa) => {
    const pmbidr = withMaxBufferBytes(0x26n, bytes);
    expect([PMBIDR_EL1.num(pmbidr, "MaxBuffSize_E"), PMBIDR_EL1.num(pmbidr, "MaxBuffSize_M")]).toEqual([
      exponent,
      mantissa,
    ]);
    expect(pmbidr & 0xffff_ffffn).toBe(0x26n);
    expect(maxBufferBytes(pmbidr)).toBe(bytes);
  });

  it("decodes and encodes every value to itself", () => {
    for (let exponent = 0; exponent < 32; exponent++)
      for (let mantissa = 0; mantissa < 512; mantissa++) {
        const value = PMBIDR_EL1.with(0n, { MaxBuffSize_E: exponent, MaxBuffSize_M: mantissa });
        expect(withMaxBufferBytes(0n, maxBufferBytes(value))).toBe(value);
      }
  });

  it("of zero means no limit", () => {
    expect(maxBufferBytes(0x26n)).toBe(undefined);
    expect(withMaxBufferBytes(withMaxBufferBytes(0x26n, 4096), undefined)).toBe(0x26n);
  });

  it.each([0, -4096, 100, 4097, 4096 * 1025, Number.NaN, 2 ** 60])("cannot be %d bytes", (bytes) => {
    expect(() => withMaxBufferBytes(0n, bytes)).toThrow(UserError);
  });
});
