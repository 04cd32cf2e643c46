/**
 * What kind of operation an instruction is, as the Statistical Profiling Extension tells them apart (Arm ARM D17.2.6, Operation
 * Type packet; SPEOpAttr and SPEConstructClass in the shared pseudocode). SVE, SME, MTE and memory copies are not there.
 */
import { encodingKey, SYSOP } from "../arm/registers.ts";
import { BrokenInvariant } from "../common/errors.ts";
import type { Fields, Row } from "./encoding.ts";
import { ATOMIC_ACCESSES } from "./encodings/atomics.ts";
import { BRANCHES_AND_SYSTEM } from "./encodings/branches.ts";
import { CRYPTO } from "./encodings/crypto.ts";
import { DATA_PROCESSING_IMMEDIATE } from "./encodings/data-processing-immediate.ts";
import { DATA_PROCESSING_REGISTER } from "./encodings/data-processing-register.ts";
import { FLOATING_POINT } from "./encodings/fp.ts";
import { LOADS_STORES } from "./encodings/loads-stores.ts";
import { SIMD } from "./encodings/simd.ts";
import { SIMD_FLOATING_POINT } from "./encodings/simd-fp.ts";
import { SIMD_LOADS_STORES } from "./encodings/simd-loads-stores.ts";
import { SIMD_SATURATING } from "./encodings/simd-saturating.ts";

/** "Any other class of operation". */
interface OtherOp {
  readonly kind: "other";
  /** It may do nothing, or something else, by a condition. */
  readonly conditional: boolean;
  /** By the class of its encoding. */
  readonly floatingPoint: boolean;
  readonly simd: boolean;
}

/** An access to memory by a program. */
export interface MemoryOp {
  /** "Any memory-write operation, including atomics without return"; "atomics with return, compare-and-swap and swap". */
  readonly kind: "load" | "store" | "load-atomic";
  /** Which registers it moves; "unspecified" by an instruction that has no class of its own. */
  readonly registers: "general" | "simd-fp" | "unspecified";
  /** Atomic, exclusive, or with acquire or release semantics; undefined: none of it. */
  readonly extended:
    | { readonly atomic: boolean; readonly exclusive: boolean; readonly acquireRelease: boolean }
    | undefined;
}

/** "Software write to the PC": a branch or an exception return, taken or not. */
export interface BranchOp {
  readonly kind: "branch";
  readonly conditional: boolean;
  readonly indirect: boolean;
  /** Branch with link, procedure return, or neither. */
  readonly procedure: "call" | "return" | "neither";
}

export type OpClass = OtherOp | MemoryOp | BranchOp;

type Classify = OpClass | ((f: Fields) => OpClass);

const other = (what: Partial<Omit<OtherOp, "kind">> = {}): OtherOp => ({
  kind: "other",
  conditional: false,
  floatingPoint: false,
  simd: false,
  ...what,
});
const OTHER = other();

const memory = (kind: MemoryOp["kind"], registers: MemoryOp["registers"]): MemoryOp => ({
  kind,
  registers,
  extended: undefined,
});

const extended = (kind: MemoryOp["kind"], what: Partial<MemoryOp["extended"]>): MemoryOp => ({
  kind,
  registers: "general",
  extended: { atomic: false, exclusive: false, acquireRelease: false, ...what },
});

const branch = (what: Partial<Omit<BranchOp, "kind">> = {}): BranchOp => ({
  kind: "branch",
  conditional: false,
  indirect: false,
  procedure: "neither",
  ...what,
});
const CONDITIONAL_BRANCH = branch({ conditional: true });

/** Of maintenance and address translation only DC ZVA is an access of the program's. */
const systemClass = (f: Fields): OpClass =>
  encodingKey([1, f.op1, f.CRn, f.CRm, f.op2]) === SYSOP.DC_ZVA ? memory("store", "unspecified") : OTHER;

/** An exception that is generated is no write to the PC by software; ISB is none either, though the pseudocode has it so. */
const BRANCH_CLASSES: Readonly<Record<keyof typeof BRANCHES_AND_SYSTEM, Classify>> = {
  B: branch(),
  BL: branch({ procedure: "call" }),
  B_cond: CONDITIONAL_BRANCH,
  CBZ: CONDITIONAL_BRANCH,
  CBNZ: CONDITIONAL_BRANCH,
  TBZ: CONDITIONAL_BRANCH,
  TBNZ: CONDITIONAL_BRANCH,
  BR: branch({ indirect: true }),
  BLR: branch({ indirect: true, procedure: "call" }),
  RET: branch({ indirect: true, procedure: "return" }),
  ERET: branch({ indirect: true }),
  // UNDEFINED but in Debug state.
  DRPS: OTHER,
  SVC: OTHER,
  HVC: OTHER,
  SMC: OTHER,
  BRK: OTHER,
  HLT: OTHER,
  DCPS1: OTHER,
  DCPS2: OTHER,
  DCPS3: OTHER,
  MSR_imm: OTHER,
  HINT: OTHER,
  CLREX: OTHER,
  DSB: OTHER,
  DMB: OTHER,
  ISB: OTHER,
  SYS: systemClass,
  SYSL: OTHER,
  MSR_reg: OTHER,
  MRS: OTHER,
};

/** To ZR it gives nothing back, and does not acquire. */
const readModifyWrite = (f: Fields): OpClass =>
  f.Rt === 31
    ? extended("store", { atomic: true, acquireRelease: f.R === 1 })
    : extended("load-atomic", { atomic: true, acquireRelease: (f.A | f.R) === 1 });
const swap = (f: Fields): OpClass =>
  extended("load-atomic", { atomic: true, acquireRelease: f.R === 1 || (f.A === 1 && f.Rt !== 31) });
const compareAndSwap = (f: Fields): OpClass =>
  extended("load-atomic", { atomic: true, acquireRelease: (f.L | f.o0) === 1 });
const EXCLUSIVE = { exclusive: true };
const ORDERED = { acquireRelease: true };
const BOTH = { ...EXCLUSIVE, ...ORDERED };

const ATOMIC_CLASSES: Readonly<Record<keyof typeof ATOMIC_ACCESSES, Classify>> = {
  STXR: extended("store", EXCLUSIVE),
  STLXR: extended("store", BOTH),
  LDXR: extended("load", EXCLUSIVE),
  LDAXR: extended("load", BOTH),
  STXP: extended("store", EXCLUSIVE),
  STLXP: extended("store", BOTH),
  LDXP: extended("load", EXCLUSIVE),
  LDAXP: extended("load", BOTH),
  STLLR: extended("store", ORDERED),
  STLR: extended("store", ORDERED),
  LDLAR: extended("load", ORDERED),
  LDAR: extended("load", ORDERED),
  CAS: compareAndSwap,
  CASP: compareAndSwap,
  LDADD: readModifyWrite,
  LDCLR: readModifyWrite,
  LDEOR: readModifyWrite,
  LDSET: readModifyWrite,
  LDSMAX: readModifyWrite,
  LDSMIN: readModifyWrite,
  LDUMAX: readModifyWrite,
  LDUMIN: readModifyWrite,
  SWP: swap,
};

/** A prefetch is a hint, and nothing comes of it that a program would see: no access. */
function loadStoreClass(name: string): OpClass {
  if (name.startsWith("PRF")) return OTHER;
  const registers = name.includes("_fp") ? "simd-fp" : "general";
  if (name.startsWith("LD")) return memory("load", registers);
  if (name.startsWith("ST")) return memory("store", registers);
  throw new BrokenInvariant(`${name} is neither a load nor a store`);
}

/** Loads have L = 1, or are loads whatever the fields. */
const structureClass = (f: Fields): OpClass => memory(f.L === 0 ? "store" : "load", "simd-fp");

const CONDITIONALS = /^(CSEL|CSINC|CSINV|CSNEG|CCM[NP]_(imm|reg)|FCSEL|FCCMP)$/;

const CLASSES = new Map<Row, Classify>();
const addAll = (rows: Readonly<Record<string, Row>>, classOf: (name: string) => Classify): void => {
  for (const row of Object.values(rows)) CLASSES.set(row, classOf(row.name));
};
const conditionalOr =
  (plain: OtherOp) =>
  (name: string): OtherOp =>
    CONDITIONALS.test(name) ? { ...plain, conditional: true } : plain;
addAll(DATA_PROCESSING_IMMEDIATE, () => OTHER);
addAll(DATA_PROCESSING_REGISTER, conditionalOr(OTHER));
addAll(BRANCHES_AND_SYSTEM, (name) => BRANCH_CLASSES[name as keyof typeof BRANCH_CLASSES]);
addAll(LOADS_STORES, loadStoreClass);
addAll(ATOMIC_ACCESSES, (name) => ATOMIC_CLASSES[name as keyof typeof ATOMIC_CLASSES]);
addAll(FLOATING_POINT, conditionalOr(other({ floatingPoint: true })));
addAll(SIMD, () => other({ simd: true }));
addAll(SIMD_SATURATING, () => other({ simd: true }));
addAll(SIMD_FLOATING_POINT, () => other({ simd: true, floatingPoint: true }));
addAll(SIMD_LOADS_STORES, () => structureClass);
addAll(CRYPTO, () => other({ simd: true }));

function classify(row: Row): Classify {
  const found = CLASSES.get(row);
  if (found === undefined) throw new BrokenInvariant(`${row.name} has no class of operation`);
  return found;
}

/** The class of a row's instruction with these fields. @throws BrokenInvariant for a row that has none */
export function opClassOf(row: Row, fields: Fields): OpClass {
  const found = classify(row);
  return typeof found === "function" ? found(fields) : found;
}

/** The class of all of a row's instructions; undefined where their fields say it. @throws BrokenInvariant for a row that has none */
export function opClassOfRow(row: Row): OpClass | undefined {
  const found = classify(row);
  return typeof found === "function" ? undefined : found;
}
