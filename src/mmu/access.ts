/** Who asks for a translation, and why. A fault can then be blamed rightly. */

/**
 * - `fetch`, `load`, `store`: a program.
 * - `walk`: the MMU reads (or, with `write`, updates) a table; stage 2 sees it when stage 1 is nested.
 * - `profiling-buffer`: the SPU writes a record. It has the privilege of the owning exception level, so PAN, E0PD
 *   and the EL0 permissions do not apply to it (CreateAccDescSPE).
 * - `at`: an AT instruction, or software that does the same. May set the access flag, never the dirty state.
 * - `maintenance`: IC and DC by VA, with `write` where they must be allowed to write. They may set the access flag, too.
 * - `inspect`: software reading the tables. Any valid leaf will do: no permission or access flag is checked and
 *   nothing is updated.
 */
export type Requester =
  | "fetch"
  | "load"
  | "store"
  | "walk"
  | "profiling-buffer"
  | "at"
  | "maintenance"
  | "inspect";

export interface Access {
  readonly by: Requester;
  /** The exception level whose permissions count. */
  readonly el: 0 | 1 | 2;
  readonly write: boolean;
  /** PSTATE.PAN where it applies to this access. Absent: it does not. */
  readonly pan?: boolean;
}

export const WALK_READ: Access = { by: "walk", el: 1, write: false };
/** The MMU's own update of an access flag or dirty state. */
export const WALK_UPDATE: Access = { by: "walk", el: 1, write: true };
export const PROFILING_BUFFER_WRITE: Access = { by: "profiling-buffer", el: 1, write: true };
export const INSPECT: Access = { by: "inspect", el: 1, write: false };
export const AT_READ: Access = { by: "at", el: 1, write: false };
export const AT_WRITE: Access = { by: "at", el: 1, write: true };

const REQUESTER_CODE: Readonly<Record<Requester, number>> = {
  fetch: 0,
  load: 1,
  store: 2,
  walk: 3,
  "profiling-buffer": 4,
  at: 5,
  inspect: 6,
  maintenance: 7,
};

/** A number below 128 that is equal for accesses that are checked alike. */
export const accessCode = (access: Access): number =>
  ((REQUESTER_CODE[access.by] * 3 + access.el) * 2 + (access.write ? 1 : 0)) * 2 +
  (access.pan === true ? 1 : 0);
