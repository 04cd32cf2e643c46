/**
 * The Statistical Profiling Unit of one PE: registers, sampling, records and the buffer they go to.
 *
 * It follows Arm's pseudocode (sail-arm, arm-v9.4-a/src/v8_base.sail: SPE*, Profiling*), corrected where the
 * architecture's prose, Linux or perf show it wrong; each departure has a test in departures.test.ts.
 *
 * State of the buffer, from PMBLIMITR_EL1.E and PMBSR_EL1.S: off (E=0), armed (E=1, S=0, but not at a profiled EL:
 * COUNT is frozen), sampling, stopped (S=1: COUNT and PMBPTR_EL1 are frozen and PMBIRQ is high).
 *
 * Records are written when the op completes, all or nothing, so PSB CSYNC only drains what the memory batched, and
 * reads of PMBPTR_EL1, PMBSR_EL1 and PMSICR_EL1 are exact as soon as the caller has called `advance`.
 *
 * The pointer and the limit are kept as page number and offset: 64-bit values appear at register accesses only.
 */

import type { SpeRegisterName } from "../arm/registers.ts";
import { PMBSR_BSC, PMBSR_EC } from "../arm/syndromes.ts";
import { type Vpn, vpn } from "../common/address.ts";
import { invariant } from "../common/errors.ts";
import {
  bareMetalPe,
  CollectContextIDR1,
  CollectContextIDR2,
  CollectPhysicalAddress,
  CollectTimeStamp,
  type ExceptionLevel,
  type PeContext,
  StatisticalProfilingEnabled,
  type TimestampKind,
} from "./enables.ts";
import { type FilterSelectors, Filters, type OpBounds } from "./filters.ts";
import {
  DEFAULT_IMPLEMENTATION,
  factsOf,
  type ImplementationFacts,
  type SpeImplementation,
} from "./implementation.ts";
import { IntervalCounter, type IntervalState } from "./interval.ts";
import type { SampledOp } from "./op.ts";
import {
  noCounts,
  type RecordFault,
  type RecordMemory,
  type SampleOutcome,
  type SpuCounters,
} from "./outcomes.ts";
import { RecordWriter, type Selection } from "./record.ts";
import {
  type Buffer,
  type Controls,
  FILL_MODE_DISCARD,
  initialBuffer,
  initialControls,
  initialStatus,
  recomputeRemaining,
  type SpuState,
  type Status,
} from "./state.ts";
import { implementsRegister, readRegister, writeRegister } from "./sysregs.ts";

export type { RecordFault, RecordMemory, SampleOutcome, SpuCounters } from "./outcomes.ts";

export interface SpuOptions {
  /** The PE that the unit is of. Default: bare metal, at EL1. */
  readonly pe?: PeContext;
  readonly implementation?: SpeImplementation;
  readonly memory: RecordMemory;
  /** A random byte, 0..255: the jitter of PMSIRR_EL1.RND. */
  readonly random: () => number;
  /** The counter that timestamps take, 64 bits; read only for records that are stored. */
  readonly counter: (kind: TimestampKind) => number | bigint;
  /** False: records are sized and counted but their bytes are never made. Default true. */
  readonly storeRecords?: boolean;
}

const WRITTEN: SampleOutcome = { kind: "written" };
const FULL_AFTER_WRITE: SampleOutcome = { kind: "full-after-write" };
const FILTERED: SampleOutcome = { kind: "filtered" };
const COLLIDED: SampleOutcome = { kind: "collided" };
const DISCARDED: SampleOutcome = { kind: "discarded" };
const REFUSED_FULL: SampleOutcome = { kind: "refused-full" };
const BUFFER_OFF: SampleOutcome = { kind: "buffer-off" };

/** The unit's whole state as plain data (structured-cloneable), except for `pe`, which belongs to the PE. */
export interface SpuSnapshot {
  readonly controls: Controls;
  readonly buffer: Buffer;
  readonly status: Status;
  readonly selectors: FilterSelectors;
  readonly interval: IntervalState;
  readonly inFlight: Selection | undefined;
  readonly counters: SpuCounters;
}

const PAGES_OF_VA = 2 ** 52;

export class Spu {
  readonly implementation: SpeImplementation;
  readonly facts: ImplementationFacts;
  /** What the unit knows of its PE; write it when the PE changes. */
  readonly pe: PeContext;
  readonly counters: SpuCounters = noCounts();
  private readonly memory: RecordMemory;
  private readonly counter: (kind: TimestampKind) => number | bigint;
  private readonly storeRecords: boolean;
  private readonly interval: IntervalCounter;
  private readonly filters = new Filters();
  private readonly writer: RecordWriter;
  private readonly controls: Controls = initialControls();
  private readonly buffer: Buffer = initialBuffer();
  private readonly status: Status = initialStatus();
  private readonly state: SpuState;
  private readonly selection: Selection = {
    el: 0,
    contextEl1: undefined,
    contextEl2: undefined,
    timestamp: undefined,
    collectPa: false,
  };
  private isInFlight = false;
  /** Records of one size whose bytes nobody wants do not depend on what was collected. */
  private readonly collects: boolean;

  constructor(options: SpuOptions) {
    this.implementation = options.implementation ?? DEFAULT_IMPLEMENTATION;
    this.facts = factsOf(this.implementation);
    this.pe = options.pe ?? bareMetalPe();
    this.memory = options.memory;
    this.counter = options.counter;
    this.storeRecords = options.storeRecords ?? true;
    this.collects = this.storeRecords || this.facts.fixedRecordBytes === undefined;
    this.interval = new IntervalCounter(this.facts.hasErnd, options.random);
    this.writer = new RecordWriter(this.implementation, this.facts);
    this.state = {
      implementation: this.implementation,
      facts: this.facts,
      pe: this.pe,
      controls: this.controls,
      buffer: this.buffer,
      status: this.status,
      interval: this.interval,
      filters: this.filters,
    };
  }

  // ---- What holds now ----

  /** PMBLIMITR_EL1.E is 1 and PMBSR_EL1.S is 0 (ProfilingBufferEnabled). */
  profilingBufferEnabled(): boolean {
    return this.buffer.enabled && !this.status.s;
  }

  /** Whether ops at an exception level are sampled (StatisticalProfilingEnabled). Default: where the PE is. */
  statisticalProfilingEnabled(el: ExceptionLevel = this.pe.el): boolean {
    return StatisticalProfilingEnabled(el, this.profilingBufferEnabled(), this.controls, this.pe);
  }

  /** PMSCR_EL1.E0SPE or E1SPE: whether ops at EL0 or EL1 are profiled while the buffer is enabled. */
  profiles(el: 0 | 1): boolean {
    return el === 0 ? this.controls.e0spe : this.controls.e1spe;
  }

  /** The interrupt line: a level, high exactly while PMBSR_EL1.S is 1. */
  get pmbirq(): boolean {
    return this.status.s;
  }

  /** PMBLIMITR_EL1.E. */
  get bufferEnable(): boolean {
    return this.buffer.enabled;
  }

  /** PMBPTR_EL1[63:12]. */
  get pointerPage(): Vpn {
    return vpn(this.buffer.pointerPage);
  }

  /** PMBPTR_EL1[11:0]. */
  get pointerOffset(): number {
    return this.buffer.pointerOffset;
  }

  /** PMBLIMITR_EL1.LIMIT: the first page after the buffer. */
  get limitPage(): Vpn {
    return vpn(this.buffer.limitPage);
  }

  /** PMBLIMITR_EL1.FM says discard (FEAT_SPEv1p2). */
  get discards(): boolean {
    return this.facts.v1p2 && this.buffer.fillMode === FILL_MODE_DISCARD;
  }

  /** Bytes between PMBPTR_EL1 and the limit; negative beyond it. */
  get remainingBytes(): number {
    return this.buffer.remainingBytes;
  }

  /** The op in flight has the physical address of its access recorded. */
  get collectsPa(): boolean {
    return this.selection.collectPa;
  }

  /** A sample is in flight. */
  get inFlight(): boolean {
    return this.isInFlight;
  }

  // ---- Sampling ----

  /**
   * Ops that may retire before the op that is sampled. Infinity while profiling is off at the current EL, the buffer is
   * stopped, or no sample can come. Ask again after a write to any register, and after any change of `pe`.
   */
  opsToNextSample(): number {
    return this.statisticalProfilingEnabled() ? this.interval.opsToNextSample() : Number.POSITIVE_INFINITY;
  }

  /**
   * Lets ops pass that are not sampled. While profiling is off COUNT is frozen and nothing happens; otherwise passing
   * opsToNextSample() is a BrokenInvariant.
   */
  advance(ops: number): void {
    if (!this.statisticalProfilingEnabled()) return;
    this.interval.advance(ops);
    this.counters.population += ops;
  }

  /**
   * Selects the next op, before it executes: opsToNextSample() must be 0. Collects what a record tells of the state
   * in which the op ran, which may be gone when it completes (it may trap to EL2).
   * @returns false if another sample was in flight: the new one collides and is gone
   */
  select(): boolean {
    invariant(this.statisticalProfilingEnabled(), "an op is sampled though profiling is off");
    this.interval.passSample();
    this.counters.population++;
    this.counters.selected++;
    if (this.isInFlight) {
      this.counters.collided++;
      this.status.coll = true;
      return false;
    }
    this.isInFlight = true;
    if (this.collects) this.collect();
    return true;
  }

  private collect(): void {
    const { selection, controls, pe } = this;
    selection.el = pe.el;
    selection.contextEl1 = CollectContextIDR1(controls, pe) ? pe.contextIdrEl1 : undefined;
    selection.contextEl2 = CollectContextIDR2(controls, pe) ? pe.contextIdrEl2 : undefined;
    selection.collectPa = CollectPhysicalAddress(controls, pe);
    const kind = CollectTimeStamp(controls, pe, this.implementation.ecv);
    selection.timestamp = kind === undefined ? undefined : this.storeRecords ? this.counter(kind) : 0;
  }

  /** Completes the sample in flight: filters it and writes its record. */
  complete(op: SampledOp): SampleOutcome {
    invariant(this.isInFlight, "no sample is in flight");
    this.isInFlight = false;
    if (!this.filters.keeps(op)) {
      this.counters.filtered++;
      return FILTERED;
    }
    if (!this.profilingBufferEnabled()) {
      this.counters.truncated++;
      return BUFFER_OFF;
    }
    if (this.discards) {
      this.counters.discarded++;
      return DISCARDED;
    }
    return this.writeRecord(op);
  }

  /** Selects and completes an op at once: for callers in which nothing happens between the two. */
  sample(op: SampledOp): SampleOutcome {
    return this.select() ? this.complete(op) : COLLIDED;
  }

  private writeRecord(op: SampledOp): SampleOutcome {
    const { buffer, counters, facts } = this;
    // The pseudocode would write one record beyond the limit and report full afterwards.
    if (this.remainingBytes < facts.maxRecordBytes) {
      counters.truncated++;
      this.fill();
      return REFUSED_FULL;
    }
    const bytes = this.storeRecords ? this.writer.build(op, this.selection) : undefined;
    const sizeBytes = bytes?.length ?? this.writer.sizeBytes(op, this.selection);
    const fault = this.memory.write(vpn(buffer.pointerPage), buffer.pointerOffset, sizeBytes, bytes);
    if (fault !== undefined) {
      counters.truncated++;
      this.raiseFault(fault);
      return { kind: "fault", fault };
    }
    counters.written++;
    counters.writtenBytes += sizeBytes;
    this.movePointer(sizeBytes);
    if (this.remainingBytes >= facts.maxRecordBytes) return WRITTEN;
    this.fill();
    return FULL_AFTER_WRITE;
  }

  private movePointer(bytes: number): void {
    const { buffer } = this;
    const offset = buffer.pointerOffset + bytes;
    if (offset < 4096) {
      buffer.pointerOffset = offset;
      buffer.remainingBytes -= bytes;
      return;
    }
    buffer.pointerOffset = offset % 4096;
    buffer.pointerPage = (buffer.pointerPage + Math.floor(offset / 4096)) % PAGES_OF_VA;
    recomputeRemaining(buffer);
  }

  /** SPEBufferFilled. S is 0 here: with S set nothing is written. */
  private fill(): void {
    const { status } = this;
    status.s = true;
    status.ec = PMBSR_EC.buffer;
    status.mss = PMBSR_BSC.filled;
    this.counters.filledBuffers++;
  }

  /** DebugWriteFault and DebugWriteExternalAbort. */
  private raiseFault(fault: RecordFault): void {
    const { status } = this;
    const incomplete = fault.incompleteBytes ?? 0;
    status.s = true;
    status.mss = fault.dfsc;
    status.ec =
      fault.kind === "granule-protection"
        ? PMBSR_EC.granuleProtection
        : fault.kind === "implementation-defined"
          ? PMBSR_EC.implementationDefined
          : fault.stage === 2
            ? PMBSR_EC.stage2Abort
            : PMBSR_EC.stage1Abort;
    if (fault.kind === "external") status.ea = true;
    if (incomplete > 0) {
      status.dl = true;
      this.movePointer(incomplete - (incomplete % this.facts.alignBytes));
    }
  }

  /** PSB CSYNC: the writes of all records sampled before it are complete when this returns. */
  psbCsync(): void {
    this.memory.drain?.();
  }

  // ---- Many samples at once ----

  /** No record can be rejected by the filters: their verdict needs no op. */
  get acceptsEverything(): boolean {
    return this.filters.acceptsEverything;
  }

  /** Every record is rejected by the filters, whatever op within the bounds it is of. */
  rejectsEverything(bounds: OpBounds): boolean {
    return this.filters.rejectsEverything(bounds);
  }

  /** Ops from one selected op to the next, that one included; undefined with jitter (or a zero interval). */
  get periodOps(): number | undefined {
    return this.interval.isRegular ? this.interval.periodOps : undefined;
  }

  /** How many of the next `ops` ops are selected, at a regular period, if nothing changes meanwhile. */
  samplesWithin(ops: number): number {
    if (!this.statisticalProfilingEnabled()) return 0;
    invariant(this.interval.isRegular, "samples do not come at a fixed distance");
    return this.interval.samplesWithin(ops);
  }

  /**
   * Records that can be written until the one, included, that fills the buffer; 0 if it is full already. Infinity in
   * discard mode. With records of varying size it is a lower bound (all of them MaxSize).
   */
  recordsToFull(): number {
    if (this.discards) return Number.POSITIVE_INFINITY;
    return Math.max(0, Math.floor(this.remainingBytes / this.facts.maxRecordBytes));
  }

  /** Records that fit entirely into the page of PMBPTR_EL1 (all of them MaxSize). */
  recordsToPageEnd(): number {
    return Math.floor((4096 - this.buffer.pointerOffset) / this.facts.maxRecordBytes);
  }

  /** Whether `takeSamples` may be called: see there. */
  get canTakeSamples(): boolean {
    return (
      this.facts.fixedRecordBytes !== undefined &&
      !this.storeRecords &&
      !this.isInFlight &&
      this.interval.isRegular &&
      this.filters.acceptsEverything &&
      this.statisticalProfilingEnabled()
    );
  }

  /**
   * Lets ops pass up to and including the `samples`-th selected one and counts their records as written, without
   * asking the memory: the caller vouches that the pages to be written translate. The state afterwards is that of the
   * same samples taken one by one. At most recordsToFull(); the last of those fills the buffer (PMBSR_EL1.S).
   * @returns the ops that passed
   */
  takeSamples(samples: number): number {
    invariant(this.canTakeSamples, "these samples must be taken one by one");
    invariant(samples <= this.recordsToFull(), `${samples} records do not fit into the buffer`);
    const ops = this.passSelected(samples);
    if (this.discards) this.counters.discarded += samples;
    else if (samples > 0) {
      const bytes = samples * this.facts.maxRecordBytes;
      this.counters.written += samples;
      this.counters.writtenBytes += bytes;
      this.movePointer(bytes);
      if (this.remainingBytes < this.facts.maxRecordBytes) this.fill();
    }
    return ops;
  }

  /**
   * Lets ops pass up to and including the `samples`-th selected one, all of them filtered out: the caller knows from
   * rejectsEverything() that none can be kept. A regular period is needed.
   * @returns the ops that passed
   */
  takeRejectedSamples(samples: number): number {
    invariant(!this.isInFlight && this.statisticalProfilingEnabled(), "these ops are not sampled");
    const ops = this.passSelected(samples);
    this.counters.filtered += samples;
    return ops;
  }

  private passSelected(samples: number): number {
    const ops = this.interval.passSamples(samples);
    this.counters.population += ops;
    this.counters.selected += samples;
    return ops;
  }

  // ---- Registers ----

  /** Whether an MSR (isWrite) or MRS of the register exists; one that does not is UNDEFINED. */
  implements(name: SpeRegisterName, isWrite: boolean): boolean {
    return implementsRegister(this.facts, name, isWrite);
  }

  /** A register's value. Reading one that does not exist is a BrokenInvariant: ask `implements`. */
  read(name: SpeRegisterName): bigint {
    return readRegister(this.state, name);
  }

  /**
   * Writes a register; RES0 and unimplemented bits are dropped. Writing a read-only register, or one that does not
   * exist, is a BrokenInvariant: ask `implements`.
   */
  write(name: SpeRegisterName, value: bigint): void {
    writeRegister(this.state, name, value);
  }

  // ---- Whole state ----

  resetCounters(): void {
    Object.assign(this.counters, noCounts());
  }

  save(): SpuSnapshot {
    return {
      controls: { ...this.controls },
      buffer: { ...this.buffer },
      status: { ...this.status },
      selectors: { ...this.filters.selectors },
      interval: this.interval.save(),
      inFlight: this.isInFlight ? { ...this.selection } : undefined,
      counters: { ...this.counters },
    };
  }

  /** Takes over a state saved from a unit with the same implementation, its counters included. */
  restore(snapshot: SpuSnapshot): void {
    Object.assign(this.controls, snapshot.controls);
    Object.assign(this.buffer, snapshot.buffer);
    Object.assign(this.status, snapshot.status);
    this.filters.update(snapshot.selectors);
    this.interval.restore(snapshot.interval);
    this.isInFlight = snapshot.inFlight !== undefined;
    if (snapshot.inFlight !== undefined) Object.assign(this.selection, snapshot.inFlight);
    Object.assign(this.counters, snapshot.counters);
  }

  /** Becomes a shadow of another unit with the same implementation: everything but the counters, and `pe` too. */
  shadow(other: Spu): void {
    const counters = { ...this.counters };
    this.restore(other.save());
    Object.assign(this.counters, counters);
    Object.assign(this.pe, other.pe);
  }
}
