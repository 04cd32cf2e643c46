/** What a record needs to know of an instruction from its word alone. */
import type { Decoder } from "../../a64/decoder.ts";
import { type Fields, fieldsOf, type Row } from "../../a64/encoding.ts";
import { type OpClass, opClassOf } from "../../a64/op-class.ts";
import type { OpKind } from "../../spe/op.ts";
import { recordedOperation } from "./operation.ts";

export interface OpInfo {
  readonly kind: OpKind;
  readonly subclass: number;
  readonly class: OpClass;
  /** SIMD or floating-point arithmetic. */
  readonly isSimd: boolean;
  /** The condition under which it does what it is for (CSEL, CCMP, B.cond), as NZCV is tested; undefined: none of NZCV. */
  readonly cond: number | undefined;
  /** The bits of a register whose being zero, or not, a branch depends on (CBZ, TBNZ). */
  readonly tested: { readonly register: number; readonly bits: bigint; readonly zero: boolean } | undefined;
  /** Where it branches to, less its own address; undefined for what is no direct branch. */
  readonly offset: bigint | undefined;
}

/** Of a guest that has more, they are made again. */
const MOST_KNOWN = 1 << 16;

const UNDEFINED_OP: OpClass = { kind: "other", conditional: false, floatingPoint: false, simd: false };
const UNDEFINED_INFO: OpInfo = {
  ...recordedOperation(UNDEFINED_OP),
  class: UNDEFINED_OP,
  isSimd: false,
  cond: undefined,
  tested: undefined,
  offset: undefined,
};

const BRANCH_OFFSETS = [
  ["imm26", 26],
  ["imm19", 19],
  ["imm14", 14],
] as const;

function offsetOf(op: OpClass, row: Row, f: Fields): bigint | undefined {
  if (op.kind !== "branch" || op.indirect) return undefined;
  const found = BRANCH_OFFSETS.find(([name]) => row.fields[name] !== undefined);
  return found === undefined ? undefined : 4n * BigInt.asIntN(found[1], BigInt(f[found[0]]));
}

function testedBy({ name }: Row, f: Fields): OpInfo["tested"] {
  switch (name) {
    case "CBZ":
    case "CBNZ":
      return { register: f.Rt, bits: f.sf === 1 ? 2n ** 64n - 1n : 2n ** 32n - 1n, zero: name === "CBZ" };
    case "TBZ":
    case "TBNZ":
      return { register: f.Rt, bits: 1n << BigInt(32 * f.b5 + f.b40), zero: name === "TBZ" };
    default:
      return undefined;
  }
}

/** Keeps them by word, of which a program has few. */
export class OpInfos {
  readonly #decoder: Decoder;
  readonly #known = new Map<number, OpInfo>();

  constructor(decoder: Decoder) {
    this.#decoder = decoder;
  }

  of(word: number): OpInfo {
    const known = this.#known.get(word);
    if (known !== undefined) return known;
    const info = this.#made(word);
    if (this.#known.size === MOST_KNOWN) this.#known.clear();
    this.#known.set(word, info);
    return info;
  }

  #made(word: number): OpInfo {
    const row = this.#decoder.decode(word);
    if (row === undefined) return UNDEFINED_INFO;
    const fields = fieldsOf(row, word);
    const op = opClassOf(row, fields);
    return {
      ...recordedOperation(op),
      class: op,
      isSimd: op.kind === "other" && (op.simd || op.floatingPoint),
      cond: row.fields["cond"] === undefined ? undefined : fields.cond,
      tested: testedBy(row, fields),
      offset: offsetOf(op, row, fields),
    };
  }
}
