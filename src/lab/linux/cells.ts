/** The runs of a matrix: which scenario on which machine, and what each is beside the others. */

import { DEFAULT_SPE } from "../../spe/implementation.ts";
import { FREE_SPE } from "./free-spe.ts";
import { type LinuxScenario, MACHINE, withoutBpfEvents, withoutBpfName } from "./scenario.ts";

/** What executes the guest. */
export type CellMachine =
  | { readonly kind: "bare-metal" }
  | { readonly kind: "free-spe"; readonly profile: string }
  | { readonly kind: "policy"; readonly policy: string; readonly profile: string };

/** One run: plain data but for the scenario's own. */
export interface Cell {
  /** The scenario's name, and that of its variant. */
  readonly scenario: string;
  readonly command: string;
  readonly of: LinuxScenario;
  readonly machine: CellMachine;
}

/** How a machine is called in records and tables. */
export const policyNameOf = (machine: CellMachine): string =>
  machine.kind === "policy" ? machine.policy : machine.kind === "free-spe" ? FREE_SPE.name : "none";

export interface MatrixOptions {
  readonly scenarios: readonly LinuxScenario[];
  readonly policies: readonly string[];
  readonly profiles: readonly string[];
}

/** Policies of whom the variant is run as well: the thread's own, and the one that is best. */
const VARIANT_POLICIES: readonly string[] = ["pin-on-enable", "adaptive"];

const machinesOf = (policies: readonly string[], profiles: readonly string[]): CellMachine[] => [
  { kind: "bare-metal" },
  ...profiles.flatMap((profile): CellMachine[] => [
    { kind: "free-spe", profile },
    ...policies.map((policy): CellMachine => ({ kind: "policy", policy, profile })),
  ]),
];

/** Every run of a matrix, in the order in which it is shown. */
export function cellsOf({ scenarios, policies, profiles }: MatrixOptions): Cell[] {
  const few = policies.length <= VARIANT_POLICIES.length;
  const ofVariant = few ? policies : policies.filter((policy) => VARIANT_POLICIES.includes(policy));
  return scenarios.flatMap((of) => [
    ...machinesOf(policies, profiles).map((machine) => ({
      scenario: of.name,
      command: of.command,
      of,
      machine,
    })),
    ...(of.hasVariant === true ? machinesOf(ofVariant, profiles) : []).map((machine) => ({
      scenario: withoutBpfName(of.name),
      command: withoutBpfEvents(of.command),
      of,
      machine,
    })),
  ]);
}

/** What the machine of a scenario is made with. */
export const machineOf = ({ machine = {} }: LinuxScenario) => ({
  cpus: machine.cpus ?? MACHINE.cpus,
  memoryBytes: machine.memoryBytes ?? MACHINE.memoryBytes,
  host: machine.host ?? {},
  speIntervalOps: machine.speIntervalOps ?? DEFAULT_SPE.intervalOps,
});

/** "thread-a, adaptive, thread-normal". */
export const labelOf = ({ scenario, machine }: Cell): string =>
  machine.kind === "bare-metal"
    ? `${scenario}, bare metal`
    : `${scenario}, ${policyNameOf(machine)}, ${machine.profile}`;
