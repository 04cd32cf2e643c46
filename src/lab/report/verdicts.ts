/**
 * Verdicts: what a run's numbers mean, in plain language. Pure functions of a run and of the runs next to it.
 * Every threshold that turns a number into a word is in THRESHOLDS, with its reason.
 */
import { formatBytes, formatNs } from "../../common/sizes.ts";
import type { Model, ModelRun } from "./run.ts";
import { hypervisorNs } from "./run.ts";
import { counted, formatCount, formatFactor, formatShare, listed } from "./words.ts";

export const THRESHOLDS = {
  /** Within the noise of timing a command twice. */
  unnoticeableSlowdown: 1.02,
  /** A fifth: what people put up with from a profiler. Above it the profile is of a different-looking run. */
  usableSlowdown: 1.2,
  /** Twice as long: one notices without a clock. */
  slowSlowdown: 2,
  /** The thread calls 4 s instead of "less than half a second" basically unusable; that is 8 times or more. */
  unusableSlowdown: 8,
  /** Below one sample in a hundred lost, a profile's percentages still hold to the digits that perf prints. */
  nearlyCompleteLoss: 0.01,
  /** A fifth more enables: what a policy costs at each of them then costs as much more, and the verdict is a range. */
  openEnables: 1.2,
  /** One timer tick at HZ=250: a longer stop of a vCPU delays the guest's timers. */
  tickNs: 4e6,
  /** RCU_CPU_STALL_TIMEOUT's default, kernel/rcu/Kconfig.debug: a longer stop makes the guest's kernel complain. */
  rcuStallNs: 21e9,
  /** Setting up for longer than this is felt when the VM starts. */
  setupNs: 1e9,
  /** Pins beyond the buffer, its tables (0.2 % of it) and rounding are not for the buffer any more. */
  pinnedPerBuffer: 1.05,
} as const;

/** How a slowdown feels. */
export type Speed = "unnoticeable" | "usable" | "slow" | "painful" | "unusable";

/** Puts a slowdown in words. */
export function speedOf(slowdown: number): Speed {
  if (slowdown < THRESHOLDS.unnoticeableSlowdown) return "unnoticeable";
  if (slowdown < THRESHOLDS.usableSlowdown) return "usable";
  if (slowdown < THRESHOLDS.slowSlowdown) return "slow";
  if (slowdown < THRESHOLDS.unusableSlowdown) return "painful";
  return "unusable";
}

export type Tone = "good" | "fair" | "bad" | "plain";

const TONE_OF_SPEED: Readonly<Record<Speed, Tone>> = {
  unnoticeable: "good",
  usable: "good",
  slow: "fair",
  painful: "bad",
  unusable: "bad",
};

/** The judgement behind the word: a cost that changes it is one that a run's `flips` names. */
export const speedTone = (slowdown: number): Tone => TONE_OF_SPEED[speedOf(slowdown)];

export interface Verdict {
  readonly about:
    | "speed"
    | "costs"
    | "excess"
    | "profile"
    | "memory"
    | "memlock"
    | "stop"
    | "setup"
    | "guest";
  readonly tone: Tone;
  readonly text: string;
}

/** The slowdown to judge a run by: where the recording leaves open which switches are direct, the worse. */
export const worstSlowdown = ({ slowdown, model }: ModelRun): number =>
  Math.max(slowdown, model.withoutDirectSwitches?.slowdown ?? 0);

/** "1.02" or "1.02 to 1.9", for what `worstSlowdown` is the end of. */
export function formatSlowdown(run: ModelRun, between = " to "): string {
  const best = Math.min(run.slowdown, run.model.withoutDirectSwitches?.slowdown ?? run.slowdown);
  return rangeOf(formatFactor(best), formatFactor(worstSlowdown(run)), between);
}

const rangeOf = (low: string, high: string, between = " to "): string =>
  low === high ? low : `${low}${between}${high}`;

/** "1.5 s to 2.9 s, 1.02 to 1.9 times bare metal: usable to slow, ...": a range, and why it is one. */
function openVerdict(run: ModelRun, without: NonNullable<Model["withoutDirectSwitches"]>): Verdict {
  const [best, worst] = without.slowdown < run.slowdown ? [without, run] : [run, without];
  const wall = rangeOf(formatNs(best.guestWallNs), formatNs(worst.guestWallNs));
  const speed = rangeOf(speedOf(best.slowdown), speedOf(worst.slowdown));
  return {
    about: "speed",
    tone: speedTone(worst.slowdown),
    text: `${wall}, ${formatSlowdown(run)} times bare metal: ${speed}, with ${formatCount(run.bufferEnables)} to ${counted(without.bufferEnables, "enable")}, as which switches are direct is not recorded (perf record --sample-cpu does)`,
  };
}

/** "20.6 s, 52 times bare metal: unusable". */
export function speedVerdict(run: ModelRun): Verdict {
  const { withoutDirectSwitches: without, slowdownRange: range } = run.model;
  if (without !== null) return openVerdict(run, without);
  const speed = speedOf(run.slowdown);
  const spread =
    range === null || formatFactor(range.kept) === formatFactor(range.absorbing)
      ? ""
      : `, or ${formatFactor(Math.min(range.kept, range.absorbing))} if its waits ${range.kept > range.absorbing ? "hide some of that" : "keep their length"}`;
  return {
    about: "speed",
    tone: speedTone(run.slowdown),
    text: `${formatNs(run.guestWallNs)}, ${formatFactor(run.slowdown)} times bare metal${spread}: ${speed}`,
  };
}

/** Whether the speed verdict survives both ends of the cost ranges, and which cost decides if it does not. */
function costsVerdict(run: ModelRun): Verdict | undefined {
  const { atLowCosts: low, atHighCosts: high, flips } = run.model;
  if (low === null || high === null) return undefined;
  if (new Set([low.slowdown, run.slowdown, high.slowdown].map(speedTone)).size === 1) return undefined;
  const end = ({ slowdown }: { slowdown: number }) =>
    `${speedOf(slowdown)} (${formatFactor(slowdown)} times)`;
  const which = flips.length > 0 ? listed(flips) : "several costs at once";
  return {
    about: "costs",
    tone: "fair",
    text: `${end(low)} where all costs are at their low ends, ${end(high)} at their high ends: depends on ${which}`,
  };
}

/** Where the excess goes when a run is over the usable slowdown. */
function excessVerdict(run: ModelRun): Verdict | undefined {
  if (run.slowdown < THRESHOLDS.usableSlowdown || run.excess === null) return undefined;
  const { firstPinNs, rewalkNs, trapNs } = run.excess;
  const otherNs = hypervisorNs(run) - firstPinNs - rewalkNs - trapNs;
  const other = otherNs < hypervisorNs(run) / 100 ? "" : `, other ${formatNs(otherNs)}`;
  return {
    about: "excess",
    tone: "plain",
    text: `of ${formatNs(hypervisorNs(run))} in the hypervisor: first pin ${formatNs(firstPinNs)}, later walks and pins ${formatNs(rewalkNs)}, traps ${formatNs(trapNs)}${other}`,
  };
}

/** What the profile lost: "complete profile", "loses 4.1 % of samples in 1,204 blackouts". */
export function profileVerdict(run: ModelRun): Verdict {
  const { samples, blackouts } = run;
  if (samples.selected === 0) return { about: "profile", tone: "plain", text: "nothing was sampled" };
  const lost: string[] = [];
  if (samples.lostInBlackout > 0)
    lost.push(
      `${formatShare(samples.lostInBlackout, samples.selected)} of samples in ${counted(blackouts.count, "blackout")}`,
    );
  if (samples.truncated > 0)
    lost.push(`${formatShare(samples.truncated, samples.selected)} truncated after selection`);
  const full = Math.max(0, samples.lostWhileFull - run.baseline.lostWhileFull);
  if (full > 0)
    lost.push(`${formatShare(full, samples.selected)} while the buffer was full, beyond bare metal's`);
  if (lost.length > 0) {
    const share = (samples.lostInBlackout + samples.truncated + full) / samples.selected;
    return {
      about: "profile",
      tone: share < THRESHOLDS.nearlyCompleteLoss ? "fair" : "bad",
      text: `loses ${listed(lost)}`,
    };
  }
  if (samples.written === 0 && samples.filtered > 0)
    return { about: "profile", tone: "plain", text: "the filter lets no sample through" };
  return {
    about: "profile",
    tone: "good",
    text:
      blackouts.count === 0
        ? "complete profile"
        : `complete profile, in spite of ${counted(blackouts.count, "blackout")}`,
  };
}

/** What the host gives up for it: "holds 128 MiB pinned". */
function memoryVerdict(run: ModelRun): Verdict {
  if (run.pinnedPeakBytes === 0) return { about: "memory", tone: "good", text: "pins nothing" };
  const beyond = run.pinnedPeakBytes > run.bufferBytes * THRESHOLDS.pinnedPerBuffer;
  const off = run.heldAfterOffNs > 0 ? `, for ${formatNs(run.heldAfterOffNs)} with profiling off` : "";
  const after = `${off}${run.model.releasedAfterNs === null ? ", and still holds it when profiling is over" : ""}`;
  return {
    about: "memory",
    tone: beyond ? "fair" : "plain",
    text: `holds ${formatBytes(run.pinnedPeakBytes)} pinned${beyond ? ", more than the buffer" : ""}${after}`,
  };
}

const memlockVerdict = (run: ModelRun): Verdict | undefined => {
  const hits = run.exitReasons["KVM_EXIT_RLIMIT"] ?? 0;
  if (hits === 0) return undefined;
  const limit = run.memlockLimitBytes === null ? "" : ` of ${formatBytes(run.memlockLimitBytes)}`;
  return {
    about: "memlock",
    tone: "bad",
    text: `memlock limit${limit} hit${hits === 1 ? "" : ` ${counted(hits, "time")}`}`,
  };
};

const stopVerdict = (run: ModelRun): Verdict | undefined => {
  const longest = Math.max(run.longestStopNs.cold, run.longestStopNs.warm);
  if (longest < THRESHOLDS.tickNs) return undefined;
  const stalls = longest >= THRESHOLDS.rcuStallNs;
  const when = run.longestStopNs.warm < THRESHOLDS.tickNs ? " (the first enable only)" : "";
  return {
    about: "stop",
    tone: stalls ? "bad" : "fair",
    text: `stops a vCPU for ${formatNs(longest)} at a time${when}${stalls ? ": RCU stalls" : ""}`,
  };
};

const setupVerdict = (run: ModelRun): Verdict | undefined =>
  run.setupNs === 0
    ? undefined
    : {
        about: "setup",
        tone: run.setupNs >= THRESHOLDS.setupNs ? "fair" : "plain",
        text: `${formatNs(run.setupNs)} of setting up before the guest starts`,
      };

const guestVerdict = (run: ModelRun): Verdict | undefined =>
  run.guestComplaints === null || run.guestComplaints.length === 0
    ? undefined
    : {
        about: "guest",
        tone: "bad",
        text: `${counted(run.guestComplaints.length, "warning")} from the guest's kernel`,
      };

/** All that is to be said about one run, the most important first. */
export function verdictsOf(run: ModelRun): Verdict[] {
  const all = [
    speedVerdict(run),
    costsVerdict(run),
    profileVerdict(run),
    memlockVerdict(run),
    guestVerdict(run),
    memoryVerdict(run),
    setupVerdict(run),
    stopVerdict(run),
    excessVerdict(run),
  ];
  return all.filter((verdict) => verdict !== undefined);
}

/** The scenario whose rows tell what another one's filters hide: `thread-a` has `thread-a-sampling`. */
const SAMPLING_SUFFIX = "-sampling";

/** The run to ask about lost samples: the run itself, or its unfiltered twin where the filters let nothing through. */
export function samplingTwin(run: ModelRun, runs: readonly ModelRun[]): ModelRun {
  if (run.samples.written > 0) return run;
  const twin = runs.find(
    (other) =>
      other.scenario === `${run.scenario}${SAMPLING_SUFFIX}` &&
      other.policy === run.policy &&
      other.profile === run.profile &&
      other.bufferBytes === run.bufferBytes,
  );
  return twin ?? run;
}

/** Runs that differ in their policy only, in the order in which they were given. */
export interface Case {
  readonly scenario: string;
  readonly profile: string;
  readonly runs: readonly ModelRun[];
}

/** Groups runs by scenario and profile, in order of first appearance. */
export function casesOf(runs: readonly ModelRun[]): Case[] {
  const cases = new Map<string, { scenario: string; profile: string; runs: ModelRun[] }>();
  for (const run of runs) {
    const key = JSON.stringify([run.scenario, run.profile]);
    const found = cases.get(key);
    if (found === undefined) cases.set(key, { scenario: run.scenario, profile: run.profile, runs: [run] });
    else found.runs.push(run);
  }
  return [...cases.values()];
}

/**
 * The sentence a case ends in: which of its policies keeps profiling complete without making the guest unusable.
 * Among those that do both, the one that pins least; a policy counts as complete by its sampling twin.
 * @param all the runs of the whole report, for the twins
 */
export function conclusionOf(of: Case, all: readonly ModelRun[]): Verdict {
  const profileTone = (run: ModelRun) => profileVerdict(samplingTwin(run, all)).tone;
  const told = (run: ModelRun) =>
    `${run.policy} (${formatSlowdown(run)} times, ${run.pinnedPeakBytes === 0 ? "nothing" : formatBytes(run.pinnedPeakBytes)} pinned)`;
  const usable = (run: ModelRun) => worstSlowdown(run) < THRESHOLDS.usableSlowdown;
  const complete = of.runs.filter((run) => profileTone(run) === "good" || profileTone(run) === "plain");
  const nearly = of.runs.filter((run) => profileTone(run) === "fair" && usable(run));
  const also = nearly.length === 0 ? "" : `; usable and nearly complete: ${listed(nearly.map(told))}`;
  const [least, ...others] = complete
    .filter(usable)
    .sort((a, b) => a.pinnedPeakBytes - b.pinnedPeakBytes || worstSlowdown(a) - worstSlowdown(b));
  if (least !== undefined) {
    const more = others.length === 0 ? "" : `, then ${listed(others.map(told))}`;
    return { about: "speed", tone: "good", text: `usable and complete: ${told(least)}${more}${also}` };
  }
  const fastest = [...complete].sort((a, b) => worstSlowdown(a) - worstSlowdown(b))[0];
  const best =
    fastest === undefined
      ? "every policy here loses samples"
      : `no policy here is usable and complete; the fastest complete one is ${told(fastest)}`;
  return { about: "speed", tone: nearly.length > 0 ? "fair" : "bad", text: `${best}${also}` };
}
