/**
 * The processing element of the model: system register accesses with their traps, an SPU with its memory and its interrupt,
 * and running instructions in bulk between samples. The driver model and the test guests are built on it.
 *
 * No instruction is executed: a stretch of guest time is a number of retired ops, and only the sampled ones are drawn.
 */
import type { RegisterName, SpeRegisterName } from "../arm/registers.ts";
import type { Ipn } from "../common/address.ts";
import { randomBitsAt } from "../common/random.ts";
import type { CoreHardware } from "../kvm/guest-core.ts";
import { TruthFeed } from "../kvm/spe/ground-truth.ts";
import type { Stage1Regime } from "../mmu/config.ts";
import { bareMetalPe, type PeContext } from "../spe/enables.ts";
import type { OpBounds } from "../spe/filters.ts";
import type { SpeImplementation } from "../spe/implementation.ts";
import { ManagementIrq, type ManagementIrqState } from "../spe/management-irq.ts";
import type { SampledOp } from "../spe/op.ts";
import { type RecordTlb, TranslatedRecords } from "../spe/record-memory.ts";
import { Spu, type SpuSnapshot } from "../spe/spu.ts";

/** What the PE runs: how fast, and what its ops look like where one is sampled. */
export interface Workload {
  /** Instructions a ns: clock (GHz) times instructions a cycle. */
  readonly opsPerNs: number;
  /** Holds for every op that `opAt` may give. */
  readonly bounds: OpBounds;
  /** The op at a position (instructions retired by the task): the same whoever asks. */
  opAt(position: number): SampledOp;
}

/** Why `execute` came back. */
export type Stop =
  /** All of the time was spent. */
  | "done"
  /** The hardware's PMBIRQ is due (or, on bare metal, the guest's). */
  | "pmbirq";

export interface ModelPeState {
  readonly spu: SpuSnapshot;
  readonly pe: Readonly<PeContext>;
  readonly tlb: RecordTlb;
  readonly pmbirq: ManagementIrqState;
  readonly noSpace: boolean;
  readonly instructions: number;
  readonly guestNs: number;
  /** Random bytes that the SPU has drawn. */
  readonly draws: number;
}

export class ModelPe {
  readonly hardware: CoreHardware;
  readonly spu: Spu;
  /** EL1&0 stage 1, as the guest's registers select it. */
  regime: Stage1Regime;
  /** The driver found no AUX space: its event wants to sample and cannot. */
  noSpace = false;
  /** Instructions and guest ns of everything executed. */
  instructions = 0;
  guestNs = 0;
  readonly #records: TranslatedRecords;
  readonly #pmbirq: ManagementIrq;
  readonly #truth: TruthFeed;
  #draws = 0;

  constructor(
    hardware: CoreHardware,
    options: {
      readonly regime: Stage1Regime;
      readonly seed: number;
      readonly storeRecords: boolean;
      /** Its profiling unit; by default DEFAULT_IMPLEMENTATION. */
      readonly spe?: SpeImplementation | undefined;
    },
  ) {
    this.hardware = hardware;
    this.regime = options.regime;
    const seed = options.seed ^ (hardware.vcpu * 0x9e3779b9);
    const pe = bareMetalPe();
    const { stage2, physical, ownBuffer, onRecordPage } = hardware;
    this.#records = new TranslatedRecords(
      { stage1: () => this.regime, stage2, physical, ownBuffer, onRecordPage },
      pe,
    );
    this.spu = new Spu({
      pe,
      ...(options.spe === undefined ? {} : { implementation: options.spe }),
      memory: this.#records,
      random: () => randomBitsAt(seed, this.#draws++) & 0xff,
      counter: () => Math.floor(hardware.timeline.nowNs),
      storeRecords: options.storeRecords,
    });
    this.#pmbirq = new ManagementIrq(this.spu, hardware.irqLatencyNs);
    this.#truth = new TruthFeed(hardware.truth, this.spu, hardware.guestView);
  }

  // ---- System registers ----

  /** Whether an access goes to EL2 instead. */
  traps(register: RegisterName, isWrite: boolean): boolean {
    return !this.hardware.bareMetal && this.hardware.traps().traps(register, isWrite);
  }

  /** An MSR that does not trap. */
  write(register: SpeRegisterName, value: bigint): void {
    const { hardware, spu } = this;
    hardware.timeline.charge("guestRun", hardware.costs.sysreg);
    this.guestNs += hardware.costs.sysreg;
    spu.write(register, value);
    if (register === "PMBLIMITR_EL1") hardware.untrappedEnable(spu.bufferEnable);
    this.#pmbirq.lowerIfClear();
  }

  /** An MRS that does not trap. */
  read(register: SpeRegisterName): bigint {
    this.hardware.timeline.charge("guestRun", this.hardware.costs.sysreg);
    this.guestNs += this.hardware.costs.sysreg;
    return this.spu.read(register);
  }

  /** PSB CSYNC; DSB NSH. */
  drain(): void {
    this.spend(this.hardware.costs.drain);
    this.spu.psbCsync();
  }

  /** Guest time in which nothing is sampled: driver code. */
  spend(ns: number): void {
    this.hardware.timeline.charge("guestRun", ns);
    this.guestNs += ns;
  }

  // ---- Running ----

  /** The instant at which the hardware interrupt will be taken, Infinity if none is on its way. */
  get pmbirqAtNs(): number {
    return this.#pmbirq.dueNs;
  }

  /** The interrupt has been taken: not again before its level fell. */
  takePmbirq(): void {
    this.#pmbirq.take();
  }

  /** A hypervisor that took the interrupt before its latency was over has seen it, too. */
  raiseIfAsserted(): void {
    this.#pmbirq.notice(this.hardware.timeline.nowNs);
  }

  /**
   * Runs `ops` instructions of a workload in `ns` of guest time, or as many as there are before PMBIRQ is due.
   * @param position instructions the task has retired before
   * @returns the instructions that ran
   */
  execute(workload: Workload, ops: number, ns: number, position: number): { ops: number; stop: Stop } {
    const { hardware, spu } = this;
    const { timeline } = hardware;
    const endNs = timeline.nowNs + ns;
    let left = ops;
    let at = position;
    for (;;) {
      this.raiseIfAsserted();
      const dueNs = this.pmbirqAtNs;
      if (dueNs <= timeline.nowNs) return { ops: ops - left, stop: "pmbirq" };
      const leftNs = endNs - timeline.nowNs;
      if (leftNs <= 0) return { ops: ops - left, stop: "done" };
      const sampling = spu.statisticalProfilingEnabled();
      if (!sampling) {
        const sliceNs = Math.min(leftNs, dueNs - timeline.nowNs);
        const sliceOps = sliceNs === leftNs ? left : Math.min(left, Math.floor(sliceNs * workload.opsPerNs));
        this.#pass(sliceOps, sliceNs);
        left -= sliceOps;
        at += sliceOps;
        continue;
      }
      const done = this.#sample(workload, left, at);
      const sliceNs =
        done === left ? leftNs : Math.min(leftNs, Math.max(1, Math.ceil(done / workload.opsPerNs)));
      this.#truth.sampled(done);
      timeline.charge("guestRun", sliceNs);
      this.guestNs += sliceNs;
      this.instructions += done;
      left -= done;
      at += done;
    }
  }

  /** Instructions that the hardware does not sample. */
  #pass(ops: number, ns: number): void {
    const { hardware } = this;
    const startNs = hardware.timeline.nowNs;
    hardware.timeline.charge("guestRun", ns);
    this.guestNs += ns;
    this.instructions += ops;
    this.#truth.unsampled(ops, startNs, startNs + ns, this.noSpace);
  }

  /** Runs at most `ops` ops with the hardware sampling; stops early when the SPU stops. Returns the ops that ran. */
  #sample(workload: Workload, ops: number, position: number): number {
    const { spu } = this;
    const { bulk } = spu;
    let left = ops;
    const rejected = bulk.rejectsEverything(workload.bounds) && bulk.periodOps !== undefined;
    while (left > 0) {
      if (rejected) {
        left -= bulk.takeRejectedSamples(bulk.samplesWithin(left));
        spu.advance(left);
        return ops;
      }
      if (bulk.canTakeSamples) {
        const due = bulk.samplesWithin(left);
        if (due === 0) {
          spu.advance(left);
          return ops;
        }
        const fit = this.#translates() ? Math.min(due, bulk.recordsToFull(), bulk.recordsToPageEnd()) : 0;
        if (fit > 0) {
          left -= bulk.takeSamples(fit);
          if (spu.pmbirq) return ops - left;
          continue;
        }
      }
      const before = spu.opsToNextSample();
      if (before >= left) {
        spu.advance(left);
        return ops;
      }
      spu.advance(before);
      left -= before + 1;
      spu.sample(workload.opAt(position + ops - left));
      if (spu.pmbirq) return ops - left;
    }
    return ops;
  }

  // ---- Whole state ----

  /** What `restore` takes; the regime is that of the guest's memory, which is restored by itself. */
  save(): ModelPeState {
    return {
      spu: this.spu.save(),
      pe: { ...this.spu.pe },
      tlb: this.#records.save(),
      pmbirq: this.#pmbirq.save(),
      noSpace: this.noSpace,
      instructions: this.instructions,
      guestNs: this.guestNs,
      draws: this.#draws,
    };
  }

  restore(state: ModelPeState): void {
    this.spu.restore(state.spu);
    Object.assign(this.spu.pe, state.pe);
    this.#records.restore(state.tlb);
    this.#pmbirq.restore(state.pmbirq);
    this.noSpace = state.noSpace;
    this.instructions = state.instructions;
    this.guestNs = state.guestNs;
    this.#draws = state.draws;
  }

  // ---- The SPU's translation ----

  /** Whether the page at PMBPTR_EL1 can be written: then records in it need not be tried one by one. */
  #translates(): boolean {
    return this.spu.discards || this.#records.translates(this.spu.pointerPage);
  }

  /** TLBI by IPA, from the hypervisor. */
  invalidateByIpa(first: Ipn, pages: number): void {
    this.#records.invalidateByIpa(first, pages);
  }

  /** TLBI VMALLE1, from the guest itself. */
  invalidateAll(): void {
    this.#records.invalidateAll();
  }
}
