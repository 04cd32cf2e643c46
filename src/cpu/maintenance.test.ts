import { beforeEach, describe, expect, it, vi } from "vitest";
import { ROWS } from "../a64/encodings/index.ts";
import { stage1Leaf } from "../arm/descriptors.ts";
import { type Encoding, OPERATIONS, SCTLR_EL1, TCR_EL1 } from "../arm/registers.ts";
import { PAGE_BYTES } from "../common/address.ts";
import { type Bare, bareCore, DATA } from "./core.testing.ts";

const TABLE = 10;
const LINES = 64n;
const LINE_BYTES = 64n;
/** The type of a leaf descriptor before the last level. */
const BLOCK = 1;
/** MOV X2, #value. */
const mov = (value: number): number => 0xd280_0002 + (value << 5);
const RET = 0xd65f_03c0;
/** BLR X1; STR W3, [X1]; STR W4, [X1]. */
const BLR = 0xd63f_0020;
const STR_W3 = 0xb900_0023;
const STR_W4 = 0xb900_0024;

/** SYS of an operation, by the address in X1. */
const sys = ([, op1, crn, crm, op2]: Encoding): number =>
  (ROWS.SYS.value | (op1 << 16) | (crn << 12) | (crm << 8) | (op2 << 5) | 1) >>> 0;

let bare: Bare;

/** A core that has its memory mapped as it lies: a block of Normal memory. */
beforeEach(() => {
  bare = bareCore();
  const { state, space } = bare.core;
  const { lo, hi } = stage1Leaf({ privilegedExecuteNever: false });
  bare.pages[TABLE]!.set([lo | BLOCK, hi]);
  state.set64("TTBR0_EL1", BigInt(TABLE) << 12n);
  state.set64("TCR_EL1", TCR_EL1.with(0n, { T0SZ: 25, EPD1: 1 }));
  state.set64("MAIR_EL1", 0xffn);
  state.set64("SCTLR_EL1", SCTLR_EL1.with(state.get64("SCTLR_EL1"), { M: 1, C: 1 }));
  space.registersChanged();
});

/** Executes an operation on each line of a page. */
function each(operation: Encoding, page: bigint): void {
  for (let line = 0n; line < LINES; line++) {
    bare.core.state.setX(1, page + line * LINE_BYTES);
    expect(bare.execute([sys(operation)])).toBe(undefined);
  }
}

describe("maintenance by VA, line by line", () => {
  it.each(["DC_CVAC", "DC_CVAU", "DC_CIVAC"] as const)("%s leaves WebAssembly once for a page", (name) => {
    const cleaned = vi.spyOn(bare.core.space, "cleanLine");
    each(OPERATIONS[name], DATA);
    expect(cleaned).toHaveBeenCalledTimes(1);
  });

  it("IC IVAU leaves it once for a page without code", () => {
    const forgotten = vi.spyOn(bare.core.space, "forgetLine");
    each(OPERATIONS.IC_IVAU, DATA);
    expect(forgotten).toHaveBeenCalledTimes(1);
  });

  it("IC IVAU has what was stored be executed, each time", () => {
    const { state } = bare.core;
    bare.pages[Number(DATA) / PAGE_BYTES]!.set([mov(1), RET]);
    state.setX(1, DATA);
    state.setX(3, BigInt(mov(2)));
    state.setX(4, BigInt(mov(3)));
    const ivau = sys(OPERATIONS.IC_IVAU);
    expect(bare.execute([BLR, STR_W3, ivau, BLR, STR_W4, ivau, BLR])).toBe(undefined);
    expect(state.x(2)).toBe(3n);
  });
});
