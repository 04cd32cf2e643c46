import { describe, expect, it } from "vitest";
import { PAGE_BYTES } from "../../common/address.ts";
import { costTable } from "../../host/costs.ts";
import { PROFILES } from "../../host/profiles.ts";
import { fault } from "../../kvm/spe/policies/fault.ts";
import type { PinPolicy } from "../../kvm/spe/policy.ts";
import type { TraceEvent } from "../../kvm/trace.ts";
import { DISABLE, enable, runScripted, sample, TABLE_POOL_PAGES } from "../scripted.ts";
import { trial } from "../trial.ts";
import { settingOfCell, USUAL_CELL } from "./cell.ts";
import { type ColdStart, coldCosts, coldSetting, coldStart } from "./cold-start.ts";

const normal = costTable(PROFILES[0]!);
/** A thousand records, 15.6 pages, are written before a worker is awake. */
const FAST: ColdStart = { samplesPerSecond: 1e6, workerWakeNs: 1e6, runNs: 1e9 };
const PAGES = 256;

/** Calls of a policy's while a guest turns a buffer of 256 pages on three times. */
function callsOf(policy: PinPolicy) {
  const events: TraceEvent[] = [];
  const once = [...enable(TABLE_POOL_PAGES, PAGES), { kind: "run", ns: 3_000_000 } as const, ...DISABLE];
  const ramPages = TABLE_POOL_PAGES + PAGES;
  runScripted({
    policy,
    costs: normal,
    ramPages,
    mappedPages: ramPages,
    ram: "mapped",
    actions: [...sample(65_536), ...once, ...once, ...once],
    options: { trace: (event) => events.push(event) },
  }).destroy();
  return events.filter(({ what }) => what === "call").map(({ name, detail }) => ({ name, ...detail }));
}

describe("the least cold start", () => {
  it("is at the first enable alone one walk, one mapping, and one look after a worker's delay", () => {
    const calls = callsOf(coldStart(FAST));
    expect(calls.map(({ name }) => name)).toEqual(["walk", "map", "armTimer"]);
    expect(calls[0]).toMatchObject({ pages: 17 });
    // Its tables with it: one of each level.
    expect(calls[1]).toMatchObject({ pages: 17 + 4, outcome: "done" });
  });

  it.each([
    ["what is written before a worker is awake", FAST, 17],
    ["no more than the guest writes in all", { ...FAST, runNs: 100_000 }, 3],
    ["no more than the buffer", { ...FAST, workerWakeNs: 1e9 }, PAGES],
    ["one page of a guest that is slow", { ...FAST, samplesPerSecond: 1 }, 2],
  ])("maps %s", (_, of, pages) => {
    expect(callsOf(coldStart(of))[0]).toEqual({ name: "walk", pages, result: "walked" });
    expect((pages - 1) * PAGE_BYTES).toBeGreaterThanOrEqual(
      Math.min(
        (PAGES - 1) * PAGE_BYTES,
        (of.samplesPerSecond * 64 * Math.min(of.workerWakeNs, of.runNs)) / 1e9,
      ),
    );
  });

  describe.each(["mapped", "absent"] as const)("where stage 2 is %s at the start", (stage2AtStart) => {
    const setting = {
      ...settingOfCell({ ...USUAL_CELL, scenario: "system-5ms", periodOps: 1_024, bufferBytes: 1024 ** 2 }),
      stage2AtStart,
    };
    const slowdown = (policy: PinPolicy, costs = normal): number =>
      trial({ setting: coldSetting(setting), policy, costs: coldCosts(setting, costs) }).slowdown;
    const cold = coldStart({ samplesPerSecond: 2.5e9 / 1_024, workerWakeNs: 10_000, runNs: 5e6 });
    /** What the cold start adds to the traps. */
    const added = (costs = normal): number => slowdown(cold, costs) - slowdown(fault, costs);

    it("costs something, and less than a page fault for each page would", () => {
      expect(added()).toBeGreaterThan(0);
      expect(added()).toBeLessThan((10 * (normal.stage2Leaf + normal.exit)) / 5e6);
    });

    it("is dearer with the cost of a leaf where there is none, and of a look at one where there is", () => {
      const dearer = (name: "stage2Leaf" | "stage2Check") => added({ ...normal, [name]: 100 * normal[name] });
      const [leaf, check] = [dearer("stage2Leaf"), dearer("stage2Check")];
      expect(stage2AtStart === "absent" ? leaf : check).toBeGreaterThan(2 * added());
      expect(stage2AtStart === "absent" ? check : leaf).toBeCloseTo(added(), 9);
    });
  });
});
