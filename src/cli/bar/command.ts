/**
 * `spevisor bar`: whether a policy meets the bar (lab/bar.ts), in the scenarios, on recordings, in random settings.
 * Exit code 1 where it does not.
 */
import { existsSync, readdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import Table from "cli-table3";
import type { Command } from "commander";
import { counted } from "../../common/counts.ts";
import { UserError } from "../../common/errors.ts";
import { formatBytes, formatNs } from "../../common/sizes.ts";
import type { CostProfile } from "../../host/costs.ts";
import { PROFILES, THREAD_PROFILES } from "../../host/profiles.ts";
import type { PinPolicy } from "../../kvm/spe/policy.ts";
import { type Judged, meetsBar, type Verdict } from "../../lab/bar/measure.ts";
import {
  MOST_OVER_TRAP_ONLY,
  MOST_RELEASED_AFTER_NS,
  MOST_SLOWDOWN,
  MOST_STOP_NS,
  STEADY_AFTER_NS,
  STOPS_ON,
} from "../../lab/bar.ts";
import { SCENARIOS } from "../../lab/scenarios.ts";
import { contextOf } from "../cells/context.ts";
import { inputOf } from "../cells/inputs.ts";
import { LocalEngine } from "../cells/local.ts";
import { runTasks, textOf } from "../cells/runner.ts";
import type { CellTask } from "../cells/task.ts";
import type { OnProgress } from "../engine.ts";
import { beginFile } from "../files.ts";
import { choosePolicies } from "../job.ts";
import { chosen, profileNamed } from "../lab.ts";
import { knownName, MOST_JOBS, names, nonEmpty, whole } from "../options.ts";
import { STDOUT } from "../output.ts";
import { startProgress } from "../progress.ts";
import { VERSION } from "../version.ts";
import type { World } from "../world.ts";
import { type BarSetting, barTask, recordedSettings } from "./cell.ts";

const BAR_SCHEMA = "spevisor.bar/1";
const DEFAULT_POLICY = "adaptive";
const SEEDS = 2 ** 32;
/** How many random settings are shown. */
const WORST = 5;

/** The policy does not meet the bar: said already, and no mistake of the user's. */
export class BarMissed extends Error {
  override readonly name = "BarMissed";
}

interface Flags {
  readonly scenario?: string[];
  readonly recording?: string[];
  readonly profile?: string[];
  readonly random?: number;
  readonly seed: number;
  readonly jobs?: number;
  readonly json?: string;
}

/** Recorded without times on purpose: it tells nothing of when anything ran. */
const UNREADABLE = "per-thread-without-times.data";
const SHIPPED = fileURLToPath(new URL("../../../recordings/", import.meta.url));

const shippedRecordings = (): string[] =>
  existsSync(SHIPPED)
    ? readdirSync(SHIPPED)
        .filter((name) => name.endsWith(".data") && name !== UNREADABLE)
        .sort()
        .map((name) => join(SHIPPED, name))
    : [];

/** The settings that are in a recording. */
async function settingsIn(file: string, seed: number): Promise<BarSetting[]> {
  const input = await inputOf(file);
  return (await recordedSettings(file, input.name, seed)).map((_, index) => ({
    kind: "recording",
    file: input,
    index,
    seed,
  }));
}

/** The settings that were asked for; without a word about them, all scenarios and the shipped recordings. */
async function chooseSettings({ scenario, recording, random, seed }: Flags): Promise<Chosen> {
  if (random !== undefined)
    return {
      settings: Array.from({ length: random }, (_, i) => ({ kind: "random", seed: (seed + i) % SEEDS })),
      paths: new Map(),
    };
  const everything = scenario === undefined && recording === undefined;
  const known = SCENARIOS.map(({ name }) => name);
  const wanted = everything ? known : (scenario ?? []).map((name) => knownName("scenario", name, known));
  const settings: BarSetting[] = known
    .filter((name) => wanted.includes(name))
    .map((name) => ({ kind: "scenario", name, seed }));
  const paths = new Map<string, string>();
  for (const path of everything ? shippedRecordings() : (recording ?? []))
    for (const setting of await settingsIn(path, seed)) {
      settings.push(setting);
      if (setting.kind === "recording") paths.set(setting.file.sha256, path);
    }
  return { settings, paths };
}

/** Settings, and where the recordings that they are of lie. */
interface Chosen {
  readonly settings: readonly BarSetting[];
  readonly paths: ReadonlyMap<string, string>;
}

interface Asked extends Chosen {
  readonly policy: string;
  readonly profiles: readonly CostProfile[];
  readonly jobs: number;
}

/** The verdicts, in the order of settings and profiles. */
async function judgeAll(
  { settings, paths, policy, profiles, jobs }: Asked,
  onProgress: OnProgress,
  world: World,
): Promise<Verdict[]> {
  const tasks = settings.flatMap((setting) =>
    profiles.map(({ name }) => barTask({ policy, setting, profile: name })),
  );
  const verdicts = new Map<CellTask, Verdict>();
  const engine = new LocalEngine({ threads: jobs, context: contextOf(world), paths, attempts: 1 });
  try {
    await runTasks(tasks, {
      engine,
      store: null,
      onOutcome: (task, outcome) => {
        verdicts.set(task, JSON.parse(textOf(task, outcome)) as Verdict);
        onProgress({ done: verdicts.size, total: tasks.length, what: task.label });
      },
    });
  } finally {
    await engine.close();
  }
  return tasks.map((task) => verdicts.get(task)!);
}

const HEAD = [
  "case",
  "profile",
  "slowdown",
  "trap-only",
  "allowed",
  "blackouts",
  "peak",
  "released",
  "stop cold/warm",
  "verdict",
] as const;

const clausesOf = ({ findings }: Judged): string =>
  [...new Set(findings.map(({ clause }) => clause))].join(", ");

/** "met", "misses slowdown", "met; misses slowdown at high costs". */
function verdictText({ atValues, atEnds }: Verdict): string {
  const own = atValues.findings.length === 0 ? "met" : `misses ${clausesOf(atValues)}`;
  const ends = Object.entries(atEnds ?? {})
    .filter(([, judged]) => clausesOf(judged) !== clausesOf(atValues))
    .map(([end, judged]) =>
      judged.findings.length === 0 ? `met at ${end} costs` : `misses ${clausesOf(judged)} at ${end} costs`,
    );
  return [own, ...ends].join("; ");
}

function rowOf(verdict: Verdict): string[] {
  const { measured } = verdict.atValues;
  const numbers =
    measured === null
      ? new Array<string>(HEAD.length - 3).fill("-")
      : [
          measured.slowdown.toFixed(3),
          measured.trapOnlySlowdown.toFixed(3),
          measured.allowedSlowdown.toFixed(3),
          measured.blackouts === 0 ? "0" : `${measured.blackouts} (${formatNs(measured.blackoutNs)})`,
          formatBytes(measured.pinnedPeakBytes),
          measured.releasedAfterNs === null ? "never" : formatNs(measured.releasedAfterNs),
          `${formatNs(measured.longestStopNs.cold)} / ${formatNs(measured.longestStopNs.warm)}`,
        ];
  return [verdict.scenario, verdict.profile, ...numbers, verdictText(verdict)];
}

/** What is missed and by how much, a line for each finding. */
const findingLines = (verdicts: readonly Verdict[]): string[] =>
  verdicts.flatMap(({ scenario, profile, atValues, atEnds }) =>
    (
      [
        ["", atValues],
        [" at low costs", atEnds?.low],
        [" at high costs", atEnds?.high],
      ] as const
    ).flatMap(([where, judged]) =>
      (judged?.findings ?? []).map(
        ({ clause, text }) => `  ${scenario}, ${profile}${where}: ${clause}: ${text}`,
      ),
    ),
  );

const flipLines = (verdicts: readonly Verdict[]): string[] =>
  verdicts.flatMap(({ scenario, profile, flips }) =>
    flips.map(
      ({ end, met, costs }) =>
        `  ${scenario}, ${profile}: ${met ? "met" : "missed"} at ${end} costs; ${costs.length === 0 ? "no single cost does it" : `alone do it: ${costs.join(", ")}`}`,
    ),
  );

/** How near a verdict is to missing its slowdown: above 1 it does. */
const strain = ({ atValues: { measured } }: Verdict): number =>
  measured === null ? Number.POSITIVE_INFINITY : measured.slowdown / measured.allowedSlowdown;

function render(verdicts: readonly Verdict[], random: boolean): string {
  const shown = random ? [...verdicts].sort((a, b) => strain(b) - strain(a)).slice(0, WORST) : verdicts;
  const table = new Table({
    head: [...HEAD],
    colAligns: HEAD.map((_, i) => (i < 2 || i === HEAD.length - 1 ? "left" : "right")),
    style: { head: [], border: [], compact: true },
  });
  for (const verdict of shown) table.push(rowOf(verdict));
  const missing = verdicts.filter((verdict) => !meetsBar(verdict));
  const section = (title: string, lines: readonly string[]) => (lines.length === 0 ? [] : [title, ...lines]);
  const what = random
    ? ` of which the worst ${shown.length === 1 ? "one is" : `${shown.length} are`} shown`
    : "";
  return `${[
    table.toString(),
    ...section("Missed:", findingLines(random ? shown : verdicts)),
    ...section("The verdict depends on costs:", flipLines(verdicts)),
    `${counted(verdicts.length, "case")}${what}, ${counted(missing.length, "misses", "miss")} the bar`,
  ].join("\n")}\n`;
}

const jsonOf = (policy: PinPolicy, verdicts: readonly Verdict[]): string =>
  `${JSON.stringify({ schema: BAR_SCHEMA, version: VERSION, policy: policy.name, met: verdicts.every(meetsBar), verdicts }, null, 2)}\n`;

async function bar(policyName: string, flags: Flags, world: World): Promise<void> {
  const random = flags.random !== undefined;
  if (random && (flags.scenario !== undefined || flags.recording !== undefined))
    throw new UserError("--random draws its own settings", "Leave out --scenario and --recording");
  const [choice] = await choosePolicies(await world.loadLab(), [policyName]);
  if (choice === undefined) throw new UserError(`bar: which policy?`);
  const policy = chosen(choice);
  const profiles = (flags.profile ?? THREAD_PROFILES).map((name) =>
    profileNamed(
      knownName(
        "cost profile",
        name,
        PROFILES.map((each) => each.name),
      ),
    ),
  );
  const progress = startProgress("starting", world);
  const file = flags.json === undefined || flags.json === STDOUT ? undefined : beginFile(flags.json);
  try {
    const verdicts = await judgeAll(
      {
        ...(await chooseSettings(flags)),
        policy: policyName,
        profiles,
        jobs: flags.jobs ?? availableParallelism(),
      },
      progress.onProgress,
      world,
    );
    progress.stop();
    file?.write(jsonOf(policy, verdicts));
    file?.commit();
    world.stdout.write(flags.json === STDOUT ? jsonOf(policy, verdicts) : render(verdicts, random));
    if (!verdicts.every(meetsBar)) throw new BarMissed();
  } finally {
    progress.stop();
    file?.discard();
  }
}

/** Adds `bar` to the command line. */
export function addBar(program: Command, world: World): void {
  program
    .command("bar")
    .description("whether a policy meets the bar: slowdown, blackouts, pinned memory, stops, memlock")
    .argument("[policy]", "a name, or the path of a .ts file", DEFAULT_POLICY)
    .option("--scenario <names...>", "only these scenarios", names)
    .option("--recording <files...>", "only these recordings", names)
    .option("--profile <names...>", `cost profiles (default: ${THREAD_PROFILES.join(", ")})`, names)
    .option("--random <n>", "random settings instead, held to the slowdown alone", whole("--random", 1))
    .option("--seed <n>", "seed; of random settings the first one's", whole("--seed", 0, SEEDS - 1), 1)
    .option("--jobs <n>", "threads (default: one for each core)", whole("--jobs", 1, MOST_JOBS))
    .option(
      "--json <file>",
      'write the verdicts as JSON; "-" for standard output instead of tables',
      nonEmpty,
    )
    .addHelpText(
      "after",
      `
In every scenario and on every recording, with a 256 MiB buffer and no pressure from the host:
  slowdown   at most ${MOST_SLOWDOWN}, or ${MOST_OVER_TRAP_ONLY} times trap-only's where that is more; of two readings of the waits the worse
  blackouts  none later than ${formatNs(STEADY_AFTER_NS)} after a vCPU's first enable
  pinned     never more than each vCPU's buffer and the tables that map it
  released   nothing pinned ${formatNs(MOST_RELEASED_AFTER_NS)} after the last disable
  stops      a vCPU for at most ${formatNs(MOST_STOP_NS.warm)}, or ${formatNs(MOST_STOP_NS.cold)} at a first enable (on ${STOPS_ON})
  memlock    never beyond its limit, which is what "pinned" allows
at the costs' values and at both ends of their ranges. Exit code: 0 if all is met, 1 if not, 2 for bad input.

Examples:
  $ spevisor bar
  $ spevisor bar pin-on-enable --scenario thread-a,thread-b --profile thread-normal
  $ spevisor bar ./mine.ts --recording perf.data
  $ spevisor bar --random 1000 --seed 7
  $ spevisor bar --random 1 --seed 42          one of them again`,
    )
    .action((policy: string, flags: Flags) => bar(policy, flags, world));
}
