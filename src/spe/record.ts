/**
 * A sample record's bytes, in the packet order of Arm's pseudocode (SPEConstructRecord): contexts, counters, addresses,
 * data source, operation type, events, timestamp or end, then zeros up to the alignment.
 */
import type { ImplementationFacts, SpeImplementation } from "./implementation.ts";
import { CALL_RETURN_MASK, KIND_BITS, type SampledOp } from "./op.ts";
import { ADDRESS, COUNTER, EL_SHIFT, NON_SECURE, PACKET } from "./packets.ts";

/** What the unit collected when it selected the op. */
export interface Selection {
  el: 0 | 1 | 2;
  contextEl1: number | undefined;
  contextEl2: number | undefined;
  timestamp: number | bigint | undefined;
  collectPa: boolean;
}

const MEMORY_KINDS = KIND_BITS.load | KIND_BITS.store;
const isMemory = (op: SampledOp): boolean => (KIND_BITS[op.kind] & MEMORY_KINDS) !== 0;
const isLoad = (op: SampledOp): boolean => (KIND_BITS[op.kind] & KIND_BITS.load) !== 0;

/** The top byte of an instruction address. */
const stateAt = (el: number): number => NON_SECURE | (el << EL_SHIFT);

/** Payload sizes of one record. They shrink where the record would otherwise exceed PMSIDR_EL1.MaxSize. */
interface Layout {
  bytes: number;
  eventsBytes: number;
  dataSourceBytes: number;
}

/** Builds records for one implementation. */
export class RecordWriter {
  private readonly implementation: SpeImplementation;
  private readonly facts: ImplementationFacts;
  private readonly buffer: Uint8Array;
  private readonly view: DataView;
  private readonly layout: Layout = { bytes: 0, eventsBytes: 0, dataSourceBytes: 0 };
  private at = 0;
  /** The record that was built last: most have the same size. */
  private record: Uint8Array;

  constructor(implementation: SpeImplementation, facts: ImplementationFacts) {
    this.implementation = implementation;
    this.facts = facts;
    this.buffer = new Uint8Array(facts.maxRecordBytes);
    this.view = new DataView(this.buffer.buffer);
    this.record = this.buffer;
  }

  /** The size of the record that `build` would make, padding included. */
  sizeBytes(op: SampledOp, selection: Selection): number {
    const fixed = this.facts.fixedRecordBytes;
    if (fixed !== undefined) return fixed;
    return this.padded(this.measure(op, selection).bytes);
  }

  private padded(bytes: number): number {
    const { alignBytes } = this.facts;
    return (bytes + alignBytes - 1) & ~(alignBytes - 1);
  }

  private measure(op: SampledOp, selection: Selection): Layout {
    const { layout, facts, implementation } = this;
    const memory = isMemory(op);
    let bytes = 3 + 3 + 9 + 2; // two counters, the PC, the operation type
    if (selection.contextEl1 !== undefined) bytes += 5;
    if (selection.contextEl2 !== undefined) bytes += 5;
    if (memory && op.translationLatency !== undefined) bytes += 3;
    if (op.target !== undefined) bytes += 9;
    if (memory && op.va !== undefined) bytes += 9;
    if (memory && op.pa !== undefined && selection.collectPa) bytes += 9;
    if (op.previousTarget !== undefined && facts.hasPreviousTarget) bytes += 9;
    bytes += selection.timestamp === undefined ? 1 : 9;
    let { eventsBytes, dataSourceBytes }: { eventsBytes: number; dataSourceBytes: number } = implementation;
    const source = this.dataSource(op);
    if (source === undefined) dataSourceBytes = 0;
    else bytes++;
    bytes += 1 + eventsBytes + dataSourceBytes;
    // Two contexts, all counters and addresses and a timestamp make 65 bytes: narrow a payload that has room.
    if (bytes > facts.maxRecordBytes && dataSourceBytes === 2 && (source as number) <= 0xff) {
      dataSourceBytes = 1;
      bytes--;
    }
    if (bytes > facts.maxRecordBytes && eventsBytes === 4) {
      eventsBytes = 2;
      bytes -= 2;
    }
    layout.bytes = bytes;
    layout.eventsBytes = eventsBytes;
    layout.dataSourceBytes = dataSourceBytes;
    return layout;
  }

  private dataSource(op: SampledOp): number | undefined {
    return this.facts.hasDataSource && isLoad(op) ? op.dataSource : undefined;
  }

  /** The record's bytes: a view into a buffer that the next call overwrites. */
  build(op: SampledOp, selection: Selection): Uint8Array {
    const layout = this.measure(op, selection);
    const { facts } = this;
    const memory = isMemory(op);
    const size = this.padded(layout.bytes);
    this.at = 0;
    if (selection.contextEl1 !== undefined) this.u32(PACKET.contextEl1, selection.contextEl1);
    if (selection.contextEl2 !== undefined) this.u32(PACKET.contextEl2, selection.contextEl2);
    this.counter(COUNTER.total, op.totalLatency);
    this.counter(COUNTER.issue, op.issueLatency);
    if (memory && op.translationLatency !== undefined)
      this.counter(COUNTER.translation, op.translationLatency);
    const state = stateAt(selection.el);
    this.address(ADDRESS.pc, op.pc, state);
    if (op.target !== undefined)
      this.address(ADDRESS.target, op.target, stateAt(op.targetEl ?? selection.el));
    if (memory && op.va !== undefined) this.address(ADDRESS.va, op.va, undefined);
    if (memory && op.pa !== undefined && selection.collectPa)
      this.address(ADDRESS.pa, BigInt(op.pa), NON_SECURE);
    if (op.previousTarget !== undefined && facts.hasPreviousTarget)
      this.address(ADDRESS.previousTarget, op.previousTarget, state);
    const source = this.dataSource(op);
    if (source !== undefined) this.sized(PACKET.dataSource, layout.dataSourceBytes, source);
    this.opType(op);
    this.sized(PACKET.events, layout.eventsBytes, op.events);
    if (selection.timestamp === undefined) this.buffer[this.at++] = PACKET.end;
    else this.timestamp(selection.timestamp);
    this.buffer.fill(PACKET.padding, this.at, size);
    if (this.record.length !== size) this.record = this.buffer.subarray(0, size);
    return this.record;
  }

  private u32(header: number, value: number): void {
    this.buffer[this.at] = header;
    this.view.setUint32(this.at + 1, value, true);
    this.at += 5;
  }

  /** A packet whose payload has 1, 2 or 4 bytes; higher bits of the value are dropped. */
  private sized(header: number, bytes: number, value: number): void {
    this.buffer[this.at] = header | (bytes === 4 ? 0x20 : bytes === 2 ? 0x10 : 0);
    if (bytes === 4) this.view.setUint32(this.at + 1, value, true);
    else if (bytes === 2) this.view.setUint16(this.at + 1, value, true);
    else this.view.setUint8(this.at + 1, value);
    this.at += 1 + bytes;
  }

  private counter(index: number, cycles: number): void {
    this.buffer[this.at] = PACKET.counter | index;
    this.view.setUint16(this.at + 1, Math.min(cycles, this.facts.counterMax), true);
    this.at += 3;
  }

  /** @param state the top byte, replacing the address's; undefined: the address keeps its own */
  private address(index: number, address: bigint, state: number | undefined): void {
    this.buffer[this.at] = PACKET.address | index;
    this.view.setBigUint64(this.at + 1, address, true);
    if (state !== undefined) this.buffer[this.at + 8] = state;
    this.at += 9;
  }

  private opType(op: SampledOp): void {
    this.buffer[this.at] =
      op.kind === "branch" ? PACKET.opBranch : op.kind === "other" ? PACKET.opOther : PACKET.opLoadStore;
    this.buffer[this.at + 1] =
      op.kind === "branch" && !this.facts.hasCallReturn ? op.subclass & ~CALL_RETURN_MASK : op.subclass;
    this.at += 2;
  }

  private timestamp(value: number | bigint): void {
    this.buffer[this.at] = PACKET.timestamp;
    if (typeof value === "bigint") this.view.setBigUint64(this.at + 1, value, true);
    else {
      this.view.setUint32(this.at + 1, value % 0x1_0000_0000, true);
      this.view.setUint32(this.at + 5, Math.floor(value / 0x1_0000_0000), true);
    }
    this.at += 9;
  }
}
