/** worker.c in the guest: how scripts record it, and what its samples must be. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { expect } from "vitest";
import { readReport } from "../../src/lab/report/report-file.ts";
import type { LinuxRun } from "../../src/lab/report/run.ts";
import type { SpeRecord } from "../../src/perf/spe-record.ts";
import { has } from "../oracles.ts";
import { runInGuest, SHORT_SYMBOLS, type scratchFolder } from "./cli.ts";
import { archive, buildWorker, hasCrossCompiler } from "./programs.ts";
import { type Recorded, recordedAt } from "./recorded.ts";

/** What is missing on this computer for it, to be installed; undefined: nothing. */
export const missingForWorker = !hasCrossCompiler
  ? "gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
  : has("perf")
    ? undefined
    : "linux-perf";

/**
 * What a script begins with: the worker is in /tmp, and `record NAME OPTION...` records to /out/NAME.data, in other shells as
 * well by way of /tmp/record.
 */
const PRELUDE = `cd /tmp && tar x
${SHORT_SYMBOLS}
cat >record <<'END'
quick='-q -B -N --no-bpf-event'
record() {
  name=$1
  shift
  perf record $quick -o /out/$name.data "$@" >/out/$name.out 2>/out/$name.err || echo "$name: $?"
}
END
. ./record
`;

/** Places of a loop's instructions in it, and how many they are. */
export const LOOP = { ops: 11, load: 2, store: 4, atomic: 5, branch: 10 } as const;
/** How often a loop goes round. */
export const TURNS = 100_000;
/** perf's default period. */
export const INTERVAL_OPS = 1024;
/** Samples of a loop, whose ops are counted with what comes before and after. */
export const LOOP_SAMPLES = (TURNS * LOOP.ops) / (INTERVAL_OPS + 1);

export interface Loop {
  readonly start: bigint;
  readonly end: bigint;
  /** The thread that runs it. */
  readonly tid: number;
}

/** The loops by name that a worker has said. */
export const loopsOf = (said: string): Readonly<Record<string, Loop>> =>
  Object.fromEntries(
    [...said.matchAll(/^(\w+) (\w+) (\w+) (\d+)$/gm)].map(([, name = "", start, end, tid]) => [
      name,
      { start: BigInt(`0x${start}`), end: BigInt(`0x${end}`), tid: Number(tid) },
    ]),
  );

/** Which of a loop's instructions each record is of, for those that are of it. */
export const placesIn = ({ start, end }: Loop, records: readonly SpeRecord[]): readonly number[] =>
  records.flatMap(({ pc }) =>
    pc !== undefined && pc.va >= start && pc.va < end ? [Number(pc.va - start) / 4] : [],
  );

export const levelsOf = (records: readonly SpeRecord[]): ReadonlySet<number | undefined> =>
  new Set(records.map(({ pc }) => pc?.el));
export const contextsOf = (records: readonly SpeRecord[]): ReadonlySet<number | undefined> =>
  new Set(records.map(({ contextEl1 }) => contextEl1));

/** What a script has recorded in the guest. */
export interface Recordings {
  /** Its standard output. */
  readonly said: string;
  readonly run: LinuxRun;
  /** What is named NAME.data in its /out, and not empty: perf leaves an empty file where it refuses. */
  readonly all: ReadonlyMap<string, Recorded>;
  readonly named: (name: string) => Recorded;
  /** Another file of its /out: NAME.out and NAME.err are what perf and its command have said. */
  readonly text: (file: string) => string;
}

/**
 * Runs a script in the guest, with the worker and `record`, and reads what it has recorded.
 * @param options of `spevisor run`
 */
export async function recordInGuest(
  scratch: ReturnType<typeof scratchFolder>,
  script: string,
  options: readonly string[],
): Promise<Recordings> {
  const [out, json] = [scratch.at("out"), scratch.at("run.json")];
  const programs = await archive(scratch.at("programs.tar"), { worker: buildWorker(scratch.at("worker")) });
  const ended = await runInGuest(["sh", "-c", PRELUDE + script], [...options, "--out", out, "--json", json], {
    input: { file: programs },
  });
  expect(ended.code, ended.err).toBe(0);
  // Debian 12's perf reads no file of Debian 13's.
  const hasPerf = !options.includes("trixie");
  const all = new Map<string, Recorded>();
  for (const file of readdirSync(out).filter((name) => name.endsWith(".data"))) {
    const path = `${out}/${file}`;
    if (statSync(path).size > 0) all.set(file.slice(0, -".data".length), await recordedAt(path, hasPerf));
  }
  return {
    said: ended.out,
    run: readReport(readFileSync(json, "utf8"), json).runs[0] as LinuxRun,
    all,
    named: (name) => {
      const found = all.get(name);
      if (found === undefined) throw new Error(`no recording ${name}`);
      return found;
    },
    text: (file) => readFileSync(`${out}/${file}`, "utf8"),
  };
}
