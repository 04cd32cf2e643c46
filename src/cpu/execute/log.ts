/** Logging of ops and their accesses, as WebAssembly: see LOG in a64/state.ts. */
import { type AccessEmitter, type GuestAccess, softTlbAccess } from "../../a64/access.ts";
import type { StateEmit } from "../../a64/emit-state.ts";
import { LOG, STATE } from "../../a64/state.ts";
import type { Local } from "../../wasm/entities.ts";

/** Begins an entry: pushes nothing, leaves the place of it in `entry`, and LOG_AT behind it. */
function beginEntry(e: StateEmit, entry: Local<"i32">): void {
  const { f } = e;
  f.local.get(e.cpu);
  e.get32("LOG_AT");
  f.local.tee(entry);
  f.i32.const(LOG.ENTRY_BYTES);
  f.i32.add();
  f.i32.store(STATE.LOG_AT);
}

/**
 * Logs an op before it is executed, and leaves the place of its entry in `mark`: from there on it is taken back if the op does
 * not happen.
 * @param pc pushes PC
 */
export function logOp(e: StateEmit, at: Local<"i32">, mark: Local<"i32">, pc: () => void): void {
  const { f } = e;
  beginEntry(e, mark);
  f.local.get(mark);
  pc();
  f.i64.store(LOG.ADDRESS);
  f.local.get(mark);
  f.local.get(at);
  f.i32.store(LOG.WHERE);
  f.local.get(mark);
  f.i32.const(0);
  f.i32.store(LOG.WHAT);
  for (const flag of ["NF", "ZF", "VF"] as const) {
    f.local.get(e.cpu);
    e.get64(flag);
    f.i64.store(STATE[`LOG_${flag}`]);
  }
  f.local.get(e.cpu);
  e.get32("CF");
  f.i32.store(STATE.LOG_CF);
}

/** The op whose entry is at `mark` has not happened. */
export function takeBackOp(e: StateEmit, mark: Local<"i32">): void {
  const { f } = e;
  f.local.get(e.cpu);
  f.local.get(mark);
  f.i32.store(STATE.LOG_AT);
}

const KINDS = { load: LOG.READ, store: LOG.WRITE, atomic: LOG.READ | LOG.WRITE } as const;
const entryOf = ({ bytes, kind, options }: GuestAccess): number =>
  LOG.ACCESS | KINDS[kind] | bytes | (Math.log2(options.element ?? bytes) << LOG.ELEMENT_SHIFT);

/** An access by the soft TLB that is logged. */
export const loggedAccess: AccessEmitter = (e, control, access) => {
  const { f } = e;
  const va = f.local.take("i64");
  const host = f.local.take("i32");
  const entry = f.local.take("i32");
  f.local.tee(va);
  softTlbAccess(e, control, access);
  f.local.set(host);
  beginEntry(e, entry);
  f.local.get(entry);
  f.local.get(va);
  f.i64.store(LOG.ADDRESS);
  f.local.get(entry);
  f.local.get(host);
  f.i32.store(LOG.WHERE);
  f.local.get(entry);
  f.i32.const(entryOf(access));
  f.i32.store(LOG.WHAT);
  f.local.get(host);
  f.local.release(va);
  f.local.release(host);
  f.local.release(entry);
};
