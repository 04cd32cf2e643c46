/** What a run of a machine comes to, as data and in a few lines. */
import { formatNs } from "../../common/sizes.ts";
import { TIME_KINDS } from "../../common/timeline.ts";
import type { Core } from "../../cpu/core.ts";
import type { Stopped } from "../../vmm/guest-session.ts";
import type { MachineConfig } from "../../vmm/machine-config.ts";
import type { VirtualMachine } from "../../vmm/virtual-machine.ts";
import { VERSION } from "../version.ts";

const MACHINE_SCHEMA = "spevisor.machine/1";

/** Where this computer's time went; all of it differs from run to run. */
export interface HostTimes {
  /** Until the machine stood: files read, interpreter made, memory filled. */
  readonly startNs: number;
  readonly runNs: number;
  /** Instructions that were executed here, not before the snapshot. */
  readonly instructions: number;
  readonly snapshot: "none" | "restored" | "saved";
}

const hex = (value: bigint): string => `0x${value.toString(16)}`;

/** The storm of exceptions that a core is in, with the last one's registers; null where it is in none. */
function stormOf({ exceptions: { storm }, state }: Core) {
  if (storm === undefined) return null;
  return {
    ...storm,
    esr: hex(state.get64("ESR_EL1")),
    elr: hex(state.get64("ELR_EL1")),
    far: hex(state.get64("FAR_EL1")),
    vbar: hex(state.get64("VBAR_EL1")),
  };
}

const STORM_WORDS = {
  nested: "a storm of exceptions: %n, none of which has returned",
  repeated: "a storm of exceptions: %n in a row, each of which returned to the next",
} as const;

/** @param status the command's, where one ended */
export function recordOf(
  vm: VirtualMachine,
  config: MachineConfig,
  outcome: { readonly stopped: Stopped; readonly status: number | undefined; readonly host: HostTimes },
) {
  const { statistics } = vm.machine.spe;
  const { stopped, status, host } = outcome;
  const exits = [...statistics.exitReasons].sort(([, a], [, b]) => b - a);
  return {
    schema: MACHINE_SCHEMA,
    version: VERSION,
    machine: config,
    ended: stopped,
    ...(status === undefined ? {} : { status }),
    instructions: vm.instructions,
    guestNs: vm.machine.nowNs,
    /** Accesses of the cores that stage 2 did not map. */
    stage2Faults: statistics.exitReasons.get("DABT") ?? 0,
    exits: Object.fromEntries(exits),
    vcpus: vm.machine.vcpus.map(({ timeline }, i) => {
      const core = vm.cores[i]!.core;
      const [el0, el1] = core.executedByLevel;
      return {
        instructions: core.executed,
        el0,
        el1,
        exceptions: core.exceptions.taken,
        /** Where it stopped. */
        pc: hex(core.state.pc),
        el: core.state.el,
        storm: stormOf(core),
        ns: timeline.nowNs,
        spentNs: Object.fromEntries(TIME_KINDS.map((kind) => [kind, timeline.spentNs(kind)])),
      };
    }),
    /** Encodings that the core does not have, by word. */
    undefined: Object.fromEntries(
      [...vm.code.undefinedWords].map(([word, times]) => [`0x${word.toString(16).padStart(8, "0")}`, times]),
    ),
    host: {
      startNs: host.startNs,
      runNs: host.runNs,
      snapshot: host.snapshot,
      instructions: host.instructions,
      mips: Math.round((host.instructions / host.runNs) * 1e4) / 10,
    },
  };
}

export type MachineRecord = ReturnType<typeof recordOf>;

const count = (value: number): string => value.toLocaleString("en");

/** A few lines for people. */
export function summaryOf({ host, vcpus, exits, ...record }: MachineRecord): string {
  const spent = new Map<string, number>();
  for (const { spentNs } of vcpus)
    for (const [kind, ns] of Object.entries(spentNs)) spent.set(kind, (spent.get(kind) ?? 0) + ns);
  const kinds = [...spent]
    .filter(([, ns]) => ns > 0)
    .sort(([, a], [, b]) => b - a)
    .map(([kind, ns]) => `${kind} ${formatNs(ns)}`);
  const reasons = Object.entries(exits)
    .slice(0, 6)
    .map(([reason, times]) => `${reason} ${count(times)}`);
  const started = host.snapshot === "restored" ? "restored" : "started";
  const lines = [
    `${count(host.instructions)} instructions in ${formatNs(host.runNs)} (${host.mips} MIPS), ${started} in ${formatNs(host.startNs)}`,
    `${formatNs(record.guestNs)} of the guest's time; vCPUs: ${kinds.join(", ")}`,
    `${count(record.stage2Faults)} stage-2 faults; exits: ${reasons.join(", ")}`,
  ];
  const unknown = Object.entries(record.undefined);
  if (unknown.length > 0)
    lines.push(
      `UNDEFINED on this core: ${unknown
        .slice(0, 8)
        .map(([word, times]) => `${word} ${count(times)}`)
        .join(", ")}`,
    );
  if (record.ended !== "done" && record.ended !== "off")
    for (const [i, { pc, el, storm }] of vcpus.entries()) {
      lines.push(`vCPU ${i} stopped at ${pc}, EL${el}`);
      if (storm !== null)
        lines.push(
          `vCPU ${i} is in ${STORM_WORDS[storm.kind].replace("%n", count(storm.exceptions))}; the last: ` +
            `ESR_EL1 ${storm.esr}, ELR_EL1 ${storm.elr}, FAR_EL1 ${storm.far}, VBAR_EL1 ${storm.vbar}`,
        );
    }
  return lines.map((line) => `spevisor: ${line}\n`).join("");
}
