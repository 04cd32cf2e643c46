/**
 * A hostile program on a machine, with what must hold whatever it does: the invariants of ARCHITECTURE.md, no memory but what the
 * guest has, an end when its budget is spent, and nothing that the host throws.
 */
import { PAGE_BYTES } from "../../src/common/address.ts";
import { UserError } from "../../src/common/errors.ts";
import { type RandomStream, randomStream } from "../../src/common/random.ts";
import type { Core } from "../../src/cpu/core.ts";
import { BACKINGS } from "../../src/host/mm.ts";
import { PRESSURE_KINDS } from "../../src/host/pressure.ts";
import { randomPressure } from "../../src/host/random-pressure.ts";
import { POLICIES } from "../../src/kvm/spe/policies/index.ts";
import type { PinPolicy } from "../../src/kvm/spe/policy.ts";
import { InvariantChecker } from "../../src/lab/invariants/check.ts";
import { randomPolicy } from "../../src/lab/invariants/random-policy.ts";
import type { Machine } from "../../src/vmm/machine.ts";
import { Bench, type Made, type VmOptions } from "./bench.ts";
import { hostileGuest, RAM } from "./program.ts";

/** What a case may take: the guest's time, instructions of all vCPUs with what exceptions take the host, and turns of them. */
const BUDGET = { ns: 3_000_000, work: 45_000, turns: 20_000 } as const;
/** The host has more to do for an exception than for an instruction. */
const EXCEPTION_WORK = 30;
/** How far a vCPU goes until the budget is looked at again. */
const TICK_NS = 10_000;
/** Tables of stage 2 and pages of bounce buffers that a VM may have beside the guest's memory. */
const MOST_HOST_PAGES = 1200;

/** What a case came across; a campaign says how often. */
export const REACHED = [
  "records written",
  "a full buffer",
  "a record that faults",
  "a stage-2 fault on a record",
  "PMBIRQ taken",
  "pins",
  "an RLIMIT exit",
  "EL0",
  "every vCPU",
  "user space gave up",
] as const;
export type Reached = (typeof REACHED)[number];

export interface Outcome {
  readonly reached: ReadonlySet<Reached>;
  readonly instructions: number;
}

/** A case that does not hold what it must: with how it is repeated. */
export class HostileCaseFailed extends Error {
  override readonly name = "HostileCaseFailed";

  constructor(seed: number, cause: unknown) {
    const what = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
    super(`seed ${seed} (${nameOf(seed)}): ${what}\nAgain: npm run fuzz:spe -- --cases 1 --seed ${seed}`, {
      cause,
    });
  }
}

const VCPUS = [1, 4] as const;

/** Each policy in turn, one that asks for anything, and bare metal: by the seed, as the number of vCPUs is. */
function policyOf(seed: number): PinPolicy | undefined {
  const turn = Math.floor(seed / VCPUS.length) % (POLICIES.length + 2);
  return turn === POLICIES.length ? randomPolicy(seed) : POLICIES[turn];
}

const vcpusOf = (seed: number): 1 | 4 => VCPUS[seed % VCPUS.length] as 1 | 4;

/** What a seed runs on. */
export const nameOf = (seed: number): string =>
  `${policyOf(seed)?.name ?? "bare metal"}, ${vcpusOf(seed)} vCPU${vcpusOf(seed) === 1 ? "" : "s"}`;

/** A host that has little, or takes away what it gave. */
function hostOf(
  random: RandomStream,
  policy: PinPolicy,
  seed: number,
): Omit<VmOptions, "onRecordPage" | "onStep"> {
  const chance = (percent: number): boolean => random.integer(0, 99) < percent;
  const memlockBytes = chance(50) ? Number.MAX_SAFE_INTEGER : random.integer(0, 64) * PAGE_BYTES;
  const perSecond = 10 ** random.integer(3, 5);
  return {
    policy,
    backing: BACKINGS[random.integer(0, BACKINGS.length - 1)]!,
    memlockBytes,
    memlockMaxBytes: chance(70) ? Number.MAX_SAFE_INTEGER : memlockBytes,
    maxBufferBytes: policy.trapsBuffer && chance(30) ? random.integer(1, 16) * PAGE_BYTES : undefined,
    irqLatencyNs: chance(50) ? 0 : random.integer(1, 5000),
    ...(chance(30)
      ? { pressure: randomPressure({ kinds: PRESSURE_KINDS, perSecond }, RAM.pages, seed) }
      : {}),
  };
}

/** Runs it until its budget is spent, or it has ended. */
function run({ machine, cores }: Made, ticks: { ns: number }): number {
  const sum = (of: (core: Core) => number): number => cores.reduce((total, { core }) => total + of(core), 0);
  const work = (): number => sum(({ executed, exceptions }) => executed + EXCEPTION_WORK * exceptions.taken);
  const isEnough = (): boolean => work() >= BUDGET.work || ticks.ns >= BUDGET.ns;
  machine.runSteps(BUDGET.turns, isEnough);
  if (machine.turns >= BUDGET.turns && !isEnough())
    throw new Error(`it is at ${ticks.ns} ns and ${work()} instructions or so after ${machine.turns} turns`);
  return sum(({ executed }) => executed);
}

/** What holds of the units at any time. */
function checkUnits({ cores }: Made): void {
  for (const { spu, core } of cores) {
    const { selected, collided, filtered, written, discarded, truncated, population } = spu.counters;
    const fates = collided + filtered + written + discarded + truncated + (spu.inFlight ? 1 : 0);
    if (fates !== selected)
      throw new Error(`${selected} samples were selected, and ${fates} came to something`);
    if (selected > population) throw new Error(`${selected} samples of ${population} instructions`);
    if (core.executed > core.cycles)
      throw new Error(`${core.executed} instructions in ${core.cycles} cycles`);
  }
}

/** What the guest has been given of the host's memory. */
function checkMemory({ vm, frames }: Made): void {
  const first = RAM.base / PAGE_BYTES;
  const contents = [...frames.contents];
  if (vm === undefined)
    for (const [frame] of contents)
      if (frame < first || frame >= first + RAM.pages)
        throw new Error(`page 0x${frame.toString(16)} has content, where no memory is`);
  const most = RAM.pages + (vm === undefined ? 0 : MOST_HOST_PAGES);
  if (contents.length > most) throw new Error(`${contents.length} pages of the host's have content`);
}

function reachedBy({ vm, cores, machine }: Made): Set<Reached> {
  const sum = (of: (core: (typeof cores)[number]) => number): number =>
    cores.reduce((total, core) => total + of(core), 0);
  const found: Readonly<Partial<Record<Reached, boolean>>> = {
    "records written": sum(({ spu }) => spu.counters.written) > 0,
    "a full buffer": sum(({ spu }) => spu.counters.filledBuffers) > 0,
    "a record that faults": sum(({ spu }) => spu.counters.truncated) > 0,
    "a stage-2 fault on a record": (vm?.statistics.recordStage2Faults ?? 0) > 0,
    "PMBIRQ taken": machine.statistics.exitReasons.has("PMBIRQ"),
    pins: (vm?.pinnedPeakBytes ?? 0) > 0,
    "an RLIMIT exit": (vm?.rlimitExits ?? 0) > 0,
    EL0: sum(({ core }) => core.executedByLevel[0]) > 0,
    "every vCPU": cores.length > 1 && cores.every(({ core }) => core.executed > 0),
  };
  return new Set(REACHED.filter((name) => found[name] === true));
}

/** The cases of a campaign, with what they have in common. */
export class HostileGuests {
  readonly #benches = new Map<number, Bench>();

  #bench(vcpus: number): Bench {
    const made = this.#benches.get(vcpus) ?? new Bench(vcpus);
    this.#benches.set(vcpus, made);
    return made;
  }

  /** @throws HostileCaseFailed */
  run(seed: number): Outcome {
    try {
      return this.#run(seed);
    } catch (error) {
      throw new HostileCaseFailed(seed, error);
    }
  }

  #run(seed: number): Outcome {
    const random = randomStream(seed);
    const vcpus = vcpusOf(seed);
    const layout = hostileGuest(random, { vcpus });
    const policy = policyOf(seed);
    const ticks = { ns: 0 };
    const alarm = {
      atNs: () => ticks.ns + TICK_NS,
      ring: () => {
        ticks.ns += TICK_NS;
      },
    };
    // They are there before there is a checker: a machine writes no records before it runs.
    let checker: InvariantChecker | undefined;
    const options: VmOptions | undefined =
      policy === undefined
        ? undefined
        : {
            ...hostOf(random, policy, seed),
            onRecordPage: (page, frame) => checker?.recordPage(page, frame),
            onStep: () => checker?.afterStep(),
          };
    try {
      return this.#bench(vcpus).use(layout, options, seed, alarm, (made) => {
        if (made.vm !== undefined) checker = watched(made.vm, options?.maxBufferBytes);
        let gaveUp = false;
        let instructions = 0;
        try {
          instructions = run(made, ticks);
        } catch (error) {
          if (!(error instanceof UserError)) throw error;
          gaveUp = true;
        }
        checkUnits(made);
        checkMemory(made);
        const reached = reachedBy(made);
        if (gaveUp) reached.add("user space gave up");
        made.vm?.destroy();
        checker?.afterDestroy();
        return { reached, instructions };
      });
    } catch (error) {
      // The limits do not allow for the machine.
      if (!(error instanceof UserError)) throw error;
      return { reached: new Set(["user space gave up"]), instructions: 0 };
    }
  }
}

function watched(vm: Machine, maxBufferBytes: number | undefined): InvariantChecker {
  const checker = new InvariantChecker(vm, maxBufferBytes);
  for (const vcpu of vm.vcpus) checker.watchWalks(vcpu);
  return checker;
}
