/**
 * `npm run bench`: how fast predictions are, beside the goals. Each figure is a median of several runs; what counts is
 * its ratio to the goal, since machines differ. Sizes can be cut short: `npm run bench -- --quick`.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

interface Result {
  readonly wallMs: number;
  readonly residentMiB: number;
  readonly guestSeconds: number;
  readonly readMs: number;
  readonly switches: number;
}

const POLICIES = ["fault", "pin-on-enable", "prefault", "until-changed", "adaptive"] as const;
const quick = process.argv.includes("--quick");
const child = fileURLToPath(new URL("./predict-once.ts", import.meta.url));
const runner = fileURLToPath(new URL("../scripts/typescript.js", import.meta.url));

/** One prediction in a process of its own, so that memory is its own. */
function once(switchEvents: number, policy: string): Result {
  const done = spawnSync(process.execPath, [runner, child, String(switchEvents), policy], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
  if (done.status !== 0) throw new Error(`predict-once ${switchEvents} ${policy} failed`);
  return JSON.parse(done.stdout) as Result;
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] as number;

function row(cells: readonly string[]): void {
  console.log(cells.map((cell, i) => (i === 0 ? cell.padEnd(34) : cell.padStart(18))).join(""));
}

function series(
  switchEvents: number,
  repeats: number,
  goalMs: number,
  goalMiB: number | undefined,
): number[] {
  const medians: number[] = [];
  for (const policy of POLICIES) {
    const results = Array.from({ length: repeats }, () => once(switchEvents, policy));
    const ms = median(results.map((r) => r.wallMs));
    const mib = median(results.map((r) => r.residentMiB));
    const guest = median(results.map((r) => r.guestSeconds / (r.wallMs / 1e3)));
    medians.push(ms);
    row([
      `${switchEvents.toLocaleString("en")} events, ${policy}`,
      `${ms.toFixed(0)} ms`,
      `${(ms / goalMs).toFixed(2)} of goal`,
      `${mib.toFixed(0)} MiB`,
      goalMiB === undefined ? "-" : `${(mib / goalMiB).toFixed(2)} of goal`,
      `${guest.toFixed(1)} guest s/s`,
    ]);
  }
  return medians;
}

console.log("Predicting generated recordings (256 MiB buffer, thread-normal costs, both readings of waits),");
console.log(
  "reading and building the schedule included. Goals: 16,000 switch events in 1 s under each policy;",
);
console.log("1,000,000 in 20 s and 400 MiB resident; growth linear in events.\n");
row(["", "median", "time", "resident", "memory", "speed"]);
series(16_000, quick ? 1 : 5, 1_000, undefined);
const large = series(quick ? 100_000 : 1_000_000, quick ? 1 : 3, quick ? 2_000 : 20_000, 400);
const half = series(quick ? 50_000 : 500_000, 1, quick ? 1_000 : 10_000, 400);
console.log("");
for (const [i, policy] of POLICIES.entries())
  row([
    `growth, ${policy}`,
    `${((large[i] as number) / (half[i] as number)).toFixed(2)}`,
    "for twice",
    "the events",
  ]);
