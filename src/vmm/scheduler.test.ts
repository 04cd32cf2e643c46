import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { aloneTurn, type Turn } from "../kvm/guest-core.ts";
import { AGAIN, OVER, RUNS, type Runner, Scheduler, type TurnEnd } from "./scheduler.ts";

const QUANTUM_NS = 100;

/** What a scripted runner does next. */
type Act =
  | { readonly kind: "work"; readonly ns: number }
  /** Host work moves its timeline at once. */
  | { readonly kind: "charge"; readonly ns: number }
  /** Something that tells the time, by which it may wake another. */
  | { readonly kind: "see"; readonly kick: number | undefined }
  | { readonly kind: "sleep"; readonly ns: number };

interface Seen {
  readonly who: number;
  readonly atNs: number;
}

interface World {
  readonly seen: Seen[];
  kick(who: number, atNs: number): void;
}

/** A runner that does what a script says, and notes when it has seen the time. */
class Scripted implements Runner {
  nowNs = 0;
  readonly quantumNs: number = QUANTUM_NS;
  readonly isGuest: boolean = true;
  waits: (readonly [fromNs: number, toNs: number])[] = [];
  readonly #acts: Act[];
  readonly #who: number;
  readonly #world: World;

  constructor(who: number, acts: readonly Act[], world: World) {
    this.#who = who;
    this.#acts = [...acts];
    this.#world = world;
  }

  waitUntil(atNs: number): void {
    this.waits.push([this.nowNs, atNs]);
    this.nowNs = Math.max(this.nowNs, atNs);
  }

  run(turn: Turn): TurnEnd {
    while (this.nowNs < turn.untilNs) {
      const act = this.#acts[0];
      if (act === undefined) return OVER;
      switch (act.kind) {
        case "work": {
          const ns = Math.min(act.ns, turn.untilNs - this.nowNs);
          this.nowNs += ns;
          if (ns < act.ns) {
            this.#acts[0] = { kind: "work", ns: act.ns - ns };
            return RUNS;
          }
          break;
        }
        case "charge":
          this.nowNs += act.ns;
          break;
        case "see":
          if (this.nowNs > turn.horizonNs) return RUNS;
          this.#world.seen.push({ who: this.#who, atNs: this.nowNs });
          if (act.kick !== undefined) this.#world.kick(act.kick, this.nowNs);
          break;
        case "sleep":
          this.#acts.shift();
          return { kind: "waits", untilNs: this.nowNs + act.ns };
      }
      this.#acts.shift();
    }
    return RUNS;
  }
}

/** Runners of these scripts, not yet run. */
function scheduled(scripts: readonly (readonly Act[])[], longestTurnNs = Number.POSITIVE_INFINITY) {
  const scheduler = new Scheduler({ longestTurnNs });
  const seen: Seen[] = [];
  const world = { seen, kick: (who: number, atNs: number) => scheduler.kick(who, atNs) };
  const runners = scripts.map((acts, who) => new Scripted(who, acts, world));
  for (const runner of runners) scheduler.add(runner, aloneTurn());
  return { scheduler, seen, runners };
}

const finish = (scheduler: Scheduler): string => {
  for (let i = 0; i < 100_000; i++) {
    const step = scheduler.step();
    if (step !== "ran") return step;
  }
  return "endless";
};

const work = (ns: number): Act => ({ kind: "work", ns });
const charge = (ns: number): Act => ({ kind: "charge", ns });
const sleep = (ns: number): Act => ({ kind: "sleep", ns });
const see = (kick?: number): Act => ({ kind: "see", kick });

describe("the scheduler", () => {
  it("runs whoever is furthest behind, for a quantum beyond the others at most", () => {
    const { scheduler, runners } = scheduled([[work(250)], [work(250)]]);
    const instants = Array.from({ length: 5 }, () => {
      scheduler.step();
      return runners.map(({ nowNs }) => nowNs);
    });
    expect(instants).toEqual([
      [100, 0],
      [100, 200],
      [250, 200],
      [250, 250],
      [250, 250],
    ]);
  });

  it("lets nobody see the time before those who are behind have come there", () => {
    const { scheduler, seen } = scheduled([
      [work(90), see(), work(90), see()],
      [work(50), see(), work(100), see()],
    ]);
    expect(finish(scheduler)).toBe("over");
    expect(seen).toEqual([
      { who: 1, atNs: 50 },
      { who: 0, atNs: 90 },
      { who: 1, atNs: 150 },
      { who: 0, atNs: 180 },
    ]);
  });

  it("has one that was stopped do nothing until the others are there", () => {
    const { scheduler, seen } = scheduled([
      [see(), charge(1000), see()],
      [work(400), see(), work(500), see(), work(200), see()],
    ]);
    expect(finish(scheduler)).toBe("over");
    expect(seen.map(({ atNs }) => atNs)).toEqual([0, 400, 900, 1000, 1100]);
  });

  it("does not wait for one who sleeps, but for the instant at which it wakes", () => {
    const { scheduler, seen, runners } = scheduled([
      [sleep(300), see()],
      [work(250), see(), work(100), see()],
    ]);
    expect(finish(scheduler)).toBe("over");
    expect(seen).toEqual([
      { who: 1, atNs: 250 },
      { who: 0, atNs: 300 },
      { who: 1, atNs: 350 },
    ]);
    expect(runners[0]!.waits).toEqual([[0, 300]]);
  });

  it("ends the lead of one who wakes another: at the instant of the kick that one goes on", () => {
    const { scheduler, seen, runners } = scheduled([
      [sleep(Number.POSITIVE_INFINITY), see()],
      [work(500), see(0), work(500), see()],
    ]);
    expect(finish(scheduler)).toBe("over");
    expect(runners[0]!.waits).toEqual([[0, 500]]);
    expect(seen.map(({ who, atNs }) => [who, atNs])).toEqual([
      [1, 500],
      [0, 500],
      [1, 1000],
    ]);
  });

  it("wakes from outside at the last instant that anybody has seen, and says when all are asleep", () => {
    const { scheduler, seen } = scheduled([
      [sleep(Number.POSITIVE_INFINITY), see()],
      [work(700), see(), sleep(Number.POSITIVE_INFINITY)],
    ]);
    expect(finish(scheduler)).toBe("asleep");
    expect(scheduler.nowNs).toBe(700);
    // Nobody is there to be late for: what comes from outside may come later.
    scheduler.idleTo(900.7);
    scheduler.kick(0, scheduler.nowNs);
    expect(finish(scheduler)).toBe("asleep");
    expect(seen.at(-1)).toEqual({ who: 0, atNs: 900 });
  });

  it("is over when only runners without a timeline are left", () => {
    const { scheduler } = scheduled([[work(50)]]);
    let atNs = 10;
    const rung: number[] = [];
    scheduler.add(
      {
        get nowNs() {
          return atNs;
        },
        quantumNs: 0,
        isGuest: false,
        waitUntil: () => undefined,
        run: () => {
          rung.push(atNs);
          atNs += 30;
          return RUNS;
        },
      },
      aloneTurn(),
    );
    expect(finish(scheduler)).toBe("over");
    expect(rung).toEqual([10, 40]);
  });

  it("ends a turn where it is told to, whoever else waits", () => {
    const { scheduler, runners } = scheduled([[work(250)]], 100);
    scheduler.step();
    expect(runners[0]!.nowNs).toBe(100);
  });

  it("goes on with a turn that has not ended, whoever is behind, so that a look at something else changes nothing", () => {
    const { scheduler, seen, runners } = scheduled([
      [work(60), see()],
      [work(30), see()],
    ]);
    const first = runners[0]!;
    const run = first.run.bind(first);
    let parts = 0;
    first.run = (turn) => {
      parts += 1;
      if (parts > 2) return run(turn);
      first.nowNs += 10;
      return AGAIN;
    };
    expect([scheduler.step(), scheduler.isMidTurn, scheduler.step(), scheduler.isMidTurn]).toEqual([
      "again",
      true,
      "again",
      true,
    ]);
    expect([scheduler.step(), scheduler.isMidTurn]).toEqual(["ran", false]);
    expect(runners.map(({ nowNs }) => nowNs)).toEqual([80, 0]);
    expect(finish(scheduler)).toBe("over");
    expect(seen.map(({ atNs }) => atNs)).toEqual([30, 80]);
  });

  const act = fc.oneof(
    { weight: 4, arbitrary: fc.integer({ min: 1, max: 300 }).map(work) },
    { weight: 4, arbitrary: fc.option(fc.nat(3), { nil: undefined }).map(see) },
    { weight: 1, arbitrary: fc.integer({ min: 1, max: 5000 }).map(charge) },
    { weight: 1, arbitrary: fc.oneof(fc.integer({ min: 0, max: 2000 }), fc.constant(Infinity)).map(sleep) },
  );
  const scripts = fc.array(fc.array(act, { maxLength: 40 }), { minLength: 1, maxLength: 4 });

  it("never shows an instant after a later one, whatever runners do", () => {
    fc.assert(
      fc.property(scripts, (of) => {
        const { scheduler, seen } = scheduled(of);
        expect(["over", "asleep"]).toContain(finish(scheduler));
        for (let i = 1; i < seen.length; i++) expect(seen[i]!.atNs).toBeGreaterThanOrEqual(seen[i - 1]!.atNs);
      }),
      { numRuns: 2000 },
    );
  });

  it("goes on alike from what it saved", () => {
    fc.assert(
      fc.property(scripts, fc.nat(20), (of, steps) => {
        const whole = scheduled(of);
        const halves = scheduled(of);
        for (let i = 0; i < steps; i++) {
          whole.scheduler.step();
          halves.scheduler.step();
        }
        const { nowNs } = halves.scheduler;
        const saved = JSON.parse(JSON.stringify(halves.scheduler.save()));
        halves.scheduler.restore(saved, nowNs);
        expect(finish(halves.scheduler)).toBe(finish(whole.scheduler));
        expect(halves.seen).toEqual(whole.seen);
      }),
    );
  });
});
