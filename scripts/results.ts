/**
 * `npm run results`: runs what docs/results.md tells of, and writes it. The runs repeat exactly, so the file does.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ExactReport } from "../src/lab/exact/report.ts";
import type { NamedShares } from "../src/lab/fidelity.ts";
import { readReport } from "../src/lab/report/report-file.ts";

const SPEVISOR = fileURLToPath(new URL("../bin/spevisor.js", import.meta.url));
const RESULTS = fileURLToPath(new URL("../docs/results.md", import.meta.url));

/** perf reads the guest's list of symbols three times for each recording: a short one is enough for it. */
const SHORT_SYMBOLS = "head -n 3 /proc/kallsyms >/tmp/symbols && mount --bind /tmp/symbols /proc/kallsyms";
const BUSY = 'sh -c "i=0; while [ \\$i -lt 12000 ]; do i=\\$((i+1)); done"';
const perf = (out: string, options: string, command: string): string =>
  `perf record --no-bpf-event -o ${out}/perf.data ${options} -- ${command}`;

/** A host that takes pages away, and is slow to notice a fault of the unit's. */
const HARD = ["--memory", "256M", "--pressure", "numa:40000", "--irq-latency", "1ms"];
const HOSTS = [
  { name: "bare metal", options: ["--bare-metal"] },
  { name: "adaptive", options: ["--policy", "adaptive"] },
  { name: "adaptive, hard host", options: ["--policy", "adaptive", ...HARD] },
  { name: "fault, hard host", options: ["--policy", "fault", ...HARD] },
];
const WORKLOADS = [{ name: "a shell's loop", command: BUSY }];
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
    name: "the same",
    policy: "adaptive",
    cpus: 1,
    options: "-m,512K -e arm_spe/period=1024/",
    command: BUSY,
  },
  { name: "the same", policy: "fault", cpus: 1, options: "-m,512K -e arm_spe/period=1024/", command: BUSY },
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
];

const scratch = mkdtempSync(join(tmpdir(), "spevisor-results-"));
const at = (file: string): string => join(scratch, file);
const say = (text: string): void => void process.stderr.write(`${text}\n`);
const spevisor = (argv: readonly string[]): void => {
  execFileSync(process.execPath, [SPEVISOR, ...argv], { stdio: ["ignore", "ignore", "pipe"] });
};
const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;
const number = (value: number): string => value.toLocaleString("en");
const table = (rows: readonly (readonly string[])[]): string => {
  const [head = [], ...rest] = rows;
  return [head, head.map((_, i) => (i === 0 ? "---" : "---:")), ...rest]
    .map((row) => `| ${row.join(" | ")} |`)
    .join("\n");
};

interface Truth {
  readonly workload: string;
  readonly host: string;
  readonly exact: ExactReport;
  readonly lost: number;
  readonly selected: number;
}

function truthOf(workload: (typeof WORKLOADS)[number], host: (typeof HOSTS)[number], i: number): Truth {
  say(`${workload.name}, ${host.name}`);
  const [json, exact] = [at(`${i}.json`), at(`${i}.exact`)];
  const script = perf("/out", "-m,512K -e arm_spe/period=1024,jitter=1/", workload.command);
  spevisor([
    ...["run", ...host.options, "--out", at(`out${i}`), "--json", json, "--exact-profile", exact],
    ...["--", "sh", "-c", `${script} >/dev/null`],
  ]);
  const { samples } = readReport(readFileSync(json, "utf8"), json).runs[0]!;
  return {
    workload: workload.name,
    host: host.name,
    exact: JSON.parse(readFileSync(exact, "utf8")) as ExactReport,
    lost: samples.lostInBlackout,
    selected: samples.selected,
  };
}

const missed = ({ name, exactShare, sampledShare }: NamedShares): string =>
  `\`${name}\` (${percent(exactShare)} of the instructions, ${percent(sampledShare)} of the records)`;

function truthPart(truths: readonly Truth[]): string {
  const rows = truths.map(({ workload, host, exact, lost, selected }) => {
    const { samples, totalVariation, expected, atMost } = exact.symbols ?? exact.lines;
    return [
      workload,
      host,
      number(samples),
      percent(lost / Math.max(1, selected)),
      percent(totalVariation),
      percent(expected),
      percent(atMost),
      percent(exact.lines.totalVariation),
      percent(exact.topError),
    ];
  });
  const beyond = truths.filter(({ exact }) => {
    const { totalVariation, atMost } = exact.symbols ?? exact.lines;
    return totalVariation > atMost;
  });
  const sentences = beyond.map(
    ({ workload, host, exact }) =>
      `- ${workload}, ${host}: missing most are ${exact.unseen.slice(0, 3).map(missed).join(", ")}.`,
  );
  return `${table([
    [
      "workload",
      "under",
      "records",
      "lost in blackouts",
      "symbols: away",
      "by chance",
      "hardly more than",
      "lines: away",
      "worst of the top ten",
    ],
    ...rows,
  ])}

${beyond.length === 0 ? "Every profile is as near to the exact one as chance allows." : `Beyond what chance makes:\n\n${sentences.join("\n")}`}`;
}

function modelPart(): { readonly text: string; readonly agreeing: number; readonly all: number } {
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
      "run",
      "--policy",
      policy,
      "--cpus",
      String(cpus),
      "--schedule",
      schedule,
      "--json",
      json,
      "--",
      "sh",
      "-c",
      script,
    ]);
    // Its exit status says whether they agree; the report says more.
    spawnSync(
      process.execPath,
      [SPEVISOR, "predict", schedule, "--policy", policy, "--against", json, "--json", model],
      { stdio: "ignore" },
    );
    const [agreement] = readReport(readFileSync(model, "utf8"), model).agreement ?? [];
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

try {
  const truths = WORKLOADS.flatMap((workload, w) =>
    HOSTS.map((host, h) => truthOf(workload, host, w * HOSTS.length + h)),
  );
  const model = modelPart();
  writeFileSync(
    RESULTS,
    `# Results

What was found by running Debian's kernel, driver and perf on the machine. \`npm run results\` runs all of it again and writes
this file, byte for byte.

## The profile against the truth

The same run counts every instruction that the guest believes to be profiled (\`spevisor run --exact-profile\`). *Away* is the
total variation between that and the records that were written: half the sum of the differences of shares. *By chance* is what as
many independent samples would have in the mean, *hardly more than* what they exceed once in a thousand cases. A sample every
1,024 instructions, with jitter. The hard host unmaps 20,000 pages a second, and takes 1 ms from a fault of the unit's to its
handler.

${truthPart(truths)}

## The model against the machine

A run writes what it did with its buffers (\`spevisor run --schedule\`), and \`spevisor predict --against\` holds the driver model's
replay of it against the run itself: enables, disables, pins, pages, faults and exits must be equal, times and samples within 5 %.
"a / b" are the machine's and the model's. ${model.agreeing} of ${model.all} agree in everything.

${model.text}
`,
  );
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
