/**
 * `spevisor bar`: whether a policy meets the bar (lab/bar.ts), in cells of its own, in the scenarios, on recordings, in random
 * settings. Exit code 1 where it does not.
 */
import { availableParallelism } from "node:os";
import { type Command, Option } from "commander";
import { counted } from "../../common/counts.ts";
import { UserError } from "../../common/errors.ts";
import { formatNs } from "../../common/sizes.ts";
import { PROFILES, THREAD_PROFILES } from "../../host/profiles.ts";
import type { PinPolicy } from "../../kvm/spe/policy.ts";
import { COSTS_AT, INTERVAL_OPS } from "../../lab/bar/cell.ts";
import { MOST_OVER_TRAPS, MOST_RELEASED_AFTER_NS } from "../../lab/bar/limits.ts";
import { meetsBar, type Verdict } from "../../lab/bar/measure.ts";
import { SESSIONS } from "../../lab/bar/sessions.ts";
import { contextOf } from "../cells/context.ts";
import { LocalEngine } from "../cells/local.ts";
import { runTasks, textOf } from "../cells/runner.ts";
import { RowStore, rowFolder } from "../cells/store.ts";
import type { CellTask } from "../cells/task.ts";
import type { OnProgress } from "../engine.ts";
import { beginFile } from "../files.ts";
import { choosePolicies } from "../job.ts";
import { chosen } from "../lab.ts";
import {
  costFactors,
  duration,
  knownName,
  listOf,
  MOST_JOBS,
  names,
  nonEmpty,
  positive,
  positiveSize,
  whole,
} from "../options.ts";
import { STDOUT } from "../output.ts";
import { startProgress } from "../progress.ts";
import { VERSION } from "../version.ts";
import type { World } from "../world.ts";
import { barTask } from "./cell.ts";
import { type ChoiceFlags, type Chosen, chooseCases, SEEDS } from "./choose.ts";
import { renderVerdicts } from "./table.ts";

const BAR_SCHEMA = "spevisor.bar/2";
const DEFAULT_POLICY = "adaptive";

/** The policy does not meet the bar: said already, and no mistake of the user's. */
export class BarMissed extends Error {
  override readonly name = "BarMissed";
}

interface Flags extends ChoiceFlags {
  readonly profile?: string[];
  readonly jobs?: number;
  readonly cache: boolean;
  readonly json?: string;
}

interface Asked extends Chosen {
  readonly policy: string;
  readonly jobs: number;
  /** Null: every case is run, and nothing is kept. */
  readonly store: RowStore | null;
}

/** The verdicts, in the order of the cases. */
async function judgeAll(
  { choices, paths, policy, jobs, store }: Asked,
  onProgress: OnProgress,
  world: World,
): Promise<Verdict[]> {
  const tasks = choices.map(({ setting, profile }) => barTask({ policy, setting, profile }));
  const verdicts = new Map<CellTask, Verdict>();
  const engine = new LocalEngine({ threads: jobs, context: contextOf(world), paths, attempts: 1 });
  try {
    await runTasks(tasks, {
      engine,
      store,
      onKnown: (known, total) => {
        if (known > 0) world.stderr.write(`${known} of ${counted(total, "case")} from the cache\n`);
      },
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

const jsonOf = (policy: PinPolicy, { choices }: Chosen, verdicts: readonly Verdict[]): string =>
  `${JSON.stringify(
    {
      schema: BAR_SCHEMA,
      version: VERSION,
      policy: policy.name,
      met: verdicts.every(meetsBar),
      verdicts: verdicts.map((verdict, i) => ({
        of: choices[i]?.setting,
        why: choices[i]?.why ?? null,
        ...verdict,
      })),
    },
    null,
    2,
  )}\n`;

/** Where verdicts are kept for the next time; not those on a policy in a file, which may say something else by then. */
const storeOf = (isFile: boolean, cache: boolean, world: World): RowStore | null =>
  isFile || !cache
    ? null
    : new RowStore(rowFolder(world.env), contextOf(world).build, (text) =>
        world.stderr.write(`spevisor: ${text}\n`),
      );

async function bar(policyName: string, flags: Flags, world: World): Promise<void> {
  const [choice] = await choosePolicies(await world.loadLab(), [policyName]);
  if (choice === undefined) throw new UserError(`bar: which policy?`);
  const policy = chosen(choice);
  const known = PROFILES.map(({ name }) => name);
  const profiles = (flags.profile ?? THREAD_PROFILES).map((name) => knownName("cost profile", name, known));
  const cases = await chooseCases(flags, profiles);
  const progress = startProgress("starting", world);
  const file = flags.json === undefined || flags.json === STDOUT ? undefined : beginFile(flags.json);
  try {
    const verdicts = await judgeAll(
      {
        ...cases,
        policy: policyName,
        jobs: flags.jobs ?? availableParallelism(),
        store: storeOf(choice.kind === "loaded", flags.cache, world),
      },
      progress.onProgress,
      world,
    );
    progress.stop();
    file?.write(jsonOf(policy, cases, verdicts));
    file?.commit();
    world.stdout.write(
      flags.json === STDOUT
        ? jsonOf(policy, cases, verdicts)
        : renderVerdicts(
            verdicts,
            cases.choices.map(({ setting }) => setting),
            flags.random !== undefined,
            cases.notes,
          ),
    );
    if (!verdicts.every(meetsBar)) throw new BarMissed();
  } finally {
    progress.stop();
    file?.discard();
  }
}

/** What is combined to cells. */
const withCellOptions = (command: Command): Command =>
  command
    .option("--buffer <sizes...>", "buffers, as perf's -m takes them", listOf(positiveSize("--buffer")))
    .option("--period <ops...>", "operations between samples", listOf(whole("--period", INTERVAL_OPS)))
    .option("--vcpus <counts...>", "vCPUs, of sessions", listOf(whole("--vcpus", 1, 512)))
    .option("--ipc <rates...>", "instructions per cycle", listOf(positive("--ipc")))
    .option("--irq-latency <times...>", "from PMBIRQ to KVM", listOf(duration("--irq-latency")))
    .option("--backing <kinds...>", "what backs guest memory in the host", names)
    .option(
      "--worker-wake <times...>",
      "from queueing work to a host worker running it, whatever the profile says",
      listOf(duration("--worker-wake")),
    )
    .option(
      "--host-cpus <counts...>",
      "all CPUs of the host: as many as vCPUs leave none to spare for workers",
      listOf(whole("--host-cpus", 1, 1024)),
    )
    .option(
      "--costs <factors>",
      "multiply costs, at values and ends alike: exit=10,walkTable=0.5",
      costFactors,
    )
    .addOption(new Option("--at <end>", "which of the costs' ranges").choices([...COSTS_AT]));

/** Adds `bar` to the command line. */
export function addBar(program: Command, world: World): void {
  withCellOptions(
    program
      .command("bar")
      .description("whether a policy meets the bar: slowdown, samples lost, pinned memory, stops, memlock")
      .argument("[policy]", "a name, or the path of a .ts file", DEFAULT_POLICY)
      .option("--scenario <names...>", 'scenarios and sessions: "all" or names', names)
      .option("--recording <files...>", "only these recordings", names),
  )
    .option("--profile <names...>", `cost profiles (default: ${THREAD_PROFILES.join(", ")})`, names)
    .option("--random <n>", "random settings instead", whole("--random", 1))
    .option("--seed <n>", "seed; of random settings the first one's", whole("--seed", 0, SEEDS - 1), 1)
    .option("--jobs <n>", "threads (default: one for each core)", whole("--jobs", 1, MOST_JOBS))
    .option("--no-cache", "run every case, and keep nothing for the next time")
    .option(
      "--json <file>",
      'write the verdicts as JSON; "-" for standard output instead of tables',
      nonEmpty,
    )
    .addHelpText(
      "after",
      `
Without pressure from the host, at the costs' values and at both ends of their ranges:
  slowdown   at most 1.05 (1.15 on a kernel with debugging), or ${MOST_OVER_TRAPS} times what the traps alone cost where that is
             more; without a CPU to spare from 1.05 at a period of 4,096 to 1.1 at 1,024, at values
  lost       of the samples 0.01 % (0.1 %) in blackouts, cold start counted; up to 0.2 % where workers wake after 10 ms
  stops      a vCPU for at most 50 µs (250 µs) at a time, at values
  pinned     never more than each vCPU's buffer and the tables that map it
  released   nothing pinned ${formatNs(MOST_RELEASED_AFTER_NS)} after the last disable
  memlock    never beyond its limit, which is what "pinned" allows
Where samples are more than one in 1,024 operations at 2.5 GHz, vCPUs more than 16, or workers later, a policy must fail
gracefully: lose no more than fault does, and slow down no more than pinning each page on the vCPU (window).
What is met by such a bound and not by the limits is counted below the table: the traps, the least cold start (what no policy
can do without that lets the SPU write to the guest's memory), twice that, one PMBIRQ for each vCPU, fault, and window.
src/lab/bar/limits.ts has the limits. Exit code: 0 if all is met, 1 if not, 2 for bad input.

Columns: "host CPU" is what the host spent in all, on the vCPUs' CPUs and others, as a share of the vCPUs' time; "peak" the most
memory pinned, "kept" with the whole huge page that a pinned page keeps from reclaim.

Without options a matrix of what hosts and profiles may be, in which every two values come together; cells in which a policy was
found to fail; all scenarios as they are; and the recordings that come with spevisor. What the matrix leaves out is said.
Any of --buffer, --period, --vcpus, --ipc, --irq-latency, --backing, --worker-wake, --host-cpus, --costs and --at makes cells: each value
with each other one, over the scenarios that are named, or over all sessions, which have any number of vCPUs:
  ${SESSIONS.join(", ")}, or any time: system-300ms
Verdicts are kept under XDG_CACHE_HOME (or ~/.cache), so that an interrupted run goes on where it stopped.

Examples:
  $ spevisor bar                               the matrix: two minutes on two cores
  $ spevisor bar pin-on-enable --scenario thread-a,thread-b --profile thread-normal
  $ spevisor bar adaptive --buffer 128K,4M --period 1024 --vcpus 1,4,16 --host-cpus 16
  $ spevisor bar adaptive --scenario system-50ms --worker-wake 10us,1ms,10ms --ipc 2 --at value
  $ spevisor bar ./mine.ts --recording perf.data
  $ spevisor bar --random 1000 --seed 7
  $ spevisor bar --random 1 --seed 42          one of them again`,
    )
    .action((policy: string, flags: Flags) => bar(policy, flags, world));
}
