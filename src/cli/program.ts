/** The commands and their options, as commander knows them. */
import { existsSync } from "node:fs";
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { Command, Option } from "commander";
import wrapAnsi from "wrap-ansi";
import { UserError } from "../common/errors.ts";
import { formatNs } from "../common/sizes.ts";
import type { CostFactors } from "../host/costs.ts";
import { LINUX_SCENARIOS } from "../lab/linux/scenarios/index.ts";
import { readReport } from "../lab/report/report-file.ts";
import type { LinuxRun } from "../lab/report/run.ts";
import { readWhole } from "../vmm/node/read-file.ts";
import { addAsk } from "./ask/command.ts";
import { addBar } from "./bar/command.ts";
import { addCompare } from "./compare.ts";
import { addCompletion } from "./completion/command.ts";
import { PREDICTION as DEFAULTS } from "./defaults.ts";
import type { Target } from "./engine.ts";
import { addGuest } from "./guest.ts";
import { ALL, type PredictJob, type ThreadJob } from "./job.ts";
import { LIMIT_NS } from "./linux/cell.ts";
import { runLinuxAtStart } from "./linux/start.ts";
import { type LinuxThreadOptions, runLinuxThread } from "./linux/thread.ts";
import { explain, listPolicies, listProfiles, listScenarios } from "./listings.ts";
import {
  costFactors,
  duration,
  MOST_JOBS,
  names,
  nonEmpty,
  positive,
  positiveSize,
  sizeOrUnlimited,
  whole,
} from "./options.ts";
import { type Outputs, runAndReport } from "./output.ts";
import { addWorker } from "./queue/command.ts";
import { addRun } from "./run/command.ts";
import { addSweep } from "./sweep/command.ts";
import { VERSION } from "./version.ts";
import { lookOf, type TextOut, type World } from "./world.ts";

/** Seeds are 32 bits wide, so that any generator takes them. */
const MAX_SEED = 0xffffffff;

interface CommonFlags {
  readonly policy: string[];
  readonly profile: string[];
  readonly buffer: number;
  readonly seed: number;
  readonly costs?: CostFactors;
  readonly hostCpus?: number;
  readonly json?: string;
  readonly html?: string;
  readonly trace?: string;
}

interface PredictFlags extends CommonFlags {
  readonly comm?: string;
  readonly pid?: number;
  readonly perCpu?: true;
  readonly backing: string;
  readonly vcpus?: number;
  readonly directSwitches: boolean;
  readonly period: number;
  readonly freq: number;
  readonly ipc: number;
  readonly memory: number;
  readonly memlock: number | null;
  readonly irqLatency?: number;
  readonly ranges?: true;
  readonly against?: string;
}

/** Runs of real code in a report. */
const machineRunsIn = (file: string): readonly LinuxRun[] =>
  readReport(readWhole(file, `--against ${file}`).toString("utf8"), file).runs.filter(
    (run) => run.guest === "linux",
  );

const outputsOf = (flags: CommonFlags, title: string): Outputs => ({
  json: flags.json,
  html: flags.html,
  title,
});

const targetOf = (flags: PredictFlags): Target => {
  if (flags.comm !== undefined) return { kind: "comm", comm: flags.comm };
  if (flags.pid !== undefined) return { kind: "pid", pid: flags.pid };
  return flags.perCpu === true ? { kind: "per-cpu" } : { kind: "recorded" };
};

/** The names a variadic option collected; its default is not joined to what was given. */
const given = (value: readonly string[] | undefined, otherwise: string): readonly string[] =>
  value === undefined || value.length === 0 ? [otherwise] : value;

/** What the host is like, beside its profile. */
const ofHost = ({ costs, hostCpus }: CommonFlags) => ({
  costFactors: costs ?? {},
  hostCpus: hostCpus ?? null,
});

const threadJob = (flags: CommonFlags & { readonly scenario?: string[] }): ThreadJob => ({
  kind: "thread",
  scenarioNames: flags.scenario ?? [],
  traceFile: flags.trace ?? null,
  policyNames: given(flags.policy, ALL),
  profileNames: given(flags.profile, ALL),
  bufferBytes: flags.buffer,
  seed: flags.seed,
  ...ofHost(flags),
});

/** What a machine's own schedule says itself, by commander's names. */
const OF_SCHEDULE = {
  comm: "--comm",
  pid: "--pid",
  perCpu: "--per-cpu",
  backing: "--backing",
  vcpus: "--vcpus",
  directSwitches: "--no-direct-switches",
  period: "--period",
  freq: "--freq",
  ipc: "--ipc",
  memory: "--memory",
  memlock: "--memlock",
  irqLatency: "--irq-latency",
  buffer: "--buffer",
} as const;

const predictJob = (file: string, flags: PredictFlags, typed: readonly string[] = []): PredictJob => ({
  kind: "predict",
  file,
  traceFile: flags.trace ?? null,
  policyNames: given(flags.policy, ALL),
  profileNames: given(flags.profile, DEFAULTS.profile),
  bufferBytes: flags.buffer,
  seed: flags.seed,
  ...ofHost(flags),
  target: targetOf(flags),
  backing: flags.backing,
  vcpus: flags.vcpus ?? null,
  directSwitches: flags.directSwitches,
  periodInstructions: flags.period,
  frequencyGHz: flags.freq,
  instructionsPerCycle: flags.ipc,
  memoryBytes: flags.memory,
  memlockBytes: flags.memlock,
  irqLatencyNs: flags.irqLatency ?? null,
  ranges: flags.ranges === true,
  charts: flags.html !== undefined,
  given: typed,
});

/** The recording that `npm start` predicts on, and where its page goes. */
const SHIPPED_RECORDING = relative(
  process.cwd(),
  fileURLToPath(new URL("../../recordings/make-j2.system.data", import.meta.url)),
);
const START_PAGE = "spevisor-report.html";

const withCommon = (command: Command, defaultProfile: string): Command =>
  command
    .option(
      "--policy <names...>",
      'policies to run: "all", names, or the path of a .ts file (default: all)',
      names,
    )
    .option("--profile <names...>", `cost profiles: "all" or names (default: ${defaultProfile})`, names)
    .addOption(
      new Option("--buffer <size>", "the profiling buffer, as perf's -m takes it")
        .argParser(positiveSize("--buffer"))
        .default(DEFAULTS.bufferBytes, "256M"),
    )
    .option("--seed <n>", "seed of everything that is drawn", whole("--seed", 0, MAX_SEED), DEFAULTS.seed)
    .option(
      "--costs <factors>",
      "multiply costs, at values and ends of their ranges alike: exit=10,workerWake=100",
      costFactors,
    )
    .option(
      "--host-cpus <n>",
      "all CPUs of the host: as many as vCPUs leave none to spare for its workers (default: enough)",
      whole("--host-cpus", 1, 1024),
    )
    .option("--json <file>", 'write the report as JSON; "-" for standard output instead of tables', nonEmpty)
    .option("--html <file>", "write a self-contained page with charts", nonEmpty)
    .option("--trace <file>", "write each event, call and charge", nonEmpty);

interface ThreadFlags extends CommonFlags {
  readonly scenario?: string[];
  readonly guest: "model" | "linux";
  readonly jobs?: number;
  readonly limit?: number;
}

/** Help's own text is broken into lines of this length. */
const HELP_COLUMNS = 120;

/** What only the model has, by commander's names. */
const OF_MODEL = { buffer: "--buffer", trace: "--trace", costs: "--costs", hostCpus: "--host-cpus" } as const;

function checkThread(flags: ThreadFlags, self: Command): void {
  if (flags.guest === "linux")
    for (const [option, typed] of Object.entries(OF_MODEL))
      if (self.getOptionValueSource(option) === "cli")
        throw new UserError(
          `${typed} is for the model`,
          "With --guest linux a command is typed as its scenario has it; leave it away",
        );
  if (flags.guest === "model" && flags.jobs !== undefined)
    throw new UserError("--jobs is for --guest linux: the model takes one thread", "Leave it away");
  if (flags.guest === "model" && flags.limit !== undefined)
    throw new UserError("--limit is for --guest linux: each scenario of the model ends", "Leave it away");
}

const linuxThreadOptions = (flags: ThreadFlags): LinuxThreadOptions => ({
  scenarioNames: flags.scenario ?? [],
  policyNames: given(flags.policy, ALL),
  profileNames: given(flags.profile, ALL),
  seed: flags.seed,
  jobs: flags.jobs,
  limitNs: flags.limit,
});

/** Names of Linux's scenarios, in lines as help has them. */
const listedScenarios = (): string =>
  wrapAnsi(LINUX_SCENARIOS.map(({ name }) => name).join(", "), HELP_COLUMNS);

function addThread(program: Command, world: World): void {
  withCommon(program.command("thread"), ALL)
    .description("reproduce the thread: its two commands, on its two kernels, under each policy")
    .addOption(
      new Option("--guest <kind>", "what runs them: a model of Linux's driver, or Linux itself")
        .choices(["model", "linux"])
        .default("model"),
    )
    .option(
      "--jobs <n>",
      "with --guest linux: threads (default: one for each core)",
      whole("--jobs", 1, MOST_JOBS),
    )
    .option(
      "--limit <time>",
      `with --guest linux: give a command up after so much of the guest's time (default: ${formatNs(LIMIT_NS)})`,
      duration("--limit"),
    )
    .option(
      "--scenario <names...>",
      'other scenarios instead: "all" or names (see `spevisor scenarios`; with --guest linux those listed below)',
      names,
    )
    .addHelpText(
      "after",
      `
What the columns say is below the tables.

Examples:
  $ spevisor thread --policy pin-on-enable,until-changed --profile thread-debug
  $ spevisor thread --buffer 4M --html thread.html
  $ spevisor thread --scenario long-task,per-cpu --policy prefault,adaptive
  $ spevisor thread --policy ./mine.ts         a policy of your own, in nobody's list
  $ spevisor thread --guest linux --html linux.html
  $ spevisor thread --guest linux --scenario thread-like --policy pin-on-enable,adaptive

With --guest linux the commands are typed in a guest that executes Debian's kernel, driver and perf (see spevisor run), which
is fetched where it is not there. Each run starts from one snapshot of the booted guest; beside the policies stand bare metal
and the VM where SPE costs nothing, which slowdowns are against. All of it takes minutes. Scenarios of Linux's own:
${listedScenarios()}`,
    )
    .action((flags: ThreadFlags, self: Command) => {
      checkThread(flags, self);
      return flags.guest === "linux"
        ? runAndReport(
            { jobs: [], linux: () => runLinuxThread(linuxThreadOptions(flags), world) },
            outputsOf(flags, "spevisor thread --guest linux"),
            world,
          )
        : runAndReport({ jobs: [threadJob(flags)] }, outputsOf(flags, "spevisor thread"), world);
    });
}

/** Who is profiled. */
const withTarget = (command: Command): Command =>
  command
    .option("--comm <name>", "profile the tasks of this name", nonEmpty)
    .option("--pid <pid>", "profile this process and its children", whole("--pid", 1))
    .option("--per-cpu", "profile every CPU instead of tasks");

/** What a recording cannot tell of the VM and its CPUs. */
const withVm = (command: Command): Command =>
  command
    .option("--backing <kind>", "what backs guest memory in the host", DEFAULTS.backing)
    .option(
      "--vcpus <n>",
      "vCPUs of the VM (default: as many as the recording needs)",
      whole("--vcpus", 1, 512),
    )
    .option(
      "--no-direct-switches",
      "let every switch-in enable the buffer, one from a clone too (where perf leaves it on)",
    )
    .option("--period <n>", "instructions between samples", whole("--period", 1), DEFAULTS.periodInstructions)
    .option("--freq <GHz>", "the clock of the CPUs", positive("--freq"), DEFAULTS.frequencyGHz)
    .option("--ipc <n>", "instructions per cycle", positive("--ipc"), DEFAULTS.instructionsPerCycle)
    .addOption(
      new Option("--memory <size>", "the VM's memory")
        .argParser(positiveSize("--memory"))
        .default(DEFAULTS.memoryBytes, "2G"),
    )
    .addOption(
      new Option("--memlock <size>", "RLIMIT_MEMLOCK of the VMM")
        .argParser(sizeOrUnlimited("--memlock"))
        .default(null, "unlimited"),
    )
    .option(
      "--irq-latency <time>",
      "from PMBIRQ asserted to handled (default: the profile's)",
      duration("--irq-latency"),
    );

function addPredict(program: Command, world: World): void {
  withVm(withTarget(withCommon(program.command("predict"), DEFAULTS.profile)))
    .description("what SPE in a VM would have cost a recorded workload")
    .argument(
      "[file]",
      'a perf.data of: perf record --switch-events -e dummy --sample-cpu [-a] -- COMMAND; "-" for perf record -o - on standard input; or what spevisor run --schedule has written',
    )
    .option(
      "--against <file>",
      "hold the model against the machine: what spevisor run --json wrote of the same run; exit status 1 where they differ",
      nonEmpty,
    )
    .option("--ranges", "run both ends of the cost ranges for a long recording, too")
    .addHelpText(
      "after",
      `
Without --comm, --pid or --per-cpu the recorded command and its children are profiled.

A switch from one of them straight to another leaves the buffer on. Recordings of a whole system (-a), and with CPU
numbers (--sample-cpu), tell which switches those are. Without either it is told by time alone; where that makes a
difference of more than a fifth in enables, the verdict is a range: with these switches direct, and with none.

Examples:
  $ spevisor predict perf.data --buffer 64M
  $ spevisor predict system.data --comm node --html node.html
  $ spevisor predict perf.data --policy ./mine.ts --trace mine.trace
  $ spevisor run --policy fault --json run.json --schedule run.schedule -- perf record -e arm_spe// -- true
  $ spevisor predict run.schedule --policy fault --against run.json`,
    )
    .action((file: string | undefined, flags: PredictFlags, self: Command) => {
      if (file === undefined)
        throw new UserError(
          "predict: which recording?",
          "Name it before --policy and --profile, which take every word after them: spevisor predict perf.data --policy all",
        );
      if ([flags.comm, flags.pid, flags.perCpu].filter((flag) => flag !== undefined).length > 1)
        throw new UserError("--comm, --pid and --per-cpu exclude each other");
      const typed = Object.entries(OF_SCHEDULE)
        .filter(([name]) => self.getOptionValueSource(name) === "cli")
        .map(([, option]) => option);
      return runAndReport(
        { jobs: [predictJob(file, flags, typed)] },
        {
          ...outputsOf(flags, `spevisor predict ${file}`),
          ...(flags.against === undefined ? {} : { against: machineRunsIn(flags.against) }),
        },
        world,
      );
    });
}

/** What there is to choose from. */
function addListings(program: Command, world: World): void {
  const listing = (name: string, description: string) =>
    program.command(name).description(description).option("--json", "as JSON");
  listing("policies", "list the pin policies").action((flags: { json?: true }) => listPolicies(flags, world));
  listing("scenarios", "list the built-in scenarios").action((flags: { json?: true }) =>
    listScenarios(flags, world),
  );
  listing("profiles", "list the cost profiles, or one profile's costs with their ranges and sources")
    .argument("[name]", "a cost profile")
    .action((name: string | undefined, flags: { json?: true }) => listProfiles(name, flags, world));
  listing("explain", "what a policy does, where it comes from, what it trades")
    .argument("<policy>", "a name, or the path of a .ts file")
    .addHelpText(
      "after",
      "\nExamples:\n  $ spevisor explain until-changed\n  $ spevisor explain ./mine.ts --json",
    )
    .action((name: string, flags: { json?: true }) => explain(name, flags, world));
}

/** What `npm start` does. */
function addStart(program: Command, world: World): void {
  withCommon(program.command("start", { hidden: true }), ALL)
    .description(
      "what npm start does: the thread, a prediction on the shipped recording, and a page with both",
    )
    .action((flags: CommonFlags) => {
      if (!existsSync(SHIPPED_RECORDING))
        throw new UserError(`${SHIPPED_RECORDING}: missing from this installation`);
      const predict = program.commands.find((command) => command.name() === "predict") as Command;
      const page = flags.html ?? START_PAGE;
      return runAndReport(
        {
          jobs: [
            threadJob(flags),
            predictJob(SHIPPED_RECORDING, { ...predict.opts<PredictFlags>(), ...flags, html: page }),
          ],
          linux: () => runLinuxAtStart(flags.seed, world),
        },
        { ...outputsOf(flags, "spevisor: what SPE costs in a VM"), html: page },
        world,
      );
    });
}

/** Help is for reading: in a file it is as on a usual terminal. */
const helpColumns = (out: TextOut, env: World["env"]): number =>
  out.isTTY === true ? lookOf(out, env).widthColumns : 80;

/** The whole command line. */
export function buildProgram(world: World): Command {
  const program = new Command("spevisor")
    .description(
      "What Arm SPE costs in a VM: KVM's pin policies on a model of the hypervisor, and on your recordings.",
    )
    .version(VERSION)
    .configureOutput({
      writeOut: (text) => world.stdout.write(text),
      writeErr: (text) => world.stderr.write(text),
      getOutHelpWidth: () => helpColumns(world.stdout, world.env),
      getErrHelpWidth: () => helpColumns(world.stderr, world.env),
    })
    .exitOverride()
    .addHelpText(
      "after",
      `
Examples:
  $ spevisor thread                            the two commands of the mailing-list thread, every policy
  $ perf record --switch-events -e dummy --sample-cpu -- make
  $ spevisor predict perf.data                 what SPE in a VM would have cost that
  $ spevisor explain until-changed`,
    );

  addThread(program, world);
  addPredict(program, world);
  addAsk(program, world);
  addBar(program, world);
  addSweep(program, world);
  addWorker(program, world);
  addCompare(program, world);
  addRun(program, world);
  addGuest(program, world);
  addListings(program, world);
  addCompletion(program, world);
  addStart(program, world);
  return program;
}
