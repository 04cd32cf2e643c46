/** SYS: maintenance of TLBs and caches, and address translation. */
import type { Encoding } from "../arm/registers.ts";
import { allows, trap } from "./el0-access.ts";
import type { InstructionHost } from "./instruction-host.ts";
import type { CorePlatform, TlbiTarget } from "./platform.ts";

/**
 * TLBI for EL1&0 by op2: VMALLE1, VAE1, ASIDE1, VAAE1, VALE1 and VAALE1. A page is named by bits 43:0. Forgetting too much is
 * allowed: of a page that of all ASIDs, and not only the last level.
 */
const TLBI: ReadonlyMap<number, TlbiTarget["kind"]> = new Map([
  [0, "all"],
  [1, "page"],
  [2, "asid"],
  [3, "page"],
  [5, "page"],
  [7, "page"],
] as const);
const TLBI_PAGE = (1n << 44n) - 1n;

export class Maintenance {
  readonly #core: InstructionHost;
  readonly #platform: CorePlatform;

  constructor(core: InstructionHost, platform: CorePlatform) {
    this.#core = core;
    this.#platform = platform;
  }

  /** Maintenance of TLBs and caches, and address translation. */
  execute(encoding: Encoding, rt: number, word: number): void {
    const core = this.#core;
    const { state, space } = core;
    const [, op1, crn, crm, op2] = encoding;
    const tlbi = TLBI.get(op2);
    if (crn === 8 && op1 === 0 && (crm === 3 || crm === 7) && tlbi !== undefined && state.el === 1) {
      const register = state.x(rt);
      const what: TlbiTarget =
        tlbi === "page"
          ? { kind: "page", page: Number(register & TLBI_PAGE) }
          : tlbi === "asid"
            ? { kind: "asid", register }
            : { kind: "all" };
      // CRm 3 are the operations for all cores of the inner shareable domain.
      if (crm === 3) this.#platform.broadcast({ kind: "tlb", what });
      else space.forget(what);
      core.retire();
      return;
    }
    if (crn === 7) {
      if (op1 === 0 && crm === 8 && op2 < 4 && state.el === 1) {
        this.#at(op2 >= 2 ? 0 : 1, (op2 & 1) === 1, false, rt);
        return;
      }
      if (op1 === 0 && crm === 9 && op2 < 2 && state.el === 1 && core.implementation.features.has("PAN2")) {
        this.#at(1, op2 === 1, state.get32("PAN") === 1, rt);
        return;
      }
      if (op1 === 0 && (crm === 1 || crm === 5) && op2 === 0 && state.el === 1) {
        this.#platform.broadcast({ kind: "instructions" });
        core.retire();
        return;
      }
      const isZva = op1 === 3 && crm === 4 && op2 === 1;
      const isClean =
        op1 === 3 &&
        op2 === 1 &&
        (crm === 10 || crm === 11 || (crm === 12 && core.implementation.features.has("DPB")) || crm === 14);
      const isIvau = op1 === 3 && crm === 5 && op2 === 1;
      if ((isZva && !allows(state, "DZE")) || ((isClean || isIvau) && !allows(state, "UCI"))) {
        trap(core, word);
        return;
      }
      if (isIvau) {
        core.problem(space.forgetLine(state.x(rt)), () => core.retire());
        return;
      }
      if (isClean) {
        core.problem(space.cleanLine(state.x(rt)), () => core.retire());
        return;
      }
      if (op1 === 0 && state.el === 1 && crm === 6 && op2 === 1) {
        core.problem(space.invalidateLine(state.x(rt)), () => core.retire());
        return;
      }
      // ISW, CSW and CISW.
      if (op1 === 0 && state.el === 1 && (crm === 6 || crm === 10 || crm === 14) && op2 === 2) {
        core.retire();
        return;
      }
    }
    core.undefined(word);
  }

  #at(el: 0 | 1, write: boolean, pan: boolean, rt: number): void {
    const core = this.#core;
    const result = core.space.translateForAt(core.state.x(rt), el, write, pan);
    if (typeof result === "bigint") {
      core.state.set64("PAR_EL1", result);
      core.retire();
    } else core.problem(result, () => undefined);
  }
}
