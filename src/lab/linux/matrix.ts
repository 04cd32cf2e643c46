/** What a matrix of runs comes to: its cases, and what is to be said of each beside its table. */
import { formatNs } from "../../common/sizes.ts";
import { machineName, perEnableNs } from "../report/linux-columns.ts";
import type { LinuxRun } from "../report/run.ts";
import { counted, formatGHz } from "../report/words.ts";
import { isBareMetal } from "./baseline.ts";
import { type LinuxScenario, withoutBpfEvents } from "./scenario.ts";

/** A cell that has no record: its machine or its command came to no good end. */
export interface Failure {
  readonly scenario: string;
  readonly machine: string;
  /** Null: bare metal. */
  readonly profile: string | null;
  readonly why: string;
}

export interface LinuxMatrix {
  /** With their baselines (baseline.ts). */
  readonly runs: readonly LinuxRun[];
  readonly failures: readonly Failure[];
  readonly scenarios: readonly LinuxScenario[];
}

/** One command on one cost profile: bare metal, the VM, the policies. */
export interface LinuxCase {
  readonly title: string;
  readonly scenario: string;
  readonly profile: string;
  readonly command: string;
  readonly runs: readonly LinuxRun[];
  readonly failures: readonly Failure[];
  readonly of: LinuxScenario | undefined;
}

const commandOf = (of: LinuxScenario | undefined, scenario: string): string =>
  of === undefined ? "" : scenario === of.name ? of.command : withoutBpfEvents(of.command);

/** The cases of a matrix, in the order of its runs. */
export function linuxCasesOf({ runs, failures, scenarios }: LinuxMatrix): LinuxCase[] {
  const all = [
    ...runs.map(({ scenario, profile, policy }) => ({ scenario, profile, isVm: policy !== "none" })),
    ...failures.map(({ scenario, profile }) => ({
      scenario,
      profile: profile ?? "none",
      isVm: profile !== null,
    })),
  ].filter(({ isVm }) => isVm);
  const keys = new Map(
    all.map(({ scenario, profile }) => [`${scenario}\n${profile}`, { scenario, profile }]),
  );
  return [...keys.values()].map(({ scenario, profile }) => {
    const of = scenarios.find(({ name }) => scenario === name || scenario.startsWith(`${name} `));
    return {
      title: `${scenario} on costs ${profile}`,
      scenario,
      profile,
      command: commandOf(of, scenario),
      runs: runs.filter((run) => run.scenario === scenario && (run.profile === profile || isBareMetal(run))),
      failures: failures.filter(
        (each) => each.scenario === scenario && (each.profile ?? profile) === profile,
      ),
      of,
    };
  });
}

/** What is to be said of a case beside its table: what was seen elsewhere, and what the guest's kernel says. */
export function sentencesOf(of: LinuxCase): string[] {
  return [...seenSentences(of), ...complaintSentences(of)];
}

function seenSentences({ of, profile, runs }: LinuxCase): string[] {
  const wallNs = of?.seen?.wallNs[profile];
  if (of?.seen === undefined || wallNs === undefined) return [];
  const { bareMetalBelowNs, switches, clockGHz, source } = of.seen;
  const pinned = runs.find(({ policy }) => policy === "pin-on-enable");
  const eachNs = pinned === undefined ? null : perEnableNs(pinned);
  return [
    `Seen: ${formatNs(wallNs)}, under ${formatNs(bareMetalBelowNs)} on bare metal, about ${counted(switches, "switch", "switches")}` +
      `${clockGHz === null ? "" : `, a clock of ${formatGHz(clockGHz)}`} (${source}).`,
    ...(pinned === undefined || eachNs === null
      ? []
      : [
          `Here ${counted(pinned.bufferEnables, "enable")} at ${formatNs(eachNs)} each; ${counted(switches, "of them", "of them")} would take ${formatNs(switches * eachNs)}.`,
        ]),
  ];
}

/** What guests' kernels have complained of, with the machines that made them. */
function complaintSentences({ runs }: LinuxCase): string[] {
  return runs.flatMap((run) => {
    const [first, ...more] = run.guestComplaints ?? [];
    if (first === undefined) return [];
    const rest = more.length === 0 ? "" : `, and ${counted(more.length, "more")}`;
    return [`${machineName(run)}: the guest's kernel says "${first.replace(/^\[ *[\d.]+\] /, "")}"${rest}.`];
  });
}
