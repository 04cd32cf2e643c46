/** What each encoding does. An encoding that is not here is UNDEFINED to the guest, and counted. */
import type { Semantics } from "../emit.ts";
import type { RowName } from "../encodings/index.ts";
import { SIMD_FLOATING_POINT } from "../encodings/simd-fp.ts";
import { ATOMICS } from "./atomics.ts";
import { BRANCHES } from "./branches.ts";
import { CRYPTOGRAPHIC } from "./crypto.ts";
import { exact, FLOATING_POINT_SEMANTICS } from "./fp.ts";
import { FLOATING_POINT_ARITHMETIC } from "./fp-arithmetic.ts";
import { INTEGER } from "./integer.ts";
import { MEMORY } from "./memory.ts";
import { SIMD_ARITHMETIC } from "./simd/arithmetic.ts";
import { SIMD_MEMORY } from "./simd/memory.ts";
import { SIMD_PERMUTES } from "./simd/permutes.ts";
import { SIMD_SATURATING_SEMANTICS } from "./simd/saturating.ts";
import { SIMD_SHIFTS } from "./simd/shifts.ts";
import { SIMD_WIDENING } from "./simd/widening.ts";
import { SYSTEM_INSTRUCTIONS } from "./system.ts";

/** Rows that TypeScript carries out: cpu/simd-fp.ts. */
const allExact = (rows: object): Record<string, Semantics> =>
  Object.fromEntries(Object.keys(rows).map((name) => [name, exact]));

export const SEMANTICS: Readonly<Partial<Record<RowName, Semantics>>> = {
  ...INTEGER,
  ...BRANCHES,
  ...MEMORY,
  ...ATOMICS,
  ...SYSTEM_INSTRUCTIONS,
  ...FLOATING_POINT_SEMANTICS,
  ...SIMD_ARITHMETIC,
  ...SIMD_WIDENING,
  ...SIMD_SHIFTS,
  ...SIMD_SATURATING_SEMANTICS,
  ...SIMD_PERMUTES,
  ...SIMD_MEMORY,
  URECPE: exact,
  URSQRTE: exact,
  ...allExact(SIMD_FLOATING_POINT),
  ...FLOATING_POINT_ARITHMETIC,
  ...CRYPTOGRAPHIC,
};
