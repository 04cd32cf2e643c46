import { beforeEach, describe, expect, it } from "vitest";
import { dtlbIndexOf, dtlbOtherIndex } from "../../a64/state.ts";
import { ipn } from "../../common/address.ts";
import { type Bare, bareCore } from "../core.testing.ts";

/** LDR X3, [X1]; STR X3, [X1]; LDAR X3, [X1], whose address must be aligned. */
const LDR = 0xf940_0023;
const STR = 0xf900_0023;
const LDAR = 0xc8df_fc23;

// Addresses that no page of a core with its MMU off has: their accesses fault, unless the soft TLB has them.
const FIRST = 0xffff_8000_0123_4000n;
const THIRD = FIRST + (1n << 38n);
/** VA[24:12] and VA[37:25] are other ones, their XOR is not. */
const SECOND = FIRST ^ ((1n << 12n) | (1n << 25n));

let bare: Bare;

beforeEach(() => {
  bare = bareCore();
  for (const [i, va] of [FIRST, SECOND, THIRD].entries()) {
    bare.pages[8 + i]!.fill(0xa0 + i);
    expect(dtlbIndexOf(va)).toBe(dtlbIndexOf(FIRST));
  }
});

function fill(va: bigint, page: number, write = false): void {
  const kind = { ipn: ipn(page), write, unprivileged: false, global: true, strict: false };
  bare.core.space.tlbs.fill(va, bare.pages[page]!.byteOffset, kind);
}

/** What a load gets; undefined: it was not granted. */
function load(va: bigint, word = LDR): bigint | undefined {
  const { core, execute } = bare;
  core.state.setX(1, va);
  return execute([word]) === undefined ? BigInt.asUintN(8, core.state.x(3)) : undefined;
}

const isStored = (va: bigint): boolean => {
  bare.core.state.setX(1, va);
  bare.core.state.setX(3, 0xeen);
  return bare.execute([STR]) === undefined;
};

const forget = (va: bigint): void => bare.core.space.tlbs.forgetPage(Number(BigInt.asUintN(56, va) >> 12n));

describe("two pages that share a place of the soft TLB", () => {
  it("are both found, and with a third the two that came last", () => {
    fill(FIRST, 8);
    fill(SECOND, 9);
    expect([load(FIRST), load(SECOND), load(FIRST)]).toEqual([0xa0n, 0xa1n, 0xa0n]);
    fill(THIRD, 10);
    expect([load(FIRST), load(SECOND), load(THIRD)]).toEqual([undefined, 0xa1n, 0xa2n]);
    fill(SECOND, 9);
    expect([load(SECOND), load(THIRD)]).toEqual([0xa1n, 0xa2n]);
  });

  it("may each be stored to if they might before", () => {
    fill(FIRST, 8, true);
    fill(FIRST, 8);
    fill(SECOND, 9);
    expect([isStored(FIRST), load(FIRST), load(SECOND)]).toEqual([true, 0xeen, 0xa1n]);
    fill(FIRST, 8);
    fill(SECOND, 9);
    expect([isStored(FIRST), isStored(SECOND)]).toEqual([false, false]);
  });

  it("are not found for what must be aligned and is not, nor past their ends", () => {
    fill(FIRST, 8);
    fill(SECOND, 9);
    expect([load(FIRST + 4n, LDAR), load(FIRST + 8n, LDAR)]).toEqual([undefined, 0xa0n]);
    expect([load(FIRST + 0xff8n), load(FIRST + 0xff9n), load(FIRST - 1n)]).toEqual([
      0xa0n,
      undefined,
      undefined,
    ]);
  });

  it("are forgotten when they are named, wherever they are", () => {
    for (const forgotten of [FIRST, SECOND]) {
      fill(FIRST, 8);
      fill(SECOND, 9);
      forget(forgotten);
      expect(load(forgotten)).toBe(undefined);
    }
    fill(FIRST, 8);
    fill(SECOND, 9);
    bare.core.space.tlbs.flush();
    expect([load(FIRST), load(SECOND)]).toEqual([undefined, undefined]);
  });

  it("stay when a page is named whose place is their other one", () => {
    const beside = FIRST ^ (1n << 24n);
    expect(dtlbIndexOf(beside)).toBe(dtlbOtherIndex(dtlbIndexOf(FIRST)));
    fill(beside, 10);
    fill(SECOND, 9);
    forget(FIRST);
    expect([load(beside), load(SECOND)]).toEqual([0xa2n, undefined]);
  });

  it("go by the guest page that each leads to, and ask before a store where somebody waits for it", () => {
    fill(FIRST, 8, true);
    fill(SECOND, 9, true);
    bare.core.space.tlbs.forgetStores(bare.pages[8]!.byteOffset);
    expect([isStored(FIRST), isStored(SECOND)]).toEqual([false, true]);
    fill(FIRST, 8);
    fill(SECOND, 9);
    bare.core.space.tlbs.forgetIpns(ipn(8), 1);
    expect([load(FIRST), load(SECOND)]).toEqual([undefined, 0xeen]);
  });
});

describe("an access that crosses into another page", () => {
  const NEXT = FIRST + 0x1000n;
  const ACROSS = FIRST + 0xffdn;

  it("is made in the two that the soft TLB has", () => {
    for (const write of [false, true]) {
      fill(FIRST, 8, write);
      fill(NEXT, 11, write);
    }
    bare.core.state.setX(1, ACROSS);
    bare.core.state.setX(3, 0x8877_6655_4433_2211n);
    expect(bare.execute([STR, LDR])).toBe(undefined);
    expect(bare.core.state.x(3)).toBe(0x8877_6655_4433_2211n);
    expect([bare.pages[8]![1023]! >>> 8, bare.pages[11]![0]]).toEqual([0x33_2211, 0x7766_5544]);
  });

  it("is not made if one of them may not be", () => {
    fill(FIRST, 8, true);
    fill(NEXT, 11);
    expect(isStored(ACROSS)).toBe(false);
    expect(load(ACROSS)).toBe(undefined);
    expect(bare.pages[8]![1023]).toBe(0xa0);
  });
});
