/** What each encoding does. An encoding that is not here is UNDEFINED to the guest, and counted. */
import type { Semantics } from "../emit.ts";
import type { RowName } from "../encodings/index.ts";
import { SIMD_FLOATING_POINT } from "../encodings/simd-fp.ts";
import { SIMD_SATURATING } from "../encodings/simd-saturating.ts";
import { ATOMICS } from "./atomics.ts";
import { BRANCHES } from "./branches.ts";
import { CRYPTOGRAPHIC } from "./crypto.ts";
import { exact, FLOATING_POINT_SEMANTICS } from "./fp.ts";
import { FLOATING_POINT_ARITHMETIC } from "./fp-arithmetic.ts";
import { INTEGER } from "./integer.ts";
import { MEMORY } from "./memory.ts";
import { SIMD_INTEGER } from "./simd.ts";
import { SIMD_MEMORY } from "./simd-memory.ts";
import { SYSTEM_INSTRUCTIONS } from "./system.ts";

/** Rows that TypeScript carries out: cpu/simd-saturating.ts, cpu/simd-fp.ts. */
const allExact = (rows: object): Record<string, Semantics> =>
  Object.fromEntries(Object.keys(rows).map((name) => [name, exact]));

export const SEMANTICS: Readonly<Partial<Record<RowName, Semantics>>> = {
  ...INTEGER,
  ...BRANCHES,
  ...MEMORY,
  ...ATOMICS,
  ...SYSTEM_INSTRUCTIONS,
  ...FLOATING_POINT_SEMANTICS,
  ...SIMD_INTEGER,
  ...SIMD_MEMORY,
  ...allExact(SIMD_SATURATING),
  ...allExact(SIMD_FLOATING_POINT),
  ...FLOATING_POINT_ARITHMETIC,
  ...CRYPTOGRAPHIC,
};
