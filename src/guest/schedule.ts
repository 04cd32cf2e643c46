/**
 * A schedule: who ran where, from when to when, and what each run waited for. A recording or a scenario becomes
 * one of these; the driver model replays it on the vCPUs of a VM, where hypervisor time pushes runs back.
 *
 * Columns are typed arrays (one entry a segment), because a recording may have a million switches.
 */
/** What a segment's start waited for, besides its vCPU being free and its task's own previous segment. */
export const WAIT = {
  /** Nothing: the task was runnable (preempted before, or switched to directly), so it starts when it can. */
  none: 0,
  /** A target task: the segment starts once `waker` has run `wakerOffsetNs` of its own time (or that long after
   *  its start in the waker's time, if the waker had just ended). */
  woken: 1,
  /** Anything else (a device, a timer, an unseen task). Replayed twice: kept (`waitNs` after the task's previous
   *  segment ended) and absorbing (not before its recorded start). */
  other: 2,
} as const;

/** Bits of `flags`. */
export const SEGMENT = {
  /** The task is profiled. */
  target: 1,
  /** Its switch-in starts the SPE event: arm_spe_pmu_start runs and PMBLIMITR_EL1.E rises. */
  enables: 2,
  /** Its switch-out stops the event: E falls. Without this bit the next target segment follows by a direct
   *  switch between cloned contexts, where perf swaps the contexts and leaves the PMU alone. */
  disables: 4,
  /** Switched out while runnable (PERF_RECORD_MISC_SWITCH_OUT_PREEMPT, or the recording says nothing else). */
  preempted: 8,
  /** The next segment of its vCPU is the same task's, without a switch. */
  goesOn: 16,
  /** At its start the driver writes PMBLIMITR_EL1 with E = 0, and its buffer is off already. */
  writesLimit: 64,
  /** The access of `faultPage` is a store. */
  faultsByWrite: 32,
} as const;

/** No segment: the value of `waker` and `previousOfTask` where there is none. */
export const NO_SEGMENT = -1;

/** No page: the value of `faultPage` where there is none. */
export const NO_PAGE = -1;

export interface ScheduledTask {
  readonly pid: number;
  readonly tid: number;
  readonly comm: string;
  readonly target: boolean;
}

/** Segments in order of recorded start; ties in the recording's order. Times are ns since the schedule's start. */
export interface Segments {
  readonly count: number;
  readonly vcpu: Uint16Array;
  readonly task: Uint32Array;
  readonly startNs: Float64Array;
  readonly endNs: Float64Array;
  readonly flags: Uint8Array;
  readonly wait: Uint8Array;
  readonly waitNs: Float64Array;
  readonly waker: Int32Array;
  readonly wakerOffsetNs: Float64Array;
  readonly previousOfTask: Int32Array;
  /** Instructions that the profiling unit can sample in it, where they were counted; absent: its time at the workload's rate. */
  readonly ops?: Float64Array;
  /**
   * How much of its time, at its start, the machine was out of the guest, for an exit that SPE has nothing to do with; absent: none.
   * Bare metal has it as the guest's own time.
   */
  readonly otherNs?: Float64Array;
  /** The guest page of an access, at its start, that stage 2 did not allow: that took `otherNs`, and where it allows it takes nothing. */
  readonly faultPage?: Float64Array;
  /** Which of its vCPU's buffers its enable turns on, where there are several; absent: the only one. */
  readonly buffer?: Uint16Array;
}

export interface Schedule {
  /** One vCPU per recorded CPU that ran anything, numbered from 0. */
  readonly vcpus: number;
  readonly tasks: readonly ScheduledTask[];
  readonly segments: Segments;
  /** From the first target switch-in (0) to the last target switch-out. */
  readonly durationNs: number;
  /** Everything that a reader of the result must know: what was guessed, merged, cut or left out. */
  readonly assumptions: readonly string[];
  /**
   * Profiled per CPU (`perf record -a`): all segments are targets, none enables or disables; each vCPU's event is
   * enabled once at the schedule's start and disabled once at its end.
   */
  readonly perCpu?: boolean;
}
