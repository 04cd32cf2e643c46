/** Every encoding, by name. */
import type { Row } from "../encoding.ts";
import { ATOMIC_ACCESSES } from "./atomics.ts";
import { BRANCHES_AND_SYSTEM } from "./branches.ts";
import { CRYPTO } from "./crypto.ts";
import { DATA_PROCESSING_IMMEDIATE } from "./data-processing-immediate.ts";
import { DATA_PROCESSING_REGISTER } from "./data-processing-register.ts";
import { FLOATING_POINT } from "./fp.ts";
import { LOADS_STORES } from "./loads-stores.ts";
import { SIMD } from "./simd.ts";
import { SIMD_FLOATING_POINT } from "./simd-fp.ts";
import { SIMD_LOADS_STORES } from "./simd-loads-stores.ts";
import { SIMD_SATURATING } from "./simd-saturating.ts";

export const ROWS = {
  ...DATA_PROCESSING_IMMEDIATE,
  ...BRANCHES_AND_SYSTEM,
  ...DATA_PROCESSING_REGISTER,
  ...LOADS_STORES,
  ...ATOMIC_ACCESSES,
  ...FLOATING_POINT,
  ...SIMD,
  ...SIMD_SATURATING,
  ...SIMD_FLOATING_POINT,
  ...SIMD_LOADS_STORES,
  ...CRYPTO,
} as const;

export type RowName = keyof typeof ROWS;

export const ALL_ROWS: readonly Row[] = Object.values(ROWS);
