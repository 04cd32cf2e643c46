/**
 * perf as the oracle of recordings: what `perf script` prints of each shipped recording, event by event, is what our
 * reader tells; and the number of buffer enables, counted from perf's text alone, is the schedule's.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { buildSchedule } from "../src/guest/recording/build.ts";
import { generatedBytes } from "../src/guest/recording/generate.ts";
import { readRuns } from "../src/guest/recording/read.ts";
import { SEGMENT } from "../src/guest/schedule.ts";
import { bytesSource } from "../src/perf/byte-source.ts";
import { has } from "./oracles.ts";
import { toBigEndian } from "./perf-byteswap.ts";
import { bytesOf, RECORDINGS, readBytes } from "./perf-recordings.ts";

const scratch = mkdtempSync(join(tmpdir(), "perf-script-"));
afterAll(() => rmSync(scratch, { recursive: true }));

const hasPerf = has("perf");
if (!hasPerf)
  console.log(
    "test/perf-script.test.ts: skipped, there is no working perf. Install perf (Debian: apt-get install linux-perf).",
  );

/** An event as perf prints it. */
interface Printed {
  readonly what: string;
  readonly rest: string;
  readonly tid: number;
  /** Undefined for what perf synthesized. */
  readonly timeNs: number | undefined;
  readonly cpu: number;
}

function perfScript(name: string, bytes: Uint8Array): Printed[] {
  const file = join(scratch, name);
  writeFileSync(file, bytes);
  const done = spawnSync(
    "perf",
    ["script", "--ns", "--show-switch-events", "--show-task-events", "-i", file],
    {
      encoding: "utf8",
      maxBuffer: 1 << 30,
    },
  );
  expect(done.status, done.stderr).toBe(0);
  const line =
    /^.*?\s(-?\d+) +(?:\[(-?\d+)\] +)?(\d+)\.(\d+): PERF_RECORD_(COMM|FORK|EXIT|SWITCH|SWITCH_CPU_WIDE)\b(.*)$/;
  let baseNs: bigint | undefined;
  const events: Printed[] = [];
  for (const text of done.stdout.split("\n")) {
    const match = line.exec(text);
    if (match === null) continue;
    const [, tid, cpu, seconds, ns, what, rest] = match as unknown as string[];
    const stampNs = BigInt(seconds as string) * 1_000_000_000n + BigInt(ns as string);
    if (stampNs !== 0n) baseNs ??= stampNs;
    events.push({
      what: what as string,
      rest: (rest as string).trim().replace(/\s+/g, " "),
      tid: Number(tid),
      timeNs: stampNs === 0n || baseNs === undefined ? undefined : Number(stampNs - baseNs),
      cpu: Number(cpu ?? -1),
    });
  }
  return events;
}

/** Each event in one form that both sides can be brought to. */
function asLine({ what, rest, tid, timeNs, cpu }: Printed): string {
  const at = `${timeNs ?? "-"} ${cpu}`;
  const numbers = [...rest.matchAll(/-?\d+/g)].map(([n]) => n);
  if (what === "COMM") {
    const [, exec, comm, pid, own] = /^( ?exec)?: ?(.*):(-?\d+)\/(-?\d+)$/.exec(rest) as unknown as string[];
    return `comm ${at} ${pid}/${own} ${comm} ${exec !== undefined}`;
  }
  if (what === "FORK") return `fork ${at} ${numbers[0]}/${numbers[1]} < ${numbers[2]}/${numbers[3]}`;
  if (what === "EXIT") return `exit ${at} ${numbers[0]}/${numbers[1]}`;
  const preempted = rest.includes("preempt");
  const out = rest.startsWith("OUT");
  const other = what === "SWITCH" ? "" : ` ${numbers.at(-2)}/${numbers.at(-1)}`;
  return `${what === "SWITCH" ? "task" : "cpu"}${out ? "Out" : "In"} ${at} ${tid}${out ? ` ${preempted}` : ""}${other}`;
}

const swapped = (value: number): number => {
  const view = new DataView(new ArrayBuffer(4));
  view.setInt32(0, value, true);
  return view.getInt32(0, false);
};

/**
 * Our line in that form: perf counts from its first printed time, and prints no CPU as -1, no pid of a switch.
 *
 * @param foreign the file is of the other byte order: perf (6.1 at least) takes the sample id of PERF_RECORD_SWITCH
 *   to start 8 bytes late when it swaps it (perf_event__switch_swap), so that the swapped pid is printed as the tid
 */
function ourLine(line: string, baseNs: number, foreign: boolean): string {
  const [what, time, cpu, task = "", ...rest] = line.split(" ");
  const at = time === "-Infinity" ? "-" : `${Number(time) - baseNs}`;
  if (what === "exit") return `exit ${at} ${cpu} ${task}`;
  if (what === "comm" || what === "fork") return `${what} ${at} ${cpu} ${task} ${rest.join(" ")}`;
  const others = rest.filter((word) => word !== "<" && word !== ">");
  const [pid, tid] = task.split("/").map(Number) as [number, number];
  return [what, at, cpu, foreign && what?.startsWith("task") ? swapped(pid) : tid, ...others].join(" ");
}

async function compare(name: string, bytes: Uint8Array): Promise<void> {
  const printed = perfScript(name, bytes).map(asLine);
  const { lines, report } = await readBytes(name, bytes);
  const firstNs = Number(lines.map((line) => line.split(" ")[1]).find((time) => time !== "-Infinity"));
  const told = lines.filter((line) => !line.startsWith("lost"));
  const asPrinted = told.map((line) => ourLine(line, firstNs, false));
  const ours =
    report.littleEndian || printed.some((line, i) => line === asPrinted[i] && line.startsWith("task"))
      ? asPrinted
      : told.map((line) => ourLine(line, firstNs, true));
  expect(ours.length).toBeGreaterThan(20);
  expect(report.warnings).toEqual([]);
  const differs = printed.findIndex((line, i) => line !== ours[i]);
  expect(differs === -1 ? [] : ours.slice(differs, differs + 3)).toEqual(
    differs === -1 ? [] : printed.slice(differs, differs + 3),
  );
  expect(ours).toHaveLength(printed.length);
}

/** Counted from perf's text by the rules of the report, with nothing of ours. */
function enablesByHand(events: readonly Printed[]): { enables: number; switchIns: number; atExec: number } {
  const targets = new Set<number>();
  const named = new Set<number>();
  const outs: { tid: number; timeNs: number; cpu: number }[] = [];
  let switchIns = 0;
  let direct = 0;
  let atExec = 0;
  for (const { what, rest, tid, timeNs, cpu } of events) {
    const numbers = [...rest.matchAll(/-?\d+/g)].map(Number);
    if (what === "COMM") {
      const own = Number(/(-?\d+)$/.exec(rest)?.[1]);
      if (rest.includes("perf-exec:")) named.add(own);
      else if (rest.startsWith("exec") && named.delete(own)) {
        targets.add(own);
        atExec++;
      }
    } else if (what === "FORK" && targets.has(numbers[3] as number) && timeNs !== undefined)
      targets.add(numbers[1] as number);
    else if (what === "SWITCH" && timeNs !== undefined) {
      if (!targets.has(tid) && atExec === 0) targets.add(tid);
      if (rest.startsWith("OUT")) outs.push({ tid, timeNs, cpu });
      else {
        switchIns++;
        const own = outs.findLastIndex((out) => out.tid === tid && timeNs - out.timeNs <= 5000);
        if (own !== -1) outs.splice(own, 1);
        const from = outs.findLastIndex((out) => out.cpu === cpu && timeNs - out.timeNs <= 5000);
        if (from !== -1) {
          outs.splice(from, 1);
          direct++;
        }
      }
    } else if (what === "SWITCH_CPU_WIDE" && rest.startsWith("IN") && targets.has(tid)) {
      switchIns++;
      if (targets.has(numbers[1] as number)) direct++;
    }
  }
  return { enables: switchIns - direct + atExec, switchIns, atExec };
}

describe.skipIf(!hasPerf)("perf script", () => {
  it.each(RECORDINGS)("prints the events that we read from %s, in the same order", async (name) => {
    await compare(name, bytesOf(name));
  });

  const bigEndian = RECORDINGS.filter((name) => !name.includes("-z.") && !name.includes("pipe-mode"));
  it.each(bigEndian)("reads %s, turned to big-endian, as we do", async (name) => {
    await compare(name, toBigEndian(bytesOf(name)));
  });

  it.each([
    [true, true],
    [true, false],
    [false, true],
    [false, false],
  ])(
    "reads what the generator writes (system-wide: %s, little-endian: %s)",
    async (systemWide, littleEndian) => {
      await compare(
        "generated.data",
        generatedBytes({ seed: 1, switchEvents: 5000, systemWide, littleEndian }),
      );
    },
  );

  it.each(RECORDINGS.filter((name) => !name.startsWith("idle")))("gives the enables of %s", async (name) => {
    const byHand = enablesByHand(perfScript(name, bytesOf(name)));
    const built = buildSchedule(await readRuns(bytesSource(name, bytesOf(name))));
    if (built.kind !== "schedule") throw new Error(built.message);
    const { recording, schedule } = built;
    expect(recording.enables - recording.enablesAtStart - recording.enablesInferred).toBe(byHand.enables);
    expect(recording.enablesWithoutDirectRule - recording.enablesAtStart - recording.enablesInferred).toBe(
      byHand.switchIns + byHand.atExec,
    );
    expect(recording.enablesAtExec).toBe(byHand.atExec);
    expect(schedule.segments.flags.filter((flags) => (flags & SEGMENT.enables) !== 0)).toHaveLength(
      recording.enables,
    );
    expect(byHand.enables).toBeGreaterThan(0);
  });
});
