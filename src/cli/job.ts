/**
 * A job: what a command asks to be run, as plain data with names and file paths. It is carried out beside the
 * command's own thread (worker.ts); here names become policies and paths become files.
 */
import { closeSync, openSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import type { RunDetail } from "../lab/report/detail.ts";
import { openSource } from "../vmm/node/file-source.ts";
import type {
  CommonOptions,
  Engine,
  OnProgress,
  PolicyChoice,
  PredictOptions,
  ThreadOptions,
  TraceSink,
} from "./engine.ts";
import { fileError } from "./files.ts";
import { loadPolicy } from "./load-policy.ts";
import { knownName } from "./options.ts";

/** "all", a registered name, or the path of a file. */
export const ALL = "all";

interface Chosen {
  /** Where trace lines are written as they come. */
  readonly traceFile: string | null;
  readonly policyNames: readonly string[];
  readonly profileNames: readonly string[];
}
type WithNames<Options extends CommonOptions> = Omit<Options, "policies" | "profiles" | "scenarios"> & Chosen;

export type ThreadJob = {
  readonly kind: "thread";
  /** Empty: the thread's own. */
  readonly scenarioNames: readonly string[];
} & WithNames<ThreadOptions>;
export type PredictJob = {
  readonly kind: "predict";
  readonly file: string;
} & WithNames<PredictOptions>;
export type Job = ThreadJob | PredictJob;

/** Whatever carries out jobs: the worker, or a test in its own thread. */
export type RunJob = (job: Job, onProgress: OnProgress) => AsyncIterable<RunDetail>;

/** Whether what names a policy is a path. */
export const isFile = (name: string): boolean => /[/\\]/.test(name) || /\.[cm]?[jt]s$/.test(name);

/**
 * What `--policy` names.
 * @throws UserError for a name that is not registered or a file that holds no policy
 */
export async function choosePolicies(engine: Engine, given: readonly string[]): Promise<PolicyChoice[]> {
  const registered = engine.listPolicies().map((policy) => policy.name);
  const chosen = new Map<string, PolicyChoice>();
  for (const name of given)
    if (name === ALL) for (const each of registered) chosen.set(each, { kind: "named", name: each });
    else if (isFile(name))
      chosen.set(resolve(name), { kind: "loaded", file: name, policy: await loadPolicy(engine, name) });
    else chosen.set(name, { kind: "named", name: knownName("policy", name, registered) });
  return [...chosen.values()];
}

/** What `--profile` names. @throws UserError for a name that none has */
export const chooseProfiles = (engine: Engine, given: readonly string[]): string[] => {
  const profiles = engine.listProfiles();
  const known = profiles.map((profile) => profile.name);
  const all = profiles.filter((profile) => profile.inAll).map((profile) => profile.name);
  return [
    ...new Set(given.flatMap((name) => (name === ALL ? all : [knownName("cost profile", name, known)]))),
  ];
};

/** What `--scenario` names. */
function chooseScenarios(engine: Engine, given: readonly string[]): string[] {
  const scenarios = engine.listScenarios();
  const known = scenarios.map(({ name }) => name);
  if (given.length === 0) return scenarios.filter(({ ofThread }) => ofThread).map(({ name }) => name);
  return [...new Set(given.flatMap((name) => (name === ALL ? known : [knownName("scenario", name, known)])))];
}

/** Carries out a job with an engine, giving each run as it is done. */
export async function* runJob(engine: Engine, job: Job, onProgress: OnProgress): AsyncGenerator<RunDetail> {
  const { policyNames, profileNames, traceFile, ...rest } = job;
  const policies = await choosePolicies(engine, policyNames);
  const profiles = chooseProfiles(engine, profileNames);
  if (rest.kind === "predict") knownName("backing", rest.backing, engine.listBackings());
  const recording = rest.kind === "predict" ? await openSource(rest.file) : null;
  const trace = traceFile === null ? null : openTrace(traceFile);
  const sink = trace?.sink ?? null;
  try {
    if (rest.kind === "predict" && recording !== null) {
      const { kind: _, file: __, ...options } = rest;
      yield* engine.runPredict(recording.source, { ...options, policies, profiles }, onProgress, sink);
    } else if (rest.kind === "thread") {
      const { kind: _, scenarioNames, ...options } = rest;
      const scenarios = chooseScenarios(engine, scenarioNames);
      yield* engine.runThread({ ...options, policies, profiles, scenarios }, onProgress, sink);
    }
  } finally {
    await recording?.close();
    trace?.close();
  }
}

/** Lines go out in blocks: a trace has one for each charge. */
const TRACE_BLOCK_CHARS = 1 << 16;

function openTrace(path: string): { sink: TraceSink; close(): void } {
  const fd = openSync(path, "w");
  let block = "";
  const flush = () => {
    try {
      writeFileSync(fd, block);
    } catch (error) {
      throw fileError("--trace", error);
    }
    block = "";
  };
  return {
    sink: (line) => {
      block += `${line}\n`;
      if (block.length >= TRACE_BLOCK_CHARS) flush();
    },
    close: () => {
      flush();
      closeSync(fd);
    },
  };
}
