/** The sampled profile beside what was executed. */
import { readFileSync } from "node:fs";
import type { ExactReport } from "../../src/lab/exact/report.ts";
import type { NamedShares } from "../../src/lab/fidelity.ts";
import { at, BUSY, number, percent, perf, reportAt, say, spevisor, table } from "./runs.ts";

/**
 * A host that takes pages away, and is slow to notice a fault of the unit's. Its guest is too slow to bring names of symbols: there
 * lines of code are compared.
 */
const HARD = ["--memory", "256M", "--pressure", "numa:40000", "--irq-latency", "1ms"];
const HOSTS = [
  { name: "bare metal", named: true, options: ["--bare-metal"] },
  { name: "adaptive", named: true, options: ["--policy", "adaptive"] },
  { name: "adaptive, hard host", named: false, options: ["--policy", "adaptive", ...HARD] },
  { name: "fault, hard host", named: false, options: ["--policy", "fault", ...HARD] },
];
const WORKLOADS = [{ name: "a shell's loop", command: BUSY }];

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
  const script = perf(
    host.named ? "/out" : "/tmp",
    "-m,512K -e arm_spe/period=1024,jitter=1/",
    workload.command,
  );
  spevisor([
    ...[
      "run",
      ...host.options,
      ...(host.named ? ["--out", at(`out${i}`)] : []),
      "--json",
      json,
      "--exact-profile",
      exact,
    ],
    ...["--", "sh", "-c", `${script} >/dev/null`],
  ]);
  const { samples } = reportAt(json).runs[0]!;
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

/** What was found, and the table. */
export function truthPart(): { readonly finding: string; readonly text: string } {
  const truths = WORKLOADS.flatMap((workload, w) =>
    HOSTS.map((host, h) => truthOf(workload, host, w * HOSTS.length + h)),
  );
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
  const text = `${table([
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
  const within = truths.filter((truth) => !beyond.includes(truth)).map(({ host }) => host);
  const finding =
    `A sampled profile is as near to the exact one as chance allows under each of: ${within.join("; ")}` +
    `${beyond.length === 0 ? "" : `; not so on ${beyond.map(({ host, lost, selected }) => `${host}, where blackouts take ${percent(lost / Math.max(1, selected))} of the samples`).join(", ")}`}.`;
  return { finding, text };
}
