/**
 * Accesses that a soft TLB does not simply have: out of line, one function for all of them. What was prepared for the
 * instruction at PC lies in SCRATCH; pages whose accesses must be aligned (Device memory, which is all of it while the MMU is
 * off, and with SCTLR_EL1.A) have a tag of their own.
 */
import type { Func, FunctionType } from "../wasm/entities.ts";
import type { FunctionBody } from "../wasm/function-body.ts";
import type { ModuleBuilder } from "../wasm/module-builder.ts";
import { ACCESS, DTLB, STATE, STRICT } from "./state.ts";

/** (cpu, va, bytes, ACCESS bits) -> host address, or 0: leave for help, with SLOW_* set. */
export type SlowPath = Func<["i32", "i64", "i32", "i32"], ["i32"]>;

export const slowPathType = (m: ModuleBuilder): FunctionType<["i32", "i64", "i32", "i32"], ["i32"]> =>
  m.type(["i32", "i64", "i32", "i32"], ["i32"]);

/** Writes the function's body. */
export function emitSlowPath(f: FunctionBody, slow: SlowPath): void {
  const [cpu, va, bytes, access] = f.begin(slow);
  const entry = f.local.take("i32");
  const offset = f.local.take("i64");
  const has = (bit: number): void => {
    f.local.get(access);
    f.i32.const(bit);
    f.i32.and();
  };
  // Prepared: the bytes are in SCRATCH, and a store goes on from there once its instruction has retired.
  f.local.get(cpu);
  f.i32.load(STATE.SLOW_READY);
  const ready = f.if();
  f.local.get(cpu);
  f.i32.const(0);
  f.i32.store(STATE.SLOW_READY);
  f.local.get(cpu);
  has(ACCESS.WRITE);
  f.i32.store(STATE.COMMIT);
  f.local.get(cpu);
  f.i32.const(STATE.SCRATCH);
  f.i32.add();
  f.return();
  f.end(ready);
  // The strict tag.
  f.local.get(cpu);
  f.i32.load(STATE.DTLB_EL0);
  f.local.get(cpu);
  f.i32.load(STATE.DTLB);
  has(ACCESS.UNPRIVILEGED);
  f.select();
  f.local.get(va);
  f.i64.const(7);
  f.i64.shrU();
  f.i32.wrapI64();
  f.i32.const((DTLB.ENTRIES - 1) * DTLB.ENTRY_BYTES);
  f.i32.and();
  f.i32.add();
  f.local.set(entry);
  f.local.get(va);
  f.local.get(entry);
  f.i64.load(DTLB.STRICT_TAG);
  f.i64.sub();
  f.local.tee(offset);
  f.i64.const(4096);
  f.local.get(bytes);
  f.i64.extendI32U();
  f.i64.sub();
  f.i64.leU();
  const inPage = f.if();
  // Aligned to its elements, or as a whole; DC ZVA is for Normal memory.
  f.local.get(va);
  f.i32.wrapI64();
  f.i32.const(1);
  f.local.get(access);
  f.i32.const(ACCESS.ELEMENT_SHIFT);
  f.i32.shrU();
  f.i32.shl();
  f.local.get(bytes);
  has(ACCESS.ALIGNED);
  f.i32.eqz();
  f.select();
  f.i32.const(1);
  f.i32.sub();
  f.i32.and();
  has(ACCESS.ZVA);
  f.i32.or();
  f.i32.eqz();
  f.local.get(entry);
  f.i32.load(DTLB.STRICT);
  f.i32.const(STRICT.READ);
  f.i32.const(STRICT.WRITE);
  has(ACCESS.WRITE);
  f.i32.eqz();
  f.select();
  f.i32.and();
  f.i32.const(0);
  f.i32.ne();
  f.i32.and();
  const allowed = f.if();
  f.local.get(entry);
  f.i32.load(DTLB.ADDRESS);
  f.local.get(offset);
  f.i32.wrapI64();
  f.i32.add();
  f.return();
  f.end(allowed);
  f.end(inPage);
  f.local.get(cpu);
  f.local.get(va);
  f.i64.store(STATE.SLOW_VA);
  f.local.get(cpu);
  f.local.get(bytes);
  f.i32.store(STATE.SLOW_BYTES);
  f.local.get(cpu);
  f.local.get(access);
  f.i32.store(STATE.SLOW_ACCESS);
  f.i32.const(0);
  f.finish();
}
