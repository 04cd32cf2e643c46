/** The driver model against the machine: what it replays of a run's own schedule comes to what the run came to. */
import { readFileSync, writeFileSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import { readReport } from "../src/lab/report/report-file.ts";
import { runInGuest, SHORT_SYMBOLS, scratchFolder, spevisor } from "./guest/cli.ts";
import { guestFor } from "./guest/guests.ts";

const guest = await guestFor("guest, model against machine");
const MINUTES = 60_000;
const scratch = scratchFolder("guest-model");
afterAll(scratch.remove);

/** Some ten million instructions. */
const BUSY = 'sh -c "i=0; while [ \\$i -lt 12000 ]; do i=\\$((i+1)); done"';
const RECORD = "perf record --no-bpf-event -o /tmp/perf.data";

describe.skipIf(guest === undefined).each([
  ["the thread's command", "pin-on-enable", [], `${RECORD} -m,64M -e arm_spe/min_latency=1000/ -- true`],
  ["a buffer that fills", "adaptive", [], `${RECORD} -m,512K -e arm_spe/period=1024/ -- ${BUSY}`],
  ["stage-2 faults alone", "fault", [], `${RECORD} -m,512K -e arm_spe/period=4096/ -- ${BUSY}`],
  [
    "two tasks, and perf's reader beside them",
    "pin-on-enable",
    ["--cpus", "2"],
    `${RECORD} -m,512K -e arm_spe/period=4096/ -- sh -c '${BUSY} & ${BUSY}; wait'`,
  ],
  [
    "a ring, and another buffer in its place",
    "until-changed",
    [],
    `${RECORD} -S -m,512K -e arm_spe/period=1024/ -- ${BUSY} && ${RECORD} -m,1M -e arm_spe/period=4096/ -- ${BUSY}`,
  ],
  [
    "AUX overruns, while perf's reader is stopped",
    "until-changed",
    [],
    `${RECORD} -m,64K -e arm_spe/period=1024/ -- sh -c 'kill -STOP $PPID; ${BUSY}; kill -CONT $PPID'`,
  ],
  [
    "a host that merges pages under it",
    "adaptive",
    ["--pressure", "ksm:2000"],
    `${RECORD} -m,512K -e arm_spe/period=1024/ -- ${BUSY}`,
  ],
] as const)("%s under %s", (name, policy, options, command) => {
  it("enables, pins, exits as often, and takes as long", { timeout: 5 * MINUTES }, async () => {
    const [schedule, json, predicted] = ["schedule", "run.json", "model.json"].map((file) =>
      scratch.at(`${name.replaceAll(/\W/g, "-")}.${file}`),
    ) as [string, string, string];
    const ran = await runInGuest(
      ["sh", "-c", `${SHORT_SYMBOLS}; ${command}`],
      ["--policy", policy, ...options, "--schedule", schedule, "--json", json],
    );
    expect(ran.code, ran.err).toBe(0);
    const compared = await spevisor([
      ...["predict", schedule, "--policy", policy, "--against", json, "--json", predicted],
    ]);
    const { agreement } = readReport(readFileSync(predicted, "utf8"), predicted);
    expect(agreement?.flatMap(({ rows }) => rows.filter(({ agrees }) => !agrees))).toEqual([]);
    expect(compared.code, compared.err).toBe(0);
    const enables = agreement?.[0]?.rows.find(({ what }) => what === "enables");
    expect(enables?.machine).toBeGreaterThan(0);
  });
});

it.skipIf(guest === undefined)(
  "writing its schedule changes nothing of a run, and a model that differs is told by the exit status",
  { timeout: 5 * MINUTES },
  async () => {
    const command = ["sh", "-c", `${SHORT_SYMBOLS}; ${RECORD} -m,512K -e arm_spe// -- true`];
    const [plain, json, schedule] = ["plain.json", "with.json", "with.schedule"].map(scratch.at) as [
      string,
      string,
      string,
    ];
    await runInGuest(command, ["--policy", "fault", "--json", plain]);
    await runInGuest(command, ["--policy", "fault", "--json", json, "--schedule", schedule]);
    const runsOf = (file: string) => readReport(readFileSync(file, "utf8"), file).runs;
    expect(runsOf(json)).toEqual(runsOf(plain));
    const report = readReport(readFileSync(json, "utf8"), json);
    const [run] = report.runs;
    const changed = { ...report, runs: [{ ...run, pagesPinned: 1 }] };
    writeFileSync(json, JSON.stringify(changed));
    const compared = await spevisor(["predict", schedule, "--policy", "fault", "--against", json]);
    expect(compared.code, compared.out).toBe(1);
    expect(compared.out).toMatch(/pages pinned .* differs/);
  },
);
