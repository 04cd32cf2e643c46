/** What is to be said of a matrix beside its tables. Every figure is a run's own, or named with who gives it. */
import { formatNs } from "../../common/sizes.ts";
import { machineName, perEnableNs } from "../report/linux-columns.ts";
import type { LinuxRun } from "../report/run.ts";
import { counted, formatCount, formatGHz, listed } from "../report/words.ts";
import { isBareMetal, isFreeSpe } from "./baseline.ts";
import { agreementsOf, type LinuxCase, type LinuxMatrix } from "./matrix.ts";
import { withoutBpfName } from "./scenario.ts";

const POSTED = "pin-on-enable";
/** Ticks a second of Debian's kernels (CONFIG_HZ), and of those that the thread's RCU stall comes from most likely. */
const HZ = 250;

/** What was seen elsewhere, why it differs here, what perf waits for, what the guest's kernel complains of, what failed. */
export const sentencesOf = (of: LinuxCase, matrix: LinuxMatrix): string[] => [
  ...seenSentences(of),
  ...waitSentences(of, matrix),
  ...of.runs.flatMap(complaintSentences),
  ...differenceSentences(of, matrix),
  ...failureSentences(of),
];

/** What came to no good end, machines that say the same together. */
function failureSentences({ failures }: LinuxCase): string[] {
  const machinesBy = new Map<string, string[]>();
  for (const { machine, why } of failures) machinesBy.set(why, [...(machinesBy.get(why) ?? []), machine]);
  return [...machinesBy].map(([why, machines]) => `No figures of ${listed(machines)}: ${why}`);
}

function seenSentences({ of, profile, runs }: LinuxCase): string[] {
  const wallNs = of?.seen?.wallNs[profile];
  if (of?.seen === undefined || wallNs === undefined) return [];
  const { bareMetalBelowNs, switches, clockGHz, source } = of.seen;
  const seen =
    `Seen: ${formatNs(wallNs)}, under ${formatNs(bareMetalBelowNs)} on bare metal, about ` +
    `${counted(switches, "switch", "switches")}${clockGHz === null ? "" : `, a clock of ${formatGHz(clockGHz)}`} (${source}).`;
  const pinned = runs.find(({ policy }) => policy === POSTED);
  return pinned === undefined ? [seen] : [seen, ...enableSentences(pinned, runs, switches)];
}

/** Why this guest enables its buffer as often as it does, and not as often as the thread's. */
function enableSentences(pinned: LinuxRun, runs: readonly LinuxRun[], switches: number): string[] {
  const eachNs = perEnableNs(pinned);
  if (eachNs === null) return [];
  const { bufferEnables } = pinned;
  const cost = `Here ${counted(bufferEnables, "enable")} under ${POSTED} at ${formatNs(eachNs)} each; ${formatCount(switches)} would take ${formatNs(switches * eachNs)}.`;
  const free = runs.find(isFreeSpe);
  if (free === undefined || bufferEnables <= free.bufferEnables) return [cost];
  const ticks = Math.round((eachNs / 1e9) * HZ);
  return [
    cost,
    `Where nothing stops the vCPU the same command takes ${counted(free.bufferEnables, "enable")} (${switchesOf(free)}), and ${switchesOf(pinned)} where each enable does: ` +
      `a stop of ${formatNs(eachNs)} is ${counted(ticks, "tick")} of the guest's ${HZ} Hz clock, and what has come due in it, timers, RCU and ` +
      `kernel threads, takes the CPU next, which is one more enable when the command is back.`,
  ];
}

const switchesOf = ({ contextSwitches }: LinuxRun): string =>
  contextSwitches === null
    ? "switches unknown"
    : `${counted(contextSwitches, "switch", "switches")} of tasks in the guest`;

/** With the variant beside it: what perf waits for, as bare metal's two runs have it. */
function waitSentences({ scenario, profile }: LinuxCase, { runs }: LinuxMatrix): string[] {
  const metalOf = (name: string) => runs.find((run) => run.scenario === name && isBareMetal(run));
  const [typed, without] = [metalOf(scenario), metalOf(withoutBpfName(scenario))];
  if (typed === undefined || without === undefined) return [];
  const waitNs = typed.idleNs - without.idleNs;
  const absorbed = runs.find(
    (run) => run.scenario === scenario && run.profile === profile && run.policy === POSTED,
  );
  return [
    `perf itself waits here: ${formatNs(waitNs)} of idle time on bare metal, in a futex until its thread that listens to BPF programs has ended; with --no-bpf-event the command takes ${formatNs(without.guestWallNs)} and not ${formatNs(typed.guestWallNs)}.` +
      (absorbed === undefined
        ? ""
        : " The wait ends at a time of its own, so it hides what stops of the vCPU cost meanwhile: the slowdown that counts is the one without it."),
  ];
}

/** What a guest's kernel has complained of. */
function complaintSentences(run: LinuxRun): string[] {
  const [first, ...more] = run.guestComplaints ?? [];
  if (first === undefined) return [];
  const rest = more.length === 0 ? "" : `, and ${counted(more.length, "more")}`;
  return [`${machineName(run)}: the guest's kernel says "${first.replace(/^\[ *[\d.]+\] /, "")}"${rest}.`];
}

/** Where the model's replay of a run comes to something else. */
function differenceSentences({ scenario, profile, runs }: LinuxCase, matrix: LinuxMatrix): string[] {
  return agreementsOf({ ...matrix, runs: runs.filter((run) => run.profile === profile) })
    .filter((each) => each.scenario === scenario && !each.agrees)
    .map(({ policy, rows }) => {
      const differing = rows.filter(({ agrees }) => !agrees);
      const each = differing.map(
        ({ what, machine, model }) => `${formatCount(machine)} and ${formatCount(model)} (${what})`,
      );
      return `${policy}: the model's replay differs from the machine in ${listed(each)}.`;
    });
}

/** How many of the model's replays come to what the machine came to. */
function agreementNote(matrix: LinuxMatrix): string[] {
  const all = agreementsOf(matrix);
  if (all.length === 0) return [];
  const agreeing = all.filter(({ agrees }) => agrees).length;
  return [
    `"model" is the driver model's replay of what the machine did. ${agreeing === all.length ? `All ${all.length}` : `${agreeing} of ${all.length}`} agree: enables, pins, pages, faults and exits are equal, and times, blackouts and samples within 5 %.`,
  ];
}

/** What holds for every run of a matrix. */
export function notesOf(matrix: LinuxMatrix): string[] {
  const { runs, guest } = matrix;
  if (runs.length === 0) return [];
  const complains = runs.some(({ guestComplaints }) => (guestComplaints ?? []).length > 0);
  const seenStalls = runs.some(({ policy }) => policy === POSTED) && !complains;
  return [
    `${guest}. Each run starts from one snapshot of it, booted and ready, with all of its memory present and mapped at stage 2: no time of a run is a first touch's.`,
    `"VM, free SPE" is the same VM whose host walks, pins, copies and interrupts for nothing, and traps none of the buffer's registers: slowdowns are against it. On bare metal the same guest owns the buffer and no hypervisor is there.`,
    ...(seenStalls
      ? [
          "The thread's guest complained of RCU stalls, in a kernel that is preempted within system calls (its trace goes through preempt_schedule) and was built with lock debugging. Debian's here switches tasks where one sleeps or returns to user space, and complains of nothing in these runs.",
        ]
      : []),
    ...agreementNote(matrix),
  ];
}
