/** Small random schedules and settings for the driver model, for tests that compare whole records. */
import fc from "fast-check";
import { randomStream } from "../../src/common/random.ts";
import { NO_SEGMENT, type Schedule, SEGMENT, type Segments, WAIT } from "../../src/guest/schedule.ts";
import { DEFAULT_EVENT } from "../../src/guest/spe-event.ts";
import { BACKINGS } from "../../src/host/mm.ts";
import {
  PRESSURE_KINDS,
  type PressureKind,
  type PressureRates,
  randomPressure,
} from "../../src/host/pressure.ts";
import type { Setting } from "../../src/lab/experiment.ts";

const MIB = 1024 ** 2;

interface TaskRun {
  readonly vcpu: number;
  /** Which of its vCPU's tasks: 0 and 1 are targets, 2 is not. */
  readonly task: number;
  readonly gapNs: number;
  readonly runNs: number;
  /** A direct switch to the next run of a target on the vCPU: E stays 1. */
  readonly direct: boolean;
  readonly wait: number;
  readonly waker: number;
}

const TASKS_PER_VCPU = 3;

const run = (vcpus: number): fc.Arbitrary<TaskRun> =>
  fc.record({
    vcpu: fc.nat(vcpus - 1),
    task: fc.nat(TASKS_PER_VCPU - 1),
    gapNs: fc.nat(20_000),
    runNs: fc.integer({ min: 1, max: 300_000 }),
    direct: fc.boolean(),
    wait: fc.constantFrom<number>(WAIT.none, WAIT.woken, WAIT.other),
    waker: fc.nat(),
  });

function scheduleOf(vcpus: number, runs: readonly TaskRun[], perCpu: boolean): Schedule {
  const ends = new Array<number>(vcpus).fill(0);
  const placed = runs
    .map((run) => {
      const startNs = (ends[run.vcpu] as number) + run.gapNs;
      ends[run.vcpu] = startNs + run.runNs;
      return { ...run, startNs, isTarget: perCpu || run.task < 2 };
    })
    .sort((a, b) => a.startNs - b.startNs);
  const { length: count } = placed;
  const segments: Segments = {
    count,
    vcpu: Uint16Array.from(placed, ({ vcpu }) => vcpu),
    task: Uint32Array.from(placed, ({ vcpu, task }) => vcpu * TASKS_PER_VCPU + task),
    startNs: Float64Array.from(placed, ({ startNs }) => startNs),
    endNs: Float64Array.from(placed, ({ startNs, runNs }) => startNs + runNs),
    flags: new Uint8Array(count),
    wait: Uint8Array.from(placed, ({ wait }) => wait),
    waitNs: Float64Array.from(placed, ({ gapNs }) => gapNs),
    waker: new Int32Array(count).fill(NO_SEGMENT),
    wakerOffsetNs: new Float64Array(count),
    previousOfTask: new Int32Array(count).fill(NO_SEGMENT),
  };
  const lastOfTask = new Map<number, number>();
  for (const [i, { vcpu, wait, waker, isTarget, startNs, task }] of placed.entries()) {
    const id = vcpu * TASKS_PER_VCPU + task;
    segments.previousOfTask[i] = lastOfTask.get(id) ?? NO_SEGMENT;
    lastOfTask.set(id, i);
    if (wait === WAIT.woken) {
      const by = i === 0 ? NO_SEGMENT : waker % i;
      segments.waker[i] = by;
      if (by === NO_SEGMENT) segments.wait[i] = WAIT.none;
      else
        segments.wakerOffsetNs[i] = Math.min(
          startNs - (segments.startNs[by] as number),
          (segments.endNs[by] as number) - (segments.startNs[by] as number),
        );
    }
    segments.flags[i] = isTarget ? SEGMENT.target : 0;
  }
  if (!perCpu)
    for (let vcpu = 0; vcpu < vcpus; vcpu++) {
      const own = placed.flatMap((run, i) => (run.vcpu === vcpu ? [{ ...run, i }] : []));
      let on = false;
      for (const [n, { i, isTarget, direct }] of own.entries()) {
        if (!isTarget) continue;
        if (!on) segments.flags[i]! |= SEGMENT.enables;
        on = direct && own[n + 1]?.isTarget === true;
        if (!on) segments.flags[i]! |= SEGMENT.disables;
      }
    }
  return {
    vcpus,
    tasks: Array.from({ length: vcpus * TASKS_PER_VCPU }, (_, i) => ({
      pid: 100 + i,
      tid: 100 + i,
      comm: `task ${i}`,
      target: perCpu || i % TASKS_PER_VCPU < 2,
    })),
    segments,
    durationNs: Math.max(...ends),
    assumptions: [],
    ...(perCpu ? { perCpu } : {}),
  };
}

/**
 * A random setting, small enough to run in milliseconds.
 * @param kinds what the host does. MADV_DONTNEED of pages in use destroys a guest's memory, its tables too: then faults
 *   are the guest's to be told
 */
const settingUnder = (kinds: readonly PressureKind[]): fc.Arbitrary<Setting> =>
  fc.integer({ min: 1, max: 3 }).chain((vcpus) =>
    fc
      .record({
        runs: fc.array(run(vcpus), { minLength: 2, maxLength: 24 }),
        perCpu: fc.boolean().map((a) => a && vcpus > 1),
        bufferShift: fc.integer({ min: 13, max: 19 }),
        snapshot: fc.boolean(),
        pageBytes: fc.constantFrom(4096, 4096, 4096, 16384, 65536) as fc.Arbitrary<4096 | 16384 | 65536>,
        backing: fc.constantFrom(...BACKINGS),
        memlockPages: fc.integer({ min: 0, max: 200 }),
        irqLatencyNs: fc.constantFrom(0, 2_000, 50_000),
        period: fc.constantFrom(256, 1024, 4096),
        jitter: fc.boolean(),
        minLatency: fc.constantFrom(0, 0, 12, 1000),
        stage2AtStart: fc.constantFrom("mapped" as const, "absent" as const),
        seed: fc.nat(1_000_000),
        rates: fc.array(fc.constantFrom(0, 0, 500, 5_000, 20_000), {
          minLength: kinds.length,
          maxLength: kinds.length,
        }),
      })
      .map((any): Setting => {
        const units = any.pageBytes / 4096;
        // Two guest pages at least.
        const bufferBytes = Math.max(2 ** any.bufferShift, 2 * any.pageBytes);
        const rates: PressureRates = Object.fromEntries(kinds.map((kind, i) => [kind, any.rates[i]]));
        return {
          scenario: "random",
          // One target at least: without any there is nothing to measure.
          schedule: scheduleOf(
            vcpus,
            any.runs.map((each, i) => (i === 0 ? { ...each, task: 0 } : each)),
            any.perCpu,
          ),
          event: { ...DEFAULT_EVENT, period: any.period, jitter: any.jitter, minLatency: any.minLatency },
          bufferBytes,
          snapshot: any.snapshot,
          pageBytes: any.pageBytes,
          backing: any.backing,
          memoryBytes: Math.ceil((vcpus * bufferBytes * 2 + units * 2 * MIB) / (2 * MIB)) * 2 * MIB + 4 * MIB,
          memlockBytes: any.memlockPages * 4096,
          memlockMaxBytes: Number.POSITIVE_INFINITY,
          irqLatencyNs: any.irqLatencyNs,
          clockGHz: 2.5,
          ipc: 1,
          seed: any.seed,
          stage2AtStart: any.stage2AtStart,
          ...(any.rates.some((rate) => rate > 0)
            ? { pressure: (pages: number) => randomPressure(rates, pages, randomStream(any.seed)) }
            : {}),
        };
      }),
  );

export const anySetting = settingUnder(PRESSURE_KINDS);

/** One in which guest memory keeps its content. */
export const harmlessSetting = settingUnder(PRESSURE_KINDS.filter((kind) => kind !== "dontneed"));
