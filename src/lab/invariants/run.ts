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
import { Machine } from "../../vmm/machine.ts";
import { PMBIRQ_INTID } from "../../vmm/spe-device.ts";
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

/**
 * @throws InvariantBroken where an invariant does not hold, BrokenInvariant where the machine itself sees that
 *   something is wrong
 */
export function runScenario(
  scenario: InvariantScenario,
  policy: PinPolicy,
  options: ScenarioRunOptions = {},
): ScenarioOutcome {
  const { memoryPages, spaces } = scenario;
  // A memslot over guest_memfd does not look at the VMM's mappings.
  const backing = policy.backing ?? scenario.backing;
  const munmaps = backing === "guest-memfd" ? [] : [...scenario.munmaps];
  const gone = new Set<number>();
  let steps = 0;
  let checker: InvariantChecker | undefined;
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
    onRecordPage: (page, frame) => checker?.recordPage(page, frame),
    onStep: () => {
      steps += 1;
      unmapDue();
      checker?.afterStep();
    },
    ...(options.trace === undefined ? {} : { trace: options.trace }),
  });
  const { vm, mm } = machine;
  const hostOf = (page: number): number => vm.memslots.hostPageOf((RAM_FIRST_IPN + page) as Ipn);
  const unmapDue = (): void => {
    const nowNs = Math.min(...machine.vcpus.map(({ timeline }) => timeline.nowNs));
    for (let next = munmaps[0]; next !== undefined && next.atNs <= nowNs; next = munmaps[0]) {
      munmaps.shift();
      gone.add(RAM_FIRST_IPN + next.page);
      mm.munmap(hostOf(next.page), 1, machine.host);
    }
  };
  mm.setMovable(hostOf(0) + scenario.movable.first, scenario.movable.pages, true);
  // KVM takes a maximum only for a buffer that it traps (ENXIO).
  checker = new InvariantChecker(machine, policy.trapsBuffer ? scenario.maxBufferBytes : undefined);
  const isRam = (page: Ipn): boolean =>
    page >= RAM_FIRST_IPN && page < RAM_FIRST_IPN + memoryPages && !gone.has(page);
  const tables = spaces.map(
    ({ vaBits, half, hardwareUpdates, pool }) =>
      new ScriptedTables({ pageBytes: scenario.pageBytes, vaBits, half, hardwareUpdates, pool }),
  );
  const before = machine.pristineMemory;
  const every = Array.from({ length: memoryPages }, (_, i) => RAM_FIRST_IPN + i);
  if (scenario.touched) machine.touch(every, true);
  for (const { setup } of spaces)
    for (const edit of setup)
      for (let i = 0; i < edit.entries; i++) {
        const space = tables[edit.space] as ScriptedTables;
        const step = i * (space.config.entryPages[edit.level] as number);
        const leaf =
          edit.output === undefined ? undefined : { ...edit.leaf, output: (edit.output + step) as Ipn };
        space.edit(before, isRam, space.pageAt(edit.first - space.config.firstPage + step), edit.level, leaf);
      }

  const cores: ScriptedCore[] = [];
  const factory: CoreFactory = (hardware) => {
    const pe = new ModelPe(hardware, {
      regime: (tables[0] as ScriptedTables).regime,
      seed: scenario.seed,
      storeRecords: scenario.storeRecords,
    });
    const core = new ScriptedCore({
      pe,
      script: scenario.scripts[hardware.vcpu] as Script,
      spaces: tables,
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
      const vcpu = machine.vcpus[hardware.vcpu];
      if (vcpu !== undefined) checker?.beforeGuestRuns(vcpu);
      return run(untilNs);
    };
    return core;
  };

  let gaveUp = false;
  let ledgers: Ledger[] = [];
  try {
    machine.addVcpus(scenario.scripts.length, factory);
    for (const vcpu of machine.vcpus) checker.watchWalks(vcpu);
    ledgers = machine.vcpus.map((vcpu, i) => new Ledger(vcpu, cores[i] as ScriptedCore));
    machine.start();
    machine.run();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    gaveUp = true;
  }
  if (!gaveUp) for (const ledger of ledgers) ledger.close();
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
    workerNs: spe.worker.nowNs,
  });
}
