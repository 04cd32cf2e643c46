/** The columns of the table of runs: one definition, read by the terminal and by the page. */
import { formatBytes, formatNs } from "../../common/sizes.ts";
import type { ModelRun } from "./run.ts";
import { hypervisorNs } from "./run.ts";
import { formatSlowdown } from "./verdicts.ts";
import { formatCount, formatGHz, formatShare } from "./words.ts";

export interface Column {
  readonly title: string;
  /** What the numbers are, for whoever has not read the documentation. */
  readonly meaning: string;
  readonly align: "left" | "right";
  /** Left out first where the terminal is narrow: higher goes sooner; 0 always stays. */
  readonly dropOrder: number;
  cell(run: ModelRun): string;
}

/** What stands in a cell that has nothing to say. */
const NOTHING = "-";

export const COLUMNS: readonly Column[] = [
  {
    title: "policy",
    meaning: "the pin policy",
    align: "left",
    dropOrder: 0,
    cell: (run) => run.policy,
  },
  {
    title: "wall",
    meaning: "the command's wall time in the guest",
    align: "right",
    dropOrder: 0,
    cell: (run) => formatNs(run.guestWallNs),
  },
  {
    title: "slowdown",
    meaning:
      "wall time over bare metal's, of the readings of its waits the slower; two numbers where which switches go straight from one task to another is not recorded: with all that may, and with none",
    align: "right",
    dropOrder: 0,
    cell: (run) => `${formatSlowdown(run, "-")}×`,
  },
  {
    title: "seen",
    meaning: "what somebody measured for the same thing",
    align: "right",
    dropOrder: 1,
    cell: ({ model: { reference } }) => (reference === null ? NOTHING : formatNs(reference.wallNs)),
  },
  {
    title: "hypervisor",
    meaning: "time that walks, pins, stage 2, exits, interrupts and locks took from the vCPUs",
    align: "right",
    dropOrder: 3,
    cell: (run) => formatNs(hypervisorNs(run)),
  },
  {
    title: "host CPU",
    meaning: "CPU time that the host spent on the VM in all, on the vCPUs' CPUs and on others",
    align: "right",
    dropOrder: 1,
    cell: (run) => formatNs(run.hostCpuNs),
  },
  {
    title: "enables",
    meaning: "how often the guest turned the buffer on (PMBLIMITR_EL1.E rose)",
    align: "right",
    dropOrder: 6,
    cell: (run) => formatCount(run.bufferEnables),
  },
  {
    title: "pages pinned",
    meaning: "pages pinned over the whole run, tables included",
    align: "right",
    dropOrder: 7,
    cell: (run) => formatCount(run.pagesPinned + run.tablePagesPinned),
  },
  {
    title: "peak",
    meaning: "the most memory pinned at once",
    align: "right",
    dropOrder: 2,
    cell: (run) => (run.pinnedPeakBytes === 0 ? NOTHING : formatBytes(run.pinnedPeakBytes)),
  },
  {
    title: "lost",
    meaning:
      "samples lost in blackouts, of those that bare metal would have selected; - where a filter lets none through",
    align: "right",
    dropOrder: 0,
    // Where a filter lets nothing through, the SPU writes nothing and no write can fault.
    cell: ({ samples }) =>
      samples.written + samples.lostInBlackout === 0
        ? NOTHING
        : formatShare(samples.lostInBlackout, samples.selected),
  },
  {
    title: "setup",
    meaning: "prefault and pinning before the first guest run; not part of wall",
    align: "right",
    dropOrder: 5,
    cell: (run) => (run.setupNs === 0 ? NOTHING : formatNs(run.setupNs)),
  },
  {
    title: "guest clock",
    meaning: "cycles over task time, as perf stat in the guest would print it",
    align: "right",
    dropOrder: 4,
    cell: (run) => (run.guestClockGHz === null ? NOTHING : formatGHz(run.guestClockGHz)),
  },
];
