/**
 * What the commands need of the laboratory, and no more. Options are plain data: they cross to a worker thread, so
 * that a long computation never delays Ctrl-C or the progress line.
 */
import type { CostFactors } from "../host/costs.ts";
import type { RunDetail } from "../lab/report/detail.ts";
import type { ByteSource } from "../perf/byte-source.ts";

/** One line of `spevisor policies`, one page of `spevisor explain`. */
export interface PolicyInfo {
  readonly name: string;
  /** What it does, in one sentence. */
  readonly summary: string;
  /** Where the idea comes from: a series, a message, a kernel subsystem. */
  readonly origin: string;
  /** What it buys and what it costs. */
  readonly tradeOff: string;
  /** Whether it traps the buffer registers (PMBLIMITR_EL1, PMBPTR_EL1, PMBSR_EL1). */
  readonly trapsBuffer: boolean;
}

export interface ScenarioInfo {
  readonly name: string;
  readonly summary: string;
  /** One of the thread's commands: what `thread` runs unless told otherwise. */
  readonly ofThread: boolean;
}

export interface CostInfo {
  readonly name: string;
  readonly valueNs: number;
  readonly lowNs: number;
  readonly highNs: number;
  /** Where the figure comes from, or "assumed". */
  readonly source: string;
}

export interface ProfileInfo {
  readonly name: string;
  readonly summary: string;
  /** Whether `--profile all` means this one too. */
  readonly inAll: boolean;
  readonly costs: readonly CostInfo[];
}

/** A policy as chosen on the command line: by name, or an object loaded from a file. */
export type PolicyChoice =
  | { readonly kind: "named"; readonly name: string }
  | { readonly kind: "loaded"; readonly file: string; readonly policy: unknown };

/** Called now and then; `done` (with fractions) and `total` count runs, `what` says what is running. */
export type OnProgress = (progress: {
  readonly done: number;
  readonly total: number;
  readonly what: string;
}) => void;

/** What any command that runs something is told. */
export interface CommonOptions {
  readonly policies: readonly PolicyChoice[];
  readonly profiles: readonly string[];
  readonly bufferBytes: number;
  readonly seed: number;
  /** By which costs are multiplied, at values and ends alike. */
  readonly costFactors: CostFactors;
  /** All CPUs of the host; null: enough for everybody. */
  readonly hostCpus: number | null;
}

export interface ThreadOptions extends CommonOptions {
  /** Names of scenarios. */
  readonly scenarios: readonly string[];
}

/** Whom a prediction profiles. `recorded`: the recorded command and its children. */
export type Target =
  | { readonly kind: "recorded" }
  | { readonly kind: "comm"; readonly comm: string }
  | { readonly kind: "pid"; readonly pid: number }
  | { readonly kind: "per-cpu" };

export interface PredictOptions extends CommonOptions {
  readonly target: Target;
  readonly backing: string;
  /** Null: as many as the recording's CPUs or its overlapping tasks. */
  readonly vcpus: number | null;
  /** Whether a switch between clones leaves the buffer on; false: each switch-in enables it. */
  readonly directSwitches: boolean;
  /** PMSIRR_EL1.INTERVAL: instructions between samples. */
  readonly periodInstructions: number;
  readonly frequencyGHz: number;
  readonly instructionsPerCycle: number;
  /** Null: enough for the buffers. */
  readonly memoryBytes: number | null;
  /** Null: unlimited. */
  readonly memlockBytes: number | null;
  /** From PMBIRQ asserted to KVM's handler; null: the profile's own. */
  readonly irqLatencyNs: number | null;
  /** Run the ends of the cost ranges however long the recording is. */
  readonly ranges: boolean;
  /** Collect what a page's charts show. Default: yes. */
  readonly charts?: boolean;
  /** Options that were given, of those that a machine's own schedule has an answer to, as they are typed. */
  readonly given?: readonly string[];
}

/** Where `--trace` lines go: each event, call and charge. */
export type TraceSink = (line: string) => void;

/** The laboratory, as the command line sees it. Errors: UserError where an option or a recording is at fault. */
export interface Engine {
  listPolicies(): readonly PolicyInfo[];
  listScenarios(): readonly ScenarioInfo[];
  listProfiles(): readonly ProfileInfo[];
  /** What `backing` may say. */
  listBackings(): readonly string[];
  /** A policy's info if `candidate` has the shape of one, otherwise why it has not. */
  describePolicy(candidate: unknown): PolicyInfo | string;
  runThread(
    options: ThreadOptions,
    onProgress: OnProgress,
    trace: TraceSink | null,
  ): AsyncIterable<RunDetail>;
  runPredict(
    recording: ByteSource,
    options: PredictOptions,
    onProgress: OnProgress,
    trace: TraceSink | null,
  ): AsyncIterable<RunDetail>;
}
