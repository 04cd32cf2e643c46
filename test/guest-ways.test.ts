/**
 * Every way in which perf records with SPE, each with what only it may show: on CPUs, of processes and threads, of one level, through
 * each filter alone. One boot of the guest makes all recordings; perf on this computer and our decoder read them.
 */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readReport } from "../src/lab/report/report-file.ts";
import type { LinuxRun } from "../src/lab/report/run.ts";
import type { SpeRecord } from "../src/perf/spe-record.ts";
import { EVENT, SUBCLASS } from "../src/spe/op.ts";
import { runInGuest, scratchFolder } from "./guest/cli.ts";
import { guestFor } from "./guest/guests.ts";
import { archive, buildWorker, hasCrossCompiler } from "./guest/programs.ts";
import { type Recorded, recordedAt } from "./guest/recorded.ts";
import { has } from "./oracles.ts";
import { perf, scriptedSamples } from "./spe-perf/perf-tool.ts";

const missing = !hasCrossCompiler
  ? "gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
  : has("perf")
    ? undefined
    : "linux-perf";
if (missing !== undefined)
  console.log(`guest, ways of recording: skipped, needs: apt-get install ${missing}`);
const guest = missing === undefined ? await guestFor("guest, ways of recording") : undefined;
const MINUTES = 60_000;
const scratch = scratchFolder("guest-ways");
afterAll(scratch.remove);

/**
 * Before a script's recordings: the programs, and a short list of symbols, which perf would read three times for each of them, for
 * ten times as long as all the rest takes.
 */
const PRELUDE = `cd /tmp && tar x
head -n 3 /proc/kallsyms >symbols && mount --bind symbols /proc/kallsyms
record() {
  name=$1
  shift
  perf record -q -B -N --no-bpf-event -o /out/$name.data "$@" >/out/$name.out 2>/out/$name.err || echo "$name: $?"
}
`;

const SCRIPT = `${PRELUDE}
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

/** The instructions of worker.c's loops by their places in them. */
const LOOP = { ops: 11, load: 2, store: 4, atomic: 5, branch: 10 } as const;
const TURNS = 100_000;
const INTERVAL_OPS = 1024;
/** Of a loop's ops that are counted one by one. */
const SAMPLES = (TURNS * LOOP.ops) / (INTERVAL_OPS + 1);

interface Loop {
  readonly start: bigint;
  readonly end: bigint;
  /** The thread that runs it. */
  readonly tid: number;
}

const hasEvent = ({ events }: SpeRecord, bit: number): boolean => (Number(events) & bit) !== 0;
const levelsOf = (records: readonly SpeRecord[]): ReadonlySet<number | undefined> =>
  new Set(records.map(({ pc }) => pc?.el));
const contextsOf = (records: readonly SpeRecord[]): ReadonlySet<number | undefined> =>
  new Set(records.map(({ contextEl1 }) => contextEl1));

describe.skipIf(guest === undefined)("perf record -e arm_spe//", { timeout: 5 * MINUTES }, () => {
  const out = scratch.at("out");
  let run: LinuxRun;
  let said = "";
  let loops: ReadonlyMap<string, Loop>;
  const recordings = new Map<string, Recorded>();
  beforeAll(async () => {
    const programs = await archive(scratch.at("programs.tar"), { worker: buildWorker(scratch.at("worker")) });
    const json = scratch.at("run.json");
    const ended = await runInGuest(["sh", "-c", SCRIPT], ["--cpus", "2", "--out", out, "--json", json], {
      input: { file: programs },
    });
    expect(ended.code, ended.err).toBe(0);
    said = ended.out;
    run = readReport(readFileSync(json, "utf8"), json).runs[0] as LinuxRun;
    loops = new Map(
      [...readFileSync(`${out}/loops`, "utf8").matchAll(/^(\w+) (\w+) (\w+) (\d+)$/gm)].map(
        ([, name = "", start, end, tid]) => [
          name,
          { start: BigInt(`0x${start}`), end: BigInt(`0x${end}`), tid: Number(tid) },
        ],
      ),
    );
    for (const [, name = ""] of SCRIPT.matchAll(/^record (\S+)/gm))
      if (name !== "reserved") recordings.set(name, await recordedAt(`${out}/${name}.data`));
  }, 5 * MINUTES);

  const recorded = (name: string): Recorded => {
    const found = recordings.get(name);
    if (found === undefined) throw new Error(`no recording ${name}`);
    return found;
  };
  const loopOf = (name: string): Loop => {
    const found = loops.get(name);
    if (found === undefined) throw new Error(`no loop ${name}`);
    return found;
  };
  /** Which of a loop's instructions each record is of, for those that are of it. */
  const placesIn = (name: string, records: readonly SpeRecord[]): readonly number[] => {
    const { start, end } = loopOf(name);
    return records.flatMap(({ pc }) =>
      pc !== undefined && pc.va >= start && pc.va < end ? [Number(pc.va - start) / 4] : [],
    );
  };
  /** Each of a loop's samples was taken that passes a filter of so many of its instructions. */
  const expectShare = (name: string, of: string, ops: number): void => {
    const { length } = placesIn(of, recorded(name).records);
    expect(Math.abs(length - (SAMPLES * ops) / LOOP.ops), `${name}: ${length}`).toBeLessThan(5);
  };

  it("loses nothing that the unit has written, and the sums are the report's", () => {
    // What perf refuses is one recording: its filter is RES0.
    expect(said).toBe("reserved: 255\n");
    const written = [...recordings.values()].reduce((sum, { records }) => sum + records.length, 0);
    expect(run.samples).toMatchObject({ written, collided: 0, lostWhileFull: 0, truncated: 0 });
    for (const [name, { auxFlags }] of recordings)
      expect(
        auxFlags.every((flags) => flags === 0),
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
          name,
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
    expect([...new Set(placesIn("spin", records))].sort((a, b) => a - b)).toEqual(places);
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
      const places = placesIn("spin", recorded(name).records);
      return new Set(places.slice(1).map((at, i) => (at - places[i]! + LOOP.ops) % LOOP.ops));
    };
    expect(steps("user")).toEqual(new Set([(INTERVAL_OPS + 1) % LOOP.ops]));
    expect(steps("jitter").size).toBe(LOOP.ops);
    // The byte that is drawn is 127.5 on average, with a deviation of 74.
    const { length } = placesIn("spin", recorded("jitter").records);
    const mean = (TURNS * LOOP.ops) / length;
    expect(Math.abs(mean - (INTERVAL_OPS + 1 + 127.5))).toBeLessThan((5 * 74) / Math.sqrt(length));
  });

  it("event_filter: what has the event", () => {
    const { records } = recorded("refill");
    expect(records.length).toBeGreaterThan(50);
    expect(records.every((record) => hasEvent(record, EVENT.l1dRefill))).toBe(true);
    expect(readFileSync(`${out}/reserved.err`, "utf8")).toMatch(/^Error:\narm_spe\/event_filter=4\//);
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
    if (name === "thread-b") expect(readFileSync(`${out}/${name}.err`, "utf8")).toMatch(/ instructions /);
  });
});
