/**
 * What each segment waited for. Switch records say whether a task was preempted, not who woke it, so wake-ups are
 * taken from what ran at that moment; the replay says that it is open-loop.
 */
import { NO_SEGMENT, WAIT } from "../schedule.ts";

/** A target task that ended this shortly before is still taken as the waker. */
export const WAKER_WITHIN_NS = 50_000;

/** Segments of one task within WAKER_WITHIN_NS that are passed over: only a damaged clock shows more. */
const MOST_STEPS = 64;

/** The columns that `assignWaits` reads, for segments in order of start. */
export interface WaitInputs {
  readonly count: number;
  readonly vcpus: number;
  readonly tasks: number;
  readonly vcpu: Uint16Array;
  readonly task: Uint32Array;
  readonly startNs: Float64Array;
  readonly endNs: Float64Array;
  readonly isTarget: (segment: number) => boolean;
  /** Its CPU came straight from another task. */
  readonly noGap: (segment: number) => boolean;
  /** Its task had been switched out while runnable. */
  readonly preempted: (segment: number) => boolean;
  /** For a task's first segment: the segment of the target task that forked it and when, if one did. */
  readonly forkedBy: (segment: number) => { readonly segment: number; readonly atNs: number } | undefined;
}

export interface Waits {
  readonly wait: Uint8Array;
  readonly waitNs: Float64Array;
  readonly waker: Int32Array;
  readonly wakerOffsetNs: Float64Array;
  readonly previousOfTask: Int32Array;
}

/** The target segments that may have woken somebody, as time goes on. */
class Wakers {
  /** The last target segment on each vCPU, and for each segment the target segment before it there. */
  readonly #last: Int32Array;
  readonly #earlier: Int32Array;
  readonly #input: WaitInputs;

  constructor(input: WaitInputs) {
    this.#input = input;
    this.#last = new Int32Array(input.vcpus).fill(NO_SEGMENT);
    this.#earlier = new Int32Array(input.count).fill(NO_SEGMENT);
  }

  add(segment: number): void {
    const vcpu = this.#input.vcpu[segment] as number;
    this.#earlier[segment] = this.#last[vcpu] as number;
    this.#last[vcpu] = segment;
  }

  /**
   * Who woke `segment`: the target task that runs on another vCPU at its start (the one switched in last, if several
   * do), else the one that ended last, at most WAKER_WITHIN_NS before. Never its own task.
   */
  of(segment: number): number {
    const { startNs, endNs, vcpu, task } = this.#input;
    const atNs = startNs[segment] as number;
    let running = NO_SEGMENT;
    let ended = NO_SEGMENT;
    for (let v = 0; v < this.#last.length; v++) {
      let candidate = this.#last[v] as number;
      for (let steps = 0; candidate !== NO_SEGMENT && task[candidate] === task[segment]; steps++) {
        const tooLongAgo = (endNs[candidate] as number) < atNs - WAKER_WITHIN_NS;
        candidate = tooLongAgo || steps === MOST_STEPS ? NO_SEGMENT : (this.#earlier[candidate] as number);
      }
      if (candidate === NO_SEGMENT) continue;
      const end = endNs[candidate] as number;
      if (end > atNs && vcpu[candidate] !== vcpu[segment]) {
        if (running === NO_SEGMENT || (startNs[candidate] as number) > (startNs[running] as number))
          running = candidate;
      } else if (atNs - end < WAKER_WITHIN_NS && (ended === NO_SEGMENT || end > (endNs[ended] as number)))
        ended = candidate;
    }
    return running === NO_SEGMENT ? ended : running;
  }
}

/** The wait columns of a schedule (see guest/schedule.ts for what they mean). */
export function assignWaits(input: WaitInputs): Waits {
  const { count } = input;
  const out: Waits = {
    wait: new Uint8Array(count),
    waitNs: new Float64Array(count),
    waker: new Int32Array(count).fill(NO_SEGMENT),
    wakerOffsetNs: new Float64Array(count),
    previousOfTask: new Int32Array(count).fill(NO_SEGMENT),
  };
  const lastOfTask = new Int32Array(input.tasks).fill(NO_SEGMENT);
  const wakers = new Wakers(input);
  for (let i = 0; i < count; i++) {
    const task = input.task[i] as number;
    out.previousOfTask[i] = lastOfTask[task] as number;
    lastOfTask[task] = i;
    assignWait(out, input, wakers, i);
    if (input.isTarget(i)) wakers.add(i);
  }
  return out;
}

function assignWait(out: Waits, input: WaitInputs, wakers: Wakers, i: number): void {
  const atNs = input.startNs[i] as number;
  const previous = out.previousOfTask[i] as number;
  const wokenBy = (segment: number, wakeNs: number): void => {
    out.wait[i] = WAIT.woken;
    out.waker[i] = segment;
    out.wakerOffsetNs[i] = Math.max(0, wakeNs - (input.startNs[segment] as number));
  };
  const fork = previous === NO_SEGMENT ? input.forkedBy(i) : undefined;
  if (fork !== undefined && fork.segment < i) {
    wokenBy(fork.segment, fork.atNs);
    return;
  }
  if (input.noGap(i) || (previous !== NO_SEGMENT && input.preempted(previous))) {
    out.wait[i] = WAIT.none;
    return;
  }
  const waker = wakers.of(i);
  if (waker !== NO_SEGMENT) {
    wokenBy(waker, atNs);
    return;
  }
  out.wait[i] = WAIT.other;
  out.waitNs[i] = previous === NO_SEGMENT ? atNs : Math.max(0, atNs - (input.endNs[previous] as number));
}
