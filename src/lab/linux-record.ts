/** The record of a run of real code (report/run.ts), from what its session has counted. */
import { formatBytes } from "../common/sizes.ts";
import { type Core, EXCEPTION_CYCLES } from "../cpu/core.ts";
import type { CodeFigures } from "../vmm/figures.ts";
import type { Session, Stopped } from "../vmm/guest-session.ts";
import type { HostConfig, MachineConfig } from "../vmm/machine-config.ts";
import { BARE_METAL } from "./linux/baseline.ts";
import { parsePerfStat } from "./linux/perf-stat.ts";
import { commonOf, exitReasonsOf } from "./record.ts";
import type { LinuxRun, RealMachine } from "./report/run.ts";

const hex = (value: bigint): string => `0x${value.toString(16)}`;

/** The storm of exceptions that a core is in, with the last one's registers; null where it is in none. */
function stormOf({ exceptions: { storm }, state }: Core): RealMachine["vcpus"][number]["storm"] {
  if (storm === undefined) return null;
  return {
    ...storm,
    esr: hex(state.get64("ESR_EL1")),
    elr: hex(state.get64("ELR_EL1")),
    far: hex(state.get64("FAR_EL1")),
    vbar: hex(state.get64("VBAR_EL1")),
  };
}

/** What all cores counted. */
function sumsOf({ cores }: CodeFigures) {
  const sum = (name: keyof CodeFigures["cores"][number]): number =>
    cores.reduce((total, core) => total + core[name], 0);
  return {
    instructions: sum("instructions"),
    el0: sum("el0"),
    el1: sum("el1"),
    exceptions: sum("exceptions"),
  };
}

/** What the machine assumes, one sentence each. */
const assumptionsOf = (
  { clockGHz, memoryBytes, spe, host }: MachineConfig,
  isBareMetal: boolean,
): string[] => [
  `An instruction takes a cycle, ${1 / clockGHz} ns; taking an exception ${EXCEPTION_CYCLES} more.`,
  `SPE ${spe.version}: what records say of caches, TLB, prediction and latencies is models'; nothing else takes time for it.`,
  `From PMBIRQ to its being taken: ${host.irqLatencyNs} ns.`,
  ...(isBareMetal
    ? [
        `Bare metal with ${formatBytes(memoryBytes)} of memory: no EL2, no stage 2, nothing is trapped or charged.`,
      ]
    : ofHost(memoryBytes, host)),
];

const unlimitedOr = (bytes: number | null): string => (bytes === null ? "unlimited" : formatBytes(bytes));

function ofHost(memoryBytes: number, host: HostConfig): string[] {
  const { memlockBytes, memlockMaxBytes, maxBufferBytes, physicalAddresses, pressure } = host;
  return [
    `The guest has ${formatBytes(memoryBytes)} of memory; RLIMIT_MEMLOCK: ${unlimitedOr(memlockBytes)}, raised to ${unlimitedOr(memlockMaxBytes)}.`,
    ...(maxBufferBytes === null ? [] : [`KVM allows buffers of ${formatBytes(maxBufferBytes)}.`]),
    ...(physicalAddresses ? ["Physical addresses in records are the host's, not the guest's."] : []),
    ...(pressure === null
      ? []
      : [`The host does ${pressure.kinds.join(" and ")} ${pressure.perSecond} times a second.`]),
  ];
}

/** What whoever had a command run knows of it, and its machine does not. */
export interface CommandFacts {
  /** perf's -m. */
  readonly bufferBytes?: number;
  /** All that it has printed: `perf stat`'s counts are looked for. */
  readonly printed?: string;
  /** How far its samples are from what was executed, where that was counted. */
  readonly fidelity?: LinuxRun["fidelity"];
}

/** Switches of tasks on all cores; null: none were seen, as of a kernel that is not built with PID_IN_CONTEXTIDR. */
const switchesOf = ({ cores }: CodeFigures): number | null =>
  cores.reduce((sum, { contextSwitches }) => sum + contextSwitches, 0) || null;

/**
 * The record of what a session's machine was there for, checked by whoever writes it.
 * @param scenario what ran, for people: the command, or "console"
 * @param fidelity how far its samples are from the exact profile, where that was counted
 */
export function linuxRecordOf(
  session: Session,
  scenario: string,
  stopped: Stopped,
  { bufferBytes, printed = "", fidelity = null }: CommandFacts = {},
): LinuxRun {
  const { config, vm, status, isBareMetal } = session;
  const { before, counted, said } = session.work;
  const { machine } = vm;
  return {
    ...commonOf(machine, counted, counted.nowNs),
    fidelity,
    // An empty command is one, too.
    scenario: scenario === "" ? "''" : scenario,
    guest: "linux",
    policy: isBareMetal ? BARE_METAL : config.policy,
    profile: isBareMetal ? BARE_METAL : config.profile,
    seed: config.seed,
    assumptions: assumptionsOf(config, isBareMetal),
    warnings: [...machine.warnings],
    bufferBytes: bufferBytes ?? null,
    pageBytes: null,
    backing: machine.backing,
    baseline: null,
    bareMetalWallNs: null,
    slowdown: null,
    machine: {
      cpus: config.cpus,
      memoryBytes: config.memoryBytes,
      startSeconds: config.startSeconds,
      shares: [...config.shares],
      disks: config.disks.map(({ id, mode }) => ({ id, mode })),
      ended: stopped,
      status: status ?? null,
      ...sumsOf(counted),
      vcpus: counted.cores.map(({ contextSwitches: _, ...core }, i) => {
        const { core: stopped } = vm.cores[i]!;
        return { ...core, pc: hex(stopped.state.pc), el: stopped.state.el, storm: stormOf(stopped) };
      }),
      undefined: Object.fromEntries(Object.entries(counted.undefined).filter(([, times]) => times > 0)),
      console: [...said.last],
      boot:
        before === null
          ? null
          : {
              wallNs: before.nowNs,
              ...sumsOf(before),
              cpuStage2Faults: before.exitReasons.DABT ?? 0,
              exitReasons: exitReasonsOf(before),
            },
    },
    model: null,
    contextSwitches: switchesOf(counted),
    memlockLimitBytes: isBareMetal ? null : config.host.memlockMaxBytes,
    guestClockGHz: parsePerfStat(printed)?.clockGHz ?? null,
    guestComplaints: [...said.complaints],
  };
}
