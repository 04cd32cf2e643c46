/** The condition flags, as WebAssembly: kept as what they were computed from (STATE.NF and the others). */
import { BrokenInvariant } from "../common/errors.ts";
import type { Local } from "../wasm/entities.ts";
import type { StateEmit } from "./emit-state.ts";
import { STATE } from "./state.ts";

/** An operation that sets all flags, its operands and its result in locals of its width. */
export interface FlagSetting {
  /** r = a + b, a - b, or a + b and the carry. */
  readonly kind: "add" | "subtract" | "add-with-carry";
  readonly a: Local;
  readonly b: Local;
  readonly r: Local;
  /** 64 bits, or 32. */
  readonly wide: boolean;
}

/** Pushes an i32 that is 1 if a condition holds (ConditionHolds). */
export function emitCondition(e: StateEmit, cond: number): void {
  const { f } = e;
  const negated = (cond & 1) === 1 && cond < 14;
  switch (cond >> 1) {
    case 0:
      e.get64("ZF");
      f.i64.eqz();
      break;
    case 1:
      e.get32("CF");
      break;
    case 2:
      pushSign(e, "NF");
      break;
    case 3:
      pushSign(e, "VF");
      break;
    case 4:
      e.get32("CF");
      pushNotZero(e);
      f.i32.and();
      break;
    case 5:
      pushNEqualsV(e);
      break;
    case 6:
      pushNEqualsV(e);
      pushNotZero(e);
      f.i32.and();
      break;
    case 7:
      f.i32.const(1);
      break;
    default:
      throw new BrokenInvariant(`condition ${cond}`);
  }
  if (negated) f.i32.eqz();
}

function pushSign(e: StateEmit, field: "NF" | "VF"): void {
  e.get64(field);
  e.f.i64.const(0);
  e.f.i64.ltS();
}

function pushNotZero(e: StateEmit): void {
  e.get64("ZF");
  e.f.i64.const(0);
  e.f.i64.ne();
}

function pushNEqualsV(e: StateEmit): void {
  e.get64("NF");
  e.get64("VF");
  e.f.i64.xor();
  e.f.i64.const(0);
  e.f.i64.geS();
}

/** Takes a result of a width, by which N and Z are set. */
function emitSetNz(e: StateEmit, wide: boolean): void {
  const { f } = e;
  if (!wide) f.i64.extendI32S();
  const value = f.local.take("i64");
  f.local.set(value);
  f.local.get(e.cpu);
  f.local.get(value);
  f.i64.store(STATE.NF);
  f.local.get(e.cpu);
  f.local.get(value);
  f.i64.store(STATE.ZF);
  f.local.release(value);
}

/** Takes a result of a logical operation and pushes it again: N and Z as it says, C and V clear. */
export function emitLogicFlags(e: StateEmit, wide: boolean): void {
  const { f } = e;
  const r = f.local.take(wide ? "i64" : "i32");
  f.local.tee(r);
  emitSetNz(e, wide);
  e.const32("CF", 0);
  f.local.get(e.cpu);
  f.i64.const(0);
  f.i64.store(STATE.VF);
  f.local.get(r);
  f.local.release(r);
}

/** Sets N, Z, C and V as AddWithCarry does. */
export function emitFlags(e: StateEmit, setting: FlagSetting): void {
  const { f } = e;
  const { kind, r, wide } = setting;
  // C comes first where it also goes in.
  if (kind === "add-with-carry") setCarryOf(e, setting);
  f.local.get(r);
  emitSetNz(e, wide);
  if (kind !== "add-with-carry") setCarryOf(e, setting);
  f.local.get(e.cpu);
  pushOverflow(e, setting);
  if (!wide) f.i64.extendI32S();
  f.i64.store(STATE.VF);
}

function setCarryOf(e: StateEmit, { kind, a, b, r, wide }: FlagSetting): void {
  const { f } = e;
  const o = wide ? f.i64 : f.i32;
  f.local.get(e.cpu);
  if (kind === "subtract") {
    f.local.get(a);
    f.local.get(b);
    o.geU();
  } else {
    f.local.get(r);
    f.local.get(a);
    o.ltU();
  }
  if (kind === "add-with-carry") {
    // The carry in decides where result and operand are equal.
    f.local.get(r);
    f.local.get(a);
    o.eq();
    e.get32("CF");
    f.i32.and();
    f.i32.or();
  }
  f.i32.store(STATE.CF);
}

/** Pushes a value of the width whose sign is V. */
function pushOverflow({ f }: StateEmit, { kind, a, b, r, wide }: FlagSetting): void {
  const o = wide ? f.i64 : f.i32;
  const difference = (x: Local, y: Local): void => {
    f.local.get(x);
    f.local.get(y);
    o.xor();
  };
  if (kind === "add-with-carry") {
    difference(a, r);
    difference(b, r);
    o.and();
    return;
  }
  difference(a, b);
  difference(a, r);
  o.and();
  if (kind === "subtract") return;
  // (a ^ r) & ~(a ^ b), of which (a ^ b) & (a ^ r) is the other part of a ^ r.
  difference(a, r);
  o.xor();
}

/** Sets the flags to what a is to b, two numbers in order: N is less, Z equal, C not less (FPCompare). */
export function emitOrderFlags(e: StateEmit, type: "f32" | "f64", a: Local, b: Local): void {
  const { f } = e;
  const less = f.local.take("i32");
  f.local.get(a);
  f.local.get(b);
  f[type].lt();
  f.local.set(less);
  f.i64.const(0);
  f.local.get(less);
  f.i64.extendI32U();
  f.i64.sub();
  e.set64("NF");
  f.local.get(a);
  f.local.get(b);
  f[type].ne();
  f.i64.extendI32U();
  e.set64("ZF");
  f.local.get(less);
  f.i32.eqz();
  e.set32("CF");
  f.i64.const(0);
  e.set64("VF");
  f.local.release(less);
}

/** Takes N, Z, C, V as bits 3:0 of an i32. */
export function emitSetNzcv(e: StateEmit): void {
  const { f } = e;
  const nzcv = f.local.take("i32");
  f.local.set(nzcv);
  const flag = (field: "NF" | "VF", bit: number) => {
    f.local.get(e.cpu);
    f.local.get(nzcv);
    f.i64.extendI32U();
    f.i64.const(63 - bit);
    f.i64.shl();
    f.i64.store(STATE[field]);
  };
  flag("NF", 3);
  flag("VF", 0);
  f.local.get(e.cpu);
  f.local.get(nzcv);
  f.i32.const(4);
  f.i32.and();
  f.i32.eqz();
  f.i64.extendI32U();
  f.i64.store(STATE.ZF);
  f.local.get(e.cpu);
  f.local.get(nzcv);
  f.i32.const(1);
  f.i32.shrU();
  f.i32.const(1);
  f.i32.and();
  f.i32.store(STATE.CF);
  f.local.release(nzcv);
}

/** Pushes N, Z, C, V as bits 3:0 of an i32. */
export function emitNzcv(e: StateEmit): void {
  const { f } = e;
  pushSign(e, "NF");
  f.i32.const(3);
  f.i32.shl();
  e.get64("ZF");
  f.i64.eqz();
  f.i32.const(2);
  f.i32.shl();
  f.i32.or();
  e.get32("CF");
  f.i32.const(1);
  f.i32.shl();
  f.i32.or();
  pushSign(e, "VF");
  f.i32.or();
}
