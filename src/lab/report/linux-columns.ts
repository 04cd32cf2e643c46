/** The columns of a matrix of Linux's runs: one definition, read by the terminal and by the page. */
import { formatNs } from "../../common/sizes.ts";
import { isBareMetal, isFreeSpe, overFreeSpe } from "../linux/baseline.ts";
import { hypervisorNs, type LinuxRun, type ModelRun } from "./run.ts";
import { formatCount, formatFactor, formatGHz, formatShare } from "./words.ts";

export interface LinuxColumn {
  readonly title: string;
  readonly meaning: string;
  readonly align: "left" | "right";
  /** Left out first where the terminal is narrow: higher goes sooner; 0 always stays. */
  readonly dropOrder: number;
  /** @param model the model's run that stands beside it */
  cell(run: LinuxRun, model: ModelRun | undefined): string;
}

const NOTHING = "-";

const orNothing = <T>(value: T | null, format: (value: T) => string): string =>
  value === null ? NOTHING : format(value);

/** How a run's machine is called. */
export const machineName = (run: LinuxRun): string =>
  isBareMetal(run) ? "bare metal" : isFreeSpe(run) ? "VM, free SPE" : run.policy;

/**
 * Time that the hypervisor spends on one session of the buffer: its enable and its disable. Mapping counts where it is done for
 * SPE alone: where the host takes pages away CPU accesses fault, too, and whose time at stage 2 is whose nobody has counted.
 */
export const perEnableNs = (run: LinuxRun): number | null => {
  const { walkNs, pinNs, unpinNs, stage2Ns, bufferEnables, cpuStage2Faults } = run;
  const mapNs = cpuStage2Faults === 0 ? stage2Ns : 0;
  return bufferEnables === 0 ? null : (walkNs + pinNs + unpinNs + mapNs) / bufferEnables;
};

const LINUX_COLUMNS: readonly LinuxColumn[] = [
  { title: "machine", meaning: "what runs the guest", align: "left", dropOrder: 0, cell: machineName },
  {
    title: "wall",
    meaning: "the command's wall time in the guest",
    align: "right",
    dropOrder: 0,
    cell: (run) => formatNs(run.guestWallNs),
  },
  {
    title: "slowdown",
    meaning: "wall time over that of the VM whose SPE costs nothing",
    align: "right",
    dropOrder: 0,
    cell: (run) =>
      orNothing(isFreeSpe(run) ? null : overFreeSpe(run), (factor) => `${formatFactor(factor)}×`),
  },
  {
    title: "model",
    meaning: "what a model of Linux's driver takes for the same schedule",
    align: "right",
    dropOrder: 2,
    cell: (_, model) => (model === undefined ? NOTHING : formatNs(model.guestWallNs)),
  },
  {
    title: "over metal",
    meaning: "wall time over bare metal's",
    align: "right",
    dropOrder: 5,
    cell: (run) => orNothing(run.slowdown, (factor) => `${formatFactor(factor)}×`),
  },
  {
    title: "hypervisor",
    meaning: "time that the hypervisor took from the vCPUs, for SPE or not",
    align: "right",
    dropOrder: 7,
    cell: (run) => (isBareMetal(run) ? NOTHING : formatNs(hypervisorNs(run))),
  },
  {
    title: "switches",
    meaning: "of tasks, by the guest's kernel",
    align: "right",
    dropOrder: 4,
    cell: (run) => orNothing(run.contextSwitches, formatCount),
  },
  {
    title: "enables",
    meaning: "how often PMBLIMITR_EL1.E rose; on bare metal nobody counts",
    align: "right",
    dropOrder: 0,
    cell: (run) => (run.bufferEnables === 0 ? NOTHING : formatCount(run.bufferEnables)),
  },
  {
    title: "each",
    meaning: "what the hypervisor walks, pins and maps for one enable and its disable",
    align: "right",
    dropOrder: 1,
    cell: (run) => orNothing(perEnableNs(run), (ns) => (ns === 0 ? NOTHING : formatNs(ns))),
  },
  {
    title: "pages pinned",
    meaning: "over the whole run, tables included",
    align: "right",
    dropOrder: 8,
    cell: (run) => (run.pagesPinned === 0 ? NOTHING : formatCount(run.pagesPinned + run.tablePagesPinned)),
  },
  {
    title: "blackouts",
    meaning: "how often the guest took itself for profiled and was not, and for how long in all",
    align: "right",
    dropOrder: 2,
    cell: ({ blackouts }) =>
      blackouts.count === 0 ? NOTHING : `${formatCount(blackouts.count)}, ${formatNs(blackouts.totalNs)}`,
  },
  {
    title: "samples",
    meaning: "written",
    align: "right",
    dropOrder: 3,
    cell: ({ samples }) => (samples.written === 0 ? NOTHING : formatCount(samples.written)),
  },
  {
    title: "lost",
    meaning: "samples lost in blackouts, of those selected",
    align: "right",
    dropOrder: 3,
    cell: ({ samples }) =>
      samples.lostInBlackout === 0 ? NOTHING : formatShare(samples.lostInBlackout, samples.selected),
  },
  {
    title: "truncated",
    meaning:
      "records that went after their selection: a fault in the middle of one, or no space that perf has read",
    align: "right",
    dropOrder: 3,
    cell: ({ samples }) => (samples.truncated === 0 ? NOTHING : formatCount(samples.truncated)),
  },
  {
    title: "off the truth",
    meaning: "total variation between the sampled profile and the exact one, over symbols",
    align: "right",
    dropOrder: 4,
    cell: ({ fidelity }) =>
      orNothing(fidelity, ({ totalVariation }) => `${(100 * totalVariation).toPrecision(2)} %`),
  },
  {
    title: "CPU faults",
    meaning: "CPU accesses to memory that stage 2 did not map, since the host had taken it: each is an exit",
    align: "right",
    dropOrder: 6,
    cell: ({ cpuStage2Faults }) => (cpuStage2Faults === 0 ? NOTHING : formatCount(cpuStage2Faults)),
  },
  {
    title: "clock",
    meaning: "as the guest's own perf stat printed it",
    align: "right",
    dropOrder: 6,
    cell: (run) => orNothing(run.guestClockGHz, formatGHz),
  },
];

/** The columns that say something of these runs, those that always stay among them. */
export const spokenColumns = (
  rows: readonly (readonly [LinuxRun, ModelRun | undefined])[],
): readonly LinuxColumn[] =>
  LINUX_COLUMNS.filter(
    ({ cell, dropOrder }) => dropOrder === 0 || rows.some(([run, model]) => cell(run, model) !== NOTHING),
  );
