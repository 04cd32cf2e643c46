/** The unit's registers as software reads and writes them. */
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
import { BrokenInvariant, invariant } from "../common/errors.ts";
import { profilingBufferProhibited } from "./enables.ts";
import type { ImplementationFacts } from "./implementation.ts";
import { recomputeRemaining, type SpuState } from "./state.ts";

const U32 = 0xffff_ffffn;

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

/** A register's value. Reading one that does not exist is a BrokenInvariant: ask implementsRegister. */
export function readRegister(state: SpuState, name: SpeRegisterName): bigint {
  invariant(implementsRegister(state.facts, name, false), `${name} is not implemented`);
  const { controls: c, buffer, status, interval, filters } = state;
  const s = filters.selectors;
  switch (name) {
    case "PMSCR_EL1":
    case "PMSCR_EL12":
      return PMSCR_EL1.with(0n, {
        E0SPE: c.e0spe,
        E1SPE: c.e1spe,
        CX: c.cx1,
        PA: c.pa1,
        TS: c.ts1,
        PCT: c.pct1,
      });
    case "PMSCR_EL2":
      return PMSCR_EL2.with(0n, {
        E0HSPE: c.e0hspe,
        E2SPE: c.e2spe,
        CX: c.cx2,
        PA: c.pa2,
        TS: c.ts2,
        PCT: c.pct2,
      });
    case "PMSICR_EL1":
      return (BigInt(interval.ecount) << 56n) | BigInt(interval.count);
    case "PMSIRR_EL1":
      return BigInt(interval.reloadOps + (interval.jitter ? 1 : 0));
    case "PMSFCR_EL1":
      return PMSFCR_EL1.with(0n, {
        FE: s.fe,
        FT: s.ft,
        FL: s.fl,
        FnE: s.fne,
        FDS: s.fds,
        B: s.b,
        LD: s.ld,
        ST: s.st,
      });
    case "PMSEVFR_EL1":
      return BigInt(s.events);
    case "PMSNEVFR_EL1":
      return BigInt(s.invertedEvents);
    case "PMSLATFR_EL1":
      return BigInt(s.minLatency);
    case "PMSDSFR_EL1":
      return (BigInt(s.dataSourcesHigh) << 32n) | BigInt(s.dataSourcesLow);
    case "PMSIDR_EL1":
      return state.implementation.pmsidr;
    case "PMBLIMITR_EL1":
      return PMBLIMITR_EL1.with(0n, {
        LIMIT: buffer.limitPage,
        PMFZ: buffer.pmfz,
        FM: buffer.fillMode,
        E: buffer.enabled,
      });
    case "PMBPTR_EL1":
      return (BigInt(buffer.pointerPage) << 12n) | BigInt(buffer.pointerOffset);
    case "PMBSR_EL1":
      return PMBSR_EL1.with(0n, {
        MSS: status.mss,
        COLL: status.coll,
        S: status.s,
        EA: status.ea,
        DL: status.dl,
        EC: status.ec,
      });
    case "PMBIDR_EL1":
      return PMBIDR_EL1.with(state.implementation.pmbidr, { P: profilingBufferProhibited(state.pe) });
    case "PMBMAR_EL1":
      throw new BrokenInvariant("PMBMAR_EL1 is not implemented");
  }
}

/**
 * Writes a register; RES0 and unimplemented bits are dropped. Writing a read-only register, or one that does not
 * exist, is a BrokenInvariant: ask implementsRegister.
 */
export function writeRegister(state: SpuState, name: SpeRegisterName, value: bigint): void {
  invariant(implementsRegister(state.facts, name, true), `${name} cannot be written`);
  const { controls, buffer, status, interval, filters, facts } = state;
  const pct = (raw: number): number => (state.implementation.ecv ? raw : raw & 1);
  switch (name) {
    case "PMSCR_EL1":
    case "PMSCR_EL12":
      controls.e0spe = PMSCR_EL1.is(value, "E0SPE");
      controls.e1spe = PMSCR_EL1.is(value, "E1SPE");
      controls.cx1 = PMSCR_EL1.is(value, "CX");
      controls.pa1 = PMSCR_EL1.is(value, "PA");
      controls.ts1 = PMSCR_EL1.is(value, "TS");
      controls.pct1 = pct(PMSCR_EL1.num(value, "PCT"));
      return;
    case "PMSCR_EL2":
      controls.e0hspe = PMSCR_EL2.is(value, "E0HSPE");
      controls.e2spe = PMSCR_EL2.is(value, "E2SPE");
      controls.cx2 = PMSCR_EL2.is(value, "CX");
      controls.pa2 = PMSCR_EL2.is(value, "PA");
      controls.ts2 = PMSCR_EL2.is(value, "TS");
      controls.pct2 = pct(PMSCR_EL2.num(value, "PCT"));
      return;
    case "PMSICR_EL1":
      interval.count = PMSICR_EL1.num(value, "COUNT");
      interval.ecount = facts.hasErnd ? PMSICR_EL1.num(value, "ECOUNT") : 0;
      return;
    case "PMSIRR_EL1":
      interval.reloadOps = PMSIRR_EL1.num(value, "INTERVAL") * 256;
      interval.jitter = PMSIRR_EL1.is(value, "RND");
      return;
    case "PMSFCR_EL1":
      filters.update({
        fe: PMSFCR_EL1.is(value, "FE"),
        ft: PMSFCR_EL1.is(value, "FT"),
        fl: PMSFCR_EL1.is(value, "FL"),
        fne: facts.hasFnE && PMSFCR_EL1.is(value, "FnE"),
        fds: facts.hasFds && PMSFCR_EL1.is(value, "FDS"),
        b: PMSFCR_EL1.is(value, "B"),
        ld: PMSFCR_EL1.is(value, "LD"),
        st: PMSFCR_EL1.is(value, "ST"),
      });
      return;
    case "PMSEVFR_EL1":
      filters.update({ events: (Number(value & U32) & facts.eventFilterMask) >>> 0 });
      return;
    case "PMSNEVFR_EL1":
      filters.update({ invertedEvents: (Number(value & U32) & facts.eventFilterMask) >>> 0 });
      return;
    case "PMSLATFR_EL1":
      filters.update({ minLatency: Number(value & U32) & facts.counterMax });
      return;
    case "PMSDSFR_EL1":
      filters.update({
        dataSourcesLow: Number(value & U32),
        dataSourcesHigh: Number((value >> 32n) & U32),
      });
      return;
    case "PMBLIMITR_EL1":
      buffer.limitPage = PMBLIMITR_EL1.num(value, "LIMIT");
      buffer.fillMode = PMBLIMITR_EL1.num(value, "FM");
      buffer.pmfz = facts.v1p2 && PMBLIMITR_EL1.is(value, "PMFZ");
      buffer.enabled = PMBLIMITR_EL1.is(value, "E");
      recomputeRemaining(buffer);
      return;
    case "PMBPTR_EL1":
      buffer.pointerPage = vpnOf(value);
      // Bits below PMBIDR_EL1.Align are RES0 here, as the architecture allows: no record is ever misaligned.
      buffer.pointerOffset = Number(value & 0xfffn) & ~(facts.alignBytes - 1);
      recomputeRemaining(buffer);
      return;
    case "PMBSR_EL1":
      // MSS2 stays 0: without FEAT_S1PIE, S1POE and THE it has no fields, and Linux takes 63:32 for RES0.
      status.mss = PMBSR_EL1.num(value, "MSS");
      status.coll = PMBSR_EL1.is(value, "COLL");
      status.s = PMBSR_EL1.is(value, "S");
      status.ea = PMBSR_EL1.is(value, "EA");
      status.dl = PMBSR_EL1.is(value, "DL");
      status.ec = PMBSR_EL1.num(value, "EC");
      return;
    case "PMSIDR_EL1":
    case "PMBIDR_EL1":
    case "PMBMAR_EL1":
      throw new BrokenInvariant(`${name} cannot be written`);
  }
}
