/** Advanced SIMD shifts. Those to the right take two steps: WebAssembly takes amounts modulo a lane's bits. */
import type { Emit, Fields, Semantics, Special } from "../../emit.ts";
import { buildVector, lanesOf, loadLane, type Sign, withLocals } from "./lanes.ts";
import { clampLane, saturateNarrow } from "./saturating.ts";
import {
  bitsOf,
  integerOp,
  integerShape,
  isScalar,
  keep,
  longResult,
  noteSaturation,
  operand,
  result,
  shiftRightName,
  signs,
  simd,
  splat,
  takeOperand,
  tee,
} from "./vectors.ts";
import { extend, narrowResult } from "./widening.ts";

/** immh names the element's size by its highest set bit. Long and narrow forms have elements of at most 32 bits. */
const sizeIn = (f: Fields): number => 31 - Math.clz32(f.immh);
const ESIZE: Special = { name: "esize", values: 4, of: sizeIn };
const NARROW_ESIZE: Special = { ...ESIZE, values: 3 };
const sizeOf = (e: Emit): number => e.field("esize");
const bitsOfFields = (f: Fields): number => 8 << sizeIn(f);
/** A shift to the right, less one: from 0 to a lane's bits less one. */
const RIGHT_LESS_ONE = [(f: Fields): number => 2 * bitsOfFields(f) - (f.immh * 8 + f.immb) - 1];
const LEFT = [(f: Fields): number => f.immh * 8 + f.immb - bitsOfFields(f)];

/** Takes a vector; shifts its lanes by aux 0. */
function shiftByAux(e: Emit, size: number, name: "shl" | "shrS" | "shrU"): void {
  e.aux(0);
  integerShape(e.f, size)[name]();
}

/** Takes a vector; shifts its lanes to the right by aux 0 and one more; rounds by the bit that goes last. */
function shiftRight(e: Emit, size: number, sign: Sign, round: boolean): void {
  const { f } = e;
  shiftByAux(e, size, shiftRightName(sign));
  const before = round ? tee(f) : undefined;
  f.i32.const(1);
  integerShape(f, size)[shiftRightName(sign)]();
  if (before === undefined) return;
  f.local.get(before);
  splat(f, size, 1n);
  f.v128.and();
  integerShape(f, size).add();
  f.local.release(before);
}

const right = (sign: Sign, round: boolean, accumulates: boolean): Semantics =>
  simd(
    (e) => {
      const size = sizeOf(e);
      operand(e, "Rn", size);
      shiftRight(e, size, sign, round);
      if (accumulates) {
        operand(e, "Rd", size);
        integerShape(e.f, size).add();
      }
      result(e, size);
    },
    { aux: RIGHT_LESS_ONE, special: [ESIZE] },
  );

const left: Semantics = simd(
  (e) => {
    const size = sizeOf(e);
    operand(e, "Rn", size);
    shiftByAux(e, size, "shl");
    result(e, size);
  },
  { aux: LEFT, special: [ESIZE] },
);

/** SRI and SLI: what the shift leaves empty keeps the destination's bits. */
const insert = (to: "left" | "right"): Semantics =>
  simd(
    (e) => {
      const { f } = e;
      const size = sizeOf(e);
      const shift = () => {
        if (to === "left") shiftByAux(e, size, "shl");
        else shiftRight(e, size, "u", false);
      };
      operand(e, "Rn", size);
      shift();
      operand(e, "Rd", size);
      splat(f, size, -1n);
      shift();
      f.v128.bitselect();
      result(e, size);
    },
    { aux: to === "left" ? LEFT : RIGHT_LESS_ONE, special: [ESIZE] },
  );

/** To half the size, cut off or to the nearest that fits. */
const narrow = (from: Sign, to: Sign | undefined, round: boolean): Semantics =>
  simd(
    (e) => {
      const size = sizeOf(e);
      if (isScalar(e)) operand(e, "Rn", size + 1);
      else e.getV("Rn");
      shiftRight(e, size + 1, from, round);
      if (to !== undefined) saturateNarrow(e, size, from, to);
      narrowResult(e, size);
    },
    { aux: RIGHT_LESS_ONE, special: [NARROW_ESIZE] },
  );

const longShift = (sign: Sign): Semantics =>
  simd(
    (e) => {
      const size = sizeOf(e);
      operand(e, "Rn", size);
      extend(e, size, sign);
      shiftByAux(e, size + 1, "shl");
      longResult(e, size);
    },
    { aux: LEFT, special: [NARROW_ESIZE] },
  );

/** A shift to the left that is undone again shows whether anything was lost. */
const leftSaturating = (from: Sign, to: Sign): Semantics =>
  simd(
    (e) => {
      const { f } = e;
      const size = sizeOf(e);
      const a = takeOperand(e, "Rn", size);
      f.local.get(a);
      shiftByAux(e, size, "shl");
      const shifted = tee(f);
      shiftByAux(e, size, shiftRightName(to));
      f.local.get(a);
      integerOp(f, size, "ne");
      if (from !== to) {
        // Negative numbers do not fit.
        f.local.get(a);
        signs(f, size);
        f.v128.or();
      }
      const lost = keep(f);
      // The nearest: by the operand's sign, if it has one.
      if (from === "u") splat(f, size, -1n);
      else {
        f.local.get(a);
        signs(f, size);
        splat(f, size, to === "s" ? (1n << BigInt(bitsOf(size) - 1)) - 1n : -1n);
        f.v128.xor();
      }
      f.local.get(shifted);
      f.local.get(lost);
      f.v128.bitselect();
      f.local.get(lost);
      noteSaturation(e);
      result(e, size);
      for (const local of [a, shifted, lost]) f.local.release(local);
    },
    { aux: LEFT, special: [ESIZE] },
  );

/**
 * By registers, lane by lane: the lowest byte of Rm's lane, signed, says how far and to which side. Shifts to the right by
 * more than 64 are as those by 64.
 */
const byRegister = (sign: Sign, round: boolean, saturates: boolean): Semantics =>
  simd((e) => {
    const { f } = e;
    const size = e.field("size");
    const bits = bitsOf(size);
    const count = isScalar(e) ? 1 : lanesOf(size, e.field("Q"));
    const shr = () => f.i64[shiftRightName(sign)]();
    withLocals(f, 3, (a, by, shifted) =>
      buildVector(e, size, count, (i) => {
        loadLane(e, "Rn", size, i, sign);
        f.local.set(a!);
        loadLane(e, "Rm", size, i, "u");
        f.i64.extend8S();
        f.local.tee(by!);
        f.i64.const(0);
        f.i64.ltS();
        const toRight = f.if("i64");
        // One step less, and the last one by itself.
        f.i64.const(-1);
        f.local.get(by!);
        f.i64.sub();
        f.local.tee(by!);
        f.i64.const(63);
        f.i64.gtU();
        const far = f.if("i64");
        if (sign === "s") {
          f.local.get(a!);
          f.i64.const(63);
          shr();
        } else f.i64.const(0);
        f.else(far);
        f.local.get(a!);
        f.local.get(by!);
        shr();
        f.end(far);
        f.local.tee(shifted!);
        f.i64.const(1);
        shr();
        if (round) {
          f.local.get(shifted!);
          f.i64.const(1);
          f.i64.and();
          f.i64.add();
        }
        f.else(toRight);
        f.local.get(by!);
        f.i64.const(bits);
        f.i64.geS();
        const gone = f.if("i64");
        f.i64.const(0);
        f.else(gone);
        f.local.get(a!);
        f.local.get(by!);
        f.i64.shl();
        f.end(gone);
        if (saturates) {
          f.local.set(shifted!);
          clampLane(e, size, sign, a!, by!, shifted!);
        }
        f.end(toRight);
      }),
    );
  });

export const SIMD_SHIFTS = {
  SSHR: right("s", false, false),
  USHR: right("u", false, false),
  SSRA: right("s", false, true),
  USRA: right("u", false, true),
  SRSHR: right("s", true, false),
  URSHR: right("u", true, false),
  SRSRA: right("s", true, true),
  URSRA: right("u", true, true),
  SHL: left,
  SRI: insert("right"),
  SLI: insert("left"),
  SHRN: narrow("u", undefined, false),
  RSHRN: narrow("u", undefined, true),
  SQSHRUN: narrow("s", "u", false),
  SQRSHRUN: narrow("s", "u", true),
  SQSHRN: narrow("s", "s", false),
  UQSHRN: narrow("u", "u", false),
  SQRSHRN: narrow("s", "s", true),
  UQRSHRN: narrow("u", "u", true),
  SSHLL: longShift("s"),
  USHLL: longShift("u"),
  SQSHLU: leftSaturating("s", "u"),
  SQSHL_imm: leftSaturating("s", "s"),
  UQSHL_imm: leftSaturating("u", "u"),
  SSHR_scalar: right("s", false, false),
  USHR_scalar: right("u", false, false),
  SSRA_scalar: right("s", false, true),
  USRA_scalar: right("u", false, true),
  SRSHR_scalar: right("s", true, false),
  URSHR_scalar: right("u", true, false),
  SRSRA_scalar: right("s", true, true),
  URSRA_scalar: right("u", true, true),
  SHL_scalar: left,
  SRI_scalar: insert("right"),
  SLI_scalar: insert("left"),
  SQSHLU_scalar: leftSaturating("s", "u"),
  SQSHL_imm_scalar: leftSaturating("s", "s"),
  UQSHL_imm_scalar: leftSaturating("u", "u"),
  SQSHRUN_scalar: narrow("s", "u", false),
  SQRSHRUN_scalar: narrow("s", "u", true),
  SQSHRN_scalar: narrow("s", "s", false),
  UQSHRN_scalar: narrow("u", "u", false),
  SQRSHRN_scalar: narrow("s", "s", true),
  UQRSHRN_scalar: narrow("u", "u", true),
  SSHL_vector: byRegister("s", false, false),
  USHL_vector: byRegister("u", false, false),
  SRSHL: byRegister("s", true, false),
  URSHL: byRegister("u", true, false),
  SQSHL: byRegister("s", false, true),
  UQSHL: byRegister("u", false, true),
  SQRSHL: byRegister("s", true, true),
  UQRSHL: byRegister("u", true, true),
  SSHL_scalar: byRegister("s", false, false),
  USHL_scalar: byRegister("u", false, false),
  SRSHL_scalar: byRegister("s", true, false),
  URSHL_scalar: byRegister("u", true, false),
  SQSHL_scalar: byRegister("s", false, true),
  UQSHL_scalar: byRegister("u", false, true),
  SQRSHL_scalar: byRegister("s", true, true),
  UQRSHL_scalar: byRegister("u", true, true),
} satisfies Record<string, Semantics>;
