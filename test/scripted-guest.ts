/** A guest that does what a test writes down, on a machine that the test can look into. */
import { stage1Leaf } from "../src/arm/descriptors.ts";
import { PMBLIMITR_EL1, PMSCR_EL1, PMSIRR_EL1, type SpeRegisterName } from "../src/arm/registers.ts";
import { type Ipn, PAGE_BYTES, vpn } from "../src/common/address.ts";
import { RAM_FIRST_IPN } from "../src/guest/memory.ts";
import { ModelPe } from "../src/guest/pe.ts";
import { type GuestAction, ScriptedCore } from "../src/guest/scripted-core.ts";
import { ScriptedTables } from "../src/guest/scripted-memory.ts";
import { modelWorkload } from "../src/guest/workload.ts";
import type { PinPolicy } from "../src/kvm/spe/policy.ts";
import { Machine, type MachineOptions, PMBIRQ_INTID } from "../src/vmm/machine.ts";
import { costsOf } from "./invariants/records.ts";

/** Where the guest maps all of its RAM, page by page: RAM's page n at VA page MAP_FIRST + n. */
export const MAP_FIRST = 0xffff_8000_8000_0n;
/** Pages for tables come first in RAM. */
const POOL_PAGES = 64;
const LEAF = stage1Leaf();
/** Instructions that the guest executes in a ns. */
export const OPS_PER_NS = 2.5;

export const write = (register: SpeRegisterName, value: bigint): GuestAction => ({
  kind: "write",
  register,
  value,
});
export const run = (ns: number): GuestAction => ({ kind: "run", ns });

export const el = (level: 0 | 1): GuestAction => ({ kind: "el", el: level });

/** RAM's page `n` as its VA. */
export const vaOf = (n: number): bigint => (MAP_FIRST + BigInt(n)) << 12n;
export const ipnOf = (n: number): Ipn => (RAM_FIRST_IPN + n) as Ipn;

/** Turns a buffer of `pages` pages from RAM's page `first` on. */
export const enable = (first: number, pages: number): GuestAction[] => [
  write("PMBPTR_EL1", vaOf(first)),
  write("PMBLIMITR_EL1", PMBLIMITR_EL1.with(0n, { LIMIT: vaOf(first + pages) >> 12n, E: 1 })),
];
export const disable: GuestAction = write("PMBLIMITR_EL1", 0n);
/** Profiling of EL0 alone (or of EL1 too), a sample every `period` instructions. */
export const sample = (period: number, el1 = false): GuestAction[] => [
  write("PMSIRR_EL1", PMSIRR_EL1.with(0n, { INTERVAL: BigInt(period >> 8) })),
  write("PMSCR_EL1", PMSCR_EL1.with(0n, { E0SPE: 1, E1SPE: el1 ? 1 : 0 })),
];
/** Maps RAM's page `to` where its page `at` was: break before make. */
export const remap = (at: number, to: number): GuestAction[] => {
  const edit = {
    kind: "edit",
    space: 0,
    first: vpn(Number(MAP_FIRST) + at),
    entries: 1,
    level: 3,
    leaf: LEAF,
  } as const;
  return [{ ...edit, output: undefined }, { kind: "tlbi" }, { ...edit, output: ipnOf(to) }, { kind: "tlbi" }];
};

export interface ScriptedRun {
  readonly policy: PinPolicy;
  readonly actions: readonly GuestAction[];
  readonly handler?: readonly GuestAction[];
  readonly ramPages: number;
  /** RAM is present and mapped at stage 2 before the first run. */
  readonly touched: boolean;
  readonly maxBufferBytes: number;
  readonly options?: Partial<MachineOptions>;
  /** Called with each page that a record is written to. */
  readonly onRecordPage?: (page: Ipn, machine: Machine) => void;
}

/** Runs a guest with one vCPU to its end; the caller destroys the machine. */
export function runScripted(of: ScriptedRun): Machine {
  const { ramPages, touched } = of;
  const machine: Machine = new Machine({
    memoryPages: ramPages,
    firstIpn: RAM_FIRST_IPN,
    backing: "base",
    costs: costsOf("thread-normal"),
    policy: of.policy,
    memlockBytes: Number.POSITIVE_INFINITY,
    memlockMaxBytes: Number.POSITIVE_INFINITY,
    maxBufferBytes: of.maxBufferBytes,
    irqLatencyNs: 2_000,
    seed: 1,
    onRecordPage: (page) => of.onRecordPage?.(page, machine),
    ...of.options,
  });
  const all = Array.from({ length: ramPages }, (_, n) => ipnOf(n));
  const isRam = (page: Ipn): boolean => page >= RAM_FIRST_IPN && page < RAM_FIRST_IPN + ramPages;
  const space = new ScriptedTables({
    pageBytes: PAGE_BYTES,
    vaBits: 48,
    half: "upper",
    hardwareUpdates: false,
    pool: all.slice(0, POOL_PAGES),
  });
  if (touched) machine.touch(all, true);
  const before = machine.pristineMemory;
  for (let n = POOL_PAGES; n < ramPages; n++)
    space.edit(before, isRam, vpn(Number(MAP_FIRST) + n), 3, { ...LEAF, output: ipnOf(n) });
  const cores: ScriptedCore[] = [];
  machine.addVcpus(1, (hardware) => {
    const pe = new ModelPe(hardware, { regime: space.regime, seed: 1, storeRecords: false });
    const core = new ScriptedCore({
      pe,
      script: {
        actions: of.actions,
        handler: of.handler ?? [],
        mostInterrupts: of.handler === undefined ? 0 : 1e9,
      },
      spaces: [space],
      peers: cores,
      workload: modelWorkload(OPS_PER_NS, 1),
      isRam,
      pmbirq: PMBIRQ_INTID,
    });
    cores.push(core);
    return core;
  });
  machine.start();
  machine.run();
  return machine;
}
