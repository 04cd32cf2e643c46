/**
 * Recordings with SPE that something happens to: somebody else's rights and names, tasks and CPUs that come and go, buffers that
 * nobody empties. One boot of the guest makes all of them.
 */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readReport } from "../src/lab/report/report-file.ts";
import type { LinuxRun } from "../src/lab/report/run.ts";
import { runInGuest, SHORT_SYMBOLS, scratchFolder } from "./guest/cli.ts";
import { guestFor } from "./guest/guests.ts";
import {
  contextsOf,
  LOOP_SAMPLES,
  levelsOf,
  loopsOf,
  missingForWorker,
  placesIn,
  type Recordings,
  recordInGuest,
} from "./guest/worker.ts";
import { perf, scriptedSamples } from "./spe-perf/perf-tool.ts";

if (missingForWorker !== undefined)
  console.log(`guest, upset recordings: skipped, needs: apt-get install ${missingForWorker}`);
const guest = missingForWorker === undefined ? await guestFor("guest, upset recordings") : undefined;
const MINUTES = 60_000;
const scratch = scratchFolder("guest-upsets");
afterAll(scratch.remove);

const SCRIPT = `
chmod 1777 /out
nobody() {
  su -s /bin/sh nobody -c ". /tmp/record; $*"
}
sysctl -q -w kernel.perf_event_paranoid=3
nobody record forbidden -e arm_spe//u -- ./worker once
sysctl -q -w kernel.perf_event_paranoid=2
nobody record nobody -e arm_spe// -- ./worker once
nobody record physical -e arm_spe/pa_enable=1/u -- ./worker once
nobody record system -a -e arm_spe//u -- ./worker once
sysctl -q -w kernel.perf_event_paranoid=-1
unshare -p -f --mount-proc sh -c '
  mount --bind symbols /proc/kallsyms
  . ./record
  record namespace -e arm_spe// -- ./worker once'
record wander -e arm_spe// -- ./worker wander
perf mem record $quick -o /out/mem.data -- ./worker once >mem.out
perf c2c record $quick -o /out/c2c.data -- ./worker once >c2c.out
cpu1=/sys/devices/system/cpu/cpu1/online
record offline -m ,1M -C 1 -e arm_spe// -- sh -c "taskset 2 ./worker once; echo 0 >$cpu1; ./worker once"
echo 1 >$cpu1
record online -C 1 -e arm_spe// -- taskset 2 ./worker once
record both -m ,1M -a -e arm_spe// -- sh -c "taskset 1 ./worker once; echo 0 >$cpu1; ./worker once; echo 1 >$cpu1; taskset 1 ./worker once"
cat >overrun <<'END'
size() { stat -c %s /out/overrun.data; }
kill -STOP $PPID
./worker once
before=$(size)
kill -CONT $PPID
# Until it has written what there was, and waits.
until [ $(size) -gt $before ] && grep -q '^State:.S' /proc/$PPID/status; do usleep 1000; done
./worker once
END
record overrun -m ,4 -e arm_spe// -- taskset 2 sh overrun
`;

/** PERF_AUX_FLAG_TRUNCATED (include/uapi/linux/perf_event.h). */
const TRUNCATED = 1;

describe.skipIf(guest === undefined)("perf record -e arm_spe//", { timeout: 5 * MINUTES }, () => {
  let recordings: Recordings;
  beforeAll(async () => {
    recordings = await recordInGuest(scratch, SCRIPT, ["--cpus", "2"]);
  }, 5 * MINUTES);

  /** Samples of the worker's loop, on some CPUs or on any. */
  const loopSamples = (name: string, cpus?: readonly number[]): number => {
    const { spin } = loopsOf(recordings.text(`${name}.out`));
    if (spin === undefined) throw new Error(`${name}: no loop`);
    const records = recordings
      .named(name)
      .pieces.filter(({ cpu }) => cpus === undefined || cpus.includes(cpu))
      .flatMap((piece) => piece.records);
    return placesIn(spin, records).length;
  };
  /** Each of a worker's samples was taken, but for those that are lost as the report has it, which may be anybody's. */
  const expectLoops = (name: string, loops: number, cpus?: readonly number[]): void => {
    const length = loopSamples(name, cpus);
    const { lostInBlackout, lostWhileFull } = recordings.run.samples;
    expect(length, name).toBeLessThan(loops * LOOP_SAMPLES + 5);
    expect(length, name).toBeGreaterThan(loops * LOOP_SAMPLES - 5 * loops - lostInBlackout - lostWhileFull);
  };

  it("of nobody's: what the guest allows, which is no kernel, no context, no physical address", () => {
    expect(recordings.said).toBe("forbidden: 255\nphysical: 255\nsystem: 255\n");
    expect(recordings.text("forbidden.err")).toMatch(/perf_event_paranoid setting is 3:/);
    for (const refused of ["physical", "system"])
      expect(recordings.text(`${refused}.err`)).toMatch(/perf_event_paranoid setting is 2:/);
    const { data, pieces, records } = recordings.named("nobody");
    expect(levelsOf(records)).toEqual(new Set([0]));
    expect(contextsOf(records)).toEqual(new Set([undefined]));
    expect(records.every(({ pa }) => pa === undefined)).toBe(true);
    expectLoops("nobody", 1);
    // 128 KiB are what it may lock: perf is woken at the half of it.
    expect(Math.max(...pieces.map((piece) => piece.records.length))).toBeLessThanOrEqual(65536 / 128);
    // perf has the thread from the switches.
    const { tid } = loopsOf(recordings.text("nobody.out"))["spin"]!;
    const samples = scriptedSamples(data, false).filter(({ event }) => event === "instructions");
    expect(samples.length).toBe(records.length);
    expect(new Set(samples.map((sample) => `${sample.comm} ${sample.tid}`))).toEqual(
      new Set([`worker ${tid}`]),
    );
  });

  it("in a PID namespace: threads are those of the whole system, as CONTEXTIDR_EL1 has them", () => {
    const { data, records } = recordings.named("namespace");
    const { tid } = loopsOf(recordings.text("namespace.out"))["spin"]!;
    expectLoops("namespace", 1);
    const contexts = [...contextsOf(records)];
    expect(contexts.length).toBe(1);
    expect(contexts[0]).toBeGreaterThan(tid);
    const tids = scriptedSamples(data, false).map((sample) => sample.tid);
    expect(new Set(tids)).toEqual(new Set(contexts));
  });

  it("of a task that goes from CPU to CPU: in the buffer of each, and it alone", () => {
    const { records } = recordings.named("wander");
    const { tid } = loopsOf(recordings.text("wander.out"))["spin"]!;
    expect(contextsOf(records)).toEqual(new Set([tid]));
    for (const cpu of [0, 1]) expectLoops("wander", 0.5, [cpu]);
  });

  it("perf mem and perf c2c: loads and stores, and their reports", () => {
    for (const name of ["mem", "c2c"]) {
      const { data, records } = recordings.named(name);
      expect(records.length).toBeGreaterThan(20);
      expect(new Set(records.map(({ opClass }) => opClass))).toEqual(new Set(["load-store"]));
      // What perf asks for: min_latency=30.
      expect(Math.min(...records.map(({ totalLatency = 0 }) => totalLatency))).toBeGreaterThanOrEqual(30);
      if (name === "mem")
        expect(perf(data, ["mem", "report", "--stdio", "--sort=mem,sym"])).toMatch(/^ +\d+\.\d+% .*RAM hit/m);
      else {
        const report = perf(data, ["c2c", "report", "--stats", "--stdio"]);
        const count = (what: string): number =>
          Number(new RegExp(`^ +${what} +: +(\\d+)`, "m").exec(report)?.[1]);
        expect(count("Load Operations") + count("Store Operations")).toBe(records.length);
      }
    }
  });

  it("of a CPU that goes, and comes back: the others go on, and so does it", () => {
    expectLoops("online", 1);
    // What the driver's own teardown leaves of the offline CPU's (PMBPTR_EL1 is 0 when perf takes its event off) is in no order.
    expectLoops("both", 3, [0]);
    expect(loopSamples("offline", [1])).toBeGreaterThan(LOOP_SAMPLES / 2);
    expect(
      recordings.run.machine.console.filter((line) => /CPU1 killed|Booted secondary/.test(line)).length,
    ).toBe(4);
  });

  it("into a buffer that nobody empties: the driver says that it is truncated, and goes on when it is emptied", () => {
    const { auxFlags, pieces } = recordings.named("overrun");
    expect(auxFlags).toContain(TRUNCATED);
    // The first worker's are gone, but for those that there was room for. (Not on CPU 0: Linux 6.1 forgets there that an event is to be
    // turned off, and on again, since its pending_disable is the CPU's number.)
    const taken = loopSamples("overrun", [1]);
    expect(taken).toBeGreaterThan(LOOP_SAMPLES / 2);
    expect(taken).toBeLessThan(1.5 * LOOP_SAMPLES);
    expect(new Set(auxFlags)).toEqual(new Set([0, TRUNCATED]));
    expect(pieces.length).toBeGreaterThan(2);
  });

  it("loses no other sample that was written, and the report has the flags of no other loss", () => {
    const { run, all } = recordings;
    for (const [name, { auxFlags }] of all)
      if (name !== "overrun") expect(new Set(auxFlags), name).toEqual(new Set([0]));
    const { samples } = run;
    // No PERF_AUX_FLAG_COLLISION, no PERF_AUX_FLAG_PARTIAL.
    expect([samples.collided, samples.truncated]).toEqual([0, 0]);
    const read = [...all.values()].reduce((sum, { records }) => sum + records.length, 0);
    expect(read).toBeLessThanOrEqual(samples.written);
  });
});

describe.skipIf(guest === undefined)(
  "a guest that ends while it is sampled",
  { timeout: 5 * MINUTES },
  () => {
    it.each([
      // Nobody turns the buffers off.
      ["panics", "echo c >/proc/sysrq-trigger", 2],
      // perf_reboot takes all events off their CPUs.
      ["reboots", "reboot -f; sleep 1000", 0],
    ] as const)(
      "%s as one that is not: the run ends with 125, and its report adds up",
      async (what, last, left) => {
        const json = scratch.at(`${what}.json`);
        const { code, err } = await runInGuest(
          [
            "sh",
            "-c",
            `${SHORT_SYMBOLS}; perf record -a -B -N --no-bpf-event -e arm_spe// -- sh -c "${last}"`,
          ],
          ["--cpus", "2", "--json", json],
        );
        expect(code, err).toBe(125);
        expect(err).toContain("the guest asked for a reset: its kernel has panicked, or rebooted");
        expect(err.includes("Kernel panic - not syncing: sysrq triggered crash")).toBe(what === "panics");
        const run = readReport(readFileSync(json, "utf8"), json).runs[0] as LinuxRun;
        expect([run.machine.ended, run.machine.status]).toEqual(["reset", null]);
        expect(run.samples.written).toBeGreaterThan(50);
        expect(run.bufferEnables - run.bufferDisables).toBe(left);
      },
    );
  },
);
