/** The unit's registers as software reads and writes them. */
import type { Field } from "../arm/register.ts";
import {
  PMBIDR_EL1,
  PMBLIMITR_EL1,
  PMBSR_EL1,
  PMSCR_EL1,
  PMSCR_EL2,
  PMSFCR_EL1,
  PMSICR_EL1,
  PMSIRR_EL1,
  type SpeRegisterName,
} from "../arm/registers.ts";
import { vpnOf } from "../common/address.ts";
import { assertNever, BrokenInvariant } from "../common/errors.ts";
import { highWord, lowWord, ofPage } from "../common/words.ts";
import { profilingBufferProhibited } from "./enables.ts";
import type { ImplementationFacts } from "./implementation.ts";
import { recomputeRemaining, type SpuState } from "./state.ts";

/** Whether an MSR (isWrite) or MRS of the register exists; one that does not is UNDEFINED. */
export function implementsRegister(
  facts: ImplementationFacts,
  name: SpeRegisterName,
  isWrite: boolean,
): boolean {
  switch (name) {
    case "PMSNEVFR_EL1":
      return facts.hasFnE;
    case "PMSDSFR_EL1":
      return facts.hasFds;
    case "PMBMAR_EL1":
      return false;
    case "PMSIDR_EL1":
    case "PMBIDR_EL1":
      return !isWrite;
    default:
      return true;
  }
}

// A driver reads and writes a dozen of these at every context switch: one conversion to or from a number each, and
// no closures or objects on the way.
const SCR1 = PMSCR_EL1.fields;
const SCR2 = PMSCR_EL2.fields;
const FCR = PMSFCR_EL1.fields;
const LIMITR = PMBLIMITR_EL1.fields;
const BSR = PMBSR_EL1.fields;
const IRR = PMSIRR_EL1.fields;

const flag = (on: boolean, field: Field): number => (on ? field.mask32 : 0);
const isSet = (low: number, field: Field): boolean => (low & field.mask32) !== 0;
const fieldOf = (low: number, field: Field): number => (low & field.mask32) >>> field.low;

/** A register's value. Reading one that does not exist is a BrokenInvariant: ask implementsRegister. */
export function readRegister(state: SpuState, name: SpeRegisterName): bigint {
  const { controls: c, buffer, status, interval } = state;
  const s = state.filters.selectors;
  switch (name) {
    case "PMSCR_EL1":
    case "PMSCR_EL12":
      return BigInt(
        flag(c.e0spe, SCR1.E0SPE) |
          flag(c.e1spe, SCR1.E1SPE) |
          flag(c.cx1, SCR1.CX) |
          flag(c.pa1, SCR1.PA) |
          flag(c.ts1, SCR1.TS) |
          (c.pct1 << SCR1.PCT.low),
      );
    case "PMSCR_EL2":
      return BigInt(
        flag(c.e0hspe, SCR2.E0HSPE) |
          flag(c.e2spe, SCR2.E2SPE) |
          flag(c.cx2, SCR2.CX) |
          flag(c.pa2, SCR2.PA) |
          flag(c.ts2, SCR2.TS) |
          (c.pct2 << SCR2.PCT.low),
      );
    case "PMSICR_EL1":
      return interval.ecount === 0
        ? BigInt(interval.count)
        : (BigInt(interval.ecount) << 56n) | BigInt(interval.count);
    case "PMSIRR_EL1":
      return BigInt(interval.reloadOps + flag(interval.jitter, IRR.RND));
    case "PMSFCR_EL1":
      return BigInt(
        flag(s.fe, FCR.FE) |
          flag(s.ft, FCR.FT) |
          flag(s.fl, FCR.FL) |
          flag(s.fne, FCR.FnE) |
          flag(s.fds, FCR.FDS) |
          flag(s.b, FCR.B) |
          flag(s.ld, FCR.LD) |
          flag(s.st, FCR.ST),
      );
    case "PMSEVFR_EL1":
      return BigInt(s.events);
    case "PMSNEVFR_EL1":
      checkExists(state, name, false);
      return BigInt(s.invertedEvents);
    case "PMSLATFR_EL1":
      return BigInt(s.minLatency);
    case "PMSDSFR_EL1":
      checkExists(state, name, false);
      return (BigInt(s.dataSourcesHigh) << 32n) | BigInt(s.dataSourcesLow);
    case "PMSIDR_EL1":
      return state.implementation.pmsidr;
    case "PMBLIMITR_EL1":
      return ofPage(
        buffer.limitPage,
        flag(buffer.enabled, LIMITR.E) | flag(buffer.pmfz, LIMITR.PMFZ) | (buffer.fillMode << LIMITR.FM.low),
      );
    case "PMBPTR_EL1":
      return ofPage(buffer.pointerPage, buffer.pointerOffset);
    case "PMBSR_EL1":
      return BigInt(
        (status.mss |
          flag(status.coll, BSR.COLL) |
          flag(status.s, BSR.S) |
          flag(status.ea, BSR.EA) |
          flag(status.dl, BSR.DL) |
          (status.ec << BSR.EC.low)) >>>
          0,
      );
    case "PMBIDR_EL1":
      return PMBIDR_EL1.with(state.implementation.pmbidr, { P: profilingBufferProhibited(state.pe) });
    case "PMBMAR_EL1":
      throw new BrokenInvariant("PMBMAR_EL1 does not exist in this unit");
    default:
      return assertNever(name);
  }
}

/**
 * Writes a register; RES0 and unimplemented bits are dropped. Writing a read-only register, or one that does not
 * exist, is a BrokenInvariant: ask implementsRegister.
 */
export function writeRegister(state: SpuState, name: SpeRegisterName, value: bigint): void {
  const { controls, buffer, status, interval, filters, facts } = state;
  const s = filters.selectors;
  const low = lowWord(value);
  switch (name) {
    case "PMSCR_EL1":
    case "PMSCR_EL12":
      controls.e0spe = isSet(low, SCR1.E0SPE);
      controls.e1spe = isSet(low, SCR1.E1SPE);
      controls.cx1 = isSet(low, SCR1.CX);
      controls.pa1 = isSet(low, SCR1.PA);
      controls.ts1 = isSet(low, SCR1.TS);
      controls.pct1 = fieldOf(low, SCR1.PCT) & (state.implementation.ecv ? 3 : 1);
      return;
    case "PMSCR_EL2":
      controls.e0hspe = isSet(low, SCR2.E0HSPE);
      controls.e2spe = isSet(low, SCR2.E2SPE);
      controls.cx2 = isSet(low, SCR2.CX);
      controls.pa2 = isSet(low, SCR2.PA);
      controls.ts2 = isSet(low, SCR2.TS);
      controls.pct2 = fieldOf(low, SCR2.PCT) & (state.implementation.ecv ? 3 : 1);
      return;
    case "PMSICR_EL1":
      interval.count = low;
      interval.ecount = facts.hasErnd ? PMSICR_EL1.num(value, "ECOUNT") : 0;
      return;
    case "PMSIRR_EL1":
      interval.reloadOps = (low & IRR.INTERVAL.mask32) >>> 0;
      interval.jitter = isSet(low, IRR.RND);
      return;
    case "PMSFCR_EL1":
      s.fe = isSet(low, FCR.FE);
      s.ft = isSet(low, FCR.FT);
      s.fl = isSet(low, FCR.FL);
      s.fne = facts.hasFnE && isSet(low, FCR.FnE);
      s.fds = facts.hasFds && isSet(low, FCR.FDS);
      s.b = isSet(low, FCR.B);
      s.ld = isSet(low, FCR.LD);
      s.st = isSet(low, FCR.ST);
      filters.recompute();
      return;
    case "PMSEVFR_EL1":
      s.events = (low & facts.eventFilterMask) >>> 0;
      filters.recompute();
      return;
    case "PMSNEVFR_EL1":
      checkExists(state, name, true);
      s.invertedEvents = (low & facts.eventFilterMask) >>> 0;
      filters.recompute();
      return;
    case "PMSLATFR_EL1":
      s.minLatency = low & facts.counterMax;
      filters.recompute();
      return;
    case "PMSDSFR_EL1":
      checkExists(state, name, true);
      s.dataSourcesLow = low;
      s.dataSourcesHigh = highWord(value);
      filters.recompute();
      return;
    case "PMBLIMITR_EL1":
      buffer.limitPage = vpnOf(value);
      buffer.fillMode = fieldOf(low, LIMITR.FM);
      buffer.pmfz = facts.v1p2 && isSet(low, LIMITR.PMFZ);
      buffer.enabled = isSet(low, LIMITR.E);
      recomputeRemaining(buffer);
      return;
    case "PMBPTR_EL1":
      buffer.pointerPage = vpnOf(value);
      // Bits below PMBIDR_EL1.Align are RES0 here, as the architecture allows: no record is ever misaligned.
      buffer.pointerOffset = low & 0xfff & ~(facts.alignBytes - 1);
      recomputeRemaining(buffer);
      return;
    case "PMBSR_EL1":
      // MSS2 stays 0: without FEAT_S1PIE, S1POE and THE it has no fields, and Linux takes 63:32 for RES0.
      status.mss = low & BSR.MSS.mask32;
      status.coll = isSet(low, BSR.COLL);
      status.s = isSet(low, BSR.S);
      status.ea = isSet(low, BSR.EA);
      status.dl = isSet(low, BSR.DL);
      status.ec = fieldOf(low, BSR.EC);
      return;
    case "PMSIDR_EL1":
    case "PMBIDR_EL1":
    case "PMBMAR_EL1":
      throw new BrokenInvariant(`${name} cannot be written`);
    default:
      assertNever(name);
  }
}

function checkExists(state: SpuState, name: SpeRegisterName, isWrite: boolean): void {
  if (!implementsRegister(state.facts, name, isWrite))
    throw new BrokenInvariant(`${name} does not exist in this unit`);
}
