/** Time between the vCPUs of Debian's guest: what one has read no other may undercut, and what perf records there is causal. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bytesSource } from "../src/perf/byte-source.ts";
import { readRecording } from "../src/perf/reader.ts";
import type { RecordingSink } from "../src/perf/recording-sink.ts";
import { runInGuest, scratchFolder } from "./guest/cli.ts";
import { guestFor } from "./guest/guests.ts";
import { archive, buildClocks, hasCrossCompiler } from "./guest/programs.ts";

if (!hasCrossCompiler)
  console.log("guest, clocks: skipped, needs: apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross");
const bookworm = hasCrossCompiler ? await guestFor("guest, clocks") : undefined;
const MINUTES = 60_000;
const scratch = scratchFolder("guest-clocks");
afterAll(scratch.remove);

/** Who was on which CPU when, in the order of the instants; of what happened at one instant, who left comes first. */
class Timeline implements RecordingSink {
  readonly #events: {
    readonly atNs: number;
    readonly cpu: number;
    readonly tid: number;
    readonly into: boolean;
  }[] = [];
  /** perf's own task: it goes from CPU to CPU to turn their events off, so that some of its switches are not recorded. */
  readonly #perf = new Set<number>();
  readonly forks = new Map<number, number>();
  readonly #names = new Map<number, string>();

  cpuIn(atNs: number, cpu: number, _pid: number, tid: number): void {
    this.#events.push({ atNs, cpu, tid, into: true });
  }

  cpuOut(atNs: number, cpu: number, _pid: number, tid: number): void {
    this.#events.push({ atNs, cpu, tid, into: false });
  }

  fork(atNs: number, _cpu: number, _pid: number, tid: number): void {
    if (Number.isFinite(atNs)) this.forks.set(tid, atNs);
  }

  comm(_atNs: number, _cpu: number, _pid: number, tid: number, comm: string): void {
    this.#names.set(tid, comm);
    if (comm === "perf") this.#perf.add(tid);
    else this.#perf.delete(tid);
  }

  taskIn(): void {}
  taskOut(): void {}
  exit(): void {}
  lost(): void {}

  /** What cannot have happened: a task on two CPUs at once, or before it was made. */
  get impossible(): readonly string[] {
    const found: string[] = [];
    const on = new Map<number, number>();
    for (const { atNs, cpu, tid, into } of this.#events.sort(
      (a, b) => a.atNs - b.atNs || Number(a.into) - Number(b.into),
    )) {
      if (tid <= 0 || this.#perf.has(tid)) continue;
      const where = on.get(tid);
      if (!into) {
        on.delete(tid);
        continue;
      }
      if (where !== undefined && where !== cpu)
        found.push(`${tid} on CPU ${cpu} at ${atNs}, still on ${where}`);
      // Times count from the first record in the file, which others may precede.
      const forkedAtNs = this.forks.get(tid);
      if (forkedAtNs !== undefined && atNs < forkedAtNs)
        found.push(`${tid} (${this.#names.get(tid)}) runs at ${atNs}, its FORK record is of ${forkedAtNs}`);
      on.set(tid, cpu);
    }
    return found;
  }

  get switches(): number {
    return this.#events.length;
  }
}

describe.skipIf(bookworm === undefined)("clocks in Debian's guest", { timeout: 6 * MINUTES }, () => {
  let programs = "";
  beforeAll(async () => {
    const clocks = buildClocks(scratch.at("clocks"));
    programs = await archive(scratch.at("programs.tar"), { clocks });
  });
  const beside = (script: string, cpus: number) =>
    runInGuest(["sh", "-c", `cd /tmp && tar x && ${script}`], ["--cpus", String(cpus)], {
      input: { file: programs },
    });

  for (const cpus of [2, 4])
    it(`never go back between ${cpus} vCPUs`, async () => {
      const { code, out, err } = await beside("./clocks 400", cpus);
      const ways = ["lock", "pipes", "futex", "signals", "forks"];
      expect({ code, out }, err).toEqual({
        code: 0,
        out: ways.map((way) => `${way}: read, 0 went back, the worst by 0\n`).join(""),
      });
    });

  it("a recording of perf's on 4 vCPUs is causal", async () => {
    const work =
      "for i in 1 2 3 4 5 6; do (for j in 1 2 3 4 5 6 7 8; do cat /proc/stat | sort | wc -l; done) & done; wait";
    const { code, out, err } = await beside(
      `perf record -q -a --switch-events -e dummy -o data sh -c '${work}' >/dev/null && base64 data`,
      4,
    );
    expect(code, err).toBe(0);
    const timeline = new Timeline();
    const report = await readRecording(
      bytesSource("recording", new Uint8Array(Buffer.from(out, "base64"))),
      timeline,
    );
    expect(report).toMatchObject({ lostRecords: 0, damagedRecords: 0, unknownRecords: 0, unreadBytes: 0 });
    expect(timeline.forks.size).toBeGreaterThan(100);
    expect(timeline.switches).toBeGreaterThan(500);
    expect(timeline.impossible).toEqual([]);
  });
});
