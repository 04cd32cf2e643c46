/** The value types of WebAssembly 2.0, with the bytes that encode them. */

export type ValueType = "i32" | "i64" | "f32" | "f64" | "v128" | "funcref" | "externref";
export type ReferenceType = "funcref" | "externref";

export const VALUE_TYPE_CODES: Readonly<Record<ValueType, number>> = {
  i32: 0x7f,
  i64: 0x7e,
  f32: 0x7d,
  f64: 0x7c,
  v128: 0x7b,
  funcref: 0x70,
  externref: 0x6f,
};

/** Sizes of a memory (in pages of 64 KiB) or a table (in entries). */
export interface Limits {
  readonly min: number;
  readonly max?: number;
  /** Memories only: shared between threads; `max` is required then. */
  readonly shared?: boolean;
}

/** Counts, sizes, offsets and indices are unsigned 32-bit numbers in the format. */
export const MAX_U32 = 0xffff_ffff;
