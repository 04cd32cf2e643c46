/** One prediction, timed from the first byte read to its record: a process of its own for bench/main.ts. */
import { randomBytes } from "node:crypto";
import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildSchedule } from "../src/guest/recording/build.ts";
import { generateRecording } from "../src/guest/recording/generate.ts";
import { readRuns } from "../src/guest/recording/read.ts";
import { PROFILES } from "../src/host/profiles.ts";
import { Baseline, measure } from "../src/lab/measure.ts";
import { policyNamed } from "../src/lab/policies.ts";
import { predictionSetting } from "../src/lab/predict.ts";
import { DEFAULT_CLOCK_GHZ, DEFAULT_IPC, DEFAULT_IRQ_LATENCY_NS } from "../src/lab/scenarios.ts";
import { openSource } from "../src/vmm/node/file-source.ts";

const [events, policy] = process.argv.slice(2);
const switchEvents = Number(events);
const file = join(tmpdir(), `spevisor-bench-${randomBytes(6).toString("hex")}.data`);
try {
  const fd = openSync(file, "w");
  generateRecording({ seed: 1, switchEvents, systemWide: true, cpus: 2 }, (bytes) => writeSync(fd, bytes));
  closeSync(fd);

  const started = performance.now();
  const { source, close } = await openSource(file);
  const runs = await readRuns(source);
  await close();
  const built = buildSchedule(runs, {});
  if (built.kind !== "schedule") throw new Error("the generated recording has no command");
  const readMs = performance.now() - started;
  const setting = predictionSetting(built, {
    bufferBytes: 256 * 1024 ** 2,
    backing: "thp",
    period: 4096,
    clockGHz: DEFAULT_CLOCK_GHZ,
    ipc: DEFAULT_IPC,
    memoryBytes: undefined,
    memlockMaxBytes: Number.POSITIVE_INFINITY,
    irqLatencyNs: DEFAULT_IRQ_LATENCY_NS,
    seed: 1,
    stage2AtStart: "absent",
  });
  const { run } = measure(setting, policyNamed(policy ?? ""), PROFILES[0]!, new Baseline(setting));
  const wallMs = performance.now() - started;
  console.log(
    JSON.stringify({
      wallMs,
      readMs,
      residentMiB: process.resourceUsage().maxRSS / 1024,
      guestSeconds: (run.guestRunNs + run.idleNs) / run.vcpus.length / 1e9,
      switches: switchEvents,
      slowdown: run.slowdown,
      enables: run.bufferEnables,
    }),
  );
} finally {
  rmSync(file, { force: true });
}
