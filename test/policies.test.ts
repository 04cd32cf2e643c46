/** What the policy context's calls cost and do, and what sets each policy apart, on the thread's first command. */
import { describe, expect, it } from "vitest";
import { costTable } from "../src/host/costs.ts";
import { PROFILES } from "../src/host/profiles.ts";
import { adaptive } from "../src/kvm/spe/policies/adaptive.ts";
import { bounce, bounceOf } from "../src/kvm/spe/policies/bounce.ts";
import { fault } from "../src/kvm/spe/policies/fault.ts";
import { firstFault } from "../src/kvm/spe/policies/first-fault.ts";
import { grace, graceOf } from "../src/kvm/spe/policies/grace.ts";
import { pinOnEnable } from "../src/kvm/spe/policies/pin-on-enable.ts";
import { trapOnly } from "../src/kvm/spe/policies/trap-only.ts";
import { unpinOnNext } from "../src/kvm/spe/policies/unpin-on-next.ts";
import { untilChanged } from "../src/kvm/spe/policies/until-changed.ts";
import { wholeGuest } from "../src/kvm/spe/policies/whole-guest.ts";
import { window } from "../src/kvm/spe/policies/window.ts";
import { windowAhead } from "../src/kvm/spe/policies/window-ahead.ts";
import {
  DONE,
  type PinPolicy,
  type PolicyContext,
  type PolicyHandlers,
  type SpeBuffer,
} from "../src/kvm/spe/policy.ts";
import { settingOfCell, USUAL_CELL } from "../src/lab/bar/cell.ts";
import type { ModelRun } from "../src/lab/report/run.ts";
import { SCENARIOS } from "../src/lab/scenarios.ts";
import { toggling } from "../src/lab/schedules.ts";
import { trial } from "../src/lab/trial.ts";

const COSTS = costTable(PROFILES[0] as (typeof PROFILES)[number]);
const MIB = 1024 ** 2;
const BUFFER_BYTES = 8 * MIB;
/** Half of the buffer, and the tables that map it at most. */
const HALF_PAGES = BUFFER_BYTES / 2 / 4096;
const TABLE_PAGES = 8;

function run(policy: PinPolicy, name = "thread-a", changes = {}): ModelRun {
  const scenario = SCENARIOS.find((each) => each.name === name);
  if (scenario === undefined) throw new Error(`no scenario ${name}`);
  const setting = { ...scenario.setting(BUFFER_BYTES, 1), memoryBytes: 64 * MIB, ...changes };
  return trial({ setting, policy, costs: COSTS });
}

const policyOf = (handlers: PolicyHandlers): PinPolicy => ({
  ...fault,
  name: "test",
  create: () => ({ onStage2Fault: (at, ctx) => ctx.mapFault(at), ...handlers }),
});

/** One task that runs 1 ms and sleeps 1 ms, ten times. */
const tenRuns = { schedule: toggling({ count: 10, runNs: 1_000_000, gapNs: 1_000_000 }) };

describe("a timer", () => {
  const armedIn = (ns: number, seen: number[]) =>
    policyOf({
      onBufferEnabled(_buffer, ctx) {
        ctx.armTimer(ctx.nowNs + 10_000_000_000, "tag");
        ctx.armTimer(ctx.nowNs + ns, "tag");
        return DONE;
      },
      onTimer: (_tag, ctx) => {
        seen.push(ctx.nowNs);
      },
    });

  it("that goes off while the guest runs costs an exit", () => {
    const seen: number[] = [];
    const with_ = run(armedIn(400_000, seen), "thread-a", tenRuns);
    const without = run(policyOf({}), "thread-a", tenRuns);
    expect(seen).toHaveLength(10);
    expect(with_.exitReasons["host timer"]).toBe(10);
    expect(with_.exitNs - without.exitNs).toBe(10 * COSTS.exit);
    expect(with_.irqNs - without.irqNs).toBe(10 * COSTS.timerIrq + 20 * COSTS.armTimer);
  });

  it("that goes off while the vCPU sleeps costs none and is not late", () => {
    const seen: number[] = [];
    const sleeping = run(armedIn(1_500_000, seen), "thread-a", tenRuns);
    expect(sleeping.exitReasons["host timer"]).toBeUndefined();
    // Nothing is pinned after the guest's last instruction: nobody waits for the last one.
    expect(seen).toHaveLength(9);
    const apart = seen.slice(1).map((at, i) => at - (seen[i] as number));
    for (const ns of apart) expect(Math.abs(ns - 2_000_000)).toBeLessThan(50_000);
  });
});

describe("a withheld buffer", () => {
  it("is one long blackout that the guest knows nothing of", () => {
    const r = run(policyOf({ onBufferEnabled: () => ({ kind: "withheld" }) }), "thread-a-sampling");
    expect(r.samples.written).toBe(0);
    expect(r.samples.lostInBlackout).toBe(r.samples.selected);
    expect(r.blackouts.instructions).toBeGreaterThan(12e6);
  });

  it("goes on when it is resumed", () => {
    const late = policyOf({
      onBufferEnabled(_buffer, ctx) {
        ctx.armTimer(ctx.nowNs + 250_000, "late");
        return { kind: "withheld" };
      },
      onTimer: (_tag, ctx) => ctx.resume(),
    });
    const r = run(late, "thread-a-sampling", { ...tenRuns, stage2AtStart: "mapped" });
    expect(r.blackouts.count).toBe(10);
    expect(r.blackouts.longestNs).toBeGreaterThan(240_000);
    expect(r.blackouts.longestNs).toBeLessThan(260_000);
    expect(r.samples.written).toBeGreaterThan(r.samples.selected * 0.7);
  });
});

describe("background work", () => {
  it("stops no vCPU, costs the host its time, and starts when the worker has woken up", () => {
    let startedNs = -1;
    let askedNs = -1;
    let enabled: SpeBuffer | undefined;
    const pinned = policyOf({
      onBufferEnabled(buffer, ctx) {
        if (askedNs < 0) {
          askedNs = ctx.nowNs;
          enabled = buffer;
          ctx.background("pin");
        }
        return DONE;
      },
      onBackground(_tag, worker) {
        startedNs = worker.nowNs;
        const walk = worker.walk(enabled!);
        if (walk.kind === "walked") worker.pin(walk.all);
      },
    });
    const r = run(pinned);
    const idle = run(policyOf({}));
    expect(r.guestWallNs).toBe(idle.guestWallNs);
    expect(r.pagesPinned).toBeGreaterThan(HALF_PAGES);
    expect(r.backgroundNs).toBeGreaterThanOrEqual(r.pagesPinned * COSTS.pinPage);
    expect(startedNs - askedNs).toBe(COSTS.workerWake);
    expect(r.excess).toMatchObject({ firstPinNs: 0 });
  });
});

describe("pinning all memslots", () => {
  it("is user space's to decide, before the guest runs", () => {
    const late = policyOf({
      onBufferEnabled(_buffer, ctx: PolicyContext) {
        ctx.pinMemslots();
        return DONE;
      },
    });
    const { warnings, bufferEnables, samples, pagesPinned } = run(late);
    expect(warnings).toEqual([
      `policy ${late.name}: pinMemslots refused: the guest runs already. Profiling was withheld there (${bufferEnables} calls were refused).`,
    ]);
    expect(pagesPinned).toBe(0);
    expect(samples.written).toBe(0);
  });
});

describe("a bounce buffer", () => {
  it("costs its memory once a session, and a trap more at each write of PMSCR_EL1", () => {
    const r = run(bounce);
    const traps = run(trapOnly);
    expect(r.stage2Ns).toBe(16 * COSTS.faultInPage);
    expect(r.walkNs).toBe(0);
    expect(r.exitReasons["MSR PMSCR_EL1"]).toBe(2 * r.bufferEnables);
    const reasons = { ...r.exitReasons };
    delete reasons["MSR PMSCR_EL1"];
    expect(reasons).toEqual(traps.exitReasons);
  });

  it("pins nothing of the guest's and is given back 100 ms after profiling", () => {
    const r = run(bounce, "thread-a-sampling");
    expect(r).toMatchObject({
      pins: 0,
      recordStage2Faults: 0,
      blackouts: { count: 0 },
      pinnedPeakBytes: 64 * 1024,
    });
    expect(r.samples.written).toBe(run(untilChanged, "thread-a-sampling").samples.written);
    expect(r.model.releasedAfterNs).toBeGreaterThan(100e6);
    expect(r.model.releasedAfterNs).toBeLessThan(102e6);
  });

  it("that is full before the next exit is a blackout, as long as the interrupt takes", () => {
    const irqLatencyNs = 5_000;
    const of = (pages: number) => run(bounceOf({ pages }), "thread-a-sampling", { ...tenRuns, irqLatencyNs });
    const { blackouts, samples } = of(2);
    // 64 bytes every 4096 instructions at 2.5 a ns: each of the runs writes 9.5 pages.
    expect(blackouts.count).toBeGreaterThanOrEqual(10);
    expect(blackouts.longestNs).toBe(irqLatencyNs);
    expect(samples.lostInBlackout).toBeGreaterThan(0);
    expect(of(16)).toMatchObject({ blackouts: { count: 0 }, samples: { lostInBlackout: 0 } });
  });
});

describe("what sets a policy apart", () => {
  it("trap-only costs its traps alone", () => {
    const r = run(trapOnly);
    const traps = Object.values(r.exitReasons).reduce((sum, n) => sum + n, 0);
    expect(r.exitNs).toBe(traps * COSTS.exit);
    // What a trapped access costs on bare metal is not charged beside.
    expect(r.guestWallNs - r.bareMetalWallNs).toBe(traps * (COSTS.exit - COSTS.sysreg));
    expect(r).toMatchObject({ pins: 0, walkNs: 0, pinNs: 0, stage2Ns: 0 });
  });

  it("first-fault pins nothing where nothing is written, and once after one blackout where something is", () => {
    expect(run(firstFault).pins).toBe(0);
    const r = run(firstFault, "thread-a-sampling");
    expect(r).toMatchObject({ pins: 1, blackouts: { count: 1 } });
  });

  it("unpin-on-next pins once where PMBPTR stands still, and at each enable where it moves", () => {
    expect(run(unpinOnNext).pins).toBe(1);
    const r = run(unpinOnNext, "thread-a-sampling");
    expect(r.pins).toBeGreaterThan(r.bufferEnables * 0.9);
  });

  it("grace pins once a session and gives back when its time is over", () => {
    expect(run(grace)).toMatchObject({ pins: 1 });
    expect(run(grace).model.releasedAfterNs).toBeGreaterThan(100e6);
    expect(run(grace).model.releasedAfterNs).toBeLessThan(102e6);
    const r = run(graceOf(1_000_000));
    // The gaps of the command are longer: as v6, but that the worker unpins.
    expect(r.pins).toBe(r.bufferEnables);
    expect(r.unpinNs).toBe(0);
  });

  it("until-changed gives nothing back, v6 at once, fault has nothing", () => {
    expect(run(untilChanged).model.releasedAfterNs).toBeNull();
    expect(run(pinOnEnable).model.releasedAfterNs).toBeLessThan(1e6);
    expect(run(fault).model.releasedAfterNs).toBe(0);
  });

  it("whole-guest pins all of memory in advance, for as long as the VM lives", () => {
    const r = run(wholeGuest);
    expect(r.pagesPinned).toBe((64 * MIB) / 4096);
    expect(r.setupNs).toBeGreaterThan(r.pagesPinned * COSTS.pinPage);
    expect(r.slowdown).toBeLessThan(1.001);
    expect(r.model.releasedAfterNs).toBeNull();
  });

  it("window-ahead keeps its window while the guest switches, and pins a part of it at a time", () => {
    const often = { schedule: toggling({ count: 500, runNs: 20_000, gapNs: 20_000 }) };
    const [kept, anew] = [run(windowAhead, "thread-a", often), run(window, "thread-a", often)];
    expect(kept.bufferEnables).toBe(500);
    expect(kept.pagesPinned).toBeLessThan(anew.pagesPinned / 100);
    expect(kept.longestStopNs.cold).toBeLessThan(50_000);
    expect(kept.longestStopNs.warm).toBeLessThan(50_000);
    // Nobody's time but the vCPUs'.
    expect(kept.backgroundNs).toBe(0);
  });

  it("window-ahead loses nothing where a worker would have to be in time", () => {
    const of = { scenario: "system-50ms", vcpus: 4, periodOps: 1_024, bufferBytes: BUFFER_BYTES };
    const r = trial({ setting: settingOfCell({ ...USUAL_CELL, ...of }), policy: windowAhead, costs: COSTS });
    expect(r.samples.written).toBeGreaterThan(400_000);
    expect(r.samples.lostInBlackout).toBe(0);
    expect(r.pinnedPeakBytes).toBeLessThanOrEqual(4 * (128 + TABLE_PAGES) * 4096);
  });

  it("window pins its pages and tables and no more, and needs no fault", () => {
    const r = run(window, "thread-a-sampling");
    expect(r.pinnedPeakBytes / 4096).toBeGreaterThanOrEqual(256);
    expect(r.pinnedPeakBytes / 4096).toBeLessThanOrEqual(256 + TABLE_PAGES);
    expect(r).toMatchObject({ recordStage2Faults: 0, blackouts: { count: 0 } });
  });

  it("adaptive pins a few pages while the vCPU waits, the rest from a worker, and misses nothing", () => {
    const r = run(adaptive, "thread-a-sampling");
    const v6 = run(pinOnEnable, "thread-a-sampling");
    expect(r.blackouts.count).toBe(0);
    expect(r.samples.written).toBe(v6.samples.written);
    expect(r.pinNs * 20).toBeLessThan(v6.pinNs);
    expect(r.backgroundNs).toBeGreaterThan(0);
    expect(r.pinnedPeakBytes * 4).toBeLessThan(v6.pinnedPeakBytes);
  });
});
