/** The instructions that WebAssembly leaves to TypeScript: exceptions, system registers, maintenance, waiting. */

import type { Feature } from "../a64/encoding.ts";
import type { StateField } from "../a64/state.ts";
import { CNTKCTL_EL1, type Encoding, encodingKey, SYSREG } from "../arm/registers.ts";
import { EC, waitIss } from "../arm/syndromes.ts";
import { isDebugChannel } from "./debug.ts";
import { allows, trap } from "./el0-access.ts";
import type { Instruction } from "./execute/core-code.ts";
import { executeFp } from "./fp-instructions.ts";
import { cacheSize, idRegisters, isIdSpace } from "./id-registers.ts";
import type { InstructionHost } from "./instruction-host.ts";
import { Maintenance } from "./maintenance.ts";
import type { CorePlatform } from "./platform.ts";
import { sctlrOf } from "./sctlr.ts";

/** What a write of a register in the state has to tell others. */
type Effect = "none" | "regime" | "controls" | "task";

const STATE_REGISTERS: ReadonlyMap<number, readonly [StateField, Effect]> = new Map(
  (
    [
      ["SCTLR_EL1", "regime"],
      ["CPACR_EL1", "controls"],
      ["TTBR0_EL1", "regime"],
      ["TTBR1_EL1", "regime"],
      ["TCR_EL1", "regime"],
      ["MAIR_EL1", "regime"],
      ["AMAIR_EL1", "none"],
      ["CONTEXTIDR_EL1", "task"],
      ["VBAR_EL1", "none"],
      ["ESR_EL1", "none"],
      ["CNTKCTL_EL1", "none"],
      ["CSSELR_EL1", "none"],
    ] as const
  ).map(([field, effect]) => [SYSREG[field], [field, effect]] as const),
);

/**
 * Registers that are there and hold nothing: ACTLR_EL1, of which all is IMPLEMENTATION DEFINED, and FEAT_LOR's while LORID_EL1
 * says that there are neither regions nor descriptors, when they are RES0.
 */
const EMPTY: ReadonlyMap<number, Feature | undefined> = new Map([
  [SYSREG.ACTLR_EL1, undefined],
  [SYSREG.LORSA_EL1, "LOR"],
  [SYSREG.LOREA_EL1, "LOR"],
  [SYSREG.LORN_EL1, "LOR"],
  [SYSREG.LORC_EL1, "LOR"],
]);

/** CNTFRQ_EL0 and the counters, which are read-only here, and CNTP_* and CNTV_*. */
const isTimer = ([op0, op1, crn, crm, op2]: Encoding, isRead: boolean): boolean =>
  op0 === 3 && op1 === 3 && crn === 14 && op2 <= 2 && (crm === 2 || crm === 3 || (crm === 0 && isRead));

export class SystemInstructions {
  readonly #core: InstructionHost;
  readonly #platform: CorePlatform;
  readonly #ids: ReadonlyMap<number, bigint>;
  readonly #maintenance: Maintenance;

  constructor(core: InstructionHost, platform: CorePlatform) {
    this.#core = core;
    this.#platform = platform;
    this.#ids = idRegisters(core.implementation);
    this.#maintenance = new Maintenance(core, platform);
  }

  execute({ row, fields: f }: Instruction, word: number): void {
    const core = this.#core;
    const { state, exceptions } = core;
    switch (row.name) {
      case "SVC":
        core.debug.advance();
        // It has retired at the level that it was executed at.
        state.left = state.left - 1;
        exceptions.synchronous(EC.svc64, f.imm16, true);
        return;
      case "BRK":
        exceptions.synchronous(EC.brk64, f.imm16);
        return;
      case "HVC":
        if (state.el === 0) break;
        if (this.#platform.isAhead()) {
          core.letOthersGo();
          return;
        }
        core.retire();
        core.exitWith({ kind: "hvc", imm: f.imm16 });
        return;
      case "SMC":
        if (state.el === 0) break;
        core.retire();
        core.exitWith({ kind: "smc", imm: f.imm16 });
        return;
      case "ERET":
        if (state.el === 0) break;
        state.left = state.left - 1;
        exceptions.eret();
        return;
      case "HINT":
        this.#hint(f.op2);
        return;
      case "MRS":
      case "MSR_reg": {
        const encoding: Encoding = [2 + f.o0, f.op1, f.CRn, f.CRm, f.op2];
        if (this.#platform.mustWait(encoding)) {
          core.letOthersGo();
          return;
        }
        const isRead = row.name === "MRS";
        if ((state.el === 1 || f.op1 === 3) && this.#platform.traps(encoding, isRead))
          core.exitWith({ kind: "sysreg", encoding, isRead, rt: f.Rt });
        else if (isRead) {
          if (this.#read(encoding, f.Rt)) core.retire();
          else this.#refuse(encoding, true, word);
        } else if (this.#write(encoding, state.x(f.Rt))) core.retire();
        else this.#refuse(encoding, false, word);
        return;
      }
      case "MSR_imm":
        this.#pstate(f.op1, f.op2, f.CRm, word);
        return;
      case "SYS":
        this.#maintenance.execute([1, f.op1, f.CRn, f.CRm, f.op2], f.Rt, word);
        return;
      default:
        if (!executeFp(row, word, state, (cond) => state.holds(cond))) break;
        core.retire();
        return;
    }
    core.undefined(word);
  }

  /** An access from EL0 that EL1 has not allowed is trapped to EL1 (EC 0x18), what nobody knows is UNDEFINED. */
  #refuse(encoding: Encoding, isRead: boolean, word: number): void {
    const { state, debug } = this.#core;
    const key = encodingKey(encoding);
    const exists =
      key === SYSREG.DAIF ||
      (key === SYSREG.CTR_EL0 && isRead) ||
      (isDebugChannel(encoding, isRead) && debug.channelTraps) ||
      isTimer(encoding, isRead);
    if (state.el === 0 && exists) trap(this.#core, word);
    else this.#core.undefined(word);
  }

  #has(feature: Feature): boolean {
    return this.#core.implementation.features.has(feature);
  }

  #isEmpty(key: number): boolean {
    if (!EMPTY.has(key)) return false;
    const feature = EMPTY.get(key);
    return feature === undefined || this.#has(feature);
  }

  /** CNTKCTL_EL1's say on what EL0 sees of counters and timers. */
  #timerAllowed(encoding: Encoding): boolean {
    if (!isTimer(encoding, true)) return true;
    const control = this.#core.state.get64("CNTKCTL_EL1");
    const has = (field: "EL0PCTEN" | "EL0VCTEN" | "EL0VTEN" | "EL0PTEN") => CNTKCTL_EL1.is(control, field);
    const [, , , crm, op2] = encoding;
    if (crm === 2) return has("EL0PTEN");
    if (crm === 3) return has("EL0VTEN");
    if (op2 === 0) return has("EL0PCTEN") || has("EL0VCTEN");
    return has(op2 === 1 ? "EL0PCTEN" : "EL0VCTEN");
  }

  #read(encoding: Encoding, rt: number): boolean {
    const value = this.#valueOf(encoding);
    if (value === undefined) return false;
    this.#core.state.setX(rt, value);
    return true;
  }

  #valueOf(encoding: Encoding): bigint | undefined {
    const { state } = this.#core;
    const key = encodingKey(encoding);
    if (state.el === 0) {
      if (key === SYSREG.CTR_EL0 && !allows(state, "UCT")) return undefined;
      if (key === SYSREG.DAIF) return allows(state, "UMA") ? BigInt(state.get32("DAIF")) : undefined;
      if (encoding[1] !== 3 || !this.#timerAllowed(encoding)) return undefined;
      if (isDebugChannel(encoding, true) && this.#core.debug.channelTraps) return undefined;
    }
    if (encoding[0] === 2) return this.#core.debug.read(encoding);
    const constant = this.#ids.get(key);
    if (constant !== undefined) {
      return key === SYSREG.DCZID_EL0 && !allows(state, "DZE") ? constant | 16n : constant;
    }
    switch (key) {
      case SYSREG.MPIDR_EL1:
        return this.#platform.mpidr;
      case SYSREG.SP_EL0:
        return state.get32("SPSEL") === 1 ? state.get64("SP_EL0") : undefined;
      case SYSREG.SPSel:
        return BigInt(state.get32("SPSEL"));
      case SYSREG.PAN:
        return this.#has("PAN") ? BigInt(state.get32("PAN")) << 22n : undefined;
      case SYSREG.UAO:
        return this.#has("UAO") ? BigInt(state.get32("UAO")) << 23n : undefined;
      case SYSREG.CCSIDR_EL1:
        return cacheSize(Number(state.get64("CSSELR_EL1") & 0xfn));
      case SYSREG.ISR_EL1:
        return BigInt(state.get32("IRQ_LINES"));
    }
    const known = STATE_REGISTERS.get(key);
    if (known !== undefined) return state.get64(known[0]);
    if (isIdSpace(encoding) || this.#isEmpty(key)) return 0n;
    if (key === SYSREG.LORID_EL1) return this.#has("LOR") ? 0n : undefined;
    return this.#platform.readRegister(encoding);
  }

  #write(encoding: Encoding, value: bigint): boolean {
    const core = this.#core;
    const { state, space } = core;
    const key = encodingKey(encoding);
    if (state.el === 0 && (encoding[1] !== 3 || !this.#timerAllowed(encoding))) return false;
    if (encoding[0] === 2) {
      if (state.el === 0 && core.debug.channelTraps) return false;
      return core.debug.write(encoding, value);
    }
    switch (key) {
      case SYSREG.DAIF:
        // EL1 does it in WebAssembly.
        if (!allows(state, "UMA")) return false;
        state.set32("DAIF", Number(value & 0x3c0n));
        return true;
      case SYSREG.SP_EL0:
        if (state.get32("SPSEL") !== 1) return false;
        state.set64("SP_EL0", value);
        return true;
      case SYSREG.SPSel:
        state.select(1, Number(value & 1n));
        return true;
      case SYSREG.PAN:
        if (!this.#has("PAN")) return false;
        state.set32("PAN", Number((value >> 22n) & 1n));
        space.select();
        return true;
      case SYSREG.UAO:
        if (!this.#has("UAO")) return false;
        state.set32("UAO", Number((value >> 23n) & 1n));
        space.select();
        return true;
    }
    const known = STATE_REGISTERS.get(key);
    if (known !== undefined) {
      const [field, effect] = known;
      const before = state.get64(field);
      state.set64(field, field === "SCTLR_EL1" ? sctlrOf(value, core.implementation) : value);
      if (before !== value && (field === "TTBR0_EL1" || field === "TTBR1_EL1"))
        space.tableRegisterChanged(field, before);
      else if (effect === "regime" && before !== value) space.registersChanged();
      if (effect === "controls" || field === "SCTLR_EL1") core.exceptions.controlsChanged();
      else if (effect === "task") core.contextSwitches += 1;
      return true;
    }
    return this.#isEmpty(key) || this.#platform.writeRegister(encoding, value);
  }

  /** MSR (immediate) of what WebAssembly does not do. */
  #pstate(op1: number, op2: number, imm: number, word: number): void {
    const core = this.#core;
    const { state, space } = core;
    const isDaif = op1 === 3 && (op2 === 6 || op2 === 7);
    if (isDaif && !allows(state, "UMA")) {
      trap(this.#core, word);
      return;
    }
    if (isDaif) {
      const bits = imm << 6;
      state.set32("DAIF", op2 === 6 ? state.get32("DAIF") | bits : state.get32("DAIF") & ~bits);
    } else if (state.el === 0 || op1 !== 0 || op2 < 3 || op2 > 5) {
      core.undefined(word);
      return;
    } else if (op2 === 5) state.select(1, imm & 1);
    else {
      const field = op2 === 4 ? "PAN" : "UAO";
      if (!this.#has(field)) {
        core.undefined(word);
        return;
      }
      state.set32(field, imm & 1);
      space.select();
    }
    core.retire();
  }

  #hint(op2: number): void {
    const core = this.#core;
    const { state, exceptions } = core;
    switch (op2) {
      case 2:
        // Both are looked at: what the stream has set is cleared as well.
        if (this.#platform.streamed() || state.get32("EVENT") !== 0) {
          state.set32("EVENT", 0);
          core.retire();
          return;
        }
        if (!allows(state, "nTWE")) {
          exceptions.synchronous(EC.wfx, waitIss("wfe"));
          return;
        }
        core.retire();
        core.exitWith({ kind: "wfe" });
        return;
      case 3:
        // What would not wait is not trapped.
        if (state.get32("IRQ_LINES") !== 0) {
          core.retire();
          return;
        }
        if (!allows(state, "nTWI")) {
          exceptions.synchronous(EC.wfx, waitIss("wfi"));
          return;
        }
        core.retire();
        core.exitWith({ kind: "wfi" });
        return;
      default:
        if (op2 === 4 && this.#platform.isAhead()) {
          core.letOthersGo();
          return;
        }
        state.set32("EVENT", 1);
        if (op2 === 4) this.#platform.broadcast({ kind: "event" });
        core.retire();
        return;
    }
  }
}
