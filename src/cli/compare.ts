/** `spevisor compare`: where two policies part, event by event, and what each costs from there. */
import Table from "cli-table3";
import { type Command, Option } from "commander";
import { UserError } from "../common/errors.ts";
import { formatNs } from "../common/sizes.ts";
import { buildSchedule } from "../guest/recording/build.ts";
import { readRuns } from "../guest/recording/read.ts";
import { BAR_BUFFER_BYTES } from "../lab/bar/cases.ts";
import { eventName, isExit, sentencesOf, stepName } from "../lab/compare/sentences.ts";
import { HOST_KINDS, type HostKind, nsOf, type Stretch } from "../lab/compare/stretches.ts";
import { COMPARE_RUNS, type Comparison, comparing, type StepTotal } from "../lab/compare.ts";
import type { Setting } from "../lab/experiment.ts";
import { checkBuffer, predictionSetting, USUAL_PREDICTION } from "../lab/predict.ts";
import { PART_NAMES } from "../lab/report/charts.ts";
import { writeReport } from "../lab/report/report-file.ts";
import { REPORT_SCHEMA } from "../lab/report/run.ts";
import { formatCount } from "../lab/report/words.ts";
import { SCENARIOS } from "../lab/scenarios.ts";
import { openSource } from "../vmm/node/file-source.ts";
import { beginFile } from "./files.ts";
import { hostFacts } from "./host-facts.ts";
import { ALL, choosePolicies } from "./job.ts";
import { chosen, profileNamed } from "./lab.ts";
import { knownName, nonEmpty, positiveSize, whole } from "./options.ts";
import { STDOUT } from "./output.ts";
import { startProgress } from "./progress.ts";
import { type Look, renderParagraph } from "./tables.ts";
import { VERSION } from "./version.ts";
import { lookOf, type World } from "./world.ts";

interface Flags {
  readonly scenario?: string;
  readonly recording?: string;
  readonly profile: string;
  readonly buffer: number;
  readonly seed: number;
  readonly limit: number;
  readonly json?: string;
}

const DEFAULT_SCENARIO = "thread-a";
const DEFAULT_LIMIT = 6;
/** A comparison keeps that many events in memory, and nobody reads more. */
const MOST_EVENTS = 10_000;
const MAX_SEED = 0xffffffff;
/** Rows of the table of costs; what is left is told in one row. */
const MOST_ROWS = 10;
/** What one cell of the table of events has room for. */
const MOST_THINGS = 2;
/** Below this width a cell that says two things has two lines. */
const WIDE_COLUMNS = 106;

const breakIn = ({ widthColumns }: Look): string => (widthColumns < WIDE_COLUMNS ? "\n" : " ");

/** The recording as its command was profiled; one of a whole system per CPU. */
async function recordingSetting(file: string, { buffer, seed }: Flags): Promise<Setting> {
  const opened = await openSource(file);
  try {
    const runs = await readRuns(opened.source);
    const own = buildSchedule(runs, {});
    const built = own.kind === "choose-target" ? buildSchedule(runs, { target: { kind: "per-cpu" } }) : own;
    if (built.kind === "choose-target")
      throw new UserError(`${file}: nothing in it can be profiled`, "Record it as README.md says.");
    return predictionSetting(built, {
      ...USUAL_PREDICTION,
      bufferBytes: buffer,
      seed,
    });
  } finally {
    await opened.close();
  }
}

async function settingOf(flags: Flags): Promise<Setting> {
  if (flags.recording !== undefined && flags.scenario !== undefined)
    throw new UserError("--scenario and --recording exclude each other");
  checkBuffer(flags.buffer);
  if (flags.recording !== undefined) return recordingSetting(flags.recording, flags);
  const name = knownName(
    "scenario",
    flags.scenario ?? DEFAULT_SCENARIO,
    SCENARIOS.map((scenario) => scenario.name),
  );
  const found = SCENARIOS.find((scenario) => scenario.name === name) as (typeof SCENARIOS)[0];
  return found.setting(flags.buffer, flags.seed);
}

const newTable = (head: readonly string[], rightFrom: number, to = head.length) =>
  new Table({
    head: [...head],
    colAligns: head.map((_, i): "left" | "right" => (i >= rightFrom && i < to ? "right" : "left")),
    style: { head: [], border: [], compact: true },
  });

const signed = (ns: number): string => (ns === 0 ? "0" : `${ns > 0 ? "+" : "-"}${formatNs(Math.abs(ns))}`);
const orNothing = (ns: number): string => (ns === 0 ? "-" : formatNs(ns));

/** "99 × 24.4 ms = 2.42 s". */
function product(step: StepTotal | undefined, look: Look): string {
  if (step === undefined) return "-";
  const ns = nsOf(step.charges);
  if (ns === 0) return formatCount(step.count);
  return step.count === 1
    ? formatNs(ns)
    : `${formatCount(step.count)} × ${formatNs(ns / step.count)}${breakIn(look)}= ${formatNs(ns)}`;
}

/** What each costs from where they part, by call and by event, the largest difference first. */
function costsTable({ sides: [a, b] }: Comparison, look: Look): string {
  const keys = new Map(
    [...a.after.steps, ...b.after.steps].map((step) => [`${step.event} ${step.name}`, step]),
  );
  const of = (steps: readonly StepTotal[], { event, name }: StepTotal) =>
    steps.find((step) => step.event === event && step.name === name);
  const rows = [...keys.values()]
    .map((key) => ({ key, inA: of(a.after.steps, key), inB: of(b.after.steps, key) }))
    .map((row) => ({ ...row, ns: nsOf(row.inA?.charges ?? {}) - nsOf(row.inB?.charges ?? {}) }))
    .filter(({ inA, inB }) => nsOf(inA?.charges ?? {}) + nsOf(inB?.charges ?? {}) > 0)
    .sort((x, y) => Math.abs(y.ns) - Math.abs(x.ns));
  const table = newTable(["after each", "call or exit", a.policy, b.policy, "difference"], 2);
  const shown = rows.filter(({ ns }) => ns !== 0).slice(0, MOST_ROWS);
  for (const { key, inA, inB, ns } of shown)
    table.push([key.event, stepName(key.name), product(inA, look), product(inB, look), signed(ns)]);
  const rest = rows.filter((row) => !shown.includes(row));
  if (rest.length > 0) {
    const sum = (side: "inA" | "inB") =>
      rest.reduce((total, row) => total + nsOf(row[side]?.charges ?? {}), 0);
    table.push([
      "",
      rest.length === 1 ? "1 other" : `${rest.length} others`,
      formatNs(sum("inA")),
      formatNs(sum("inB")),
      signed(sum("inA") - sum("inB")),
    ]);
  }
  return table.toString();
}

/** The same by kind of time, and the time of blackouts and of the worker, which are no part of it. */
function kindsTable({ sides: [a, b] }: Comparison): string {
  const table = newTable(["what it is", a.policy, b.policy, "difference"], 1);
  const row = (name: string, nsA: number, nsB: number) => {
    if (nsA + nsB > 0) table.push([name, orNothing(nsA), orNothing(nsB), signed(nsA - nsB)]);
  };
  const kindName = (kind: HostKind): string => PART_NAMES[`${kind}Ns`];
  for (const kind of HOST_KINDS) row(kindName(kind), a.after.charges[kind] ?? 0, b.after.charges[kind] ?? 0);
  row("in all", nsOf(a.after.charges), nsOf(b.after.charges));
  row("(in blackouts)", a.after.blackouts.ns, b.after.blackouts.ns);
  row("(in the background)", nsOf(a.background.charges), nsOf(b.background.charges));
  return table.toString();
}

/** The costliest things of a stretch, its exits as one. */
function shortly({ steps }: Stretch, look: Look): string {
  const costs = new Map<string, number>();
  for (const { name, charges } of steps) {
    const what = isExit(name) ? "exits" : name;
    costs.set(what, (costs.get(what) ?? 0) + nsOf(charges));
  }
  const costly = [...costs]
    .filter(([, ns]) => ns > 0)
    .sort((a, b) => b[1] - a[1])
    .slice(0, MOST_THINGS)
    .map(([what, ns]) => `${what} ${formatNs(ns)}`);
  return costly.length === 0 ? "-" : costly.join(`,${breakIn(look)}`);
}

/** The next events side by side, with how far the first policy has fallen behind the second by then. */
function eventsTable({ sides: [a, b] }: Comparison, limit: number, look: Look): string {
  const table = newTable(["event", "at", a.policy, "at", b.policy, "lag"], 1);
  for (const [i, inA] of a.next.slice(0, limit).entries()) {
    const inB = b.next[i];
    if (inB === undefined) break;
    table.push([
      eventName(inA, false),
      formatNs(inA.atNs),
      shortly(inA, look),
      formatNs(inB.atNs),
      shortly(inB, look),
      signed(inA.atNs - inB.atNs),
    ]);
  }
  return table.toString();
}

function render(of: Comparison, limit: number, look: Look): string {
  const { colors } = look;
  const blocks = [
    `${colors.bold(of.scenario)} on costs ${colors.bold(of.profile)}: ${of.sides.map(({ policy }) => colors.bold(policy)).join(" against ")}`,
    sentencesOf(of)
      .map((sentence) => renderParagraph(sentence, 2, look))
      .join("\n"),
  ];
  if (of.part !== null) {
    blocks.push(`${colors.bold("From there on")}, by what was done\n${costsTable(of, look)}`);
    blocks.push(`${colors.bold("From there on")}, by what the time is\n${kindsTable(of)}`);
    const where = of.sides[0].run.vcpus.length > 1 ? ` of vCPU ${of.part.vcpu}` : "";
    if (limit > 0) blocks.push(`${colors.bold("The next events")}${where}\n${eventsTable(of, limit, look)}`);
  }
  return `${blocks.join("\n\n")}\n`;
}

/** A report of both runs, with the comparison beside them: its sides are in the order of the runs. */
function reportOf(comparison: Comparison, tookNs: number): string {
  const { sides, ...rest } = comparison;
  return writeReport({
    schema: REPORT_SCHEMA,
    version: VERSION,
    host: hostFacts(tookNs, null),
    runs: sides.map(({ run }) => run),
    comparison: {
      ...rest,
      sentences: sentencesOf(comparison),
      sides: sides.map(({ run: _, ...side }) => side),
    },
  });
}

/** Lets Ctrl-C and the progress line have their turn. */
const breathe = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function compareCommand(first: string, second: string, flags: Flags, world: World): Promise<void> {
  const startedNs = world.nowNs();
  const engine = await world.loadLab();
  const named = async (name: string) => {
    if (name === ALL)
      throw new UserError('compare: "all" is not one policy', "Name two: spevisor compare A B");
    const [choice] = await choosePolicies(engine, [name]);
    if (choice === undefined) throw new UserError("compare: which policy?");
    return chosen(choice);
  };
  const policies = [await named(first), await named(second)] as const;
  knownName(
    "cost profile",
    flags.profile,
    engine.listProfiles().map(({ name }) => name),
  );
  const file = flags.json === undefined || flags.json === STDOUT ? undefined : beginFile(flags.json);
  const progress = startProgress("comparing", world);
  try {
    const setting = await settingOf(flags);
    const work = comparing(setting, policies, profileNamed(flags.profile), flags.limit);
    let comparison: Comparison | undefined;
    for (let done = 0; comparison === undefined; done++) {
      progress.onProgress({ done, total: COMPARE_RUNS, what: `${first} against ${second}: run` });
      await breathe();
      const step = work.next();
      if (step.done === true) comparison = step.value;
    }
    const json = reportOf(comparison, world.nowNs() - startedNs);
    file?.write(json);
    file?.commit();
    progress.stop();
    world.stdout.write(
      flags.json === STDOUT ? json : render(comparison, flags.limit, lookOf(world.stdout, world.env)),
    );
    if (file !== undefined) world.stderr.write(`written: ${file.path}\n`);
  } finally {
    progress.stop();
    file?.discard();
  }
}

/** Adds `compare` to the command line. */
export function addCompare(program: Command, world: World): void {
  program
    .command("compare")
    .description("where two policies part, event by event, and what each costs from there")
    .argument("<policy>", "a name, or the path of a .ts file")
    .argument("<other>", "the one it is compared with")
    .option("--scenario <name>", `see \`spevisor scenarios\` (default: ${DEFAULT_SCENARIO})`, nonEmpty)
    .option("--recording <file>", "a perf.data instead, as `spevisor predict` takes it", nonEmpty)
    .option("--profile <name>", "a cost profile", nonEmpty, "thread-normal")
    .addOption(
      new Option("--buffer <size>", "the profiling buffer, as perf's -m takes it")
        .argParser(positiveSize("--buffer"))
        .default(BAR_BUFFER_BYTES, "256M"),
    )
    .option("--seed <n>", "seed of everything that is drawn", whole("--seed", 0, MAX_SEED), 1)
    .option("--limit <n>", "events shown", whole("--limit", 0, MOST_EVENTS), DEFAULT_LIMIT)
    .option(
      "--json <file>",
      'write a report with the comparison as JSON; "-" for standard output instead of tables',
      nonEmpty,
    )
    .addHelpText(
      "after",
      `
The guest turns its buffer on (enable) and off (disable) at the same points of its work under any policy. Both
policies run; the first enable or disable after which their calls or their charges differ is where they part.
A recording of a whole system is profiled per CPU; what its tasks wait for takes as long as it did.

Examples:
  $ spevisor compare pin-on-enable until-changed
  $ spevisor compare adaptive window --scenario thread-b-sampling --limit 20
  $ spevisor compare ./mine.ts adaptive --recording perf.data
  $ spevisor compare grace until-changed --buffer 64M --json grace.json`,
    )
    .action((first: string, second: string, flags: Flags) => compareCommand(first, second, flags, world));
}
