/** A perf event of SPE's: what perf's command line says, and what the driver makes of it for the registers. */
import { PMSCR_EL1, PMSFCR_EL1 } from "../arm/registers.ts";

/** The event's configuration, as on perf's command line. */
export interface SpeEvent {
  /** Ops between samples: -c, or the driver's min_interval. */
  readonly period: number;
  readonly jitter: boolean;
  readonly tsEnable: boolean;
  /** min_latency: records below it are filtered out; 0: no filter. */
  readonly minLatency: number;
  /** event_filter: every one of these event bits must be set; 0: no filter. */
  readonly eventFilter: number;
  readonly branchFilter: boolean;
  readonly loadFilter: boolean;
  readonly storeFilter: boolean;
  readonly excludeUser: boolean;
  readonly excludeKernel: boolean;
}

export const DEFAULT_EVENT: SpeEvent = {
  period: 4096,
  jitter: false,
  tsEnable: true,
  minLatency: 0,
  eventFilter: 0,
  branchFilter: false,
  loadFilter: false,
  storeFilter: false,
  excludeUser: false,
  excludeKernel: false,
};

/** Register values of an event, as arm_spe_pmu computes them (arm_spe_event_to_*). */
export interface EventRegisters {
  readonly pmscr: bigint;
  readonly pmsfcr: bigint;
  readonly pmsevfr: bigint;
  readonly pmslatfr: bigint;
  readonly pmsirr: bigint;
}

export const registersOf = (event: SpeEvent): EventRegisters => ({
  pmscr: PMSCR_EL1.with(0n, {
    E0SPE: !event.excludeUser,
    E1SPE: !event.excludeKernel,
    CX: 1,
    TS: event.tsEnable,
  }),
  pmsfcr: PMSFCR_EL1.with(0n, {
    FE: event.eventFilter !== 0,
    FT: event.branchFilter || event.loadFilter || event.storeFilter,
    FL: event.minLatency !== 0,
    B: event.branchFilter,
    LD: event.loadFilter,
    ST: event.storeFilter,
  }),
  pmsevfr: BigInt(event.eventFilter >>> 0),
  pmslatfr: BigInt(event.minLatency),
  pmsirr: (BigInt(event.period) & ~0xffn) | (event.jitter ? 1n : 0n),
});
