/** The lab's scripted guest, at the costs of thread-normal and with names that read well in scripts. */
import type { Ipn } from "../src/common/address.ts";
import type { GuestAction } from "../src/guest/scripted-core.ts";
import type { PinPolicy } from "../src/kvm/spe/policy.ts";
import { DEFAULT_CLOCK_GHZ, DEFAULT_IPC } from "../src/lab/scenarios.ts";
import { ramPage, runScripted as runInLab, write } from "../src/lab/scripted.ts";
import type { Machine, MachineOptions } from "../src/vmm/machine.ts";
import { costsOf } from "./invariants/records.ts";

export { enable, remap, sample } from "../src/lab/scripted.ts";

/** Pages for tables come first in RAM. */
const POOL_PAGES = 64;
/** Instructions that the guest executes in a ns. */
export const OPS_PER_NS = DEFAULT_CLOCK_GHZ * DEFAULT_IPC;

export const run = (ns: number): GuestAction => ({ kind: "run", ns });
export const el = (level: 0 | 1): GuestAction => ({ kind: "el", el: level });
export const ipnOf = (n: number): Ipn => ramPage(n);
export const disable: GuestAction = write("PMBLIMITR_EL1", 0n);

export interface ScriptedRun {
  readonly policy: PinPolicy;
  readonly actions: readonly GuestAction[];
  readonly handler?: readonly GuestAction[];
  readonly ramPages: number;
  /** RAM is present and mapped at stage 2 before the first run. */
  readonly touched: boolean;
  readonly maxBufferBytes: number;
  readonly options?: Partial<MachineOptions>;
  readonly onRecordPage?: (page: Ipn, machine: Machine) => void;
}

/** Runs a guest with one vCPU and all of its RAM mapped at stage 1 to its end; the caller destroys the machine. */
export const runScripted = ({ touched, maxBufferBytes, options, ...of }: ScriptedRun): Machine =>
  runInLab({
    ...of,
    costs: costsOf("thread-normal"),
    mappedPages: of.ramPages,
    poolPages: POOL_PAGES,
    ram: touched ? "mapped" : "untouched",
    options: { maxBufferBytes, ...options },
  });
