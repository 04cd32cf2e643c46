/** The laboratory as the command line's engine: names and plain options in, runs out. */
import { assertNever, UserError } from "../common/errors.ts";
import { formatNs } from "../common/sizes.ts";
import type { RecordedSchedule } from "../guest/recording/build.ts";
import { buildSchedule } from "../guest/recording/build.ts";
import { readRuns } from "../guest/recording/read.ts";
import type { Target as GuestTarget, TargetQuestion } from "../guest/recording/target.ts";
import { COST_NAMES, type CostProfile, withFactors } from "../host/costs.ts";
import { BACKINGS, type Backing } from "../host/mm.ts";
import { PROFILES, THREAD_PROFILES } from "../host/profiles.ts";
import { POLICIES } from "../kvm/spe/policies/index.ts";
import type { PinPolicy } from "../kvm/spe/policy.ts";
import type { TraceEvent } from "../kvm/trace.ts";
import type { Setting } from "../lab/experiment.ts";
import {
  isMachineSchedule,
  type MachineSchedule,
  readMachineSchedule,
} from "../lab/machine-schedule/file.ts";
import { machineSetting } from "../lab/machine-schedule/setting.ts";
import { Baseline, type MeasureOptions, measure } from "../lab/measure.ts";
import { asPolicy, policyNamed } from "../lab/policies.ts";
import { checkBuffer, leavesEnablesOpen, type PredictSettings, predictionSetting } from "../lab/predict.ts";
import type { RunDetail } from "../lab/report/detail.ts";
import { DEFAULT_IRQ_LATENCY_NS, SCENARIOS, THREAD_SCENARIOS } from "../lab/scenarios.ts";
import type { ByteSource } from "../perf/byte-source.ts";
import type {
  CommonOptions,
  Engine,
  OnProgress,
  PolicyChoice,
  PolicyInfo,
  PredictOptions,
  Target,
  ThreadOptions,
  TraceSink,
} from "./engine.ts";

const infoOf = ({ name, summary, origin, tradeOff, trapsBuffer }: PinPolicy): PolicyInfo => ({
  name,
  summary,
  origin,
  tradeOff,
  trapsBuffer,
});

/** @throws UserError for a name that no profile has */
export function profileNamed(name: string): CostProfile {
  const profile = PROFILES.find((each) => each.name === name);
  if (profile === undefined) throw new UserError(`no cost profile is called "${name}"`);
  return profile;
}

/** @throws UserError for a name that no policy has, or an object that is none */
export function chosen(choice: PolicyChoice): PinPolicy {
  if (choice.kind === "named") return policyNamed(choice.name);
  const policy = asPolicy(choice.policy);
  if (typeof policy === "string") throw new UserError(`${choice.file}: not a policy: ${policy}`);
  return policy;
}

function guestTarget(target: Target): GuestTarget | undefined {
  switch (target.kind) {
    case "recorded":
      return undefined;
    case "comm":
    case "pid":
    case "per-cpu":
      return target;
    default:
      return assertNever(target);
  }
}

/** One measurement to make: everything but the place in the queue. */
interface Task {
  readonly setting: Setting;
  readonly policy: PinPolicy;
  readonly profile: CostProfile;
  readonly options: MeasureOptions;
}

/** @throws UserError where the host has fewer CPUs than the guest */
function onHost(setting: Setting, { hostCpus }: Pick<CommonOptions, "hostCpus">): Setting {
  if (hostCpus === null) return setting;
  const { vcpus } = setting.schedule;
  if (hostCpus < vcpus)
    throw new UserError(
      `--host-cpus: ${hostCpus} CPUs are too few for the ${vcpus} vCPUs of ${setting.scenario}`,
      "Give the host as many CPUs as vCPUs, or more",
    );
  return { ...setting, hostCpus };
}

/** A header begins with its schema. */
const SCHEDULE_START_BYTES = 64;

/** Gives control back now and then, so that a worker's messages go out while it computes. */
const breathe = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function* measureAll(
  tasks: readonly Task[],
  onProgress: OnProgress,
  trace: TraceSink | null,
): AsyncGenerator<RunDetail> {
  const baselines = new Map<Setting, Baseline>();
  for (const [i, { setting, policy, profile, options }] of tasks.entries()) {
    const what = `${setting.scenario}, ${policy.name}, ${profile.name}`;
    onProgress({ done: i, total: tasks.length, what });
    trace?.(`# ${what}`);
    await breathe();
    const baseline = baselines.get(setting) ?? new Baseline(setting);
    baselines.set(setting, baseline);
    yield measure(setting, policy, profile, baseline, {
      ...options,
      onProgress: (fraction) => onProgress({ done: i + fraction, total: tasks.length, what }),
    });
  }
  onProgress({ done: tasks.length, total: tasks.length, what: "done" });
}

function runThread(
  options: ThreadOptions,
  onProgress: OnProgress,
  trace: TraceSink | null,
): AsyncIterable<RunDetail> {
  checkBuffer(options.bufferBytes);
  const traced = traceOption(trace);
  const chosenScenarios = SCENARIOS.filter(({ name }) => options.scenarios.includes(name));
  const tasks = chosenScenarios.flatMap((scenario) => {
    const setting = onHost(scenario.setting(options.bufferBytes, options.seed), options);
    return options.profiles.flatMap((name) =>
      options.policies.map((choice): Task => {
        const policy = chosen(choice);
        // What the message measured was v6 with a 256 MiB buffer.
        const same = policy.name === "pin-on-enable" && options.bufferBytes === 256 * 1024 ** 2;
        return {
          setting,
          policy,
          profile: withFactors(profileNamed(name), options.costFactors),
          options: { reference: same ? scenario.reference(name) : null, ...traced },
        };
      }),
    );
  });
  return measureAll(tasks, onProgress, trace);
}

/** What to do about a recording that does not say what to profile. */
function refuseQuestion(name: string, question: TargetQuestion): never {
  const rows = question.commands
    .slice(0, 12)
    .map(
      ({ comm, tasks, runNs, switches }) =>
        `  ${(comm === "" ? "(no name)" : comm).padEnd(16)} ${String(tasks).padStart(5)} ${(tasks === 1 ? "task" : "tasks").padEnd(5)} ${formatNs(runNs).padStart(9)} ${String(switches).padStart(8)} ${switches === 1 ? "switch" : "switches"}`,
    );
  throw new UserError(`${name}: ${question.message}`, rows.join("\n"));
}

/** The schedule that `spevisor run --schedule` has written; undefined: the file is something else. */
async function machineScheduleIn(source: ByteSource): Promise<MachineSchedule | undefined> {
  // A pipe cannot be read again: that is a recording.
  if (!source.seekable || source.sizeBytes === undefined) return undefined;
  const decoder = new TextDecoder();
  const start = decoder.decode(await source.read(0, SCHEDULE_START_BYTES));
  if (!isMachineSchedule(start)) return undefined;
  return readMachineSchedule(source.name, decoder.decode(await source.read(0, source.sizeBytes)));
}

/** A machine's schedule knows what a recording cannot: nothing of it is asked for. */
function tasksOf(schedule: MachineSchedule, options: PredictOptions, trace: TraceSink | null): Task[] {
  const [option] = options.given ?? [];
  if (option !== undefined)
    throw new UserError(
      `${option}: the schedule of a machine's own run says that itself`,
      `Leave ${option} away, or record a run with another: spevisor run --schedule FILE -- COMMAND`,
    );
  const setting = onHost(machineSetting("the schedule", schedule, options.seed), options);
  return options.profiles.flatMap((name) =>
    options.policies.map((choice) => ({
      setting,
      policy: chosen(choice),
      profile: withFactors(profileNamed(name), options.costFactors),
      options: { ranges: options.ranges, ...chartsOption(options), ...traceOption(trace) },
    })),
  );
}

async function* runPredict(
  recording: ByteSource,
  options: PredictOptions,
  onProgress: OnProgress,
  trace: TraceSink | null,
): AsyncGenerator<RunDetail> {
  onProgress({ done: 0, total: 1, what: `reading ${recording.name}` });
  const ofMachine = await machineScheduleIn(recording);
  if (ofMachine !== undefined) {
    yield* measureAll(tasksOf(ofMachine, options, trace), onProgress, trace);
    return;
  }
  checkBuffer(options.bufferBytes);
  const runs = await readRuns(recording);
  const scheduleFor = (directSwitches: boolean): RecordedSchedule => {
    const built = buildSchedule(runs, {
      target: guestTarget(options.target),
      vcpus: options.vcpus ?? undefined,
      directSwitches,
    });
    return built.kind === "choose-target" ? refuseQuestion(recording.name, built) : built;
  };
  const recorded = scheduleFor(options.directSwitches);
  const settings: PredictSettings = {
    bufferBytes: options.bufferBytes,
    backing: options.backing as Backing,
    period: options.periodInstructions,
    clockGHz: options.frequencyGHz,
    ipc: options.instructionsPerCycle,
    memoryBytes: options.memoryBytes ?? undefined,
    memlockMaxBytes: options.memlockBytes ?? Number.POSITIVE_INFINITY,
    irqLatencyNs: options.irqLatencyNs ?? DEFAULT_IRQ_LATENCY_NS,
    seed: options.seed,
    stage2AtStart: "absent",
  };
  const setting = onHost(predictionSetting(recorded, settings), options);
  const withoutDirectSwitches = leavesEnablesOpen(recorded.recording)
    ? new Baseline(onHost(predictionSetting(scheduleFor(false), settings), options))
    : undefined;
  const traced = traceOption(trace);
  const tasks = options.profiles.flatMap((name) =>
    options.policies.map(
      (choice): Task => ({
        setting,
        policy: chosen(choice),
        profile: withFactors(profileNamed(name), options.costFactors),
        options: {
          warnings: recorded.recording.warnings,
          ranges: options.ranges,
          enablesWithoutDirectRule: recorded.recording.enablesWithoutDirectRule,
          ...(withoutDirectSwitches === undefined ? {} : { withoutDirectSwitches }),
          ...chartsOption(options),
          ...traced,
        },
      }),
    ),
  );
  yield* measureAll(tasks, onProgress, trace);
}

const chartsOption = ({ charts = true }: PredictOptions): Pick<MeasureOptions, "charts"> => ({ charts });

const traceOption = (trace: TraceSink | null): Pick<MeasureOptions, "trace"> =>
  trace === null ? {} : { trace: (event: TraceEvent) => trace(traceLine(event)) };

/** "0.001204000 vcpu0 event onBufferEnabled pages=32768". */
function traceLine({ atNs, vcpu, what, name, detail }: TraceEvent): string {
  const at = `${Math.floor(atNs / 1e9)}.${String(atNs % 1e9).padStart(9, "0")}`;
  const who = vcpu < 0 ? "host" : `vcpu${vcpu}`;
  const rest = Object.entries(detail ?? {}).map(([key, value]) => ` ${key}=${value}`);
  return `${at} ${who} ${what} ${name}${rest.join("")}`;
}

/** Loaded only by what needs it, so that `--help` is quick. */
export function loadLab(): Promise<Engine> {
  return Promise.resolve({
    listPolicies: () => POLICIES.map(infoOf),
    listScenarios: () =>
      SCENARIOS.map((scenario) => ({
        name: scenario.name,
        summary: `${scenario.summary}. ${scenario.origin}`,
        ofThread: THREAD_SCENARIOS.includes(scenario),
      })),
    listProfiles: () =>
      PROFILES.map(({ name, about, costs }) => ({
        name,
        summary: about,
        inAll: THREAD_PROFILES.includes(name),
        costs: COST_NAMES.map((cost) => {
          const { ns, lowNs, highNs, source } = costs[cost];
          return { name: cost, valueNs: ns, lowNs, highNs, source };
        }),
      })),
    listBackings: () => BACKINGS,
    describePolicy: (candidate) => {
      const policy = asPolicy(candidate);
      return typeof policy === "string" ? policy : infoOf(policy);
    },
    runThread,
    runPredict,
  });
}
