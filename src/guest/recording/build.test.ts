import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { UserError } from "../../common/errors.ts";
import { SEGMENT, WAIT } from "../schedule.ts";
import { buildSchedule } from "./build.ts";
import { PerTask, rows, SystemWide } from "./recording.testing.ts";

const TARGET = SEGMENT.target;
const ON = SEGMENT.target | SEGMENT.enables;
const OFF = SEGMENT.target | SEGMENT.disables;
const BOTH = SEGMENT.target | SEGMENT.enables | SEGMENT.disables;

/** A command, pid 10, that perf starts on CPU 0 at 1000. */
const commanded = (): SystemWide =>
  new SystemWide().named(10, "perf-exec").named(20, "daemon").in(500, 0, 10, 0).exec(1000, 10, "app");

describe("the recorded command of a system-wide file", () => {
  it("is what perf's child becomes, from its execve on, and what it forks", () => {
    const built = commanded()
      .fork(1500, 10, 11)
      .to(2000, 0, 10, 11)
      .to(3000, 0, 11, 20)
      .to(4000, 0, 20, 0)
      .schedule({});
    expect(rows(built).map(({ tid, from, to, flags }) => ({ tid, from, to, flags }))).toEqual([
      { tid: 10, from: 0, to: 1000, flags: ON },
      { tid: 11, from: 1010, to: 2000, flags: OFF },
    ]);
    expect(built.recording).toMatchObject({
      target: "app and its children",
      enables: 1,
      enablesWithoutDirectRule: 2,
      directSwitches: 1,
      enablesAtExec: 1,
      wallNs: 2000,
    });
  });

  it("is asked for where no child of perf's becomes a command", () => {
    const runs = new SystemWide()
      .named(10, "app")
      .named(20, "daemon")
      .to(500, 0, 0, 10)
      .to(900, 0, 10, 20)
      .to(1000, 0, 20, 0);
    const answer = buildSchedule(runs.runs());
    expect(answer).toMatchObject({
      kind: "choose-target",
      commands: [
        { comm: "app", tasks: 1, runNs: 390, switches: 1 },
        { comm: "daemon", tasks: 1, runNs: 90, switches: 1 },
      ],
    });
  });

  it("is asked for where the command is sleep, or two perfs start one", () => {
    const sleep = new SystemWide()
      .named(10, "perf-exec")
      .in(500, 0, 10, 0)
      .exec(1000, 10, "sleep")
      .to(2000, 0, 10, 0);
    expect(buildSchedule(sleep.runs())).toMatchObject({
      message: expect.stringMatching(/sleep, only passes the time/),
    });
    const two = commanded().named(30, "perf-exec", 1100).exec(1200, 30, "other").to(2000, 0, 10, 0);
    expect(buildSchedule(two.runs())).toMatchObject({ message: expect.stringMatching(/2 perf commands/) });
  });

  it("is known by what it was executed as, whatever it executes or calls itself later", () => {
    const shell = commanded().exec(1500, 10, "sleep").to(2000, 0, 10, 0).schedule({});
    expect(shell.recording.target).toBe("app and its children");
    expect(shell.schedule.tasks).toMatchObject([{ tid: 10, comm: "app" }]);
    const renamed = commanded().named(10, "app: idle", 1500).to(2000, 0, 10, 0).schedule({});
    expect(renamed.recording.target).toBe("app and its children");
    const alone = new PerTask().exec(0, 10, "bash").named(10, "worker", 100).out(1000, 10).schedule();
    expect(alone.recording.target).toBe("bash and its children");
  });

  it("passes the time where it only sets up a sleep, and not where it executes anything else", () => {
    const answerOf = (programs: readonly string[]) => {
      const recording = new SystemWide().named(10, "perf-exec").in(500, 0, 10, 0);
      for (const [i, program] of programs.entries()) recording.exec(1000 + i, 10, program);
      return buildSchedule(recording.to(2000, 0, 10, 0).runs());
    };
    for (const programs of [["usleep"], ["env", "sleep"], ["nice", "env", "sleep"]])
      expect(answerOf(programs)).toMatchObject({ message: expect.stringMatching(/only passes the time/) });
    for (const programs of [["env", "make"], ["bash", "sleep"], ["env"], ["sudo", "make", "sleep"]])
      expect(answerOf(programs)).toMatchObject({
        recording: { target: `${programs[0]} and its children` },
      });
    const timeout = new SystemWide().named(10, "perf-exec").in(500, 0, 10, 0).exec(1000, 10, "timeout");
    timeout.fork(1100, 10, 11).to(1500, 0, 10, 11).exec(1600, 11, "sleep").to(2000, 0, 11, 0);
    expect(buildSchedule(timeout.runs())).toMatchObject({ kind: "choose-target" });
  });

  it("is what perf itself forked before it recorded, not what another perf starts later", () => {
    const another = commanded()
      .fork(1100, 20, 30)
      .named(30, "perf-exec", 1100)
      .exec(1200, 30, "other")
      .to(2000, 0, 10, 30)
      .to(2500, 0, 30, 0);
    expect(another.schedule({}).recording).toMatchObject({ target: "app and its children", targetTasks: 1 });
    const nested = new PerTask()
      .exec(0, 10, "perf")
      .fork(100, 10, 11)
      .named(11, "perf-exec", 110)
      .in(200, 11);
    nested.sink.comm(300, -1, 11, 11, "make", true);
    const { recording } = nested.out(400, 11).out(500, 10).schedule();
    expect(recording).toMatchObject({ target: "perf and its children", enables: 2, targetRunNs: 700 });
  });

  it("is the child of an old perf, which has its name, and no other task of that name", () => {
    const old = (): SystemWide =>
      new SystemWide()
        .named(5, "bash")
        .named(9, "perf")
        .named(10, "perf")
        .forkedBefore(5, 9)
        .forkedBefore(9, 10)
        .in(500, 0, 10, 0);
    const found = old().exec(1000, 10, "app").to(2000, 0, 10, 0).schedule({});
    expect(found.recording).toMatchObject({ target: "app and its children", enablesAtExec: 1 });
    // As with a perf-exec, what it was before is perf's.
    expect(
      old()
        .exec(1000, 10, "app")
        .to(2000, 0, 10, 0)
        .to(2100, 0, 0, 9)
        .to(2200, 0, 9, 0)
        .schedule({ target: { kind: "comm", comm: "perf" } }).recording.targetTasks,
    ).toBe(1);
    const child = old().exec(1000, 9, "app").to(2000, 0, 10, 0);
    expect(buildSchedule(child.runs())).toMatchObject({ kind: "choose-target" });
    const perTask = new PerTask().named(10, "perf");
    perTask.sink.comm(100, 0, 10, 10, "app", true);
    expect(perTask.out(1000, 10).schedule().recording).toMatchObject({
      target: "app and its children",
      enablesAtExec: 1,
    });
  });

  it("is the first that executes in a per-task file without names from before, with CPU numbers or not", () => {
    for (const cpu of [-1, 0]) {
      const tasks = new PerTask();
      tasks.sink.comm(100, cpu, 10, 10, "app", true);
      tasks.fork(200, 10, 11).sink.comm(300, cpu, 11, 11, "cc1", true);
      const { recording } = tasks
        .in(400, 11, cpu)
        .out(900, 11, false, cpu)
        .out(1000, 10, false, cpu)
        .schedule();
      expect(recording).toMatchObject({ target: "app and its children", enablesAtExec: 1, targetTasks: 2 });
    }
    // In a system-wide file that may have been anybody.
    const system = new SystemWide().exec(100, 10, "app").to(500, 0, 0, 10).to(1000, 0, 10, 0);
    expect(buildSchedule(system.runs())).toMatchObject({ kind: "choose-target" });
  });
});

describe("the busiest commands", () => {
  it("count each stretch under the name that the task had then, and its first before", () => {
    const runs = new SystemWide()
      .named(20, "daemon")
      .fork(50, 20, 10)
      .to(100, 0, 0, 10)
      .exec(200, 10, "bash")
      .exec(1110, 10, "sleep")
      .to(2110, 0, 10, 0)
      .to(3000, 0, 0, 10)
      .to(3110, 0, 10, 0)
      .runs();
    expect(buildSchedule(runs)).toMatchObject({
      commands: [
        { comm: "sleep", tasks: 1, runNs: 1100, switches: 1 },
        { comm: "bash", tasks: 1, runNs: 1000, switches: 1 },
      ],
    });
  });
});

describe("enables", () => {
  it("come with every switch-in, except directly from another task of the family", () => {
    const { recording } = commanded()
      .fork(1100, 10, 11)
      .to(2000, 0, 10, 11) // direct
      .to(3000, 0, 11, 20)
      .to(4000, 0, 20, 11) // after a task that is no target
      .to(5000, 0, 11, 0)
      .to(6000, 0, 0, 10) // after idle
      .to(7000, 0, 10, 11) // direct
      .to(8000, 0, 11, 0)
      .schedule({});
    expect(recording).toMatchObject({ enables: 3, enablesWithoutDirectRule: 5, directSwitches: 2 });
  });

  it("come between threads that were there before: perf -p attaches to each on its own", () => {
    const threads = new SystemWide();
    for (const tid of [10, 11]) threads.sink.comm(Number.NEGATIVE_INFINITY, 0, 10, tid, "server", false);
    threads.sink.cpuIn(100, 0, 10, 10, 0, 0);
    threads.sink.cpuOut(200, 0, 10, 10, false, 10, 11);
    threads.sink.cpuIn(210, 0, 10, 11, 10, 10);
    threads.sink.fork(250, 0, 10, 12, 10, 11);
    threads.sink.cpuOut(300, 0, 10, 11, false, 10, 12);
    threads.sink.cpuIn(310, 0, 10, 12, 10, 11);
    threads.sink.cpuOut(400, 0, 10, 12, false, 0, 0);
    expect(threads.schedule({ target: { kind: "pid", pid: 10 } }).recording).toMatchObject({
      enables: 2,
      directSwitches: 1,
    });
  });

  it("are told as the kernel would have them, too: an exited task has no context to swap", () => {
    const { recording } = commanded()
      .fork(1100, 10, 11)
      .to(2000, 0, 10, 11) // direct
      .exit(2500, 11)
      .to(2600, 0, 11, 20)
      .to(2700, 0, 20, 11) // its last steps
      .to(3000, 0, 11, 10) // from one that has exited
      .to(4000, 0, 10, 0)
      .schedule({});
    expect(recording).toMatchObject({ enables: 2, directSwitches: 2, enablesIfExitDropsContext: 2 });
    const simple = commanded()
      .fork(1100, 10, 11)
      .to(2000, 0, 10, 11)
      .exit(2500, 11)
      .to(3000, 0, 11, 10)
      .to(4000, 0, 10, 0);
    expect(simple.schedule({}).recording).toMatchObject({ enables: 1, enablesIfExitDropsContext: 2 });
  });

  it("are one for each vCPU with per-CPU profiling, whatever runs", () => {
    const built = commanded()
      .to(2000, 0, 10, 20)
      .to(2500, 1, 0, 20)
      .to(3000, 0, 20, 0)
      .schedule({ target: { kind: "per-cpu" } });
    expect(built.recording.enables).toBe(2);
    expect(built.schedule.perCpu).toBe(true);
    expect(rows(built).every(({ flags = 0 }) => (flags & BOTH) === TARGET)).toBe(true);
  });

  it("without CPU numbers, are spared within 5 µs of another task's switch-out, which gives one only", () => {
    const tasks = new PerTask().exec(0, 10, "app").fork(10, 10, 11).fork(20, 10, 12);
    const { recording } = tasks
      .out(10_000, 10)
      .in(14_999, 11) // 4,999 ns after: direct
      .in(15_000, 12) // nothing left to take over from
      .out(20_000, 11)
      .out(20_100, 12)
      .in(25_101, 10) // 5,001 ns after
      .out(30_000, 10)
      .in(30_100, 10) // after itself
      .out(40_000, 10)
      .schedule();
    expect(recording).toMatchObject({
      enables: 4,
      enablesWithoutDirectRule: 5,
      directSwitches: 1,
      enablesAtExec: 1,
    });
  });

  it("come with every switch-in where no switch shall be direct, and how sure the direct ones are is told", () => {
    const pair = (cpu?: number): PerTask => {
      const tasks = new PerTask().exec(0, 10, "app").fork(10, 10, 11);
      for (let i = 1; i <= 4; i++) {
        const [from, to] = i % 2 === 1 ? [10, 11] : [11, 10];
        tasks.out(i * 10_000, from, false, cpu).in(i * 10_000 + 1000, to, cpu);
      }
      return tasks.out(50_000, 10, false, cpu);
    };
    expect(pair().schedule().recording).toMatchObject({
      enables: 1,
      enablesWithoutDirectRule: 5,
      directSwitchesGuessed: true,
    });
    const without = pair().schedule({ directSwitches: false });
    expect(without.recording).toMatchObject({
      enables: 5,
      enablesWithoutDirectRule: 5,
      directSwitches: 0,
      directSwitchesGuessed: false,
    });
    expect(without.schedule.assumptions.join()).toMatch(/no switch is taken as direct: 5 starts/);
    expect(rows(without).every(({ flags = 0 }) => (flags & BOTH) === BOTH)).toBe(true);
    // With CPU numbers, and with what stands before and after each switch, it is known.
    expect(pair(0).schedule().recording).toMatchObject({ enables: 1, directSwitchesGuessed: false });
    const system = commanded().fork(1100, 10, 11).to(2000, 0, 10, 11).to(3000, 0, 11, 0);
    expect(system.schedule({ directSwitches: false }).recording).toMatchObject({ enables: 2 });
    expect(system.schedule({}).recording).toMatchObject({ enables: 1, directSwitchesGuessed: false });
  });

  it("end with an exit where there is no switch-out: the next task enables again", () => {
    const { recording } = new PerTask()
      .exec(0, 10, "app")
      .fork(10, 10, 11)
      .out(1000, 10)
      .in(1100, 11)
      .exit(2000, 11)
      .in(2100, 10)
      .out(3000, 10)
      .schedule();
    expect(recording).toMatchObject({ enables: 2, directSwitches: 1 });
  });
});

describe("waits", () => {
  it("are none after a preemption and without a gap, a waker's or nobody's else", () => {
    const built = commanded()
      .fork(1200, 10, 11)
      .to(2000, 1, 0, 11) // the first of 11: its parent's fork
      .to(3000, 1, 11, 0)
      .to(4000, 1, 0, 11) // 10 runs on CPU 0
      .to(5000, 0, 10, 20, true)
      .to(6000, 0, 20, 10) // preempted before, and no gap
      .to(7000, 1, 11, 0)
      .to(8000, 0, 10, 0)
      .to(57_000, 1, 0, 11) // 10 ended 48,010 ns before
      .to(58_000, 1, 11, 0)
      .to(500_000, 1, 0, 11) // nobody near
      .to(501_000, 1, 11, 0)
      .schedule({});
    const waits = rows(built).map(({ tid, from, wait, waitNs, waker, wakerOffsetNs }) => [
      tid,
      from,
      wait,
      waitNs,
      waker,
      wakerOffsetNs,
    ]);
    expect(waits).toEqual([
      [10, 0, WAIT.none, 0, -1, 0],
      [11, 1010, WAIT.woken, 0, 0, 200],
      [11, 3010, WAIT.woken, 0, 0, 3010],
      [20, 4010, WAIT.none, 0, -1, 0],
      [10, 5010, WAIT.none, 0, -1, 0],
      [11, 56_010, WAIT.woken, 0, 4, 51_000],
      [11, 499_010, WAIT.other, 442_010, -1, 0],
    ]);
    expect(rows(built).map(({ previous }) => previous)).toEqual([-1, -1, 1, -1, 0, 2, 5]);
  });

  it("never take a task for its own waker", () => {
    const built = commanded().to(2000, 0, 10, 0).to(2500, 0, 0, 10).to(3000, 0, 10, 0).schedule({});
    expect(rows(built)[1]).toMatchObject({ wait: WAIT.other, waitNs: 510, waker: -1 });
  });
});

describe("the schedule", () => {
  it("covers first target switch-in to last target switch-out; what reaches over is clipped", () => {
    const built = new SystemWide()
      .named(20, "daemon")
      .named(10, "app")
      .to(100, 1, 0, 20)
      .to(1000, 0, 0, 10)
      .to(2000, 0, 10, 0)
      .to(5000, 1, 20, 0)
      .to(6000, 2, 0, 20)
      .to(6500, 2, 20, 0)
      .schedule({ target: { kind: "comm", comm: "app" } });
    expect(rows(built).map(({ tid, vcpu, from, to, flags }) => ({ tid, vcpu, from, to, flags }))).toEqual([
      { tid: 20, vcpu: 1, from: 0, to: 990, flags: 0 },
      { tid: 10, vcpu: 0, from: 0, to: 990, flags: BOTH },
    ]);
    expect(built.schedule).toMatchObject({ durationNs: 990, vcpus: 2 });
  });

  it("gives a per-task file as many vCPUs as its tasks overlap, and each task its last one", () => {
    const tasks = (): PerTask =>
      new PerTask()
        .exec(0, 10, "app")
        .fork(10, 10, 11)
        .fork(20, 10, 12)
        .in(100_000, 11)
        .out(200_000, 11)
        .in(300_000, 12)
        .out(400_000, 12)
        .out(500_000, 10)
        .in(600_000, 11)
        .in(700_000, 12)
        .out(800_000, 12)
        .out(800_000, 11);
    const built = tasks().schedule();
    expect(built.schedule.vcpus).toBe(2);
    expect(rows(built).map(({ tid, vcpu }) => [tid, vcpu])).toEqual([
      [10, 0],
      [11, 1],
      [12, 1],
      [11, 1],
      [12, 0],
    ]);
    expect(tasks().schedule({ vcpus: 1 }).schedule.vcpus).toBe(1);
    expect(tasks().schedule({ vcpus: 4 }).schedule.vcpus).toBe(4);
  });

  it("keeps a direct switch on its vCPU, and never has a vCPU's buffer on twice", () => {
    const step = fc.record({
      tid: fc.integer({ min: 10, max: 14 }),
      gapNs: fc.integer({ min: 0, max: 9000 }),
    });
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 60 }),
        fc.option(fc.integer({ min: 1, max: 3 })),
        (steps, vcpus) => {
          const tasks = new PerTask().exec(0, 10, "app");
          for (let tid = 11; tid <= 14; tid++) tasks.fork(tid, 10, tid);
          const running = new Set([10]);
          let timeNs = 1000;
          for (const { tid, gapNs } of steps) {
            timeNs += gapNs;
            if (running.delete(tid)) tasks.out(timeNs, tid);
            else if (running.add(tid)) tasks.in(timeNs, tid);
          }
          const built = tasks.schedule(vcpus === null ? {} : { vcpus });
          const on = new Map<number | undefined, boolean>();
          for (const { vcpu, flags = 0 } of rows(built)) {
            expect((flags & SEGMENT.enables) !== 0).toBe(on.get(vcpu) !== true);
            on.set(vcpu, (flags & SEGMENT.disables) === 0);
          }
          expect([...on.values()].some(Boolean)).toBe(false);
          if (vcpus === null) {
            const lastEnd = new Map<number | undefined, number>();
            for (const { vcpu, from = 0, to = 0 } of rows(built)) {
              expect(from).toBeGreaterThanOrEqual(lastEnd.get(vcpu) ?? 0);
              lastEnd.set(vcpu, to);
            }
          }
        },
      ),
    );
  });
});

describe("records that do not fit together", () => {
  it("are said to be missing on CPUs that were not recorded", () => {
    const { report, collected } = commanded().to(2000, 0, 10, 0).runs();
    const warningsOf = (switchEventIds: number, cpusOnline: number): string => {
      const built = buildSchedule({ report: { ...report, switchEventIds, info: { cpusOnline } }, collected });
      return built.kind === "schedule" ? built.recording.warnings.join() : "";
    };
    expect(warningsOf(1, 2)).toMatch(/recorded on 1 of 2 CPUs \(perf record -C\)/);
    for (const ids of [0, 2]) expect(warningsOf(ids, 2)).toBe("");
  });

  it("are told in the singular and the plural", () => {
    const once = commanded().out(2000, 0, 10, 0).out(2500, 0, 20, 0).in(3000, 0, 10, 0);
    expect(once.to(4000, 0, 10, 0).schedule({}).recording.warnings).toEqual([
      "1 switch belongs to no run and was left out",
    ]);
  });

  it("end a run without a switch-out at the next switch-in", () => {
    const built = commanded().in(3000, 0, 20, 10).to(4000, 0, 20, 0).schedule({});
    expect(built.recording.repairs.missingOut).toBe(1);
    expect(built.recording.warnings.join()).toMatch(/1 run has no switch-out/);
    expect(rows(built)).toMatchObject([{ tid: 10, to: 2000, flags: BOTH }]);
  });

  it("take a run without any record from its neighbours", () => {
    const built = commanded().out(2000, 0, 10, 20).in(2500, 0, 10, 20).to(3000, 0, 10, 0).schedule({});
    expect(built.recording.repairs).toMatchObject({ inferredRuns: 1, missingOut: 0, strayOut: 0 });
    expect(rows(built)).toMatchObject([
      { tid: 10, from: 0, to: 1000 },
      { tid: 20, from: 1000, to: 1500 },
      { tid: 10, from: 1500, to: 2000, wait: WAIT.none },
    ]);
    expect(built.recording.enables).toBe(2);
  });

  it("take a run whose switch-in is missing where the CPU's last switch announced it, else leave it out", () => {
    const announced = commanded()
      .out(2000, 0, 10, 20)
      .out(2500, 0, 20, 0)
      .to(3000, 0, 0, 10)
      .to(4000, 0, 10, 0)
      .schedule({});
    expect(announced.recording.repairs).toMatchObject({ missingIn: 1, strayOut: 0 });
    expect(rows(announced)[1]).toMatchObject({ tid: 20, from: 1000, to: 1500 });
    const stray = commanded()
      .to(2000, 0, 10, 0)
      .out(2500, 0, 20, 0)
      .to(3000, 0, 0, 10)
      .to(4000, 0, 10, 0)
      .schedule({});
    expect(stray.recording.repairs).toMatchObject({ missingIn: 0, strayOut: 1 });
    expect(rows(stray)).toHaveLength(2);
  });

  it("take a switch-out of a task that is already unhashed (-1) as that of the CPU's current one", () => {
    const built = commanded()
      .exit(1500, 10)
      .out(2000, 0, -1, 20)
      .in(2010, 0, 20, -1)
      .to(3000, 0, 20, 0)
      .schedule({});
    expect(rows(built)).toMatchObject([{ tid: 10, to: 1000, flags: BOTH }]);
    expect(Object.values(built.recording.repairs).every((count) => count === 0)).toBe(true);
  });

  it("let a tid that is used again be another task", () => {
    const built = commanded()
      .fork(1100, 10, 11)
      .to(2000, 0, 10, 11)
      .exit(2500, 11)
      .to(3000, 0, 11, 20)
      .fork(3500, 20, 11)
      .to(4000, 0, 20, 11)
      .to(5000, 0, 11, 10)
      .to(6000, 0, 10, 0)
      .schedule({});
    expect(built.recording.targetTasks).toBe(2);
    expect(rows(built).map(({ tid, flags }) => [tid, flags])).toEqual([
      [10, ON],
      [11, OFF],
      [20, 0],
      [11, 0],
      [10, BOTH],
    ]);
  });

  it("end a run that nothing ends where records were lost, if any were", () => {
    const lossy = new PerTask().exec(0, 10, "app").fork(10, 10, 11).in(100, 11);
    lossy.sink.lost(3000);
    const built = lossy.out(9000, 10).schedule();
    expect(rows(built)).toMatchObject([
      { tid: 10, from: 0, to: 9000 },
      { tid: 11, from: 100, to: 3000 },
    ]);
    expect(built.recording.repairs.missingOut).toBe(1);
    const open = new PerTask().exec(0, 10, "app").fork(10, 10, 11).in(100, 11).out(9000, 10).schedule();
    expect(rows(open)[1]).toMatchObject({ tid: 11, from: 100, to: 9000 });
    expect(open.recording.repairs.missingOut).toBe(0);
  });
});

describe("what cannot be done is refused", () => {
  const refuse = (act: () => unknown, what: RegExp): void => {
    expect(act).toThrow(UserError);
    expect(act).toThrow(what);
  };

  it("with the reason and what there is", () => {
    const task = new PerTask().exec(0, 10, "app").out(1000, 10).runs();
    const system = commanded().to(2000, 0, 10, 0).runs();
    refuse(
      () => buildSchedule(task, { target: { kind: "per-cpu" } }),
      /--per-cpu: by hand does not say which CPU/,
    );
    refuse(() => buildSchedule(system, { vcpus: 2 }), /--vcpus: by hand says which CPU/);
    refuse(() => buildSchedule(task, { vcpus: 0 }), /--vcpus: 0 is not a whole number/);
    refuse(
      () => buildSchedule(system, { target: { kind: "comm", comm: "nothing" } }),
      /no task of that name.*app/s,
    );
    refuse(
      () => buildSchedule(system, { target: { kind: "pid", pid: 77 } }),
      /no task of that process.*app/s,
    );
  });
});

describe("a target by name", () => {
  it("may be longer than what a kernel keeps of it", () => {
    const runs = new SystemWide().named(10, "a-name-of-15-by").to(100, 0, 0, 10).to(200, 0, 10, 0).runs();
    for (const comm of ["a-name-of-15-by", "a-name-of-15-bytes-and-more"])
      expect(buildSchedule(runs, { target: { kind: "comm", comm } })).toMatchObject({
        recording: { target: "the tasks named a-name-of-15-by" },
      });
    expect(() => buildSchedule(runs, { target: { kind: "comm", comm: "a-name-of" } })).toThrow(UserError);
  });

  it("is every task that has the name at some time, and not what it forks under another", () => {
    const make = (): SystemWide =>
      new SystemWide()
        .named(10, "make")
        .fork(100, 10, 11)
        .fork(150, 10, 12)
        .exec(200, 11, "cc1")
        .to(1000, 0, 0, 10)
        .to(2000, 0, 10, 11)
        .to(3000, 0, 11, 12)
        .to(4000, 0, 12, 0);
    const tids = (comm: string): (number | undefined)[] =>
      make()
        .schedule({ target: { kind: "comm", comm } })
        .schedule.tasks.flatMap((task) => (task.target ? [task.tid] : []));
    expect(tids("make")).toEqual([10, 12]);
    expect(tids("cc1")).toEqual([11]);
  });
});
