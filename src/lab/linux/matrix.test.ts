import { describe, expect, it } from "vitest";
import { syntheticMatrix } from "../../../test/synthetic-linux.ts";
import { checkRun } from "../report/report-file.ts";
import { overFreeSpe, withBaselines } from "./baseline.ts";
import { cellsOf, labelOf } from "./cells.ts";
import { type LinuxMatrix, linuxCasesOf } from "./matrix.ts";
import { LINUX_SCENARIOS } from "./scenarios/index.ts";
import { THREAD } from "./scenarios/thread.ts";
import { notesOf, sentencesOf } from "./sentences.ts";

const PROFILES = ["thread-normal", "thread-debug"];

const matrixOf = (runs: LinuxMatrix["runs"], failures: LinuxMatrix["failures"] = []): LinuxMatrix => ({
  runs,
  failures,
  scenarios: THREAD,
  models: [],
  guest: "Debian 12.1 (bookworm), Linux 6.1",
});

describe("the scenarios", () => {
  it("have names of their own, and what they say of themselves", () => {
    const names = LINUX_SCENARIOS.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    for (const { name, summary, origin, command, bufferBytes } of LINUX_SCENARIOS) {
      expect(name).toMatch(/^[a-z0-9-]+$/);
      expect(summary.length * origin.length * bufferBytes, name).toBeGreaterThan(0);
      expect(command, name).toContain("perf record");
    }
  });

  it("type the thread's commands as they were posted", () => {
    expect(THREAD.slice(0, 2).map(({ command }) => command)).toEqual([
      "perf record -e arm_spe/min_latency=1000,event_filter=10/ -m,256M -- true",
      "perf record -e arm_spe/min_latency=1000,event_filter=10/ -m,256M -- perf stat true",
    ]);
  });
});

describe("a matrix", () => {
  it("has bare metal once for each command, and the VM with free SPE once for each profile", () => {
    const cells = cellsOf({
      scenarios: THREAD,
      policies: ["fault", "pin-on-enable", "adaptive"],
      profiles: PROFILES,
    });
    const ofA = cells.filter(({ scenario }) => scenario === "thread-a").map(labelOf);
    expect(ofA).toEqual([
      "thread-a, bare metal",
      ...PROFILES.flatMap((profile) =>
        ["free-spe", "fault", "pin-on-enable", "adaptive"].map((name) => `thread-a, ${name}, ${profile}`),
      ),
    ]);
    // The variant is run under those policies that are compared with each other.
    const variant = cells.filter(({ scenario }) => scenario === "thread-a --no-bpf-event");
    expect(variant.map(({ machine }) => machine.kind === "policy" && machine.policy)).not.toContain("fault");
    expect(variant[0]?.command).toBe(
      "perf record --no-bpf-event -e arm_spe/min_latency=1000,event_filter=10/ -m,256M -- true",
    );
  });

  it("puts what bare metal took, and the VM with free SPE, beside each run", () => {
    const runs = withBaselines(
      PROFILES.flatMap((profile) => syntheticMatrix("thread-a", profile)).filter(
        (run, i, all) =>
          all.findIndex(({ policy, profile }) => policy === run.policy && profile === run.profile) === i,
      ),
    ).map(checkRun);
    const [metal, free, pin] = runs.filter(({ profile }) => profile !== "thread-debug") as Required<
      typeof runs
    >;
    expect(metal?.baseline).toBeNull();
    expect(free?.slowdown).toBeCloseTo(0.402 / 0.401);
    expect(overFreeSpe(pin!)).toBeCloseTo(0.641 / 0.402);
    const cases = linuxCasesOf(matrixOf(runs));
    expect(cases.map(({ title }) => title)).toEqual(
      PROFILES.map((profile) => `thread-a on costs ${profile}`),
    );
    expect(cases[0]?.runs.map(({ policy }) => policy)).toEqual([
      "none",
      "free-spe",
      "pin-on-enable",
      "adaptive",
    ]);
    expect(sentencesOf(cases[0]!, matrixOf(runs)).join("\n")).toContain(
      "Here 6 enables under pin-on-enable at 40 ms each; 100 would take 4 s.",
    );
  });

  it("shows a scenario of which every VM has failed", () => {
    const [metal] = syntheticMatrix("thread-a", "thread-normal");
    const failure = { scenario: "thread-a", machine: "fault", profile: "thread-normal", why: "no memory" };
    const [only] = linuxCasesOf(matrixOf([metal!], [failure]));
    expect(only?.failures).toEqual([failure]);
    expect(only?.runs).toHaveLength(1);
  });

  it("tells where the model's replay comes to something else, and how many come to the same", () => {
    const runs = withBaselines(syntheticMatrix("thread-a", "thread-normal"));
    const models = runs.filter(({ policy }) => policy !== "none") as unknown as LinuxMatrix["models"];
    const same = { ...matrixOf(runs), models };
    const [only] = linuxCasesOf(same);
    expect(sentencesOf(only!, same).join()).not.toContain("replay");
    expect(notesOf(same).join()).toContain(`All ${models.length} agree: enables, pins`);
    const pins = models.findIndex(({ policy }) => policy === "pin-on-enable");
    const other = {
      ...same,
      models: models.with(pins, { ...models[pins]!, bufferEnables: 1007, pins: 0 }),
    };
    expect(sentencesOf(only!, other).at(-1)).toBe(
      `pin-on-enable: the model's replay differs from the machine in ${models[pins]!.bufferEnables} and 1,007 (enables) and ${models[pins]!.pins} and 0 (pins).`,
    );
    expect(notesOf(other).join()).toContain(`${models.length - 1} of ${models.length} agree`);
  });

  it("quotes what the guest's kernel complains of, without its time stamp", () => {
    const [metal, , pin] = syntheticMatrix("thread-b", "thread-debug");
    const said = [
      "[   26.1] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
      "[   27.0] BUG: soft lockup",
    ];
    const runs = withBaselines([metal!, { ...pin!, guestComplaints: said }]);
    const [only] = linuxCasesOf(matrixOf(runs));
    expect(sentencesOf(only!, matrixOf(runs)).at(-1)).toBe(
      'pin-on-enable: the guest\'s kernel says "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:", and 1 more.',
    );
  });
});
