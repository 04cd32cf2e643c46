/** Runs a scenario under a policy with every invariant checked along the way. */
import type { Ipn } from "../../common/address.ts";
import { BrokenInvariant, UserError } from "../../common/errors.ts";
import { TIME_KINDS } from "../../common/timeline.ts";
import { RAM_FIRST_IPN } from "../../guest/memory.ts";
import { ModelPe } from "../../guest/pe.ts";
import { type Script, ScriptedCore } from "../../guest/scripted-core.ts";
import { ScriptedTables } from "../../guest/scripted-memory.ts";
import { modelWorkload } from "../../guest/workload.ts";
import { POLICIES } from "../../kvm/spe/policies/index.ts";
import type { PinPolicy } from "../../kvm/spe/policy.ts";
import type { Tracer } from "../../kvm/trace.ts";
import type { CoreFactory } from "../../kvm/vcpu.ts";
import { PMBIRQ_INTID } from "../../kvm/wires.ts";
import type { TableMemory } from "../../mmu/table-memory.ts";
import { Machine } from "../../vmm/machine.ts";
import { InvariantChecker } from "./check.ts";
import { Ledger } from "./ledger.ts";
import { randomPolicy } from "./random-policy.ts";
import type { InvariantScenario } from "./scenario.ts";

/** The policy that a seed runs under: each registered one in turn, and one that asks for anything. */
export function policyOf(seed: number): PinPolicy {
  return POLICIES[seed % (POLICIES.length + 1)] ?? randomPolicy(seed);
}

export interface ScenarioRunOptions {
  /** As MachineOptions.extents. */
  readonly extents?: boolean;
  readonly trace?: Tracer;
}

/** What a run came across, and what it came to. */
export interface ScenarioOutcome {
  readonly reached: Readonly<Record<ReachedName, boolean>>;
  /** Everything that a report could tell, for comparing two runs. */
  readonly digest: string;
  /** User space gave up: the scenario's memlock does not suffice. */
  readonly gaveUp: boolean;
  readonly steps: number;
}

export const REACHED_NAMES = [
  "a notifier on a pinned page",
  "an RLIMIT exit",
  "a stage-2 fault on a record",
  "a table edited while E=1",
  "two vCPUs sharing a page",
  "a copy out of a bounce buffer",
] as const;
export type ReachedName = (typeof REACHED_NAMES)[number];

/** Instructions a ns: any rate will do. */
const OPS_PER_NS = 2.5;
/** A vCPU that enters its guest so often without an instant passing hangs. */
const MOST_IDLE_ENTRIES = 20_000;

/** User space's own unmapping of guest pages, when it is due. */
class Munmaps {
  /** Pages of guest memory that are gone. */
  readonly gone = new Set<number>();
  readonly #machine: Machine;
  readonly #left: { readonly atNs: number; readonly page: number }[];

  constructor(machine: Machine, munmaps: InvariantScenario["munmaps"]) {
    this.#machine = machine;
    // A memslot over guest_memfd does not look at the VMM's mappings.
    this.#left = machine.backing === "guest-memfd" ? [] : [...munmaps];
  }

  doDue(): void {
    const { vcpus, vm, mm, host } = this.#machine;
    const nowNs = Math.min(...vcpus.map(({ timeline }) => timeline.nowNs));
    for (let next = this.#left[0]; next !== undefined && next.atNs <= nowNs; next = this.#left[0]) {
      this.#left.shift();
      const page = RAM_FIRST_IPN + next.page;
      this.gone.add(page);
      mm.munmap(vm.memslots.hostPageOf(page as Ipn), 1, host);
    }
  }
}

/** The guest's address spaces, with what is mapped before time begins. */
function spacesOf(
  { spaces, pageBytes }: InvariantScenario,
  memory: TableMemory<Ipn>,
  isRam: (page: Ipn) => boolean,
): ScriptedTables[] {
  const tables = spaces.map(
    ({ vaBits, half, hardwareUpdates, pool }) =>
      new ScriptedTables({ pageBytes, vaBits, half, hardwareUpdates, pool }),
  );
  for (const { setup } of spaces)
    for (const edit of setup)
      for (let i = 0; i < edit.entries; i++) {
        const space = tables[edit.space] as ScriptedTables;
        const step = i * (space.config.entryPages[edit.level] as number);
        const leaf =
          edit.output === undefined ? undefined : { ...edit.leaf, output: (edit.output + step) as Ipn };
        space.edit(memory, isRam, space.pageAt(edit.first - space.config.firstPage + step), edit.level, leaf);
      }
  return tables;
}

/** Makes the scripted cores, which end up in `cores`; `onRun` is called before each goes on. */
function coreFactory(
  scenario: InvariantScenario,
  spaces: readonly ScriptedTables[],
  isRam: (page: Ipn) => boolean,
  cores: ScriptedCore[],
  onRun: (vcpu: number) => void,
): CoreFactory {
  return (hardware) => {
    const pe = new ModelPe(hardware, {
      regime: (spaces[0] as ScriptedTables).regime,
      seed: scenario.seed,
      storeRecords: scenario.storeRecords,
    });
    const core = new ScriptedCore({
      pe,
      script: scenario.scripts[hardware.vcpu] as Script,
      spaces,
      peers: cores,
      workload: modelWorkload(OPS_PER_NS, scenario.seed + hardware.vcpu),
      isRam,
      pmbirq: PMBIRQ_INTID,
    });
    cores.push(core);
    let lastNs = -1;
    let entries = 0;
    const run = core.run.bind(core);
    core.run = (untilNs) => {
      entries = hardware.timeline.nowNs === lastNs ? entries + 1 : 0;
      lastNs = hardware.timeline.nowNs;
      if (entries > MOST_IDLE_ENTRIES)
        throw new BrokenInvariant(`vCPU ${hardware.vcpu} hangs at ${lastNs} ns`);
      onRun(hardware.vcpu);
      return run(untilNs);
    };
    return core;
  };
}

/** Runs a machine to its end. Returns whether user space gave up. */
function runToEnd(machine: Machine, cores: readonly ScriptedCore[], add: () => void): boolean {
  let ledgers: Ledger[] = [];
  try {
    add();
    ledgers = machine.vcpus.map((vcpu, i) => new Ledger(vcpu, cores[i] as ScriptedCore));
    machine.start();
    machine.run();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return true;
  }
  for (const ledger of ledgers) ledger.close();
  return false;
}

/**
 * @throws InvariantBroken where an invariant does not hold, BrokenInvariant where the machine itself sees that
 *   something is wrong
 */
export function runScenario(
  scenario: InvariantScenario,
  policy: PinPolicy,
  options: ScenarioRunOptions = {},
): ScenarioOutcome {
  const { memoryPages, movable } = scenario;
  let steps = 0;
  const machine = new Machine({
    memoryPages,
    firstIpn: RAM_FIRST_IPN,
    backing: scenario.backing,
    costs: scenario.costs,
    policy,
    memlockBytes: scenario.memlockBytes,
    memlockMaxBytes: scenario.memlockMaxBytes,
    maxBufferBytes: scenario.maxBufferBytes,
    irqLatencyNs: scenario.irqLatencyNs,
    seed: scenario.seed,
    extents: options.extents ?? true,
    pressure: scenario.pressure[Symbol.iterator](),
    onRecordPage: (page, frame) => checker.recordPage(page, frame),
    onStep: () => {
      steps += 1;
      munmaps.doDue();
      checker.afterStep();
    },
    ...(options.trace === undefined ? {} : { trace: options.trace }),
  });
  const munmaps = new Munmaps(machine, scenario.munmaps);
  machine.mm.setMovable(machine.vm.memslots.hostPageOf(RAM_FIRST_IPN) + movable.first, movable.pages, true);
  // KVM takes a maximum only for a buffer that it traps (ENXIO).
  const checker = new InvariantChecker(machine, policy.trapsBuffer ? scenario.maxBufferBytes : undefined);
  const isRam = (page: Ipn): boolean =>
    page >= RAM_FIRST_IPN && page < RAM_FIRST_IPN + memoryPages && !munmaps.gone.has(page);
  if (scenario.touched)
    machine.touch(
      Array.from({ length: memoryPages }, (_, i) => RAM_FIRST_IPN + i),
      true,
    );
  const spaces = spacesOf(scenario, machine.pristineMemory, isRam);
  const cores: ScriptedCore[] = [];
  const factory = coreFactory(scenario, spaces, isRam, cores, (index) => {
    const vcpu = machine.vcpus[index];
    if (vcpu !== undefined) checker.beforeGuestRuns(vcpu);
  });
  const gaveUp = runToEnd(machine, cores, () => {
    machine.addVcpus(scenario.scripts.length, factory);
    for (const vcpu of machine.vcpus) checker.watchWalks(vcpu);
  });
  const digest = digestOf(machine, cores);
  machine.destroy();
  checker.afterDestroy();
  return {
    reached: {
      "a notifier on a pinned page": checker.reached.notifierOnPinned,
      "an RLIMIT exit": machine.rlimitExits > 0,
      "a stage-2 fault on a record": machine.spe.statistics.recordStage2Faults > 0,
      "a table edited while E=1": cores.some((core) => core.editsWhileEnabled > 0),
      "two vCPUs sharing a page": checker.reached.sharedPage,
      "a copy out of a bounce buffer": checker.reached.bounced,
    },
    digest,
    gaveUp,
    steps,
  };
}

function digestOf(machine: Machine, cores: readonly ScriptedCore[]): string {
  const { vm, spe, memlock } = machine;
  return JSON.stringify({
    vcpus: machine.vcpus.map(({ timeline, truth }, i) => ({
      nowNs: timeline.nowNs,
      spent: TIME_KINDS.map((kind) => timeline.spentNs(kind)),
      truth: { ...truth },
      spu: cores[i]?.spu.counters,
      interrupts: cores[i]?.interrupts,
    })),
    statistics: {
      ...spe.statistics,
      exitReasons: [...spe.statistics.exitReasons],
      invalidations: [...vm.invalidations],
    },
    memlock: [memlock.currentBytes, memlock.markBytes, memlock.limitBytes],
    rlimitExits: machine.rlimitExits,
    hostNs: machine.host.nowNs,
    workerNs: spe.workers.timelines.map(({ nowNs }) => nowNs),
  });
}
