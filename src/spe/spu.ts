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
import { type Vpn, vpn } from "../common/address.ts";
import { invariant } from "../common/errors.ts";
import { fill, raiseFault, recordsWritten } from "./buffer.ts";
import { BulkSampling } from "./bulk.ts";
import {
  bareMetalPe,
  CollectContextIDR1,
  CollectContextIDR2,
  CollectPhysicalAddress,
  CollectTimeStamp,
  type ExceptionLevel,
  type PeContext,
  type TimestampKind,
} from "./enables.ts";
import { type FilterSelectors, Filters } from "./filters.ts";
import {
  DEFAULT_IMPLEMENTATION,
  factsOf,
  type ImplementationFacts,
  type SpeImplementation,
} from "./implementation.ts";
import { IntervalCounter, type IntervalState } from "./interval.ts";
import type { SampledOp } from "./op.ts";
import { noCounts, type RecordMemory, type SampleOutcome, type SpuCounters } from "./outcomes.ts";
import { RecordWriter, type Selection } from "./record.ts";
import {
  type Buffer,
  type Controls,
  discards,
  initialBuffer,
  initialControls,
  initialStatus,
  profilingBufferEnabled,
  type SpuState,
  type Status,
  statisticalProfilingEnabled,
} from "./state.ts";
import { implementsRegister, readRegister, writeRegister } from "./sysregs.ts";

export type { RecordMemory, SampleOutcome, SpuCounters } from "./outcomes.ts";

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

export class Spu {
  readonly implementation: SpeImplementation;
  readonly facts: ImplementationFacts;
  /** What the unit knows of its PE; write it when the PE changes. */
  readonly pe: PeContext;
  readonly counters: SpuCounters = noCounts();
  /** For callers that only count samples. */
  readonly bulk: BulkSampling;
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
      storeRecords: this.storeRecords,
      pe: this.pe,
      controls: this.controls,
      buffer: this.buffer,
      status: this.status,
      interval: this.interval,
      filters: this.filters,
      counters: this.counters,
      inFlight: false,
    };
    this.bulk = new BulkSampling(this.state);
  }

  // ---- What holds now ----

  /** PMBLIMITR_EL1.E is 1 and PMBSR_EL1.S is 0 (ProfilingBufferEnabled). */
  profilingBufferEnabled(): boolean {
    return profilingBufferEnabled(this.state);
  }

  /** Whether ops at an exception level are sampled (StatisticalProfilingEnabled). Default: where the PE is. */
  statisticalProfilingEnabled(el: ExceptionLevel = this.pe.el): boolean {
    return statisticalProfilingEnabled(this.state, el);
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
    return discards(this.state);
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
    return this.state.inFlight;
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
    if (this.state.inFlight) {
      this.counters.collided++;
      this.status.coll = true;
      return false;
    }
    this.state.inFlight = true;
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
    invariant(this.state.inFlight, "no sample is in flight");
    this.state.inFlight = false;
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
    const { buffer, counters, facts, state } = this;
    // The pseudocode would write one record beyond the limit and report full afterwards.
    if (this.remainingBytes < facts.maxRecordBytes) {
      counters.truncated++;
      fill(state);
      return REFUSED_FULL;
    }
    const bytes = this.storeRecords ? this.writer.build(op, this.selection) : undefined;
    const sizeBytes = bytes?.length ?? this.writer.sizeBytes(op, this.selection);
    const fault = this.memory.write(vpn(buffer.pointerPage), buffer.pointerOffset, sizeBytes, bytes);
    if (fault !== undefined) {
      counters.truncated++;
      raiseFault(state, fault);
      return { kind: "fault", fault };
    }
    return recordsWritten(state, 1, sizeBytes) ? FULL_AFTER_WRITE : WRITTEN;
  }

  /** PSB CSYNC: the writes of all records sampled before it are complete when this returns. */
  psbCsync(): void {
    this.memory.drain?.();
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
      inFlight: this.state.inFlight ? { ...this.selection } : undefined,
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
    this.state.inFlight = snapshot.inFlight !== undefined;
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
