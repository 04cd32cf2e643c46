/**
 * An experiment is a value: what runs, under which policy, at which costs. Running it gives one record and what its
 * charts need. Everything that a recording or a message cannot tell is an option here and an assumption in the record.
 */
import { type Ipn, PAGE_BYTES, pagesFor, type Va, vaOf } from "../common/address.ts";
import { formatBytes, formatNs } from "../common/sizes.ts";
import { AuxBuffer } from "../guest/aux-buffer.ts";
import { guestPagesOf, type PlacedBuffer, PlacedBuffers, pageBehind, pagesOf } from "../guest/buffers.ts";
import { type DriverHistory, SpeDriver } from "../guest/driver.ts";
import { type GuestPageBytes, ModelMemory, RAM_FIRST_IPN } from "../guest/memory.ts";
import { ModelPe, type Workload } from "../guest/pe.ts";
import { Replay, type ReplayState, type Waits } from "../guest/replay.ts";
import { ReplayCore, type ReplayCoreState } from "../guest/replay-core.ts";
import type { Schedule } from "../guest/schedule.ts";
import type { SpeEvent } from "../guest/spe-event.ts";
import { modelWorkload } from "../guest/workload.ts";
import type { CostTable, GuestCostName } from "../host/costs.ts";
import { HUGE_PAGES } from "../host/frames.ts";
import type { Backing } from "../host/mm.ts";
import type { PressureEvent } from "../host/pressure.ts";
import type { PinPolicy } from "../kvm/spe/policy.ts";
import type { Tracer } from "../kvm/trace.ts";
import type { CoreFactory } from "../kvm/vcpu.ts";
import { PMBIRQ_INTID } from "../kvm/wires.ts";
import type { TableMemory } from "../mmu/table-memory.ts";
import type { SpeImplementation } from "../spe/implementation.ts";
import { BareMetal } from "../vmm/bare-metal.ts";
import { Machine } from "../vmm/machine.ts";

/** What runs, whatever the policy and the costs. */
export interface Setting {
  readonly scenario: string;
  readonly schedule: Schedule;
  readonly event: SpeEvent;
  readonly bufferBytes: number;
  readonly snapshot: boolean;
  readonly pageBytes: GuestPageBytes;
  readonly backing: Backing;
  readonly memoryBytes: number;
  readonly memlockBytes: number;
  readonly memlockMaxBytes: number;
  /** KVM_ARM_VCPU_SPE_MAX_BUFFER_SIZE; null: no limit. By default it is the buffer's size. */
  readonly maxBufferBytes?: number | null;
  readonly irqLatencyNs: number;
  readonly clockGHz: number;
  readonly ipc: number;
  readonly seed: number;
  /** Whether stage 2 still maps what the guest wrote to before the first switch-in. */
  readonly stage2AtStart: "mapped" | "absent";
  /** Where it is known which guest pages stage 2 maps at the start, buffers' or others: those, as [first, pages]. */
  readonly mappedAtStart?: readonly (readonly [first: number, pages: number])[];
  /** The policy under which a machine went through the schedule: under that one waits take as long as they did. */
  readonly recordedUnder?: string;
  readonly pressure?: (pages: number) => Iterator<PressureEvent>;
  /** Tasks whose clock `perf stat` prints; undefined: all of the target. */
  readonly measured?: (task: number) => boolean;
  /** False: every page one by one, to show that keeping extents changes nothing. */
  readonly extents?: boolean;
  /** What of the guest's own costs is known better than a profile knows it. */
  readonly guestCosts?: Partial<Record<GuestCostName, number>>;
  /** Each vCPU's buffers, where they are known; by default it has one, wherever the model's guest puts it. */
  readonly placed?: readonly (readonly PlacedBuffer[])[];
  /**
   * All CPUs of the host, as many as vCPUs or more. As many: what KVM's workers do takes the vCPUs' own. Undefined: enough for
   * everybody.
   */
  readonly hostCpus?: number;
  /** The CPUs' profiling unit; by default one whose records have 64 bytes. */
  readonly spe?: SpeImplementation;
}

/** RLIMIT_MEMLOCK of an ordinary process: 8 MiB since Linux 5.16. */
export const DEFAULT_MEMLOCK_BYTES = 8 * 1024 ** 2;

/** What a machine was at the end, for the record. */
export interface VmOutcome {
  readonly machine: Machine;
  readonly replay: Replay;
  readonly cores: readonly ReplayCore[];
}

export interface BareMetalOutcome {
  readonly wallNs: number;
  readonly selected: number;
  readonly lostWhileFull: number;
}

/** How often a run tells how far it is: to tell costs more than many steps. */
const PROGRESS_STEPS = 500;

/** Enough for every vCPU's buffer, scattered, with tables and the rest of a small guest. */
export function defaultMemoryBytes(vcpus: number, bufferBytes: number): number {
  const wanted = vcpus * bufferBytes * 1.25 + 256 * 1024 ** 2;
  return Math.max(2 * 1024 ** 3, Math.ceil(wanted / (HUGE_PAGES * PAGE_BYTES)) * HUGE_PAGES * PAGE_BYTES);
}

/** The first guest page behind all buffers, and a 2 MiB block of its own: what is pinned there keeps nothing of theirs. */
const tablesFrom = (placed: readonly (readonly PlacedBuffer[])[]): number =>
  Math.ceil(pageBehind(placed) / HUGE_PAGES) * HUGE_PAGES;

/** What a setting's run costs its guest and its host. */
const costsOf = ({ guestCosts }: Setting, costs: CostTable): CostTable => ({ ...costs, ...guestCosts });

/** What a guest is but for its memory. */
export interface GuestState {
  readonly replay: ReplayState;
  readonly positions: readonly number[];
  readonly cores: readonly ReplayCoreState[];
  /** See PlacedBuffers; null where each vCPU has one buffer of the model's. */
  readonly mappedBuffers: readonly number[] | null;
}

/** What a driver of the model's has of its buffer. */
interface DriverBuffer extends Pick<PlacedBuffer, "event" | "snapshot">, DriverHistory {
  readonly base: Va;
  readonly bytes: number;
}

/** The guest's side of a setting: memory with a buffer for each CPU, and the cores that replay the schedule. */
class Guest {
  readonly memory: ModelMemory;
  /** All pages that buffers are in. */
  readonly bufferPages: readonly Int32Array[];
  readonly replay: Replay;
  readonly cores: ReplayCore[] = [];
  readonly #setting: Setting;
  readonly #positions: Float64Array;
  /** By vCPU. */
  readonly #buffers: readonly (readonly DriverBuffer[])[];
  readonly #placed: PlacedBuffers | undefined;
  readonly #workloads = new Map<number, Workload>();

  constructor(setting: Setting, tables: TableMemory<Ipn>, waits: Waits) {
    this.#setting = setting;
    const { schedule } = setting;
    this.memory = new ModelMemory({
      memory: tables,
      pages: pagesFor(setting.memoryBytes),
      pageBytes: setting.pageBytes,
      seed: setting.seed,
      ...(setting.placed === undefined
        ? {}
        : { tablesFrom: tablesFrom(setting.placed), tables: setting.placed.flat()[0]!.tables }),
    });
    if (setting.placed === undefined) {
      const { event, snapshot, bufferBytes: bytes } = setting;
      const mapped = Array.from({ length: schedule.vcpus }, () => this.memory.mapBuffer(pagesFor(bytes)));
      this.bufferPages = mapped.map(({ ipns }) => ipns);
      this.#buffers = mapped.map(({ base }) => [{ base, bytes, event, snapshot }]);
    } else {
      const { placed } = setting;
      this.#placed = new PlacedBuffers(this.memory, placed);
      this.bufferPages = placed.flat().map(guestPagesOf);
      this.#buffers = placed.map((ofVcpu) =>
        ofVcpu.map((buffer) => ({
          ...buffer,
          base: vaOf(buffer.first),
          bytes: pagesOf(buffer) * PAGE_BYTES,
        })),
      );
    }
    this.replay = new Replay(schedule, waits);
    this.#positions = new Float64Array(schedule.tasks.length);
  }

  readonly core: CoreFactory = (hardware) => {
    const setting = this.#setting;
    const { vcpu } = hardware;
    const pe = new ModelPe(hardware, {
      regime: this.memory.regime,
      seed: setting.seed,
      storeRecords: false,
      spe: setting.spe,
    });
    const { maxRecordBytes, alignBytes } = pe.spu.facts;
    const drivers = this.#buffers[vcpu]!.map(({ base, bytes, event, snapshot, ...history }) => {
      const aux = new AuxBuffer({ bytes, snapshot, watermarkBytes: 0, maxRecordBytes, alignBytes });
      return new SpeDriver(pe, aux, base, event, history);
    });
    const core = new ReplayCore(
      {
        pe,
        drivers,
        mapBuffer: (buffer) => this.#placed?.map(vcpu, buffer) ?? false,
        replay: this.replay,
        workloadOf: (task) => this.#workloadOf(task),
        clockGHz: setting.clockGHz,
        pmbirq: PMBIRQ_INTID,
        measured: setting.measured,
      },
      this.#positions,
    );
    this.cores.push(core);
    return core;
  };

  save(): GuestState {
    return {
      replay: this.replay.save(),
      positions: [...this.#positions],
      cores: this.cores.map((core) => core.save()),
      mappedBuffers: this.#placed?.save() ?? null,
    };
  }

  /** Into the guest of the same setting, with all its cores. */
  restore({ replay, positions, cores, mappedBuffers }: GuestState): void {
    this.replay.restore(replay);
    if (mappedBuffers !== null) this.#placed?.restore(mappedBuffers);
    this.#positions.set(positions);
    cores.forEach((core, i) => {
      this.cores[i]!.restore(core);
    });
  }

  #workloadOf(task: number): Workload {
    let workload = this.#workloads.get(task);
    if (workload === undefined) {
      const { clockGHz, ipc, seed } = this.#setting;
      workload = modelWorkload(clockGHz * ipc, seed * 7919 + task);
      this.#workloads.set(task, workload);
    }
    return workload;
  }
}

/** What the charts and the trace listen to. */
export interface Listeners {
  readonly trace?: Tracer;
  /** Called with the VM when it is set up, before the guest first runs. */
  readonly attach?: (machine: Machine) => void;
  readonly onProgress?: (fraction: number) => void;
}

/** A setting's VM, made and not started. */
export interface MadeVm {
  readonly machine: Machine;
  readonly guest: Guest;
}

/** Makes the VM of a setting. */
export function makeVm(
  setting: Setting,
  policy: PinPolicy,
  costs: CostTable,
  waits: Waits,
  listeners: Listeners = {},
): MadeVm {
  const pages = pagesFor(setting.memoryBytes);
  const segments = setting.schedule.segments.count;
  let steps = 0;
  let toldAt = 0;
  let replay: Replay | undefined;
  const machine = new Machine({
    memoryPages: pages,
    firstIpn: RAM_FIRST_IPN,
    backing: setting.backing,
    costs: costsOf(setting, costs),
    policy,
    memlockBytes: setting.memlockBytes,
    memlockMaxBytes: setting.memlockMaxBytes,
    maxBufferBytes:
      setting.maxBufferBytes === undefined ? setting.bufferBytes : (setting.maxBufferBytes ?? undefined),
    irqLatencyNs: setting.irqLatencyNs,
    ...(setting.hostCpus === undefined ? {} : { spareCpus: setting.hostCpus - setting.schedule.vcpus }),
    seed: setting.seed,
    extents: setting.extents ?? true,
    ...(setting.pressure === undefined ? {} : { pressure: setting.pressure(pages) }),
    ...(listeners.trace === undefined ? {} : { trace: listeners.trace }),
    ...(listeners.onProgress === undefined
      ? {}
      : {
          onStep: () => {
            steps += 1;
            if (steps % 256 !== 0 || replay === undefined || replay.finished < toldAt) return;
            toldAt = replay.finished + segments / PROGRESS_STEPS;
            listeners.onProgress?.(replay.finished / Math.max(1, segments));
          },
        }),
  });
  const guest = new Guest(setting, machine.pristineMemory, waits);
  replay = guest.replay;
  const mapped = setting.stage2AtStart === "mapped";
  machine.touch(guest.memory.tablePages, mapped);
  if (setting.mappedAtStart === undefined)
    for (const pages of guest.bufferPages) machine.touch(pages, mapped);
  else
    for (const [first, pages] of setting.mappedAtStart)
      machine.touch(
        Array.from({ length: pages }, (_, i) => first + i),
        true,
      );
  machine.addVcpus(setting.schedule.vcpus, guest.core);
  return { machine, guest };
}

/** Runs a setting in a VM under a policy. */
export function runVm(
  setting: Setting,
  policy: PinPolicy,
  costs: CostTable,
  waits: Waits,
  listeners: Listeners = {},
): VmOutcome {
  const { machine, guest } = makeVm(setting, policy, costs, waits, listeners);
  machine.start();
  listeners.attach?.(machine);
  machine.run();
  return { machine, replay: guest.replay, cores: guest.cores };
}

/** Runs a setting on bare metal: what everything is compared with. */
export function runBareMetal(setting: Setting, costs: CostTable, waits: Waits): BareMetalOutcome {
  const metal = new BareMetal();
  const guest = new Guest(setting, metal.memory as unknown as TableMemory<Ipn>, waits);
  metal.addCpus(setting.schedule.vcpus, guest.core, {
    costs: costsOf(setting, costs),
    irqLatencyNs: setting.irqLatencyNs,
    seed: setting.seed,
  });
  metal.run();
  const lostWhileFull = metal.truths.reduce((sum, truth) => sum + truth.lostWhileFull, 0);
  const lost = metal.truths.reduce((sum, t) => sum + t.lostInBlackout + t.truncated, 0);
  const selected = metal.cores.reduce((sum, core) => sum + core.spu.counters.selected, 0);
  return { wallNs: guest.replay.lastTargetEndNs, selected: selected + lostWhileFull + lost, lostWhileFull };
}

/** What a setting assumes, one sentence each, for its record. */
export function assumptionsOf(setting: Setting): string[] {
  const { event } = setting;
  const filters = [
    event.minLatency > 0 ? `min_latency=${event.minLatency}` : "",
    event.eventFilter > 0 ? `event_filter=${event.eventFilter}` : "",
  ].filter((text) => text !== "");
  return [
    ...setting.schedule.assumptions,
    `One sample every ${event.period === 1 ? "instruction" : `${event.period} instructions`}${filters.length > 0 ? `, filtered by ${filters.join(",")}` : ", no filter"}.`,
    `The guest's clock is ${setting.clockGHz} GHz at ${setting.ipc} ${setting.ipc === 1 ? "instruction" : "instructions"} a cycle while a task runs.`,
    `PMBIRQ takes ${formatNs(setting.irqLatencyNs)} from the SPU to KVM.`,
    `The guest has ${formatBytes(setting.memoryBytes)} of memory; RLIMIT_MEMLOCK ${Number.isFinite(setting.memlockBytes) ? `starts at ${formatBytes(setting.memlockBytes)}` : "is unlimited"} and may be raised ${Number.isFinite(setting.memlockMaxBytes) ? `to ${formatBytes(setting.memlockMaxBytes)}` : "without end"}.`,
    setting.stage2AtStart === "absent"
      ? "Stage 2 does not map the buffer at the first switch-in (the host has dropped it since the guest zeroed it)."
      : "Stage 2 still maps the buffer from when the guest zeroed it.",
    ...(setting.placed !== undefined
      ? []
      : ["perf's reader copies 1 byte a ns from 1 ms after a wake-up, on no vCPU's time."]),
    ...(setting.hostCpus === undefined
      ? []
      : [
          `The host has ${setting.hostCpus} CPUs for ${setting.schedule.vcpus} vCPUs${setting.hostCpus > setting.schedule.vcpus ? "" : ": KVM's workers run on the vCPUs' own"}.`,
        ]),
    "Exits that have nothing to do with SPE (WFI, timers) cost nothing.",
  ];
}
