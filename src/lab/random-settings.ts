/**
 * Settings from seeds: what some guest might run, profiled somehow, without pressure from its host. The same seed gives
 * the same setting.
 */
import { PAGE_BYTES } from "../common/address.ts";
import { type RandomStream, randomStream } from "../common/random.ts";
import type { GuestPageBytes } from "../guest/memory.ts";
import { type Schedule, WAIT } from "../guest/schedule.ts";
import { DEFAULT_EVENT, type SpeEvent } from "../guest/spe-event.ts";
import { HUGE_PAGES } from "../host/frames.ts";
import { BACKINGS } from "../host/mm.ts";
import { DEFAULT_MEMLOCK_BYTES, type Setting } from "./experiment.ts";
import { type Burst, scheduleOf } from "./schedules.ts";

const MIB = 1024 ** 2;

/** Runs and gaps between them, and how long everything takes on bare metal, but for the last gap. */
const RUN_NS = { least: 5_000, most: 20_000_000 } as const;
const TOTAL_NS = { least: 500_000, most: 200_000_000 } as const;
/** What keeps a setting to fractions of a second: schedules of short runs, and of frequent samples, are cut short. */
const MOST_BURSTS = 1_000;
const MOST_SAMPLES = 50_000;
interface Range {
  readonly least: number;
  readonly most: number;
}
/** What is drawn from. */
interface Drawn {
  readonly vcpus: Range;
  readonly periodOps: Range;
}
/** arm_spe_pmu raises a shorter period to what PMSIDR_EL1.Interval recommends (arm_spe_event_sanitise_period). */
const USUAL: Drawn = { vcpus: { least: 1, most: 4 }, periodOps: { least: 4_096, most: 65_536 } };
/** The shortest that PMSIRR_EL1.INTERVAL can say: since June 2025 Linux lets guests have it. */
const WIDE: Drawn = { vcpus: { least: 1, most: 16 }, periodOps: { least: 256, most: 65_536 } };
/** A worker that the scheduler finds a CPU for at once, and one that waits for a slice or two of others. */
const WORKER_WAKE_NS = { least: 3_000, most: 20_000_000 } as const;
/** All buffers together. */
const MOST_BUFFER_BYTES = 256 * MIB;

/** Draws in words that read well. */
class Draw {
  readonly #random: RandomStream;
  constructor(seed: number) {
    this.#random = randomStream(seed);
  }
  integer(low: number, high: number): number {
    return this.#random.integer(low, high);
  }
  one<T>(choices: readonly T[]): T {
    return choices[this.integer(0, choices.length - 1)] as T;
  }
  chance(percent: number): boolean {
    return this.integer(0, 99) < percent;
  }
  uniform(low: number, high: number): number {
    return low + (high - low) * this.#random.fraction();
  }
  logUniform(low: number, high: number): number {
    return Math.exp(this.uniform(Math.log(low), Math.log(high)));
  }
}

/** A range of durations within RUN_NS: some tasks run for about the same time always, some for any. */
function range(draw: Draw): { readonly low: number; readonly high: number } {
  const [a, b] = [draw.logUniform(RUN_NS.least, RUN_NS.most), draw.logUniform(RUN_NS.least, RUN_NS.most)];
  return { low: Math.min(a, b), high: Math.max(a, b) };
}

/** Tasks that run and wait by turns, each mostly on the vCPU it was on. */
function bursts(draw: Draw, vcpus: number, tasks: number, totalNs: number): Burst[] {
  const lengths = range(draw);
  const gaps = range(draw);
  const staysPercent = draw.one([0, 50, 90, 100]);
  const freeNs = new Array<number>(vcpus).fill(0);
  const on = Array.from({ length: tasks }, (_, task) => task % vcpus);
  const readyNs = new Array<number>(tasks).fill(0);
  const runs: { task: number; vcpu: number; startNs: number; endNs: number }[] = [];
  while (runs.length < MOST_BURSTS) {
    const task = readyNs.indexOf(Math.min(...readyNs));
    if (!draw.chance(staysPercent)) on[task] = draw.integer(0, vcpus - 1);
    const vcpu = on[task] as number;
    const startNs = Math.max(readyNs[task] as number, freeNs[vcpu] as number);
    if (startNs >= totalNs && Math.max(...freeNs) >= TOTAL_NS.least) break;
    const endNs = startNs + Math.round(Math.min(draw.logUniform(lengths.low, lengths.high), totalNs));
    runs.push({ task, vcpu, startNs, endNs });
    freeNs[vcpu] = endNs;
    readyNs[task] = endNs + Math.round(draw.logUniform(gaps.low, gaps.high));
  }
  runs.sort((a, b) => a.startNs - b.startNs);
  return runs.map(({ task, vcpu, startNs, endNs }, i) => ({
    task,
    vcpu,
    runNs: endNs - startNs,
    gapNs: startNs - (runs[i - 1]?.endNs ?? 0),
  }));
}

/** Some of the waits are for another task: it wakes this one up while it runs, or when it ends. */
function wakeUps(draw: Draw, { segments }: Schedule): void {
  const percent = draw.one([0, 0, 50, 100]);
  for (let i = 1; i < segments.count; i++) {
    if (!draw.chance(percent)) continue;
    const waker = draw.integer(Math.max(0, i - 4), i - 1);
    if (segments.task[waker] === segments.task[i]) continue;
    const sinceStartNs = (segments.startNs[i] as number) - (segments.startNs[waker] as number);
    segments.wait[i] = WAIT.woken;
    segments.waker[i] = waker;
    segments.wakerOffsetNs[i] = sinceStartNs;
  }
}

function eventOf(draw: Draw, { least, most }: Range): SpeEvent {
  return {
    ...DEFAULT_EVENT,
    period: Math.round(draw.logUniform(least, most)),
    jitter: draw.chance(50),
    minLatency: draw.one([0, 0, 12, 1_000]),
    eventFilter: draw.one([0, 0, 0, 10]),
    loadFilter: draw.chance(20),
    storeFilter: draw.chance(20),
  };
}

/** Room for each vCPU's buffer and its tables, in whole 2 MiB. */
function memoryFor(vcpus: number, bufferBytes: number, pageBytes: number): number {
  const blockBytes = HUGE_PAGES * PAGE_BYTES;
  const wanted = vcpus * (bufferBytes * 1.1 + 8 * pageBytes) + 16 * MIB;
  return Math.ceil(wanted / blockBytes) * blockBytes;
}

/** A setting, and what is charged beside what a profile says. */
export interface RandomCase {
  readonly setting: Setting;
  /** In the place of the profile's workerWake; null: that. */
  readonly workerWakeNs: number | null;
}

/** The setting of a seed. */
export const randomSetting = (seed: number): Setting => drawn(new Draw(seed), seed, USUAL);

/** One of more kinds, on a host that may have no CPU to spare, and whose workers may be late. */
export function randomCase(seed: number): RandomCase {
  const draw = new Draw(seed);
  const setting = drawn(draw, seed, WIDE);
  const wakeNs = Math.round(draw.logUniform(WORKER_WAKE_NS.least, WORKER_WAKE_NS.most));
  return {
    setting: draw.chance(50) ? setting : { ...setting, hostCpus: setting.schedule.vcpus },
    workerWakeNs: draw.chance(50) ? wakeNs : null,
  };
}

function drawn(draw: Draw, seed: number, from: Drawn): Setting {
  const vcpus = draw.integer(from.vcpus.least, from.vcpus.most);
  const tasks = draw.integer(1, 6);
  const pageBytes = draw.one<GuestPageBytes>([4096, 4096, 16_384, 65_536]);
  const bufferBytes = Math.max(
    2 ** draw.integer(16, Math.floor(Math.log2(MOST_BUFFER_BYTES / vcpus))),
    2 * pageBytes,
  );
  const event = eventOf(draw, from.periodOps);
  const clockGHz = draw.uniform(1.5, 3.5);
  const ipc = draw.logUniform(0.25, 4);
  const sampledNs = (MOST_SAMPLES * event.period) / (clockGHz * ipc) / vcpus;
  const totalNs = draw.logUniform(TOTAL_NS.least, Math.min(TOTAL_NS.most, sampledNs));
  const schedule = scheduleOf({
    tasks: Array.from({ length: tasks }, (_, i) => `task-${i}`),
    bursts: bursts(draw, vcpus, tasks, totalNs),
    vcpus,
    perCpu: draw.chance(25),
    assumptions: [],
  });
  wakeUps(draw, schedule);
  return {
    scenario: `random ${seed}`,
    schedule,
    event,
    bufferBytes,
    snapshot: draw.chance(25),
    pageBytes,
    backing: draw.one(BACKINGS),
    memoryBytes: memoryFor(vcpus, bufferBytes, pageBytes),
    memlockBytes: DEFAULT_MEMLOCK_BYTES,
    memlockMaxBytes: Number.POSITIVE_INFINITY,
    irqLatencyNs: Math.round(draw.logUniform(500, 10_000)),
    clockGHz,
    ipc,
    seed,
    stage2AtStart: draw.one(["mapped", "absent"] as const),
  };
}
