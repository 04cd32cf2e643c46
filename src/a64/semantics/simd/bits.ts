/** Advanced SIMD on bits: logic, selections, orders, and counts. */
import type { Emit, Semantics } from "../../emit.ts";
import { buildVector, lanesOf, loadLane, withLocals } from "./lanes.ts";
import { bytesOfLanes, keep, range, rearrange, shiftBy, simd, sizeOf, splat } from "./vectors.ts";

/** Bits, whatever the lanes. */
const bitwise = (operation: (e: Emit) => void): Semantics =>
  simd((e) => {
    operation(e);
    e.setVector("Rd", e.field("Q"));
  });

const logic = (operation: "and" | "or" | "xor" | "andnot", invert = false): Semantics =>
  bitwise((e) => {
    e.getV("Rn");
    e.getV("Rm");
    if (invert) e.f.v128.not();
    e.f.v128[operation]();
  });

/** BSL, BIT, BIF: bits of one operand or another as a third one says. */
const insertBits = (one: string, other: string, mask: string, invert = false): Semantics =>
  bitwise((e) => {
    e.getV(one);
    e.getV(other);
    e.getV(mask);
    if (invert) e.f.v128.not();
    e.f.v128.bitselect();
  });

/** By lanes: leading zeros, which WebAssembly counts in integers only. */
const leadingZeros = (ofSigns: boolean): Semantics =>
  simd((e) => {
    const { f } = e;
    const size = sizeOf(e);
    withLocals(f, 1, (a) =>
      buildVector(e, size, lanesOf(size, e.field("Q")), (i) => {
        loadLane(e, "Rn", size, i, ofSigns ? "s" : "u");
        if (ofSigns) {
          // Leading bits that equal the sign, without it.
          f.local.tee(a!);
          f.local.get(a!);
          f.i64.const(63);
          f.i64.shrS();
          f.i64.xor();
        }
        f.i64.clz();
        f.i64.const((ofSigns ? 65 : 64) - (8 << size));
        f.i64.sub();
      }),
    );
  });

/** REV16, REV32, REV64: elements within containers. */
const reverse = (containerLog2: number): Semantics =>
  simd((e) => {
    const size = sizeOf(e);
    const within = (1 << (containerLog2 - size)) - 1;
    e.getV("Rn");
    rearrange(
      e.f,
      bytesOfLanes(
        size,
        range(16 >> size).map((i) => i ^ within),
      ),
    );
    e.setVector("Rd", e.field("Q"));
  });

/** The bits of each byte backwards, by nibbles. */
const reverseBits: Semantics = simd((e) => {
  const { f } = e;
  const backwards = (nibble: number): number =>
    ((nibble & 1) << 3) | ((nibble & 2) << 1) | ((nibble & 4) >> 1) | (nibble >> 3);
  const table = () => {
    const words = range(4).map((word) =>
      range(4).reduce((bits, i) => bits | (backwards(4 * word + i) << (8 * i)), 0),
    );
    f.v128.const(words[0]!, words[1]!, words[2]!, words[3]!);
  };
  e.getV("Rn");
  const a = keep(f);
  table();
  f.local.get(a);
  splat(f, 0, 15n);
  f.v128.and();
  f.i8x16.swizzle();
  shiftBy(f, 0, "shl", 4);
  table();
  f.local.get(a);
  shiftBy(f, 0, "shrU", 4);
  f.i8x16.swizzle();
  f.v128.or();
  e.setVector("Rd", e.field("Q"));
  f.local.release(a);
});

export const SIMD_BITS = {
  AND_vector: logic("and"),
  BIC_vector: logic("andnot"),
  ORR_vector: logic("or"),
  ORN_vector: logic("or", true),
  EOR_vector: logic("xor"),
  BSL: insertBits("Rn", "Rm", "Rd"),
  BIT: insertBits("Rn", "Rd", "Rm"),
  BIF: insertBits("Rd", "Rn", "Rm"),
  REV64: reverse(3),
  REV32_vector: reverse(2),
  REV16_vector: reverse(1),
  CLZ_vector: leadingZeros(false),
  CLS_vector: leadingZeros(true),
  RBIT_vector: reverseBits,
  CNT: bitwise((e) => {
    e.getV("Rn");
    e.f.i8x16.popcnt();
  }),
  NOT: bitwise((e) => {
    e.getV("Rn");
    e.f.v128.not();
  }),
} satisfies Record<string, Semantics>;
