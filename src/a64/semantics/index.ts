/** What each encoding does. An encoding that is not here is UNDEFINED to the guest, and counted. */
import type { Semantics } from "../emit.ts";
import type { RowName } from "../encodings/index.ts";
import { SIMD_FLOATING_POINT } from "../encodings/simd-fp.ts";
import { ATOMICS } from "./atomics.ts";
import { BRANCHES } from "./branches.ts";
import { CRYPTOGRAPHIC } from "./crypto.ts";
import { SCALAR_CONVERSIONS } from "./fp/convert.ts";
import { FUSED } from "./fp/fused.ts";
import { exact, SCALAR_MOVES } from "./fp/moves.ts";
import { SCALAR_ARITHMETIC } from "./fp/scalar.ts";
import { VECTOR_ARITHMETIC } from "./fp/vector.ts";
import { VECTOR_CONVERSIONS } from "./fp/vector-convert.ts";
import { ADD_AND_COMPARE } from "./integer/add.ts";
import { BIT_OPERATIONS } from "./integer/bits.ts";
import { LOGICAL_AND_BIT_FIELDS } from "./integer/logical.ts";
import { MULTIPLY_AND_DIVIDE } from "./integer/multiply.ts";
import { MEMORY } from "./memory.ts";
import { SIMD_ARITHMETIC } from "./simd/arithmetic.ts";
import { SIMD_BITS } from "./simd/bits.ts";
import { SIMD_MEMORY } from "./simd/memory.ts";
import { SIMD_PERMUTES } from "./simd/permutes.ts";
import { SIMD_REDUCTIONS } from "./simd/reductions.ts";
import { SIMD_SATURATING_SEMANTICS } from "./simd/saturating.ts";
import { SIMD_SHIFTS } from "./simd/shifts.ts";
import { SIMD_WIDENING } from "./simd/widening.ts";
import { SYSTEM_INSTRUCTIONS } from "./system.ts";

/** Rows that TypeScript carries out: cpu/simd-fp.ts. */
const allExact = (rows: object): Record<string, Semantics> =>
  Object.fromEntries(Object.keys(rows).map((name) => [name, exact]));

export const SEMANTICS: Readonly<Partial<Record<RowName, Semantics>>> = {
  ...ADD_AND_COMPARE,
  ...LOGICAL_AND_BIT_FIELDS,
  ...MULTIPLY_AND_DIVIDE,
  ...BIT_OPERATIONS,
  ...BRANCHES,
  ...MEMORY,
  ...ATOMICS,
  ...SYSTEM_INSTRUCTIONS,
  ...SCALAR_MOVES,
  ...SCALAR_ARITHMETIC,
  ...SCALAR_CONVERSIONS,
  FCVTZ_to_fixed: exact,
  CVTF_from_fixed: exact,
  ...SIMD_ARITHMETIC,
  ...SIMD_BITS,
  ...SIMD_REDUCTIONS,
  ...SIMD_WIDENING,
  ...SIMD_SHIFTS,
  ...SIMD_SATURATING_SEMANTICS,
  ...SIMD_PERMUTES,
  ...SIMD_MEMORY,
  URECPE: exact,
  URSQRTE: exact,
  ...allExact(SIMD_FLOATING_POINT),
  ...VECTOR_ARITHMETIC,
  ...VECTOR_CONVERSIONS,
  ...FUSED,
  ...CRYPTOGRAPHIC,
};
