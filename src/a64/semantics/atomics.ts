/** Exclusives, acquire and release, and the atomics of FEAT_LSE. One vCPU runs at a time: each is one plain access. */
import type { Local } from "../../wasm/entities.ts";
import { type Emit, type Semantics, SP_BASE } from "../emit.ts";

const sizeOf = (e: Emit): number => e.field("size");

function load(e: Emit, size: number, offset = 0): void {
  const { i64 } = e.f;
  [i64.load8U, i64.load16U, i64.load32U, i64.load][size]!.call(i64, offset);
}

function store(e: Emit, size: number, offset = 0): void {
  const { i64 } = e.f;
  [i64.store8, i64.store16, i64.store32, i64.store][size]!.call(i64, offset);
}

const orderedLoad: Semantics = {
  special: [SP_BASE],
  inline: true,
  emit: (e) => {
    e.base();
    e.readAddress(1 << sizeOf(e), { aligned: true, syndrome: true });
    load(e, sizeOf(e));
    e.setX("Rt");
  },
};

const orderedStore: Semantics = {
  special: [SP_BASE],
  inline: true,
  emit: (e) => {
    e.base();
    e.writeAddress(1 << sizeOf(e), { aligned: true, syndrome: true });
    e.getX("Rt");
    store(e, sizeOf(e));
  },
};

function loadExclusive(pair: boolean): Semantics {
  return {
    special: [SP_BASE],
    inline: true,
    emit: (e) => {
      const { f } = e;
      const size = pair ? 2 + e.field("sz") : sizeOf(e);
      const bytes = (pair ? 2 : 1) << size;
      const at = f.local.take("i32");
      e.base();
      e.readAddress(bytes, { aligned: true });
      f.local.set(at);
      e.setMonitor(at, bytes);
      if (pair) {
        f.local.get(at);
        load(e, size, 1 << size);
      }
      f.local.get(at);
      load(e, size);
      e.setX("Rt");
      if (pair) e.setX("Rt2");
      f.local.release(at);
    },
  };
}

/**
 * Stores if the monitor still marks this place, by host address: nobody else has run since (the core clears the monitor
 * when another vCPU may have). Rs becomes 0 where it stored, else 1.
 */
function storeExclusive(pair: boolean): Semantics {
  return {
    special: [SP_BASE],
    inline: true,
    emit: (e) => {
      const { f } = e;
      const size = pair ? 2 + e.field("sz") : sizeOf(e);
      const bytes = (pair ? 2 : 1) << size;
      const at = f.local.take("i32");
      const failed = f.local.take("i32");
      e.base();
      e.writeAddress(bytes, { aligned: true });
      f.local.set(at);
      f.i32.const(1);
      f.local.set(failed);
      e.monitorHas(at, bytes);
      const marked = f.if();
      f.local.get(at);
      e.getX("Rt");
      store(e, size);
      if (pair) {
        f.local.get(at);
        e.getX("Rt2");
        store(e, size, 1 << size);
      }
      f.i32.const(0);
      f.local.set(failed);
      f.end(marked);
      e.clearMonitor();
      f.local.get(failed);
      e.setW("Rs");
      f.local.release(at);
      f.local.release(failed);
    },
  };
}

type Combine = (e: Emit, old: Local<"i64">, operand: Local<"i64">, size: number) => void;

/** Pushes a value sign-extended from 8 << size bits. */
function signExtended(e: Emit, value: Local<"i64">, size: number): void {
  e.f.local.get(value);
  if (size === 0) e.f.i64.extend8S();
  else if (size === 1) e.f.i64.extend16S();
  else if (size === 2) e.f.i64.extend32S();
}

/** Pushes a value without what is above 8 << size bits. */
function zeroExtended(e: Emit, value: Local<"i64">, size: number): void {
  e.f.local.get(value);
  if (size === 3) return;
  e.f.i64.const([0xff, 0xffff, 0xffff_ffff][size]!);
  e.f.i64.and();
}

function chosen(extend: typeof signExtended, compare: "gtS" | "ltS" | "gtU" | "ltU"): Combine {
  return (e, old, operand, size) => {
    e.f.local.get(old);
    e.f.local.get(operand);
    extend(e, old, size);
    extend(e, operand, size);
    e.f.i64[compare]();
    e.f.select();
  };
}

const simple =
  (operation: "add" | "or" | "xor"): Combine =>
  (e, old, operand) => {
    e.f.local.get(old);
    e.f.local.get(operand);
    e.f.i64[operation]();
  };

function atomic(combine: Combine): Semantics {
  return {
    special: [SP_BASE],
    emit: (e) => {
      const { f } = e;
      const size = sizeOf(e);
      const at = f.local.take("i32");
      const old = f.local.take("i64");
      const operand = f.local.take("i64");
      e.base();
      e.updateAddress(1 << size, { aligned: true });
      f.local.tee(at);
      load(e, size);
      f.local.set(old);
      e.getX("Rs");
      f.local.set(operand);
      f.local.get(at);
      combine(e, old, operand, size);
      store(e, size);
      f.local.get(old);
      e.setX("Rt");
      f.local.release(at);
      f.local.release(old);
      f.local.release(operand);
    },
  };
}

const compareAndSwap: Semantics = {
  special: [SP_BASE],
  emit: (e) => {
    const { f } = e;
    const size = sizeOf(e);
    const at = f.local.take("i32");
    const old = f.local.take("i64");
    const expected = f.local.take("i64");
    e.base();
    e.updateAddress(1 << size, { aligned: true });
    f.local.tee(at);
    load(e, size);
    f.local.set(old);
    e.getX("Rs");
    f.local.set(expected);
    f.local.get(old);
    zeroExtended(e, expected, size);
    f.i64.eq();
    const equal = f.if();
    f.local.get(at);
    e.getX("Rt");
    store(e, size);
    f.end(equal);
    f.local.get(old);
    e.setX("Rs");
    f.local.release(at);
    f.local.release(old);
    f.local.release(expected);
  },
};

/** CASP: Rs, Rs+1 compared and Rt, Rt+1 stored; an odd register is UNDEFINED. */
const compareAndSwapPair: Semantics = {
  special: [SP_BASE],
  emit: (e) => {
    const { f } = e;
    const size = 2 + e.field("sz");
    const at = f.local.take("i32");
    const low = f.local.take("i64");
    const high = f.local.take("i64");
    const wanted = f.local.take("i64");
    e.base();
    e.updateAddress(2 << size, { aligned: true });
    f.local.tee(at);
    load(e, size);
    f.local.set(low);
    f.local.get(at);
    load(e, size, 1 << size);
    f.local.set(high);
    e.getX("Rs");
    f.local.set(wanted);
    f.local.get(low);
    zeroExtended(e, wanted, size);
    f.i64.eq();
    e.getX("Rs", 1);
    f.local.set(wanted);
    f.local.get(high);
    zeroExtended(e, wanted, size);
    f.i64.eq();
    f.i32.and();
    const equal = f.if();
    f.local.get(at);
    e.getX("Rt");
    store(e, size);
    f.local.get(at);
    e.getX("Rt", 1);
    store(e, size, 1 << size);
    f.end(equal);
    f.local.get(low);
    e.setX("Rs");
    f.local.get(high);
    e.setX("Rs", 1);
    for (const local of [at, low, high, wanted]) f.local.release(local);
  },
};

export const ATOMICS = {
  LDXR: loadExclusive(false),
  LDAXR: loadExclusive(false),
  LDXP: loadExclusive(true),
  LDAXP: loadExclusive(true),
  STXR: storeExclusive(false),
  STLXR: storeExclusive(false),
  STXP: storeExclusive(true),
  STLXP: storeExclusive(true),
  LDAR: orderedLoad,
  LDLAR: orderedLoad,
  STLR: orderedStore,
  STLLR: orderedStore,
  CAS: compareAndSwap,
  CASP: compareAndSwapPair,
  SWP: atomic((e, _old, operand) => e.f.local.get(operand)),
  LDADD: atomic(simple("add")),
  LDCLR: atomic((e, old, operand) => {
    e.f.local.get(old);
    e.f.local.get(operand);
    e.f.i64.const(-1);
    e.f.i64.xor();
    e.f.i64.and();
  }),
  LDEOR: atomic(simple("xor")),
  LDSET: atomic(simple("or")),
  LDSMAX: atomic(chosen(signExtended, "gtS")),
  LDSMIN: atomic(chosen(signExtended, "ltS")),
  LDUMAX: atomic(chosen(zeroExtended, "gtU")),
  LDUMIN: atomic(chosen(zeroExtended, "ltU")),
} satisfies Record<string, Semantics>;
