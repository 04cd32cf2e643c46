/**
 * Open-loop replay of a schedule on a VM's vCPUs: order and run times as recorded, hypervisor time inserted where it
 * falls (`replay-core.ts` is a vCPU's part). What waits for a preempted task or for a target task waits on; other waits are either kept (as long as
 * recorded after the task's last run) or absorbing (not before the recorded instant). See schedule.ts.
 */
import { BrokenInvariant } from "../common/errors.ts";
import type { CoreHardware } from "../kvm/guest-core.ts";
import { NO_SEGMENT, type Schedule, SEGMENT, WAIT } from "./schedule.ts";

/** How waits for something unseen are replayed. */
export type Waits = "kept" | "absorbing";

const UNKNOWN = -1;

export interface ReplayState {
  readonly endedAtNs: readonly number[];
  readonly readyAtNs: readonly number[];
  readonly blockedOnEnd: readonly number[];
  readonly lastTargetEndNs: number;
  readonly finished: number;
}

/** What all cores of one replay share: which segment has run how far, and who waits for it. */
export class Replay {
  readonly schedule: Schedule;
  readonly waits: Waits;
  /** Instants at which segments ended, UNKNOWN before. */
  readonly endedAtNs: Float64Array;
  /** Instants at which a woken segment became runnable. */
  readonly #readyAtNs: Float64Array;
  /** Segments woken by a segment, in order of offset: a list as compressed rows. */
  readonly #wokenFirst: Int32Array;
  readonly #woken: Int32Array;
  /** The vCPU that cannot go on before this segment has ended, or -1. */
  readonly #blockedOnEnd: Int32Array;
  /** Segments of each vCPU in order. */
  readonly perVcpu: readonly Int32Array[];
  /** Instant of the last target switch-out, driver included. */
  lastTargetEndNs = 0;
  /** Segments that have ended, for progress. */
  finished = 0;

  constructor(schedule: Schedule, waits: Waits) {
    this.schedule = schedule;
    this.waits = waits;
    const { segments, vcpus } = schedule;
    const { count } = segments;
    this.endedAtNs = new Float64Array(count).fill(UNKNOWN);
    this.#readyAtNs = new Float64Array(count).fill(UNKNOWN);
    this.#blockedOnEnd = new Int32Array(count).fill(-1);
    const rows = new Int32Array(vcpus);
    for (let i = 0; i < count; i++) rows[segments.vcpu[i] as number]! += 1;
    const perVcpu = Array.from(rows, (length) => new Int32Array(length));
    const filled = new Int32Array(vcpus);
    for (let i = 0; i < count; i++) {
      const vcpu = segments.vcpu[i] as number;
      (perVcpu[vcpu] as Int32Array)[filled[vcpu] as number] = i;
      filled[vcpu]! += 1;
    }
    this.perVcpu = perVcpu;
    this.#wokenFirst = new Int32Array(count + 1);
    for (let i = 0; i < count; i++)
      if (segments.wait[i] === WAIT.woken) this.#wokenFirst[(segments.waker[i] as number) + 1]! += 1;
    for (let i = 0; i < count; i++) this.#wokenFirst[i + 1]! += this.#wokenFirst[i] as number;
    this.#woken = new Int32Array(this.#wokenFirst[count] as number);
    const next = this.#wokenFirst.slice();
    for (let i = 0; i < count; i++) {
      if (segments.wait[i] !== WAIT.woken) continue;
      const waker = segments.waker[i] as number;
      this.#woken[next[waker] as number] = i;
      next[waker]! += 1;
    }
    for (let i = 0; i < count; i++)
      if ((this.#wokenFirst[i + 1] as number) - (this.#wokenFirst[i] as number) > 1)
        this.#woken
          .subarray(this.#wokenFirst[i], this.#wokenFirst[i + 1])
          .sort((a, b) => (segments.wakerOffsetNs[a] as number) - (segments.wakerOffsetNs[b] as number));
  }

  /**
   * When a segment may start, as far as others are concerned; undefined: not known before somebody else has run
   * further. Its vCPU is kicked then.
   */
  readyAt(segment: number, vcpu: number): number | undefined {
    const { segments } = this.schedule;
    const previous = segments.previousOfTask[segment] as number;
    let atNs = 0;
    if (previous !== NO_SEGMENT) {
      atNs = this.endedAtNs[previous] as number;
      if (atNs === UNKNOWN) {
        this.#blockedOnEnd[previous] = vcpu;
        return undefined;
      }
    }
    switch (segments.wait[segment]) {
      case WAIT.none:
        return atNs;
      case WAIT.woken: {
        const ready = this.#readyAtNs[segment] as number;
        return ready === UNKNOWN ? undefined : Math.max(atNs, ready);
      }
      case WAIT.other:
        return this.waits === "kept"
          ? atNs + (segments.waitNs[segment] as number)
          : Math.max(atNs, segments.startNs[segment] as number);
      default:
        throw new BrokenInvariant(`segment ${segment} waits for nothing known`);
    }
  }

  /** What `restore` takes. */
  save(): ReplayState {
    return {
      endedAtNs: [...this.endedAtNs],
      readyAtNs: [...this.#readyAtNs],
      blockedOnEnd: [...this.#blockedOnEnd],
      lastTargetEndNs: this.lastTargetEndNs,
      finished: this.finished,
    };
  }

  /** Into a replay of the same schedule. */
  restore(state: ReplayState): void {
    this.endedAtNs.set(state.endedAtNs);
    this.#readyAtNs.set(state.readyAtNs);
    this.#blockedOnEnd.set(state.blockedOnEnd);
    this.lastTargetEndNs = state.lastTargetEndNs;
    this.finished = state.finished;
  }

  /** The next offset into a running segment at which another becomes runnable, Infinity if there is none. */
  nextWake(segment: number, ranNs: number): number {
    const { wakerOffsetNs } = this.schedule.segments;
    for (
      let row = this.#wokenFirst[segment] as number;
      row < (this.#wokenFirst[segment + 1] as number);
      row++
    ) {
      const woken = this.#woken[row] as number;
      if (this.#readyAtNs[woken] === UNKNOWN) return Math.max(ranNs, wakerOffsetNs[woken] as number);
    }
    return Number.POSITIVE_INFINITY;
  }

  /** A segment has run `ranNs` of its time at `nowNs`: those it wakes by then are runnable. */
  progress(segment: number, ranNs: number, nowNs: number, kick: CoreHardware["kick"]): void {
    const { wakerOffsetNs, vcpu } = this.schedule.segments;
    for (
      let row = this.#wokenFirst[segment] as number;
      row < (this.#wokenFirst[segment + 1] as number);
      row++
    ) {
      const woken = this.#woken[row] as number;
      if (this.#readyAtNs[woken] !== UNKNOWN) continue;
      if ((wakerOffsetNs[woken] as number) > ranNs) return;
      this.#readyAtNs[woken] = nowNs;
      kick(vcpu[woken] as number, nowNs);
    }
  }

  /** A segment has ended at `nowNs`, its switch-out included. */
  ended(segment: number, ranNs: number, nowNs: number, kick: CoreHardware["kick"]): void {
    const { wakerOffsetNs, vcpu, flags } = this.schedule.segments;
    this.endedAtNs[segment] = nowNs;
    this.finished += 1;
    if (((flags[segment] as number) & SEGMENT.target) !== 0)
      this.lastTargetEndNs = Math.max(this.lastTargetEndNs, nowNs);
    for (
      let row = this.#wokenFirst[segment] as number;
      row < (this.#wokenFirst[segment + 1] as number);
      row++
    ) {
      const woken = this.#woken[row] as number;
      if (this.#readyAtNs[woken] !== UNKNOWN) continue;
      const readyNs = nowNs + Math.max(0, Math.ceil((wakerOffsetNs[woken] as number) - ranNs));
      this.#readyAtNs[woken] = readyNs;
      kick(vcpu[woken] as number, readyNs);
    }
    const blocked = this.#blockedOnEnd[segment] as number;
    if (blocked >= 0) kick(blocked, nowNs);
  }
}
