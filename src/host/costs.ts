/**
 * What host work costs: every cost that host/ and kvm/ may charge, by name. A profile gives each a value, a range and
 * a source (or the word "assumed"); all are whole nanoseconds, so that sums are exact in any order.
 */
import { BrokenInvariant } from "../common/errors.ts";

/** Each cost and what one unit of it is. */
export const COSTS = {
  pinPage: "pin_user_pages(FOLL_LONGTERM) of one present 4 KiB page, accounting included",
  unpinPage: "unpin_user_page of one 4 KiB page",
  pinCall: "one GUP call: mmap lock, VMA look-up",
  faultInPage: "a host fault that allocates and zeroes a 4 KiB page",
  faultInHuge: "a host fault that allocates and zeroes a 2 MiB page",
  swapInPage: "a host fault that reads one page back from swap",
  migratePage: "moving one page's content to another frame",
  splitHuge: "splitting a 2 MiB mapping into 512 entries",
  collapseHuge: "copying 512 pages into a 2 MiB page",
  hostPageWork: "other host mm work on one page: unmapping, write-protecting, marking it PROT_NONE",
  walkDescriptor: "reading one leaf descriptor of guest stage 1 in software",
  walkTable: "reaching one guest table page: the descriptor above, memslot look-up, uaccess",
  stage2Leaf: "installing one stage-2 leaf, page or block, allocations included",
  stage2Check: "finding one page already mapped at stage 2",
  stage2Unmap: "removing one stage-2 leaf",
  tlbi: "one TLBI by IPA or VMID with its DSB, broadcast",
  stage2FaultHandling: "memslot look-up, GUP and locks of one stage-2 fault, without the leaf",
  exit: "one exit to KVM and back: world switch, decoding, emulation (VHE)",
  userExit: "one return of KVM_RUN to user space and back",
  setrlimit: "user space raising RLIMIT_MEMLOCK",
  maintenanceIrq: "the host's handler of a hardware PMBIRQ",
  injectIrq: "queueing one virtual interrupt",
  copyPage: "copying one 4 KiB page",
  armTimer: "arming a host timer (hrtimer_start)",
  timerIrq: "the host's timer interrupt and the callback around what a policy does in it",
  workerWake: "from queueing work to the host worker running it; no vCPU waits for it",
} as const;

/** What guest instructions cost the guest itself, on bare metal too. */
export const GUEST_COSTS = {
  sysreg: "one untrapped system register access",
  drain: "PSB CSYNC; DSB NSH with the records of one sample in flight",
  driverStart: "arm_spe_pmu_start and perf's AUX begin, without the register accesses",
  driverStop: "arm_spe_pmu_stop and perf's AUX end, without the register accesses",
  driverIrq: "arm_spe_pmu_irq_handler and the exception around it, without the register accesses",
} as const;

export type HostCostName = keyof typeof COSTS;
export type GuestCostName = keyof typeof GUEST_COSTS;
export type CostName = HostCostName | GuestCostName;

/** Costs that only a guest's SPE causes: its registers' exits, leaves and invalidations are charged as any others. */
const OF_SPE_ALONE = [
  "pinPage",
  "unpinPage",
  "pinCall",
  "walkDescriptor",
  "walkTable",
  "stage2Check",
  "copyPage",
  "maintenanceIrq",
  "injectIrq",
  "armTimer",
  "timerIrq",
  "workerWake",
] as const satisfies readonly HostCostName[];

/** One cost: ns a unit, the range it is believed to lie in, and where that comes from. */
export interface Cost {
  readonly ns: number;
  readonly lowNs: number;
  readonly highNs: number;
  /** A source, or "assumed". */
  readonly source: string;
}

export interface CostProfile {
  readonly name: string;
  /** One sentence: what machine or kernel it stands for. */
  readonly about: string;
  /** Whether that kernel has lockdep, kmemleak and the like. */
  readonly debugging: boolean;
  readonly costs: Readonly<Record<CostName, Cost>>;
}

/** The numbers alone, as host/ and kvm/ charge them. */
export type CostTable = Readonly<Record<CostName, number>>;

/** Which end of each cost's range a run is charged at; one name alone may be moved. */
export type CostEnd = "value" | "low" | "high";

export const COST_NAMES: readonly CostName[] = [
  ...(Object.keys(COSTS) as HostCostName[]),
  ...(Object.keys(GUEST_COSTS) as GuestCostName[]),
];

/**
 * The ns a unit that a run is charged. The guest's own costs stand on both sides of a slowdown and stay at their values.
 * @param only moves this one cost to `end` and leaves the others at their values
 */
export function costTable(profile: CostProfile, end: CostEnd = "value", only?: CostName): CostTable {
  const table: Partial<Record<CostName, number>> = {};
  for (const name of COST_NAMES) {
    const cost = profile.costs[name];
    const at = !(name in GUEST_COSTS) && (only === undefined || only === name) ? end : "value";
    table[name] = at === "low" ? cost.lowNs : at === "high" ? cost.highNs : cost.ns;
  }
  return table as CostTable;
}

/** Factors by which costs are multiplied. */
export type CostFactors = Readonly<Partial<Record<CostName, number>>>;

/**
 * A profile with some costs multiplied, values and ends of their ranges alike, in whole ns. Its name says so.
 * @param factors none: the profile itself
 */
export function withFactors(profile: CostProfile, factors: CostFactors): CostProfile {
  const named = Object.entries(factors) as [CostName, number][];
  if (named.length === 0) return profile;
  const costs = { ...profile.costs };
  for (const [name, factor] of named) {
    const { ns, lowNs, highNs, source } = costs[name];
    const times = (value: number): number => Math.round(value * factor);
    costs[name] = {
      ns: times(ns),
      lowNs: times(lowNs),
      highNs: times(highNs),
      source: `${source}; times ${factor}`,
    };
  }
  const text = named.map(([name, factor]) => `${name}=${factor}`).join(",");
  return { ...profile, name: `${profile.name} (${text})`, costs };
}

/** The same costs where the host does for nothing what only a guest's SPE has it do. */
export const withFreeSpe = (costs: CostTable): CostTable => ({
  ...costs,
  ...Object.fromEntries(OF_SPE_ALONE.map((name) => [name, 0])),
});

/**
 * Refuses a profile with a cost that is not a whole number of ns, a range that does not hold its value, or no source.
 * @returns the profile itself, so that a declaration can be wrapped in the check
 */
export function checkedProfile(profile: CostProfile): CostProfile {
  for (const name of COST_NAMES) {
    const { ns, lowNs, highNs, source } = profile.costs[name];
    const whole = [ns, lowNs, highNs].every((value) => Number.isSafeInteger(value) && value >= 0);
    if (!whole || lowNs > ns || ns > highNs || source.trim() === "")
      throw new BrokenInvariant(
        `cost profile ${profile.name}: ${name} needs whole ns with low <= value <= high, and a source`,
      );
  }
  return profile;
}
