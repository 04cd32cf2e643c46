/** The driver model's replay of a run's own schedule, beside the run. */
import {
  at,
  BUSY,
  number,
  perf,
  reportAt,
  SHORT_SYMBOLS,
  say,
  spevisor,
  spevisorThatMayDiffer,
  table,
} from "./runs.ts";

const SCENARIOS = [
  {
    name: "the thread's command",
    policy: "pin-on-enable",
    cpus: 1,
    options: "-m,64M -e arm_spe/min_latency=1000/",
    command: "true",
  },
  {
    name: "a buffer that fills",
    policy: "pin-on-enable",
    cpus: 1,
    options: "-m,512K -e arm_spe/period=1024/",
    command: BUSY,
  },
  {
    name: "a buffer that fills",
    policy: "adaptive",
    cpus: 1,
    options: "-m,512K -e arm_spe/period=1024/",
    command: BUSY,
  },
  {
    name: "a buffer that fills",
    policy: "fault",
    cpus: 1,
    options: "-m,512K -e arm_spe/period=1024/",
    command: BUSY,
  },
  {
    name: "every CPU",
    policy: "pin-on-enable",
    cpus: 2,
    options: "-a -m,512K -e arm_spe/period=4096/",
    command: BUSY,
  },
  {
    name: "two tasks",
    policy: "pin-on-enable",
    cpus: 2,
    options: "-m,512K -e arm_spe/period=4096/",
    command: `sh -c '${BUSY} & ${BUSY}; wait'`,
  },
  {
    name: "a pipe",
    policy: "pin-on-enable",
    cpus: 2,
    options: "-m,512K -e arm_spe/period=4096/",
    command: "perf bench sched pipe -l 100",
  },
  {
    name: "every CPU",
    policy: "adaptive",
    cpus: 2,
    options: "-a -m,512K -e arm_spe/period=4096/",
    command: BUSY,
  },
  {
    name: "two tasks",
    policy: "adaptive",
    cpus: 2,
    options: "-m,512K -e arm_spe/period=4096/",
    command: `sh -c '${BUSY} & ${BUSY}; wait'`,
  },
];

/** The table, and how many agree in everything. */
export function modelPart(): { readonly text: string; readonly agreeing: number; readonly all: number } {
  const rows: string[][] = [
    [
      "scenario",
      "policy",
      "vCPUs",
      "enables",
      "pages pinned",
      "PMBIRQ",
      "wall, machine",
      "wall, model",
      "differs in",
    ],
  ];
  let agreeing = 0;
  for (const [i, { name, policy, cpus, options, command }] of SCENARIOS.entries()) {
    say(`model against machine: ${name}, ${policy}`);
    const [schedule, json, model] = [at(`${i}.schedule`), at(`m${i}.json`), at(`p${i}.json`)];
    const script = `${SHORT_SYMBOLS}; ${perf("/tmp", options, command)} >/dev/null`;
    spevisor([
      ...["run", "--policy", policy, "--cpus", String(cpus), "--schedule", schedule, "--json", json],
      ...["--", "sh", "-c", script],
    ]);
    spevisorThatMayDiffer([...["predict", schedule, "--policy", policy, "--against", json, "--json", model]]);
    const [agreement] = reportAt(model).agreement ?? [];
    if (agreement === undefined) throw new Error(`${name}: nothing to compare`);
    const row = (what: string) => agreement.rows.find((each) => each.what === what);
    const both = (what: string): string => {
      const found = row(what);
      if (found === undefined) return "0";
      return found.machine === found.model
        ? number(found.machine)
        : `${number(found.machine)} / ${number(found.model)}`;
    };
    const ms = (ns = 0): string => `${(ns / 1e6).toFixed(2)} ms`;
    const wall = row("wall time, ns");
    if (agreement.agrees) agreeing += 1;
    const differs = agreement.rows.filter(({ agrees }) => !agrees).map(({ what }) => what);
    rows.push([
      name,
      policy,
      String(cpus),
      both("enables"),
      both("pages pinned"),
      both("exits: PMBIRQ"),
      ms(wall?.machine),
      ms(wall?.model),
      differs.length === 0 ? "nothing" : differs.join(", "),
    ]);
  }
  return { text: table(rows), agreeing, all: SCENARIOS.length };
}
