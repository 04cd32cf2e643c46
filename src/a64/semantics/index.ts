/** What each encoding does. An encoding that is not here is UNDEFINED to the guest, and counted. */
import type { Semantics } from "../emit.ts";
import type { RowName } from "../encodings/index.ts";
import { ATOMICS } from "./atomics.ts";
import { BRANCHES } from "./branches.ts";
import { INTEGER } from "./integer.ts";
import { MEMORY } from "./memory.ts";
import { SYSTEM_INSTRUCTIONS } from "./system.ts";

export const SEMANTICS: Readonly<Record<RowName, Semantics>> = {
  ...INTEGER,
  ...BRANCHES,
  ...MEMORY,
  ...ATOMICS,
  ...SYSTEM_INSTRUCTIONS,
};
