/** What each encoding does. An encoding that is not here is UNDEFINED to the guest, and counted. */
import type { Semantics } from "../emit.ts";
import type { RowName } from "../encodings/index.ts";
import { ATOMICS } from "./atomics.ts";
import { BRANCHES } from "./branches.ts";
import { FLOATING_POINT_SEMANTICS } from "./fp.ts";
import { INTEGER } from "./integer.ts";
import { MEMORY } from "./memory.ts";
import { SIMD_INTEGER } from "./simd.ts";
import { SIMD_MEMORY } from "./simd-memory.ts";
import { SYSTEM_INSTRUCTIONS } from "./system.ts";

export const SEMANTICS: Readonly<Partial<Record<RowName, Semantics>>> = {
  ...INTEGER,
  ...BRANCHES,
  ...MEMORY,
  ...ATOMICS,
  ...SYSTEM_INSTRUCTIONS,
  ...FLOATING_POINT_SEMANTICS,
  ...SIMD_INTEGER,
  ...SIMD_MEMORY,
};
