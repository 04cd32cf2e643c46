/** Accesses that the place of their page in the soft TLB does not simply have, for all handlers of an interpreter in one place. */
import { entryOf } from "../../a64/access.ts";
import { ACCESS, DTLB, STATE, STRICT } from "../../a64/state.ts";
import { PAGE_BYTES } from "../../common/address.ts";
import type { Local } from "../../wasm/entities.ts";
import type { FunctionBody } from "../../wasm/function-body.ts";

/**
 * Pushes the host address of the access in SLOW_*, or 0: if it is aligned and its page has a strict tag (Device memory, which is
 * all of it while the MMU is off, and all with SCTLR_EL1.A), or if the page is in its other place. Once, not in each handler:
 * that costs a guest's boot a tenth.
 */
export function emitSecondLook(f: FunctionBody, cpu: Local<"i32">): void {
  const va = f.local.take("i64");
  const bytes = f.local.take("i32");
  const access = f.local.take("i32");
  const table = f.local.take("i32");
  const entry = f.local.take("i32");
  const state32 = (at: number): void => {
    f.local.get(cpu);
    f.i32.load(at);
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
  f.local.get(access);
  f.i32.const(ACCESS.UNPRIVILEGED);
  f.i32.and();
  f.select();
  f.local.tee(table);
  entryOf(f, va);
  f.local.set(entry);
  const look = { f, va, bytes, access, entry };
  strictPlace(look);
  const found = f.local.take("i32");
  f.local.tee(found);
  f.i32.eqz();
  const isElsewhere = f.if();
  // dtlbOtherIndex.
  f.local.get(entry);
  f.local.get(table);
  f.i32.sub();
  f.i32.const((DTLB.ENTRIES / 2) * DTLB.ENTRY_BYTES);
  f.i32.xor();
  f.local.get(table);
  f.i32.add();
  f.local.set(entry);
  plainPlace(look);
  f.local.set(found);
  f.end(isElsewhere);
  f.local.get(found);
  for (const local of [bytes, access, table, entry, found]) f.local.release(local);
  f.local.release(va);
}

/** An access that is looked for in an entry of the soft TLB. */
interface Look {
  readonly f: FunctionBody;
  readonly va: Local<"i64">;
  readonly bytes: Local<"i32">;
  /** ACCESS. */
  readonly access: Local<"i32">;
  readonly entry: Local<"i32">;
}

/** Pushes its host address if the entry has its page by a strict tag, or 0. */
function strictPlace(look: Look): void {
  const { f, bytes, access, entry } = look;
  placeIf(look, () => {
    f.local.get(entry);
    f.i64.load(DTLB.STRICT_TAG);
  });
  // The tag is for this,
  f.local.get(entry);
  f.i32.load(DTLB.STRICT);
  f.i32.const(STRICT.WRITE);
  f.i32.const(STRICT.READ);
  has(look, ACCESS.WRITE);
  f.select();
  f.i32.and();
  f.i32.const(0);
  f.i32.ne();
  f.i32.and();
  // aligned,
  isAlignedTo(look, () => {
    f.local.get(bytes);
    f.i32.const(1);
    f.local.get(access);
    f.i32.const(ACCESS.ELEMENT_SHIFT);
    f.i32.shrU();
    f.i32.shl();
    has(look, ACCESS.ALIGNED);
    f.select();
  });
  f.i32.and();
  // and no DC ZVA, which is for Normal memory.
  has(look, ACCESS.ZVA);
  f.i32.eqz();
  f.i32.and();
  f.select();
}

/** Pushes its host address if the entry has its page by the tag for loads or for stores, or 0. */
function plainPlace(look: Look): void {
  const { f, bytes, entry } = look;
  placeIf(look, () => {
    f.local.get(entry);
    f.i64.load(DTLB.WTAG);
    f.local.get(entry);
    f.i64.load(DTLB.RTAG);
    has(look, ACCESS.WRITE);
    f.select();
  });
  isAlignedTo(look, () => {
    f.local.get(bytes);
    f.i32.const(1);
    has(look, ACCESS.ALIGNED);
    f.select();
  });
  f.i32.and();
  f.select();
}

/** Pushes the host address, 0, and whether all of the access lies in the page of a tag, which `pushTag` pushes. */
function placeIf({ f, va, bytes, entry }: Look, pushTag: () => void): void {
  const offset = f.local.take("i64");
  f.local.get(entry);
  f.i32.load(DTLB.ADDRESS);
  f.local.get(va);
  pushTag();
  f.i64.sub();
  f.local.tee(offset);
  f.i32.wrapI64();
  f.i32.add();
  f.i32.const(0);
  f.local.get(offset);
  f.i32.const(PAGE_BYTES);
  f.local.get(bytes);
  f.i32.sub();
  f.i64.extendI32U();
  f.i64.leU();
  f.local.release(offset);
}

function has({ f, access }: Look, flag: number): void {
  f.local.get(access);
  f.i32.const(flag);
  f.i32.and();
}

/** Pushes whether the VA is a multiple of a power of two, which `pushBytes` pushes. */
function isAlignedTo({ f, va }: Look, pushBytes: () => void): void {
  f.local.get(va);
  f.i32.wrapI64();
  pushBytes();
  f.i32.const(1);
  f.i32.sub();
  f.i32.and();
  f.i32.eqz();
}
