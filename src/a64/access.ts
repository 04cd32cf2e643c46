/**
 * Accesses to memory, as WebAssembly: a VA becomes the host address of its bytes, by way of the soft TLB. What that does not
 * simply have is looked for outside, and the instruction comes again.
 */
import { PAGE_BYTES } from "../common/address.ts";
import type { Local } from "../wasm/entities.ts";
import type { FunctionBody } from "../wasm/function-body.ts";
import type { Control } from "./emit-parts.ts";
import type { StateEmit } from "./emit-state.ts";
import { ACCESS, DTLB, DTLB_FOLD, STATE } from "./state.ts";

export interface AccessOptions {
  /** As EL0 would be checked: LDTR, STTR. */
  readonly unprivileged?: boolean;
  /** Misaligned is an alignment fault. */
  readonly aligned?: boolean;
  /** DC ZVA. */
  readonly zva?: boolean;
  /** A hypervisor can carry it out by its syndrome. */
  readonly syndrome?: boolean;
  /** Bytes of an element; as many as are accessed where it is the only one. */
  readonly element?: number;
}

/** An access of an instruction: how many bytes, and what for. */
export interface GuestAccess {
  readonly bytes: number;
  /** "atomic" reads and writes. */
  readonly kind: "load" | "store" | "atomic";
  readonly options: AccessOptions;
}

/**
 * How an access is made: takes a VA and pushes the host address at which its bytes may be read, or written, all of them (what
 * lies there may be a copy that is carried back). Whatever follows is executed for accesses that were granted, once for each.
 */
export type AccessEmitter = (e: StateEmit, control: Control, access: GuestAccess) => void;

/** Takes a soft TLB's address and pushes that of the entry which a VA's page has in it. */
export function entryOf(f: FunctionBody, va: Local<"i64">): void {
  const place = 12 - Math.log2(DTLB.ENTRY_BYTES);
  f.local.get(va);
  f.i64.const(place);
  f.i64.shrU();
  f.local.get(va);
  f.i64.const(place + DTLB_FOLD);
  f.i64.shrU();
  f.i64.xor();
  f.i32.wrapI64();
  f.i32.const((DTLB.ENTRIES - 1) * DTLB.ENTRY_BYTES);
  f.i32.and();
  f.i32.add();
}

/** An access by the soft TLB of the current regime. */
export const softTlbAccess: AccessEmitter = (e, control, access) => {
  const { f } = e;
  const { bytes, kind, options } = access;
  const va = f.local.take("i64");
  const offset = f.local.take("i64");
  const entry = f.local.take("i32");
  const result = f.local.take("i32");
  f.local.set(va);
  e.get32(options.unprivileged ? "DTLB_EL0" : "DTLB");
  entryOf(f, va);
  f.local.set(entry);
  f.local.get(va);
  f.local.get(entry);
  f.i64.load(kind === "load" ? DTLB.RTAG : DTLB.WTAG);
  f.i64.sub();
  f.local.tee(offset);
  f.i64.const(PAGE_BYTES - bytes + 1);
  f.i64.ltU();
  if (options.aligned && bytes > 1) {
    f.local.get(va);
    f.i64.const(bytes - 1);
    f.i64.and();
    f.i64.eqz();
    f.i32.and();
  }
  const hit = f.if();
  f.local.get(entry);
  f.i32.load(DTLB.ADDRESS);
  f.local.get(offset);
  f.i32.wrapI64();
  f.i32.add();
  f.local.set(result);
  f.else(hit);
  slowAccess(e, control, va, access);
  f.local.set(result);
  f.end(hit);
  f.local.get(result);
  f.local.release(va);
  f.local.release(offset);
  f.local.release(entry);
  f.local.release(result);
};

/** An access as SLOW_ACCESS tells it. */
const accessBits = ({ bytes, kind, options }: GuestAccess): number =>
  (kind === "load" ? 0 : ACCESS.WRITE) |
  (options.unprivileged ? ACCESS.UNPRIVILEGED : 0) |
  (options.aligned ? ACCESS.ALIGNED : 0) |
  (kind === "atomic" ? ACCESS.ATOMIC : 0) |
  (options.zva ? ACCESS.ZVA : 0) |
  (options.syndrome ? ACCESS.SYNDROME : 0) |
  (Math.log2(options.element ?? bytes) << ACCESS.ELEMENT_SHIFT);

/**
 * Pushes the host address of an access that the soft TLB does not simply have, or has it looked for: the instruction comes
 * again with SLOW_AT set, or the TLB filled, or does not happen.
 */
function slowAccess(e: StateEmit, control: Control, va: Local<"i64">, access: GuestAccess): void {
  const { f } = e;
  const place = f.local.take("i32");
  e.get32("SLOW_AT");
  f.local.tee(place);
  f.i32.eqz();
  const ask = f.if();
  f.local.get(e.cpu);
  f.local.get(va);
  f.i64.store(STATE.SLOW_VA);
  e.const32("SLOW_BYTES", access.bytes);
  e.const32("SLOW_ACCESS", accessBits(access));
  control.lookFor();
  f.end(ask);
  e.const32("SLOW_AT", 0);
  f.local.get(place);
  f.local.release(place);
}
