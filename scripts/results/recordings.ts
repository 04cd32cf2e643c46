/** What a recording made in the guest predicts, beside what the machine did: the price of not knowing all. */
import { at, number, perf, reportAt, SHORT_SYMBOLS, say, spevisor, table } from "./runs.ts";

const POLICY = "pin-on-enable";
const BUFFER = "512K";
const WORKLOADS = [
  { name: "two tasks and a pipe", command: "perf bench sched pipe -l 100" },
  {
    name: "ten processes that sleep",
    command: "sh -c 'i=0; while [ $i -lt 10 ]; do usleep 1000; i=$((i+1)); done'",
  },
];
const CPUS = 2;

/** What `perf record --switch-events` in the guest has a prediction say: enables, and if no switch were direct. */
function predicted(command: string, options: string, name: string): [enables: number, atMost: number] {
  spevisor([
    ...["run", "--cpus", String(CPUS), "--policy", POLICY, "--out", at(name), "--", "sh", "-c"],
    `${SHORT_SYMBOLS}; ${perf("/out", `--switch-events -e dummy ${options}`, command)} >/dev/null`,
  ]);
  const json = at(`${name}.json`);
  spevisor([
    ...["predict", `${at(name)}/perf.data`, "--policy", POLICY, "--profile", "thread-normal"],
    ...["--buffer", BUFFER, "--json", json],
  ]);
  const [run] = reportAt(json).runs;
  if (run?.guest !== "model") throw new Error(`${name}: no prediction`);
  return [run.bufferEnables, run.model.withoutDirectSwitches?.bufferEnables ?? run.bufferEnables];
}

/** The table. */
export function recordingsPart(): string {
  const rows = WORKLOADS.map(({ name, command }, i) => {
    say(`a recording: ${name}`);
    const json = at(`recorded${i}.json`);
    spevisor([
      ...["run", "--cpus", String(CPUS), "--policy", POLICY, "--json", json, "--", "sh", "-c"],
      `${SHORT_SYMBOLS}; ${perf("/tmp", `-m,${BUFFER} -e arm_spe/period=4096/`, command)} >/dev/null`,
    ]);
    const machine = reportAt(json).runs[0]!.bufferEnables;
    const withCpu = predicted(command, "--sample-cpu", `cpu${i}`);
    const without = predicted(command, "", `nocpu${i}`);
    const told = ([least, most]: readonly [number, number]): string =>
      least === most ? number(least) : `${number(least)} to ${number(most)}`;
    return [name, number(machine), told(withCpu), told(without)];
  });
  return table([["workload", "the machine", "recorded with CPU numbers", "without"], ...rows]);
}
