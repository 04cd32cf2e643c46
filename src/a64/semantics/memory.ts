/** Loads and stores of general and SIMD&FP registers, without the exclusive, ordered and atomic ones. */
import type { Local } from "../../wasm/entities.ts";
import type { AccessOptions } from "../access.ts";
import { type Emit, type Fields, type FlowEmit, type Semantics, SP_BASE } from "../emit.ts";

const signed = (value: number, bits: number): number =>
  value >= 2 ** (bits - 1) ? value - 2 ** bits : value;

/** How the address is made, and what is written back to the base. */
type Mode = "offset" | "post" | "pre" | "register" | "literal";

/** Computes the address into a local; gives it with what to write back (the same local, or another), if anything. */
function addressed(
  e: FlowEmit,
  mode: Mode,
  size: number,
): { address: Local<"i64">; after: Local<"i64"> | undefined } {
  const { f } = e;
  const address = f.local.take("i64");
  switch (mode) {
    case "offset":
      e.base();
      e.imm();
      f.i64.add();
      f.local.set(address);
      return { address, after: undefined };
    case "literal":
      e.pc();
      e.imm();
      f.i64.add();
      f.local.set(address);
      return { address, after: undefined };
    case "register":
      e.base();
      registerOffset(e, size);
      f.i64.add();
      f.local.set(address);
      return { address, after: undefined };
    case "pre":
      e.base();
      e.imm();
      f.i64.add();
      f.local.set(address);
      return { address, after: address };
    case "post": {
      const after = f.local.take("i64");
      e.base();
      f.local.tee(address);
      e.imm();
      f.i64.add();
      f.local.set(after);
      return { address, after };
    }
  }
}

function registerOffset(e: FlowEmit, size: number): void {
  const { f } = e;
  const option = e.field("option");
  e.getX("Rm");
  if (option === 2) {
    f.i64.const(0xffff_ffff);
    f.i64.and();
  } else if (option === 6) f.i64.extend32S();
  if (e.field("S") === 1 && size > 0) {
    f.i64.const(size);
    f.i64.shl();
  }
}

function writeBack(e: Emit, { address, after }: ReturnType<typeof addressed>): void {
  if (after !== undefined) {
    e.f.local.get(after);
    e.setX("Rn");
    if (after !== address) e.f.local.release(after);
  }
  e.f.local.release(address);
}

/** Takes a host address; pushes the value there as an i64, extended as asked. */
function loadValue(e: Emit, size: number, signedTo: 0 | 32 | 64, offset = 0): void {
  const { i32, i64 } = e.f;
  if (signedTo === 64) [i64.load8S, i64.load16S, i64.load32S, i64.load][size]!.call(i64, offset);
  else if (signedTo === 32) {
    [i32.load8S, i32.load16S, i32.load][size]!.call(i32, offset);
    i64.extendI32U();
  } else [i64.load8U, i64.load16U, i64.load32U, i64.load][size]!.call(i64, offset);
}

/** Takes a host address and an i64. */
function storeValue(e: Emit, size: number, offset = 0): void {
  const { i64 } = e.f;
  [i64.store8, i64.store16, i64.store32, i64.store][size]!.call(i64, offset);
}

function load(
  mode: Mode,
  extension: (e: Emit) => { size: number; signedTo: 0 | 32 | 64 },
  options: AccessOptions,
) {
  return (e: FlowEmit): void => {
    const { f } = e;
    const { size, signedTo } = extension(e);
    const place = addressed(e, mode, size);
    f.local.get(place.address);
    e.readAddress(1 << size, { ...options, syndrome: place.after === undefined });
    loadValue(e, size, signedTo);
    if (place.after === undefined) {
      e.setX("Rt");
      f.local.release(place.address);
      return;
    }
    const value = f.local.take("i64");
    f.local.set(value);
    writeBack(e, place);
    f.local.get(value);
    e.setX("Rt");
    f.local.release(value);
  };
}

function store(mode: Mode, options: AccessOptions) {
  return (e: FlowEmit): void => {
    const { f } = e;
    const size = e.field("size");
    const place = addressed(e, mode, size);
    f.local.get(place.address);
    e.writeAddress(1 << size, { ...options, syndrome: place.after === undefined });
    e.getX("Rt");
    storeValue(e, size);
    writeBack(e, place);
  };
}

const zeroExtended = (e: Emit) => ({ size: e.field("size"), signedTo: 0 as const });
/** LDRS*: opc 2 extends to 64 bits, 3 to 32. */
const signExtended = (e: Emit) => ({
  size: e.field("size"),
  signedTo: e.field("opc") === 2 ? (64 as const) : (32 as const),
});

/** log2 of the bytes of a SIMD&FP access: opc<1>:size. */
const fpSize = (f: Fields): number => f.size + 4 * (f.opc >> 1);
const fpSizeOf = (e: Emit): number => e.field("size") + 4 * (e.field("opc") >> 1);

function loadFp(mode: Mode, sizeOf: (e: Emit) => number) {
  return (e: FlowEmit): void => {
    e.fpAccess();
    const size = sizeOf(e);
    const place = addressed(e, mode, size);
    e.f.local.get(place.address);
    e.readAddress(1 << size);
    loadVector(e, "Rt", size);
    writeBack(e, place);
  };
}

/** Takes a host address; loads a SIMD&FP register of 2^size bytes, the rest of it becoming zero. */
function loadVector(e: Emit, field: string, size: number, offset = 0): void {
  const { f } = e;
  if (size === 4) f.v128.load(offset);
  else if (size === 3) f.v128.load64Zero(offset);
  else if (size === 2) f.v128.load32Zero(offset);
  else {
    loadValue(e, size, 0, offset);
    e.setD(field);
    return;
  }
  e.setV(field);
}

/** Takes a host address; stores 2^size bytes of a SIMD&FP register. */
function storeVector(e: Emit, field: string, size: number, offset = 0): void {
  const { f } = e;
  if (size === 4) {
    e.getV(field);
    f.v128.store(offset);
    return;
  }
  e.getD(field);
  storeValue(e, size, offset);
}

function storeFp(mode: Mode, sizeOf: (e: Emit) => number) {
  return (e: FlowEmit): void => {
    e.fpAccess();
    const size = sizeOf(e);
    const place = addressed(e, mode, size);
    e.f.local.get(place.address);
    e.writeAddress(1 << size);
    storeVector(e, "Rt", size);
    writeBack(e, place);
  };
}

const imm9 = (f: Fields): number => signed(f.imm9, 9);
const by19 = (f: Fields): number => 4 * signed(f.imm19, 19);

interface Forms {
  readonly make: (mode: Mode) => (e: FlowEmit) => void;
  readonly scaled: (f: Fields) => number;
}

type Form = "unsigned" | "unscaled" | "post" | "pre" | "register";

/** The addressing modes of one kind of access. */
const forms = ({ make, scaled }: Forms): Readonly<Record<Form, Semantics>> => ({
  unsigned: { imm: scaled, special: [SP_BASE], inline: true, emit: make("offset") },
  unscaled: { imm: imm9, special: [SP_BASE], inline: true, emit: make("offset") },
  post: { imm: imm9, special: [SP_BASE], inline: true, emit: make("post") },
  pre: { imm: imm9, special: [SP_BASE], inline: true, emit: make("pre") },
  register: { special: [SP_BASE], inline: true, emit: make("register") },
});

const scaledBySize = (f: Fields): number => f.imm12 * 2 ** f.size;
const LDR = forms({ make: (mode) => load(mode, zeroExtended, {}), scaled: scaledBySize });
const LDRS = forms({ make: (mode) => load(mode, signExtended, {}), scaled: scaledBySize });
const STR = forms({ make: (mode) => store(mode, {}), scaled: scaledBySize });
const scaledFp = (f: Fields): number => f.imm12 * 2 ** fpSize(f);
const LDR_FP = forms({ make: (mode) => loadFp(mode, fpSizeOf), scaled: scaledFp });
const STR_FP = forms({ make: (mode) => storeFp(mode, fpSizeOf), scaled: scaledFp });

const unprivileged = (emit: (e: FlowEmit) => void): Semantics => ({
  imm: imm9,
  special: [SP_BASE],
  inline: true,
  emit,
});
const literal = (emit: (e: FlowEmit) => void): Semantics => ({ imm: by19, inline: true, emit });

// ---- Pairs ----

/** log2 of the bytes of each register of a pair. */
const pairSize = (f: Fields): number => 2 + (f.opc >> 1);
const pairFpSize = (f: Fields): number => 2 + f.opc;

function loadPair(mode: Mode, signedWords: boolean) {
  return (e: FlowEmit): void => {
    const { f } = e;
    const size = signedWords ? 2 : 2 + (e.field("opc") >> 1);
    const place = addressed(e, mode, size);
    const at = f.local.take("i32");
    const first = f.local.take("i64");
    const second = f.local.take("i64");
    f.local.get(place.address);
    e.readAddress(2 << size, { element: 1 << size });
    f.local.tee(at);
    loadValue(e, size, signedWords ? 64 : 0);
    f.local.set(first);
    f.local.get(at);
    loadValue(e, size, signedWords ? 64 : 0, 1 << size);
    f.local.set(second);
    writeBack(e, place);
    f.local.get(first);
    e.setX("Rt");
    f.local.get(second);
    e.setX("Rt2");
    f.local.release(at);
    f.local.release(first);
    f.local.release(second);
  };
}

function storePair(mode: Mode) {
  return (e: FlowEmit): void => {
    const { f } = e;
    const size = 2 + (e.field("opc") >> 1);
    const place = addressed(e, mode, size);
    const at = f.local.take("i32");
    f.local.get(place.address);
    e.writeAddress(2 << size, { element: 1 << size });
    f.local.tee(at);
    e.getX("Rt");
    storeValue(e, size);
    f.local.get(at);
    e.getX("Rt2");
    storeValue(e, size, 1 << size);
    writeBack(e, place);
    f.local.release(at);
  };
}

function pairFp(mode: Mode, isLoad: boolean) {
  return (e: FlowEmit): void => {
    e.fpAccess();
    const { f } = e;
    const size = 2 + e.field("opc");
    const place = addressed(e, mode, size);
    const at = f.local.take("i32");
    f.local.get(place.address);
    if (isLoad) e.readAddress(2 << size, { element: 1 << size });
    else e.writeAddress(2 << size, { element: 1 << size });
    f.local.tee(at);
    (isLoad ? loadVector : storeVector)(e, "Rt", size);
    f.local.get(at);
    (isLoad ? loadVector : storeVector)(e, "Rt2", size, 1 << size);
    writeBack(e, place);
    f.local.release(at);
  };
}

const pairForms = (make: (mode: Mode) => (e: FlowEmit) => void, size: (f: Fields) => number) => {
  const imm = (f: Fields): number => signed(f.imm7, 7) * 2 ** size(f);
  const form = (mode: Mode): Semantics => ({ imm, special: [SP_BASE], inline: true, emit: make(mode) });
  return { offset: form("offset"), post: form("post"), pre: form("pre") };
};

const LDP = pairForms((mode) => loadPair(mode, false), pairSize);
const LDPSW = pairForms(
  (mode) => loadPair(mode, true),
  () => 2,
);
const STP = pairForms(storePair, pairSize);
const LDP_FP = pairForms((mode) => pairFp(mode, true), pairFpSize);
const STP_FP = pairForms((mode) => pairFp(mode, false), pairFpSize);

/** A hint to caches that this machine does not have. */
const prefetch: Semantics = { inline: true, emit: () => {} };

export const MEMORY = {
  LDR_imm_unsigned: LDR.unsigned,
  LDR_unscaled: LDR.unscaled,
  LDR_post: LDR.post,
  LDR_pre: LDR.pre,
  LDR_reg: LDR.register,
  LDRS_imm_unsigned: LDRS.unsigned,
  LDRS_unscaled: LDRS.unscaled,
  LDRS_post: LDRS.post,
  LDRS_pre: LDRS.pre,
  LDRS_reg: LDRS.register,
  STR_imm_unsigned: STR.unsigned,
  STR_unscaled: STR.unscaled,
  STR_post: STR.post,
  STR_pre: STR.pre,
  STR_reg: STR.register,
  LDR_fp_imm_unsigned: LDR_FP.unsigned,
  LDR_fp_unscaled: LDR_FP.unscaled,
  LDR_fp_post: LDR_FP.post,
  LDR_fp_pre: LDR_FP.pre,
  LDR_fp_reg: LDR_FP.register,
  STR_fp_imm_unsigned: STR_FP.unsigned,
  STR_fp_unscaled: STR_FP.unscaled,
  STR_fp_post: STR_FP.post,
  STR_fp_pre: STR_FP.pre,
  STR_fp_reg: STR_FP.register,
  LDTR: unprivileged(load("offset", zeroExtended, { unprivileged: true })),
  LDTRS: unprivileged(load("offset", signExtended, { unprivileged: true })),
  STTR: unprivileged(store("offset", { unprivileged: true })),
  LDR_literal: literal(load("literal", (e) => ({ size: 2 + e.field("opc"), signedTo: 0 }), {})),
  LDRSW_literal: literal(load("literal", () => ({ size: 2, signedTo: 64 }), {})),
  LDR_fp_literal: literal(loadFp("literal", (e) => 2 + e.field("opc"))),
  LDP_offset: LDP.offset,
  LDP_post: LDP.post,
  LDP_pre: LDP.pre,
  LDPSW_offset: LDPSW.offset,
  LDPSW_post: LDPSW.post,
  LDPSW_pre: LDPSW.pre,
  STP_offset: STP.offset,
  STP_post: STP.post,
  STP_pre: STP.pre,
  LDNP: LDP.offset,
  STNP: STP.offset,
  LDP_fp_offset: LDP_FP.offset,
  LDP_fp_post: LDP_FP.post,
  LDP_fp_pre: LDP_FP.pre,
  STP_fp_offset: STP_FP.offset,
  STP_fp_post: STP_FP.post,
  STP_fp_pre: STP_FP.pre,
  LDNP_fp: LDP_FP.offset,
  STNP_fp: STP_FP.offset,
  PRFM_imm: prefetch,
  PRFUM: prefetch,
  PRFM_reg: prefetch,
  PRFM_literal: prefetch,
} satisfies Record<string, Semantics>;
