/**
 * Every way in which perf records with SPE, each with what only it may show: on CPUs, of processes and threads, of one level, through
 * each filter alone. One boot of the guest makes all recordings; perf on this computer and our decoder read them.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { SpeRecord } from "../src/perf/spe-record.ts";
import { EVENT, SUBCLASS } from "../src/spe/op.ts";
import { scratchFolder } from "./guest/cli.ts";
import { guestFor } from "./guest/guests.ts";
import type { Recorded } from "./guest/recorded.ts";
import {
  contextsOf,
  INTERVAL_OPS,
  LOOP,
  LOOP_SAMPLES,
  type Loop,
  levelsOf,
  loopsOf,
  missingForWorker,
  placesIn,
  type Recordings,
  recordInGuest,
  TURNS,
} from "./guest/worker.ts";
import { perf, scriptedSamples } from "./spe-perf/perf-tool.ts";

if (missingForWorker !== undefined)
  console.log(`guest, ways of recording: skipped, needs: apt-get install ${missingForWorker}`);
const guest = missingForWorker === undefined ? await guestFor("guest, ways of recording") : undefined;
const trixie =
  missingForWorker === undefined ? await guestFor("guest, ways of recording on trixie", "trixie") : undefined;
const MINUTES = 60_000;
const scratch = scratchFolder("guest-ways");
afterAll(scratch.remove);

const SCRIPT = `
mkfifo go done
./worker rounds >/out/loops &
round='echo >/tmp/go; read line </tmp/done'
sh -c "$round"
pid=$(sed -n 's/^spin .* //p' /out/loops) tid=$(sed -n 's/^spun .* //p' /out/loops)
record process -e arm_spe// -p $pid -- sh -c "$round"
record thread -e arm_spe// -t $tid -- sh -c "$round"
record per-thread -e arm_spe// --per-thread -t $tid -- sh -c "$round"
kill $pid
record all -a -e arm_spe// -- ./worker once
record cpu -C 1 -e arm_spe// -- taskset 2 ./worker once
record user -e arm_spe//u -- ./worker once
record kernel -e arm_spe//k -- ./worker once
record load -e arm_spe/load_filter=1/ -- ./worker once
record store -e arm_spe/store_filter=1/ -- ./worker once
record branch -e arm_spe/branch_filter=1/ -- ./worker once
record jitter -e arm_spe/jitter=1/u -- ./worker once
record refill -e arm_spe/event_filter=8/ -- ./worker once
record slow -e arm_spe/min_latency=100/ -- ./worker once
record slowest -e arm_spe/min_latency=1000/ -- true
record thread-a -m,64M -e arm_spe/min_latency=1000,event_filter=10/ -- true
record thread-b -m,64M -e arm_spe/min_latency=1000,event_filter=10/ -- perf stat true
record reserved -e arm_spe/event_filter=4/ -- true
`;

const hasEvent = ({ events }: SpeRecord, bit: number): boolean => (Number(events) & bit) !== 0;

/** A policy under which there is no blackout: each sample that is due is taken. */
const OPTIONS = ["--cpus", "2", "--policy", "whole-guest"];

describe.skipIf(guest === undefined)("perf record -e arm_spe//", { timeout: 5 * MINUTES }, () => {
  let recordings: Recordings;
  let loops: Readonly<Record<string, Loop>>;
  beforeAll(async () => {
    recordings = await recordInGuest(scratch, SCRIPT, OPTIONS);
    loops = loopsOf(recordings.text("loops"));
  }, 5 * MINUTES);

  const recorded = (name: string): Recorded => recordings.named(name);
  const loopOf = (name: string): Loop => {
    const found = loops[name];
    if (found === undefined) throw new Error(`no loop ${name}`);
    return found;
  };
  /** Each of a loop's samples was taken that passes a filter of so many of its instructions. */
  const expectShare = (name: string, of: string, ops: number): void => {
    const { length } = placesIn(loopOf(of), recorded(name).records);
    expect(Math.abs(length - (LOOP_SAMPLES * ops) / LOOP.ops), `${name}: ${length}`).toBeLessThan(5);
  };

  it("loses nothing that the unit has written, and the sums are the report's", () => {
    // What perf refuses is one recording: its filter is RES0.
    const { said, run, all } = recordings;
    expect(said).toBe("reserved: 255\n");
    const written = [...all.values()].reduce((sum, { records }) => sum + records.length, 0);
    expect(run.samples).toMatchObject({
      written,
      collided: 0,
      lostInBlackout: 0,
      lostWhileFull: 0,
      truncated: 0,
    });
    for (const [name, { auxFlags }] of all)
      expect(
        auxFlags?.every((flags) => flags === 0),
        name,
      ).toBe(true);
  });

  it("-a: all tasks, on each CPU", () => {
    const { pieces, records } = recorded("all");
    expect(new Set(pieces.map(({ cpu, tid }) => `${cpu} ${tid}`))).toEqual(new Set(["0 -1", "1 -1"]));
    expect(contextsOf(records).size).toBeGreaterThan(2);
    expect(levelsOf(records)).toEqual(new Set([0, 1]));
    expectShare("all", "spin", LOOP.ops);
  });

  it("-C: all tasks, on one CPU", () => {
    const { pieces } = recorded("cpu");
    expect(new Set(pieces.map(({ cpu, tid }) => `${cpu} ${tid}`))).toEqual(new Set(["1 -1"]));
    expectShare("cpu", "spin", LOOP.ops);
  });

  it("-p: the threads of a process", () => {
    const { data, records } = recorded("process");
    const [spin, spun] = [loopOf("spin"), loopOf("spun")];
    expect(contextsOf(records)).toEqual(new Set([spin.tid, spun.tid]));
    for (const [name, { tid }] of [
      ["spin", spin],
      ["spun", spun],
    ] as const) {
      expectShare("process", name, LOOP.ops);
      expect(
        placesIn(
          loopOf(name),
          records.filter(({ contextEl1 }) => contextEl1 !== tid),
        ),
      ).toEqual([]);
    }
    // perf makes a sample of each record, with its thread.
    const samples = scriptedSamples(data, false).filter(({ event }) => event === "instructions");
    expect(samples.map(({ tid, ip }) => `${tid} ${ip}`).sort()).toEqual(
      records.map(({ contextEl1, pc }) => `${contextEl1} ${pc?.va}`).sort(),
    );
  });

  it("-t: one thread", () => {
    const { pieces, records } = recorded("thread");
    expect(contextsOf(records)).toEqual(new Set([loopOf("spun").tid]));
    expect(pieces.every(({ cpu }) => cpu >= 0)).toBe(true);
    expectShare("thread", "spun", LOOP.ops);
    expectShare("thread", "spin", 0);
  });

  it("--per-thread: a thread with a buffer of its own, wherever it runs", () => {
    const { data, pieces, records } = recorded("per-thread");
    const { tid } = loopOf("spun");
    expect(new Set(pieces.map(({ cpu, tid }) => `${cpu} ${tid}`))).toEqual(new Set([`-1 ${tid}`]));
    expectShare("per-thread", "spun", LOOP.ops);
    // Without times there are none in records either, and perf takes the thread from the buffer.
    expect(records.every(({ timestamp }) => timestamp === undefined)).toBe(true);
    // perf 6.1 begins with a sample of no record.
    const lines = perf(data, ["script", "--itrace=i1i", "-F", "tid,ip"])
      .split("\n")
      .filter((line) => line !== "" && !line.endsWith(" 0"));
    expect(lines.length).toBe(records.length);
    expect(lines.every((line) => line.trim().startsWith(`${tid} `))).toBe(true);
  });

  it(":u and :k: one exception level", () => {
    expect(levelsOf(recorded("user").records)).toEqual(new Set([0]));
    expectShare("user", "spin", LOOP.ops);
    expect(levelsOf(recorded("kernel").records)).toEqual(new Set([1]));
    expect(recorded("kernel").records.length).toBeGreaterThan(50);
  });

  it.each([
    ["load", [LOOP.load, LOOP.atomic]],
    ["store", [LOOP.store, LOOP.atomic]],
    ["branch", [LOOP.branch]],
  ] as const)("%s_filter: these alone, and all of them", (kind, places) => {
    const { records } = recorded(kind);
    expect([...new Set(placesIn(loopOf("spin"), records))].sort((a, b) => a - b)).toEqual(places);
    expectShare(kind, "spin", places.length);
    for (const { opClass, subclass = 0 } of records) {
      expect(opClass).toBe(kind === "branch" ? "branch" : "load-store");
      const atomic = SUBCLASS.extended | SUBCLASS.extendedAtomic;
      if (kind !== "branch" && (subclass & atomic) !== atomic)
        expect((subclass & SUBCLASS.store) !== 0).toBe(kind === "store");
    }
  });

  it("jitter: intervals differ, and without it none does", () => {
    /** How far each sample of the loop is from the one before, in the loop. */
    const steps = (name: string): ReadonlySet<number> => {
      const places = placesIn(loopOf("spin"), recorded(name).records);
      return new Set(places.slice(1).map((at, i) => (at - places[i]! + LOOP.ops) % LOOP.ops));
    };
    expect(steps("user")).toEqual(new Set([(INTERVAL_OPS + 1) % LOOP.ops]));
    expect(steps("jitter").size).toBe(LOOP.ops);
    // The byte that is drawn is 127.5 on average, with a deviation of 74.
    const { length } = placesIn(loopOf("spin"), recorded("jitter").records);
    const mean = (TURNS * LOOP.ops) / length;
    expect(Math.abs(mean - (INTERVAL_OPS + 1 + 127.5))).toBeLessThan((5 * 74) / Math.sqrt(length));
  });

  it("event_filter: what has the event", () => {
    const { records } = recorded("refill");
    expect(records.length).toBeGreaterThan(50);
    expect(records.every((record) => hasEvent(record, EVENT.l1dRefill))).toBe(true);
    expect(recordings.text("reserved.err")).toMatch(/^Error:\narm_spe\/event_filter=4\//);
  });

  it("min_latency: what took as long", () => {
    const latencies = recorded("slow").records.map(({ totalLatency = 0 }) => totalLatency);
    expect(latencies.length).toBeGreaterThan(5);
    expect(Math.min(...latencies)).toBeGreaterThanOrEqual(100);
    const all = recorded("user").records;
    expect(all.some(({ totalLatency = 0 }) => totalLatency < 100)).toBe(true);
  });

  it.each([
    ["slowest", "min_latency=1000"],
    ["thread-a", "perf record -- true with a filter that nothing passes"],
    ["thread-b", "perf record -- perf stat true with the same"],
  ])("%s: no record (%s)", (name) => {
    expect(recorded(name).records).toEqual([]);
    expect(recorded(name).pieces).toEqual([]);
    if (name === "thread-b") expect(recordings.text(`${name}.err`)).toMatch(/ instructions /);
  });
});

const TRIXIE_SCRIPT = `
ls /sys/bus/event_source/devices/arm_spe_0/format | grep -e filter -e discard
record plain -e arm_spe//u -- ./worker once
record inverted -e arm_spe/inv_event_filter=8/u -- ./worker once
record between -e arm_spe/event_filter=8,inv_event_filter=32/u -- ./worker once
record not-taken -e arm_spe/event_filter=0x40/ -- ./worker once
cat >snap <<'END'
size() { stat -c %s /out/snapshot.data; }
for i in 1 2; do
  ./worker once
  before=$(size)
  kill -USR2 $PPID
  until [ $(size) -gt $before ]; do usleep 1000; done
done
END
record snapshot -S -e arm_spe// -- sh snap
perf script -i /out/snapshot.data --itrace=i1i -F ip 2>/dev/null | wc -l
`;

describe.skipIf(trixie === undefined)("perf record -e arm_spe// of trixie", { timeout: 5 * MINUTES }, () => {
  let recordings: Recordings;
  const inTrixie = scratchFolder("guest-ways-trixie");
  afterAll(inTrixie.remove);
  beforeAll(async () => {
    const options = ["--suite", "trixie", "--policy", "whole-guest"];
    recordings = await recordInGuest(inTrixie, TRIXIE_SCRIPT, options);
  }, 5 * MINUTES);
  const recorded = (name: string): Recorded => recordings.named(name);

  it("has inv_event_filter, and none of the discard mode that later drivers have", () => {
    expect(recordings.said.split("\n").slice(0, 5)).toEqual([
      "branch_filter",
      "event_filter",
      "inv_event_filter",
      "load_filter",
      "store_filter",
    ]);
  });

  it("inv_event_filter: what does not have the event", () => {
    const withRefill = recorded("plain").records.filter((record) => hasEvent(record, EVENT.l1dRefill));
    expect(withRefill.length).toBeGreaterThan(20);
    const { records } = recorded("inverted");
    expect(records.some((record) => hasEvent(record, EVENT.l1dRefill))).toBe(false);
    const others = recorded("plain").records.length - withRefill.length;
    expect(Math.abs(records.length - others)).toBeLessThan(0.2 * others);
    for (const record of recorded("between").records)
      expect([hasEvent(record, EVENT.l1dRefill), hasEvent(record, EVENT.tlbWalk)]).toEqual([true, false]);
    expect(recorded("between").records.length).toBeGreaterThan(20);
  });

  it("event_filter: events of FEAT_SPEv1p2 as well", () => {
    const { records } = recorded("not-taken");
    expect(records.length).toBeGreaterThan(5);
    expect(records.every((record) => hasEvent(record, EVENT.notTaken))).toBe(true);
  });

  it("-S: two snapshots, at SIGUSR2, each with what was sampled until then", () => {
    const { pieces, records } = recorded("snapshot");
    expect(pieces.length).toBe(2);
    const { spin } = loopsOf(recordings.text("snapshot.out"));
    for (const piece of pieces) {
      const { length } = placesIn(spin!, piece.records);
      expect(Math.abs(length - LOOP_SAMPLES)).toBeLessThan(5);
    }
    // The guest's perf has a sample of each.
    expect(recordings.said.trim().split("\n").at(-1)).toBe(`${records.length}`);
  });
});

// 1.2 is what all of the above has, and 1.0 is in test/guest-probe.test.ts; each takes a boot of its own.
describe.skipIf(guest === undefined)("FEAT_SPE of each version", { timeout: 5 * MINUTES }, () => {
  it.each(["1.1", "1.5"])("%s reaches the driver, and it records", async (version) => {
    const folder = scratchFolder("guest-ways-version");
    try {
      // The event is 1.1's.
      const script = `
record plain -e arm_spe//u -- ./worker once
record misaligned -e arm_spe/event_filter=0x800/ -- true
`;
      const options = ["--spe-version", version, "--policy", "whole-guest"];
      const { said, named, text, run } = await recordInGuest(folder, script, options);
      expect(said).toBe("");
      const { spin } = loopsOf(text("plain.out"));
      const { records } = named("plain");
      expect(Math.abs(placesIn(spin!, records).length - LOOP_SAMPLES)).toBeLessThan(5);
      const misaligned = named("misaligned").records;
      expect(misaligned.every((record) => hasEvent(record, EVENT.misaligned))).toBe(true);
      expect(run.samples.written).toBe(records.length + misaligned.length);
    } finally {
      folder.remove();
    }
  });
});
