/**
 * How a system register is declared: once, to the last bit. Bits that no field names are RES0 by computation, and
 * fields that overlap refuse to load.
 */
import { invariant } from "../common/errors.ts";
import { lowWord } from "../common/words.ts";

/** Where a field lies: bits [high:low], both included. */
export interface BitRange {
  readonly high: number;
  readonly low: number;
}

/** The encoding of MSR/MRS: op0, op1, CRn, CRm, op2. */
export type Encoding = readonly [op0: number, op1: number, crn: number, crm: number, op2: number];

export interface Field extends BitRange {
  /** The field's bits in place. */
  readonly mask: bigint;
  /** Those of them in bits 31:0, unsigned: for code that has taken a register's low word as a number. */
  readonly mask32: number;
}

/** What a field may be set to; true is 1. */
export type FieldValue = bigint | number | boolean;

export interface RegisterOptions {
  /** "RO": a write is UNDEFINED (ID registers). Default "RW". */
  readonly access?: "RW" | "RO";
  /** Value after a warm reset. Fields that reset to an UNKNOWN value are zero here. Default 0. */
  readonly reset?: bigint;
  /** The register that this encoding reaches at EL2 with HCR_EL2.E2H = 1 (the _EL12 forms). */
  readonly aliasOf?: string;
  /** Where the layout comes from. */
  readonly source: string;
}

export interface Register<N extends string = string, F extends string = string> {
  readonly name: N;
  readonly encoding: Encoding;
  readonly fields: { readonly [K in F]: Field };
  readonly access: "RW" | "RO";
  readonly reset: bigint;
  readonly aliasOf: string | undefined;
  readonly source: string;
  /** The bits that no field names. */
  readonly res0: bigint;
  /** The bits that some field names. */
  readonly mask: bigint;
  /** `value` with some fields replaced. A field value that does not fit is a BrokenInvariant. */
  with(value: bigint, changes: { readonly [K in F]?: FieldValue }): bigint;
  /** A field's value, shifted down. */
  get(value: bigint, field: F): bigint;
  /** A field's value as a number; exact for fields of at most 53 bits. */
  num(value: bigint, field: F): number;
  /** Whether a field is not zero. */
  is(value: bigint, field: F): boolean;
}

export const bit = (n: number): BitRange => ({ high: n, low: n });
export const bits = (high: number, low: number): BitRange => ({ high, low });

const ALL = (1n << 64n) - 1n;

/** Declares a 64-bit register. Fields outside [63:0] or sharing a bit are a BrokenInvariant at load. */
export function register<N extends string, F extends string>(
  name: N,
  encoding: Encoding,
  ranges: { readonly [K in F]: BitRange },
  options: RegisterOptions,
): Register<N, F> {
  let mask = 0n;
  const fields = {} as { [K in F]: Field };
  for (const field of Object.keys(ranges) as F[]) {
    const { high, low } = ranges[field];
    invariant(low >= 0 && high >= low && high <= 63, `${name}.${field}: [${high}:${low}] is not in [63:0]`);
    const fieldMask = ((1n << BigInt(high - low + 1)) - 1n) << BigInt(low);
    invariant((mask & fieldMask) === 0n, `${name}.${field}: [${high}:${low}] overlaps another field`);
    mask |= fieldMask;
    fields[field] = { high, low, mask: fieldMask, mask32: Number(fieldMask & 0xffff_ffffn) };
  }
  const reset = options.reset ?? 0n;
  invariant((reset & ~mask) === 0n, `${name}: the reset value has RES0 bits set`);

  return {
    name,
    encoding,
    fields,
    access: options.access ?? "RW",
    reset,
    aliasOf: options.aliasOf,
    source: options.source,
    mask,
    res0: ALL & ~mask,
    with(value, changes) {
      let out = value;
      for (const field of Object.keys(changes) as F[]) {
        const change = changes[field];
        if (change === undefined) continue;
        const { low, mask: fieldMask } = fields[field];
        const placed = BigInt(change) << BigInt(low);
        invariant(
          placed >= 0n && (placed & ~fieldMask) === 0n,
          `${name}.${field}: ${change} does not fit the field`,
        );
        out = (out & ~fieldMask) | placed;
      }
      return out;
    },
    get: (value, field) => (value & fields[field].mask) >> BigInt(fields[field].low),
    num(value, field) {
      const { high, low, mask: fieldMask, mask32 } = fields[field];
      if (high < 32) return (lowWord(value) & mask32) >>> low;
      return Number((value & fieldMask) >> BigInt(low));
    },
    // A 64-bit result is compared as such, without making a bigint.
    is: (value, field) => BigInt.asUintN(64, value & fields[field].mask) !== 0n,
  };
}

/** The encoding as one number, op0:op1:CRn:CRm:op2, the key of look-ups and of HPFAR-like tables. */
export const encodingKey = (encoding: Encoding): number =>
  (encoding[0] << 14) | (encoding[1] << 11) | (encoding[2] << 7) | (encoding[3] << 3) | encoding[4];
