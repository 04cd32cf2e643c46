/**
 * The processing element of the model: system register accesses with their traps, the SPU's translation of records
 * through both stages with a TLB, and running instructions in bulk between samples. The driver model and the test
 * guests are built on it.
 *
 * No instruction is executed: a stretch of guest time is a number of retired ops, and only the sampled ones are drawn.
 */
import type { RegisterName, SpeRegisterName } from "../arm/registers.ts";
import { type Ipn, type Pfn, type Vpn, vpn } from "../common/address.ts";
import { randomBitsAt } from "../common/random.ts";
import type { CoreHardware } from "../kvm/guest-core.ts";
import type { SamplingCounter } from "../kvm/spe/ground-truth.ts";
import { PROFILING_BUFFER_WRITE } from "../mmu/access.ts";
import { halfOf, type Stage1Regime } from "../mmu/config.ts";
import { faultStatusCode, isFault } from "../mmu/fault.ts";
import { translateBoth } from "../mmu/translate.ts";
import { ProfilingBufferOwner } from "../spe/enables.ts";
import type { OpBounds } from "../spe/filters.ts";
import type { SampledOp } from "../spe/op.ts";
import { type RecordFault, Spu } from "../spe/spu.ts";

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

interface TlbEntry {
  readonly page: Vpn;
  readonly ipn: Ipn;
  readonly frame: Pfn;
}

/** Entries in the SPU's TLB: a few pages, since it writes in order. */
const TLB_ENTRIES = 16;

const EMPTY_COUNTER: SamplingCounter = { count: 0, interval: 0, jitter: false };

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
  #tlb: TlbEntry[] = [];
  #pmbirqAtNs = Number.POSITIVE_INFINITY;
  #pmbirqTaken = false;
  #draws = 0;

  constructor(
    hardware: CoreHardware,
    options: { readonly regime: Stage1Regime; readonly seed: number; readonly storeRecords: boolean },
  ) {
    this.hardware = hardware;
    this.regime = options.regime;
    const seed = options.seed ^ (hardware.vcpu * 0x9e3779b9);
    this.spu = new Spu({
      memory: {
        write: (page, offset, size, bytes) => this.#writeRecord(page, offset, size, bytes),
      },
      random: () => randomBitsAt(seed, this.#draws++) & 0xff,
      counter: () => Math.floor(hardware.timeline.nowNs),
      storeRecords: options.storeRecords,
    });
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
    if (!spu.pmbirq) this.#lowerPmbirq();
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

  /** The level of PMBIRQ as the guest's driver finds it where PMBSR_EL1 does not trap. */
  get pmbirqLevel(): boolean {
    return this.spu.pmbirq;
  }

  // ---- Running ----

  /** The instant at which the hardware interrupt will be taken, Infinity if none is on its way. */
  get pmbirqAtNs(): number {
    if (!this.spu.pmbirq) this.#lowerPmbirq();
    return this.#pmbirqAtNs;
  }

  /** The interrupt has been taken: not again before its level fell. */
  takePmbirq(): void {
    this.#pmbirqTaken = true;
    this.#pmbirqAtNs = Number.POSITIVE_INFINITY;
  }

  /** A hypervisor that took the interrupt before its latency was over has seen it, too. */
  raiseIfAsserted(): void {
    if (this.spu.pmbirq && !this.#pmbirqTaken && this.#pmbirqAtNs === Number.POSITIVE_INFINITY)
      this.#pmbirqAtNs = this.hardware.timeline.nowNs + this.hardware.irqLatencyNs;
  }

  #lowerPmbirq(): void {
    this.#pmbirqTaken = false;
    this.#pmbirqAtNs = Number.POSITIVE_INFINITY;
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
      hardware.truth.sampled(done);
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
    const profiled = this.spu.profiles(this.spu.pe.el === 0 ? 0 : 1);
    const view = this.noSpace ? "no-space" : profiled ? hardware.guestView() : "off";
    hardware.truth.unsampled(view, ops, startNs, startNs + ns, () => this.#counter());
  }

  #counter(): SamplingCounter {
    const irr = this.spu.read("PMSIRR_EL1");
    if (irr === 0n) return EMPTY_COUNTER;
    return {
      count: Number(this.spu.read("PMSICR_EL1") & 0xffff_ffffn),
      interval: Number(irr & 0xffff_ff00n),
      jitter: (irr & 1n) === 1n,
    };
  }

  /** Runs at most `ops` ops with the hardware sampling; stops early when the SPU stops. Returns the ops that ran. */
  #sample(workload: Workload, ops: number, position: number): number {
    const { spu } = this;
    let left = ops;
    const rejected = spu.rejectsEverything(workload.bounds) && spu.periodOps !== undefined;
    while (left > 0) {
      if (rejected) {
        left -= spu.takeRejectedSamples(spu.samplesWithin(left));
        spu.advance(left);
        return ops;
      }
      if (spu.canTakeSamples) {
        const due = spu.samplesWithin(left);
        if (due === 0) {
          spu.advance(left);
          return ops;
        }
        const fit = this.#translates() ? Math.min(due, spu.recordsToFull(), spu.recordsToPageEnd()) : 0;
        if (fit > 0) {
          left -= spu.takeSamples(fit);
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

  // ---- The SPU's translation ----

  /** Whether the page at PMBPTR_EL1 can be written: then records in it need not be tried one by one. */
  #translates(): boolean {
    if (this.spu.discards) return true;
    return "frame" in this.#translation(this.spu.pointerPage);
  }

  #translation(page: Vpn): { readonly frame: Pfn } | RecordFault {
    if (ProfilingBufferOwner(this.spu.pe) === 2) return { frame: this.hardware.ownBuffer(page) };
    const hit = this.#tlb.find((entry) => entry.page === page);
    if (hit !== undefined) {
      this.hardware.onRecordPage?.(hit.ipn, hit.frame);
      return hit;
    }
    const { hardware } = this;
    const result = translateBoth(
      halfOf(this.regime, page),
      hardware.stage2,
      page,
      PROFILING_BUFFER_WRITE,
      hardware.physical,
    );
    if (isFault(result))
      return result.kind === "external"
        ? { kind: "external", stage: result.stage, dfsc: faultStatusCode(result) }
        : { kind: "mmu", stage: result.stage, dfsc: faultStatusCode(result) };
    const entry = { page, ipn: result.stage1.outputPage, frame: result.outputPage };
    this.#tlb.push(entry);
    if (this.#tlb.length > TLB_ENTRIES) this.#tlb.shift();
    hardware.onRecordPage?.(entry.ipn, entry.frame);
    return entry;
  }

  #writeRecord(
    page: Vpn,
    offset: number,
    size: number,
    bytes: Uint8Array | undefined,
  ): RecordFault | undefined {
    const first = this.#translation(page);
    if (!("frame" in first)) return first;
    const inFirst = Math.min(size, 4096 - offset);
    const second = inFirst < size ? this.#translation(vpn(page + 1)) : undefined;
    if (second !== undefined && !("frame" in second)) return second;
    if (bytes === undefined) return undefined;
    this.#store(first.frame, offset, bytes.subarray(0, inFirst));
    if (second !== undefined) this.#store(second.frame, 0, bytes.subarray(inFirst, size));
    return undefined;
  }

  #store(frame: Pfn, offset: number, bytes: Uint8Array): void {
    const { frames } = this.hardware;
    const words = frames.writable(frame);
    new Uint8Array(words.buffer, words.byteOffset, words.byteLength).set(bytes, offset);
    // A buffer may lie over somebody's tables: what was read from them no longer holds.
    frames.wrote();
  }

  /** TLBI by IPA, from the hypervisor. */
  invalidateByIpa(first: Ipn, pages: number): void {
    this.#tlb = this.#tlb.filter((entry) => entry.ipn < first || entry.ipn >= first + pages);
  }

  /** TLBI VMALLE1, from the guest itself. */
  invalidateAll(): void {
    this.#tlb = [];
  }
}
