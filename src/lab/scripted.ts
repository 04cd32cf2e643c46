/**
 * A VM with one vCPU whose guest does what a script says, for what Linux's driver would not do: edits of its own
 * stage 1 at the wrong moment, buffers all over memory.
 */
import { stage1Leaf } from "../arm/descriptors.ts";
import { PMBLIMITR_EL1, PMSCR_EL1, PMSIRR_EL1, type SpeRegisterName } from "../arm/registers.ts";
import { type Ipn, ipn, PAGE_BYTES, vpn } from "../common/address.ts";
import { RAM_FIRST_IPN } from "../guest/memory.ts";
import { ModelPe } from "../guest/pe.ts";
import { type GuestAction, ScriptedCore } from "../guest/scripted-core.ts";
import { ScriptedTables } from "../guest/scripted-memory.ts";
import { modelWorkload } from "../guest/workload.ts";
import type { CostTable } from "../host/costs.ts";
import type { PinPolicy } from "../kvm/spe/policy.ts";
import { Machine, type MachineOptions } from "../vmm/machine.ts";
import { PMBIRQ_INTID } from "../vmm/spe-device.ts";
import { DEFAULT_CLOCK_GHZ, DEFAULT_IPC, DEFAULT_IRQ_LATENCY_NS } from "./scenarios.ts";

/** The VA page of RAM's page 0. */
const MAP_FIRST = 0xffff_8000_8000_0n;
const LEAF = stage1Leaf();
const SEED = 1;

/** RAM's pages that hold the guest's tables; what a script uses comes after them. */
export const TABLE_POOL_PAGES = 192;

/** RAM's page `n`. */
export const ramPage = (n: number): Ipn => ipn(RAM_FIRST_IPN + n);

/** The VA at which RAM's page `n` is mapped at the start. */
const vaOfPage = (n: number): bigint => (MAP_FIRST + BigInt(n)) << 12n;

export const write = (register: SpeRegisterName, value: bigint): GuestAction => ({
  kind: "write",
  register,
  value,
});

/** Turns a buffer of `pages` on, at the VA of RAM's page `first`. */
export const enable = (first: number, pages: number): GuestAction[] => [
  write("PMBPTR_EL1", vaOfPage(first)),
  write("PMBLIMITR_EL1", PMBLIMITR_EL1.with(0n, { LIMIT: vaOfPage(first + pages) >> 12n, E: 1 })),
];

export const DISABLE: readonly GuestAction[] = [{ kind: "psb" }, write("PMBLIMITR_EL1", 0n)];

/** Samples every `period` ops, at EL0 or at EL0 and EL1. */
export const sample = (period: number, el1 = false): GuestAction[] => [
  write("PMSIRR_EL1", PMSIRR_EL1.with(0n, { INTERVAL: BigInt(period >> 8) })),
  write("PMSCR_EL1", PMSCR_EL1.with(0n, { E0SPE: 1, E1SPE: el1 })),
];

/** Maps RAM's pages from `to` on where the VAs of those from `at` on are: break before make. */
export function remap(at: number, to: number, pages = 1): GuestAction[] {
  const edit = {
    kind: "edit",
    space: 0,
    first: vpn(Number(MAP_FIRST) + at),
    entries: pages,
    level: 3,
    leaf: LEAF,
  } as const;
  return [
    { ...edit, output: undefined },
    { kind: "tlbi" },
    { ...edit, output: ramPage(to) },
    { kind: "tlbi" },
  ];
}

export interface ScriptedVm {
  readonly policy: PinPolicy;
  readonly costs: CostTable;
  readonly actions: readonly GuestAction[];
  readonly ramPages: number;
  /** How many of RAM's pages, from the first, are mapped at stage 1 before the guest runs. */
  readonly mappedPages: number;
  /** What it does at PMBIRQ; without, it masks the interrupt. */
  readonly handler?: readonly GuestAction[];
  /** RAM's first pages, for tables. Default TABLE_POOL_PAGES. */
  readonly poolPages?: number;
  /** What has become of RAM before the guest runs: in the host only (the default), at stage 2 as well, or nothing. */
  readonly ram?: "present" | "mapped" | "untouched";
  readonly options?: Partial<MachineOptions>;
  /** Called with each page that a record is written to. */
  readonly onRecordPage?: (page: Ipn, machine: Machine) => void;
}

/** Runs the guest to its end. The caller destroys the machine. */
export function runScripted(of: ScriptedVm): Machine {
  const { ramPages, mappedPages, ram = "present", poolPages = TABLE_POOL_PAGES } = of;
  const machine: Machine = new Machine({
    memoryPages: ramPages,
    firstIpn: RAM_FIRST_IPN,
    backing: "base",
    costs: of.costs,
    policy: of.policy,
    memlockBytes: Number.POSITIVE_INFINITY,
    memlockMaxBytes: Number.POSITIVE_INFINITY,
    maxBufferBytes: ramPages * PAGE_BYTES,
    irqLatencyNs: DEFAULT_IRQ_LATENCY_NS,
    seed: SEED,
    onRecordPage: (page) => of.onRecordPage?.(page, machine),
    ...of.options,
  });
  const isRam = (page: Ipn): boolean => page >= RAM_FIRST_IPN && page < RAM_FIRST_IPN + ramPages;
  const pool = Array.from({ length: poolPages }, (_, n) => ramPage(n));
  const space = new ScriptedTables({
    pageBytes: PAGE_BYTES,
    vaBits: 48,
    half: "upper",
    hardwareUpdates: false,
    pool,
  });
  if (ram !== "untouched")
    machine.touch(
      Array.from({ length: ramPages }, (_, n) => ramPage(n)),
      ram === "mapped",
    );
  const before = machine.pristineMemory;
  for (let n = poolPages; n < mappedPages; n++)
    space.edit(before, isRam, vpn(Number(MAP_FIRST) + n), 3, { ...LEAF, output: ramPage(n) });
  const cores: ScriptedCore[] = [];
  machine.addVcpus(1, (hardware) => {
    const core = new ScriptedCore({
      pe: new ModelPe(hardware, { regime: space.regime, seed: SEED, storeRecords: false }),
      script: {
        actions: of.actions,
        handler: of.handler ?? [],
        mostInterrupts: of.handler === undefined ? 0 : Number.POSITIVE_INFINITY,
      },
      spaces: [space],
      peers: cores,
      workload: modelWorkload(DEFAULT_CLOCK_GHZ * DEFAULT_IPC, SEED),
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
