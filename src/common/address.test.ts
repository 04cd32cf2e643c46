import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  hex,
  type Ipn,
  ipa,
  ipaOf,
  ipn,
  ipnOf,
  type Pa,
  pa,
  pagesFor,
  paOf,
  pfn,
  pfnOf,
  va,
  vaOf,
  vpn,
  vpnOf,
} from "./address.ts";

describe("addresses", () => {
  it("go to their page and back in all 64 bits of a VA", () => {
    fc.assert(
      fc.property(fc.bigInt(0n, (1n << 64n) - 1n), (address) => {
        const page = vpnOf(va(address));
        expect(BigInt(page)).toBe(address >> 12n);
        expect(vaOf(page)).toBe(address & ~0xfffn);
      }),
    );
    expect(vpnOf(va((1n << 64n) - 1n))).toBe(2 ** 52 - 1);
  });

  it("are cut to 64 bits, as a register would", () => {
    expect(va(1n << 64n)).toBe(0n);
    expect(va(-1n)).toBe((1n << 64n) - 1n);
  });

  it("go to their page and back in all 52 bits of an IPA or PA", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 52 - 1 }), (address) => {
        const first = Number(BigInt(address) & ~0xfffn);
        expect(ipaOf(ipnOf(ipa(address)))).toBe(first);
        expect(paOf(pfnOf(pa(address)))).toBe(first);
      }),
    );
    expect(ipaOf(ipn(2 ** 40 - 1))).toBe(2 ** 52 - 4096);
    expect(paOf(pfn(1))).toBe(4096);
    expect(vaOf(vpn(1))).toBe(4096n);
  });

  it("take whole pages for a part of one", () => {
    expect([0, 1, 4096, 4097].map(pagesFor)).toEqual([0, 1, 1, 2]);
  });

  it("are written in hexadecimal", () => {
    expect(hex(0xabc)).toBe("0xabc");
    expect(hex(0xffff_8000_8000_0000n)).toBe("0xffff800080000000");
  });

  it("of one space do not pass for another's, nor for plain numbers: it does not compile", () => {
    const pages = (_page: Ipn): void => undefined;
    const bytes = (_address: Pa): void => undefined;
    pages(ipn(1));
    bytes(pa(1));
    // @ts-expect-error a VA's page is no IPA's
    pages(vpn(1));
    // @ts-expect-error a PA's page is no IPA's
    pages(pfn(1));
    // @ts-expect-error an IPA is no page number
    pages(ipa(1));
    // @ts-expect-error a plain number is of no space
    pages(1);
    // @ts-expect-error an IPA is no PA
    bytes(ipa(1));
    // @ts-expect-error a VA has 64 bits
    bytes(va(1n));
    // @ts-expect-error a sum is a plain number again
    pages(ipn(1) + 1);
  });
});
