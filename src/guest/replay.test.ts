import { describe, expect, it } from "vitest";
import { COST_NAMES, type CostTable } from "../host/costs.ts";
import { fault } from "../kvm/spe/policies/fault.ts";
import { DONE, type PinPolicy } from "../kvm/spe/policy.ts";
import { runBareMetal, runVm, type Setting } from "../lab/experiment.ts";
import { RAM_FIRST_IPN } from "./memory.ts";
import type { Waits } from "./replay.ts";
import { NO_PAGE, NO_SEGMENT, type Schedule, SEGMENT, type Segments, WAIT } from "./schedule.ts";
import { DEFAULT_EVENT } from "./spe-event.ts";

const US = 1_000;

interface Part {
  readonly task: number;
  readonly vcpu?: number;
  readonly from: number;
  readonly to: number;
  readonly flags?: number;
  readonly wait?: number;
  /** For `woken`: the segment that wakes it, and how far into that. */
  readonly waker?: number;
  readonly offset?: number;
  /** How long an exit took at its start, in us, and the page that it was for. */
  readonly other?: number;
  readonly page?: number;
}

const TOGGLES = SEGMENT.target | SEGMENT.enables | SEGMENT.disables;

/** A schedule from runs in us, in order of their start; waits are those since the task's last run. */
function scheduleOf(parts: readonly Part[]): Schedule {
  const { length: count } = parts;
  const segments: Segments = {
    count,
    vcpu: Uint16Array.from(parts, (p) => p.vcpu ?? 0),
    task: Uint32Array.from(parts, (p) => p.task),
    startNs: Float64Array.from(parts, (p) => p.from * US),
    endNs: Float64Array.from(parts, (p) => p.to * US),
    flags: Uint8Array.from(parts, (p) => p.flags ?? TOGGLES),
    wait: Uint8Array.from(parts, (p) => p.wait ?? WAIT.none),
    waitNs: new Float64Array(count),
    waker: Int32Array.from(parts, (p) => p.waker ?? NO_SEGMENT),
    wakerOffsetNs: Float64Array.from(parts, (p) => (p.offset ?? 0) * US),
    otherNs: Float64Array.from(parts, (p) => (p.other ?? 0) * US),
    faultPage: Float64Array.from(parts, (p) => p.page ?? NO_PAGE),
    previousOfTask: new Int32Array(count).fill(NO_SEGMENT),
  };
  const last = new Map<number, number>();
  parts.forEach(({ task, from }, i) => {
    const previous = last.get(task);
    if (previous !== undefined) segments.previousOfTask[i] = previous;
    segments.waitNs[i] = from * US - (previous === undefined ? 0 : (segments.endNs[previous] as number));
    last.set(task, i);
  });
  return {
    vcpus: Math.max(...segments.vcpu) + 1,
    tasks: [0, 1, 2].map((i) => ({ pid: i + 1, tid: i + 1, comm: `t${i}`, target: true })),
    segments,
    durationNs: Math.max(...segments.endNs),
    assumptions: [],
  };
}

const settingOf = (schedule: Schedule): Setting => ({
  scenario: "by hand",
  schedule,
  // No sample falls into so short a run, so that nothing but the toggles costs anything.
  event: { ...DEFAULT_EVENT, period: 0xff_ff00 },
  bufferBytes: 64 * 1024,
  snapshot: false,
  pageBytes: 4096,
  backing: "base",
  memoryBytes: 32 * 1024 ** 2,
  memlockBytes: Number.POSITIVE_INFINITY,
  memlockMaxBytes: Number.POSITIVE_INFINITY,
  irqLatencyNs: 0,
  clockGHz: 1,
  ipc: 1,
  seed: 1,
  stage2AtStart: "mapped",
});

/** Every trapped access takes `us`; nothing else takes any time. A start has two of them, a stop three. */
function costs(us: number): CostTable {
  const table: Partial<Record<(typeof COST_NAMES)[number], number>> = {};
  for (const name of COST_NAMES) table[name] = name === "exit" ? us * US : 0;
  return table as CostTable;
}

/** When each segment had ended, its switch-out included, in us. */
function ends(parts: readonly Part[], us: number, waits: Waits = "kept"): number[] {
  const { replay } = runVm(settingOf(scheduleOf(parts)), fault, costs(us), waits);
  return [...replay.endedAtNs].map((ns) => ns / US);
}

describe("a replayed schedule", () => {
  it("is as recorded where nothing costs anything, in a VM and on bare metal", () => {
    const parts: Part[] = [
      { task: 0, from: 0, to: 100 },
      { task: 1, from: 100, to: 180 },
      { task: 2, vcpu: 1, from: 120, to: 500, wait: WAIT.other },
      { task: 0, from: 180, to: 200 },
    ];
    expect(ends(parts, 0)).toEqual([100, 180, 500, 200]);
    expect(runBareMetal(settingOf(scheduleOf(parts)), costs(0), "kept").wallNs).toBe(500 * US);
  });

  it("pushes back what was runnable by all that the hypervisor took before", () => {
    const parts: Part[] = [
      { task: 0, from: 0, to: 100 },
      { task: 1, from: 100, to: 200 },
      { task: 0, from: 200, to: 300 },
    ];
    expect(ends(parts, 10)).toEqual([150, 300, 450]);
  });

  it("charges a direct switch between cloned contexts for no toggle", () => {
    const { target, enables, disables } = SEGMENT;
    const parts: Part[] = [
      { task: 0, from: 0, to: 100, flags: target | enables },
      { task: 1, from: 100, to: 200, flags: target | disables },
    ];
    expect(ends(parts, 10)).toEqual([120, 250]);
  });

  it("keeps an unseen wait as long as recorded, or lets it absorb the delay", () => {
    const parts: Part[] = [
      { task: 0, from: 0, to: 100 },
      { task: 0, from: 150, to: 200, wait: WAIT.other },
    ];
    // Stopped at 150 instead of 100: the wait of 50 begins there, or is over.
    expect(ends(parts, 10, "kept")).toEqual([150, 300]);
    expect(ends(parts, 10, "absorbing")).toEqual([150, 250]);
    // With room left, nobody starts before the recorded instant.
    expect(ends(parts, 2, "absorbing")).toEqual([110, 210]);
    // Nor on another vCPU before the task's last run is over.
    const moved = parts.map((part, i) => ({ ...part, vcpu: i }));
    expect(ends(moved, 20, "absorbing")).toEqual([200, 350]);
  });

  it("starts a woken task when its waker has run as far as recorded", () => {
    const parts: Part[] = [
      { task: 0, from: 0, to: 100 },
      { task: 1, vcpu: 1, from: 40, to: 60, wait: WAIT.woken, waker: 0, offset: 40 },
    ];
    // The waker's own start takes 20; the woken task has its five traps, too.
    expect(ends(parts, 10)).toEqual([150, 20 + 40 + 20 + 50]);
  });

  it("starts a task woken after its waker's end that long after the delayed end", () => {
    const parts: Part[] = [
      { task: 0, from: 0, to: 100 },
      { task: 1, vcpu: 1, from: 130, to: 150, wait: WAIT.woken, waker: 0, offset: 130 },
    ];
    expect(ends(parts, 10)).toEqual([150, 150 + 30 + 20 + 50]);
  });

  it("lets a task go on elsewhere only when it has stopped here", () => {
    const parts: Part[] = [
      { task: 0, from: 0, to: 100 },
      { task: 0, vcpu: 1, from: 100, to: 150 },
    ];
    expect(ends(parts, 10)).toEqual([150, 250]);
  });

  it("lets vCPUs run beside each other", () => {
    const parts: Part[] = [
      { task: 0, from: 0, to: 1_000 },
      { task: 1, vcpu: 1, from: 0, to: 400 },
    ];
    expect(ends(parts, 10)).toEqual([1_050, 450]);
  });
});

describe("an exit of the machine's that SPE has nothing to do with", () => {
  /** Its vCPU runs for 100 us of which the first 40 are an exit. */
  const parts = (page?: number): Part[] => [
    { task: 0, from: 0, to: 100, flags: SEGMENT.target | SEGMENT.enables },
    {
      task: 0,
      from: 100,
      to: 200,
      flags: SEGMENT.target,
      other: 40,
      ...(page === undefined ? {} : { page }),
    },
  ];
  /** Which exits there are for a timer that is armed at the enable, and when all is over. */
  function run(timerUs: number, page?: number, mapped: Setting["mappedAtStart"] = []) {
    const policy: PinPolicy = {
      ...fault,
      create: () => ({
        onBufferEnabled: (_buffer, ctx) => {
          ctx.armTimer(timerUs * US, "tick");
          return DONE;
        },
        onBufferDisabled: () => undefined,
        onTimer: () => undefined,
      }),
    };
    const setting = { ...settingOf(scheduleOf(parts(page))), mappedAtStart: mapped };
    const { machine, replay } = runVm(setting, policy, costs(10), "kept");
    const { exitReasons } = machine.statistics;
    return {
      timers: exitReasons.get("host timer") ?? 0,
      faults: exitReasons.get("DABT") ?? 0,
      endUs: replay.endedAtNs[1]! / US,
    };
  }

  // The enable's two traps take 20 us: the exit lasts from 120 us to 160 us.
  it("takes its time, and a timer that is due meanwhile is served without an exit of its own", () => {
    expect(run(110)).toEqual({ timers: 1, faults: 0, endUs: 230 });
    expect(run(130)).toEqual({ timers: 0, faults: 0, endUs: 220 });
    expect(run(170)).toEqual({ timers: 1, faults: 0, endUs: 230 });
  });

  it("for a page is made where stage 2 does not allow the access, and takes what that takes now", () => {
    const page = RAM_FIRST_IPN + 5;
    // 60 us of the guest's, and one exit of 10 us.
    expect(run(1_000, page)).toEqual({ timers: 0, faults: 1, endUs: 190 });
    expect(run(1_000, page, [[RAM_FIRST_IPN, 16]])).toEqual({ timers: 0, faults: 0, endUs: 180 });
  });
});
