/** Accesses to pages whose accesses must be aligned, for all handlers of an interpreter in one place. */
import { entryOf } from "../../a64/access.ts";
import { ACCESS, DTLB, STATE, STRICT } from "../../a64/state.ts";
import { PAGE_BYTES } from "../../common/address.ts";
import type { Local } from "../../wasm/entities.ts";
import type { FunctionBody } from "../../wasm/function-body.ts";

/**
 * Pushes the host address of the access in SLOW_* if it is aligned and its page has a strict tag (Device memory, which is all
 * of it while the MMU is off, and all with SCTLR_EL1.A), or 0. Once, not in each handler: that costs a guest's boot a tenth.
 */
export function emitStrictPlace(f: FunctionBody, cpu: Local<"i32">): void {
  const va = f.local.take("i64");
  const offset = f.local.take("i64");
  const bytes = f.local.take("i32");
  const access = f.local.take("i32");
  const entry = f.local.take("i32");
  const state32 = (at: number): void => {
    f.local.get(cpu);
    f.i32.load(at);
  };
  const has = (flag: number): void => {
    f.local.get(access);
    f.i32.const(flag);
    f.i32.and();
  };
  f.local.get(cpu);
  f.i64.load(STATE.SLOW_VA);
  f.local.set(va);
  state32(STATE.SLOW_BYTES);
  f.local.set(bytes);
  state32(STATE.SLOW_ACCESS);
  f.local.set(access);
  state32(STATE.DTLB_EL0);
  state32(STATE.DTLB);
  has(ACCESS.UNPRIVILEGED);
  f.select();
  entryOf(f, va);
  f.local.tee(entry);
  f.i32.load(DTLB.ADDRESS);
  f.local.get(va);
  f.local.get(entry);
  f.i64.load(DTLB.STRICT_TAG);
  f.i64.sub();
  f.local.tee(offset);
  f.i32.wrapI64();
  f.i32.add();
  f.i32.const(0);
  // Within the page,
  f.local.get(offset);
  f.i32.const(PAGE_BYTES);
  f.local.get(bytes);
  f.i32.sub();
  f.i64.extendI32U();
  f.i64.leU();
  // which has the tag for this,
  f.local.get(entry);
  f.i32.load(DTLB.STRICT);
  f.i32.const(STRICT.WRITE);
  f.i32.const(STRICT.READ);
  has(ACCESS.WRITE);
  f.select();
  f.i32.and();
  f.i32.const(0);
  f.i32.ne();
  f.i32.and();
  // aligned,
  f.local.get(va);
  f.i32.wrapI64();
  f.local.get(bytes);
  f.i32.const(1);
  f.local.get(access);
  f.i32.const(ACCESS.ELEMENT_SHIFT);
  f.i32.shrU();
  f.i32.shl();
  has(ACCESS.ALIGNED);
  f.select();
  f.i32.const(1);
  f.i32.sub();
  f.i32.and();
  f.i32.eqz();
  f.i32.and();
  // and no DC ZVA, which is for Normal memory.
  has(ACCESS.ZVA);
  f.i32.eqz();
  f.i32.and();
  f.select();
  for (const local of [bytes, access, entry]) f.local.release(local);
  for (const local of [va, offset]) f.local.release(local);
}
