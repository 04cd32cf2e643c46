/**
 * Runs made up for tests of what stands outside the engine: report, tables, page, command line. Their sums hold;
 * their figures mean nothing.
 */

import type { RunDetail, Span } from "../src/lab/report/detail.ts";
import { type Model, type ModelRun, RUN_SCHEMA, type TimePart } from "../src/lab/report/run.ts";

const MIB = 1024 * 1024;

/** What replaces fields of a run; of `model` some only. */
export type Over = Partial<Omit<ModelRun, "model">> & { readonly model?: Partial<Model> };

/** A sound run; `over` replaces fields, `parts` the split of its single vCPU. */
export function syntheticRun(over: Over = {}, parts: Partial<Record<TimePart, number>> = {}): ModelRun {
  const split: Record<TimePart, number> = {
    guestRunNs: 0.3e9,
    idleNs: 0.1e9,
    walkNs: 0,
    pinNs: 0,
    unpinNs: 0,
    stage2Ns: 0,
    exitNs: 1e6,
    irqNs: 0,
    lockWaitNs: 0,
    stealNs: 0,
    ...parts,
  };
  const elapsedNs = Object.values(split).reduce((a, b) => a + b, 0);
  return {
    schema: RUN_SCHEMA,
    scenario: "thread-a",
    guest: "model",
    policy: "until-changed",
    profile: "thread-normal",
    seed: 1,
    assumptions: ["The command switches 100 times."],
    warnings: [],
    bufferBytes: 256 * MIB,
    pageBytes: 4096,
    backing: "thp",
    setupNs: 0,
    guestWallNs: elapsedNs,
    bareMetalWallNs: 0.4e9,
    slowdown: elapsedNs / 0.4e9,
    baseline: { selected: 10_000, lostWhileFull: 0 },
    machine: null,
    vcpus: [{ vcpu: 0, elapsedNs, ...split }],
    ...split,
    backgroundNs: 0,
    hostCpuNs: 1e6,
    excess: null,
    longestStopNs: { cold: 0, warm: 0 },
    bufferEnables: 100,
    bufferDisables: 100,
    contextSwitches: 200,
    pins: 1,
    unpins: 1,
    pagesPinned: 32768,
    pagesUnpinned: 32768,
    tablePagesPinned: 67,
    pinnedPeakBytes: 128 * MIB,
    unreclaimablePeakBytes: 128 * MIB,
    pinnedByteSeconds: 128 * MIB * 0.4,
    heldAfterOffNs: 0,
    memlockPeakBytes: 128 * MIB,
    memlockLimitBytes: null,
    recordStage2Faults: 0,
    cpuStage2Faults: 0,
    blackouts: { count: 0, totalNs: 0, longestNs: 0, instructions: 0 },
    samples: {
      selected: 10_000,
      written: 9_990,
      filtered: 0,
      collided: 10,
      lostInBlackout: 0,
      lostWhileFull: 0,
      truncated: 0,
    },
    fidelity: null,
    guestClockGHz: 2.4,
    guestComplaints: null,
    exitReasons: { "MSR PMBLIMITR_EL1": 200 },
    ...over,
    model: {
      slowdownRange: null,
      atLowCosts: null,
      atHighCosts: null,
      flips: [],
      withoutDirectSwitches: null,
      bufferEnablesWithoutDirectSwitchRule: null,
      enableReasons: { "switch-in": 100 },
      disableReasons: { "switch-out": 100 },
      releasedAfterNs: null,
      reference: null,
      ...over.model,
    },
  };
}

interface Shape {
  readonly policy: string;
  readonly perToggleNs: Partial<Record<TimePart, number>>;
  readonly onceNs: Partial<Record<TimePart, number>>;
  readonly over: Over;
  readonly lossy: boolean;
}

const SHAPES: readonly Shape[] = [
  {
    policy: "fault",
    perToggleNs: { exitNs: 6e3 },
    onceNs: { stage2Ns: 4e6, irqNs: 3e6 },
    over: { pinnedPeakBytes: 0 },
    lossy: true,
  },
  {
    policy: "pin-on-enable",
    perToggleNs: { walkNs: 0.4e6, pinNs: 22e6, unpinNs: 11e6, stage2Ns: 7e6, exitNs: 9e3 },
    onceNs: {},
    over: {},
    lossy: false,
  },
  {
    policy: "prefault",
    perToggleNs: { exitNs: 1e3 },
    onceNs: {},
    over: { setupNs: 1.3e9, pinnedPeakBytes: 2048 * MIB },
    lossy: false,
  },
  {
    policy: "until-changed",
    perToggleNs: { walkNs: 0.02e6, exitNs: 9e3 },
    onceNs: { walkNs: 0.4e6, pinNs: 22e6, stage2Ns: 7e6 },
    over: {},
    lossy: false,
  },
];

/** What `thread` would give, more or less: two commands, filtered and not, on two profiles, under four policies. */
export function syntheticThread(): RunDetail[] {
  const details: RunDetail[] = [];
  for (const profile of ["thread-normal", "thread-debug"])
    for (const [scenario, toggles, seenNormal] of [
      ["thread-a", 100, 4e9],
      ["thread-a-sampling", 100, null],
      ["thread-b", 1075, 50e9],
      ["thread-b-sampling", 1075, null],
    ] as const)
      for (const shape of SHAPES) {
        const factor = profile === "thread-debug" ? 5 : 1;
        details.push(syntheticDetail(shape, scenario, profile, toggles, factor, seenNormal));
      }
  return details;
}

function syntheticDetail(
  shape: Shape,
  scenario: string,
  profile: string,
  toggles: number,
  factor: number,
  seenNormal: number | null,
): RunDetail {
  const sampling = scenario.endsWith("-sampling");
  const parts: Partial<Record<TimePart, number>> = {};
  for (const [part, cost] of Object.entries(shape.perToggleNs) as [TimePart, number][])
    parts[part] = (parts[part] ?? 0) + cost * toggles * factor;
  for (const [part, cost] of Object.entries(shape.onceNs) as [TimePart, number][])
    parts[part] = (parts[part] ?? 0) + cost * factor;
  const lost = sampling && shape.lossy ? 430 : 0;
  const run = syntheticRun(
    {
      scenario,
      profile,
      policy: shape.policy,
      bufferEnables: toggles,
      bufferDisables: toggles,
      model: {
        enableReasons: { "switch-in": toggles },
        disableReasons: { "switch-out": toggles },
        reference:
          shape.policy === "pin-on-enable" && seenNormal !== null
            ? {
                wallNs: seenNormal * (factor === 1 ? 1 : 4),
                bareMetalBelowNs: 0.5e9,
                source: "made up for a test",
              }
            : null,
      },
      samples: sampling
        ? {
            selected: 10_000,
            written: 10_000 - lost,
            filtered: 0,
            collided: 0,
            lostInBlackout: lost,
            lostWhileFull: 0,
            truncated: 0,
          }
        : {
            selected: 0,
            written: 0,
            filtered: 0,
            collided: 0,
            lostInBlackout: 0,
            lostWhileFull: 0,
            truncated: 0,
          },
      blackouts:
        lost > 0
          ? { count: 86, totalNs: 3e6, longestNs: 60e3, instructions: 1e6 }
          : { count: 0, totalNs: 0, longestNs: 0, instructions: 0 },
      longestStopNs: {
        cold: (parts.pinNs ?? 0) > 0 ? 29e6 * factor : 9e3,
        warm: shape.policy === "pin-on-enable" ? 40e6 * factor : 29e3,
      },
      pagesPinned:
        shape.policy === "pin-on-enable" ? 32768 * toggles : shape.policy === "until-changed" ? 32768 : 0,
      tablePagesPinned: shape.policy === "pin-on-enable" ? 67 * toggles : 0,
      ...shape.over,
    },
    parts,
  );
  return { run: withCostRange(run), ...timelineOf(shape, run, toggles, factor, lost) };
}

function withCostRange(run: ModelRun): ModelRun {
  const excess = Math.max(0, run.slowdown - 1);
  return {
    ...run,
    model: {
      ...run.model,
      atLowCosts: { slowdown: 1 + excess * 0.6 },
      atHighCosts: { slowdown: 1 + excess * 1.7 },
      flips: run.slowdown < 1.2 && 1 + excess * 1.7 > 1.2 ? ["pin"] : [],
    },
  };
}

function timelineOf(shape: Shape, run: ModelRun, toggles: number, factor: number, lost: number) {
  const spans: Span[] = [];
  const pinnedOverTime: [number, number][] = [[0, 0]];
  const guestSlice = 0.4e9 / toggles;
  let now = 0;
  const work = (kind: Span["kind"], cost: number | undefined) => {
    if (cost === undefined || cost === 0) return;
    spans.push({ vcpu: 0, kind, startNs: now, endNs: now + cost * factor });
    now += cost * factor;
  };
  for (let i = 0; i < toggles; i++) {
    const once = i === 0 ? shape.onceNs : {};
    work("exit", shape.perToggleNs.exitNs);
    work("walk", (shape.perToggleNs.walkNs ?? 0) + (once.walkNs ?? 0));
    work("pin", (shape.perToggleNs.pinNs ?? 0) + (once.pinNs ?? 0));
    work("stage2", (shape.perToggleNs.stage2Ns ?? 0) + (once.stage2Ns ?? 0));
    if (run.pinnedPeakBytes > 0) pinnedOverTime.push([now, run.pinnedPeakBytes]);
    spans.push({ vcpu: 0, kind: "buffer-on", startNs: now, endNs: now + guestSlice * 0.7 });
    if (lost > 0)
      spans.push({
        vcpu: 0,
        kind: "blackout",
        startNs: now + guestSlice * 0.1,
        endNs: now + guestSlice * 0.18,
      });
    now += guestSlice * 0.7;
    if (shape.perToggleNs.unpinNs !== undefined) pinnedOverTime.push([now, 0]);
    work("unpin", shape.perToggleNs.unpinNs);
    spans.push({ vcpu: 0, kind: "idle", startNs: now, endNs: now + guestSlice * 0.3 });
    now += guestSlice * 0.3;
  }
  return { spans, pinnedOverTime };
}
