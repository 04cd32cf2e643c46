/**
 * Takes records apart. Each one ends up passed on to the sink, counted as a type that has nothing to say about
 * switches, or counted as unknown or damaged.
 */
import { UserError } from "../common/errors.ts";
import { readAttr, type SampleId, sameSampleId, sampleIdOf } from "./attr.ts";
import { CompressedStream, DamagedCompression } from "./compressed.ts";
import { type RecordingInfo, readFeature } from "./features.ts";
import type { Fields } from "./fields.ts";
import { FIRST_TOOL_RECORD, MISC, RECORD, RECORD_HEADER_BYTES, recordName } from "./format.ts";
import { HOW_TO_RECORD, type RecordedAttr } from "./header.ts";
import { BEFORE_RECORDING, NO_CPU, type OrderedSink } from "./recording-sink.ts";
import { RecordSplitter } from "./splitter.ts";

/** TASK_COMM_LEN. */
const COMM_BYTES = 16;
const ALL_ONES = 0xffffffff;

/** Smallest body of each type that is looked into: without header and sample id. */
const BODY_BYTES: Readonly<Record<number, number>> = {
  [RECORD.mmap]: 32,
  [RECORD.lost]: 16,
  [RECORD.comm]: 8,
  [RECORD.exit]: 24,
  [RECORD.fork]: 24,
  [RECORD.mmap2]: 64,
  [RECORD.lostSamples]: 8,
  [RECORD.switch]: 0,
  [RECORD.switchCpuWide]: 8,
};

export class RecordDecoder {
  /** Records of each type number. */
  readonly counts = new Map<number, number>();
  lostRecords = 0;
  lostSamples = 0;
  damagedRecords = 0;
  unknownRecords = 0;
  /** Where and how the first damaged or unknown record was found. */
  firstOddity: string | undefined;
  contextSwitch = false;
  /** Whether none of the events that record switches is on before the command's execve. */
  switchesFromExec = true;
  /** The most ids that an event with switches has: one for each CPU that it is opened on. */
  switchEventIds = 0;
  readonly #name: string;
  readonly #sink: OrderedSink;
  readonly #info: RecordingInfo;
  #attrs = 0;
  /** The sample id of all attrs; undefined where they differ and the id in each record decides. */
  #common: SampleId | undefined;
  readonly #byId = new Map<number, SampleId>();
  #identified = true;
  #baseHigh = 0;
  #baseLow = 0;
  #hasBase = false;
  #compressed: CompressedStream | undefined;
  /** The records that come out of compressed ones. */
  #inner: RecordSplitter | undefined;

  /** @param name the source's, for messages; `info` is completed by HEADER_FEATURE records */
  constructor(name: string, sink: OrderedSink, info: RecordingInfo) {
    this.#name = name;
    this.#sink = sink;
    this.#info = info;
  }

  get attrs(): number {
    return this.#attrs;
  }

  /** Bytes of a record that began in the last compressed payload and does not end. */
  get pendingInnerBytes(): number {
    return this.#inner?.pendingBytes ?? 0;
  }

  addAttr({ attr, ids }: RecordedAttr): void {
    const sampleId = sampleIdOf(attr);
    for (const id of ids) this.#byId.set(id, sampleId);
    if (this.#attrs === 0) this.#common = sampleId;
    else if (this.#common !== undefined && !sameSampleId(this.#common, sampleId)) this.#common = undefined;
    this.#identified &&= sampleId.identified;
    if (attr.contextSwitch) {
      this.contextSwitch = true;
      this.switchesFromExec &&= attr.enableOnExec;
      this.switchEventIds = Math.max(this.switchEventIds, ids.length);
    }
    this.#attrs++;
  }

  /** One record of `splitter`, whose damage is set where what follows cannot be read. */
  record(
    splitter: RecordSplitter,
    fields: Fields,
    at: number,
    type: number,
    misc: number,
    sizeBytes: number,
  ): void {
    this.counts.set(type, (this.counts.get(type) ?? 0) + 1);
    if (type < FIRST_TOOL_RECORD) this.#kernelRecord(splitter, fields, at, type, misc, sizeBytes);
    else this.#toolRecord(splitter, fields, at, type, sizeBytes);
  }

  #odd(splitter: RecordSplitter, what: string): void {
    this.firstOddity ??= `${what} at offset ${splitter.recordOffset}${splitter === this.#inner ? " of the uncompressed records" : ""}`;
  }

  #damaged(splitter: RecordSplitter, type: number, sizeBytes: number): void {
    this.damagedRecords++;
    this.#odd(splitter, `${recordName(type) ?? `type ${type}`} of ${sizeBytes} bytes`);
  }

  #toolRecord(splitter: RecordSplitter, fields: Fields, at: number, type: number, sizeBytes: number): void {
    const body = fields.within(at + RECORD_HEADER_BYTES, at + sizeBytes);
    switch (type) {
      case RECORD.finishedRound:
        this.#sink.finishRound();
        break;
      case RECORD.headerAttr:
        if (!this.#headerAttr(body)) this.#damaged(splitter, type, sizeBytes);
        break;
      case RECORD.headerFeature:
        if (body.lengthBytes < 8 || !readFeature(this.#info, body.u64(0), body.within(8, body.lengthBytes)))
          this.#damaged(splitter, type, sizeBytes);
        break;
      case RECORD.auxtrace:
        if (body.lengthBytes < 8) this.#damaged(splitter, type, sizeBytes);
        else this.#skip(splitter, body.u64(0), type);
        break;
      case RECORD.headerTracingData:
        if (body.lengthBytes < 4) this.#damaged(splitter, type, sizeBytes);
        else this.#skip(splitter, body.u32(0), type);
        break;
      case RECORD.compressed:
        this.#expand(splitter, body.bytes);
        break;
      case RECORD.compressed2: {
        // perf 6.16 writes a wrong record size where its payload comes near 64 KiB; data_size is then larger.
        const dataBytes = body.lengthBytes < 8 ? Number.POSITIVE_INFINITY : body.u64(0);
        if (dataBytes <= body.lengthBytes - 8) this.#expand(splitter, body.bytes.subarray(8, 8 + dataBytes));
        else
          splitter.damage = {
            offset: splitter.recordOffset,
            what: `a COMPRESSED2 record of ${sizeBytes} bytes that says it holds ${dataBytes}`,
          };
        break;
      }
      default:
        if (recordName(type) === undefined) this.#unknown(splitter, type);
    }
  }

  /** The attr and, in what is left of the record, its ids. */
  #headerAttr(body: Fields): boolean {
    const attr = readAttr(body, 0);
    if (attr === undefined) return false;
    const ids: number[] = [];
    for (let i = attr.sizeBytes; i + 8 <= body.lengthBytes; i += 8) ids.push(body.u64(i));
    this.addAttr({ attr, ids });
    return true;
  }

  #unknown(splitter: RecordSplitter, type: number): void {
    this.unknownRecords++;
    this.#odd(splitter, `unknown type ${type}`);
  }

  #skip(splitter: RecordSplitter, bytes: number, type: number): void {
    if (Number.isSafeInteger(bytes)) splitter.skip(bytes);
    else
      splitter.damage = {
        offset: splitter.recordOffset,
        what: `${recordName(type)} followed by ${bytes} bytes`,
      };
  }

  #expand(splitter: RecordSplitter, payload: Uint8Array): void {
    if (splitter === this.#inner) {
      splitter.damage = { offset: splitter.recordOffset, what: "a compressed record within compressed ones" };
      return;
    }
    const inner = this.#innerSplitter(splitter.littleEndian);
    this.#compressed ??= new CompressedStream((bytes) => inner.push(bytes));
    try {
      this.#compressed.push(payload, this.#info.compressed?.mapBytes);
    } catch (error) {
      if (!(error instanceof DamagedCompression)) throw error;
      splitter.damage = {
        offset: splitter.recordOffset,
        what: `a compressed record that cannot be read (${error.message})`,
      };
      return;
    }
    if (inner.damage !== undefined)
      splitter.damage = {
        offset: splitter.recordOffset,
        what: `a compressed record that holds ${inner.damage.what}`,
      };
  }

  #innerSplitter(littleEndian: boolean): RecordSplitter {
    this.#inner ??= new RecordSplitter(littleEndian, 0, (fields, at, type, misc, sizeBytes) =>
      this.record(this.#inner as RecordSplitter, fields, at, type, misc, sizeBytes),
    );
    return this.#inner;
  }

  #kernelRecord(
    splitter: RecordSplitter,
    fields: Fields,
    at: number,
    type: number,
    misc: number,
    sizeBytes: number,
  ): void {
    const bodyLeast = BODY_BYTES[type];
    if (bodyLeast === undefined) {
      if (recordName(type) === undefined) this.#unknown(splitter, type);
      return;
    }
    const id = this.#sampleIdAt(fields, at + sizeBytes);
    if (id === undefined) {
      this.#damaged(splitter, type, sizeBytes);
      return;
    }
    if (id.timeAt === undefined) this.#refuseWithoutTimes();
    const idAt = at + sizeBytes - id.sizeBytes;
    const complete = idAt >= at + RECORD_HEADER_BYTES + bodyLeast;
    const timeNs = complete ? this.#timeOf(fields, idAt + id.timeAt) : undefined;
    if (timeNs === undefined) {
      this.#damaged(splitter, type, sizeBytes);
      return;
    }
    const cpu = id.cpuAt === undefined ? NO_CPU : fields.i32(idAt + id.cpuAt);
    this.#tell(fields, at + RECORD_HEADER_BYTES, type, misc, idAt, id, timeNs, cpu);
  }

  #tell(
    fields: Fields,
    bodyAt: number,
    type: number,
    misc: number,
    idAt: number,
    id: SampleId,
    timeNs: number,
    cpu: number,
  ): void {
    const sink = this.#sink;
    switch (type) {
      case RECORD.switch:
      case RECORD.switchCpuWide: {
        // Records without TID cannot say who: perf always sets it.
        const pid = id.tidAt === undefined ? -1 : fields.i32(idAt + id.tidAt);
        const tid = id.tidAt === undefined ? -1 : fields.i32(idAt + id.tidAt + 4);
        const out = (misc & MISC.switchOut) !== 0;
        const preempted = (misc & MISC.switchOutPreempt) !== 0;
        if (type === RECORD.switch) {
          if (out) sink.taskOut(timeNs, cpu, pid, tid, preempted);
          else sink.taskIn(timeNs, cpu, pid, tid);
        } else {
          const otherPid = fields.i32(bodyAt);
          const otherTid = fields.i32(bodyAt + 4);
          if (out) sink.cpuOut(timeNs, cpu, pid, tid, preempted, otherPid, otherTid);
          else sink.cpuIn(timeNs, cpu, pid, tid, otherPid, otherTid);
        }
        break;
      }
      case RECORD.comm: {
        const comm = fields.text(bodyAt + 8, Math.min(COMM_BYTES, idAt - bodyAt - 8));
        const exec = (misc & MISC.commExec) !== 0;
        sink.comm(timeNs, cpu, fields.i32(bodyAt), fields.i32(bodyAt + 4), comm, exec);
        break;
      }
      case RECORD.fork:
        sink.fork(
          timeNs,
          cpu,
          fields.i32(bodyAt),
          fields.i32(bodyAt + 8),
          fields.i32(bodyAt + 4),
          fields.i32(bodyAt + 12),
        );
        break;
      case RECORD.exit:
        sink.exit(timeNs, cpu, fields.i32(bodyAt), fields.i32(bodyAt + 8));
        break;
      case RECORD.lost: {
        const lost = fields.u64(bodyAt + 8);
        this.lostRecords += lost;
        sink.lost(timeNs, cpu, lost);
        break;
      }
      case RECORD.lostSamples:
        if ((misc & MISC.lostSamplesBpf) === 0) this.lostSamples += fields.u64(bodyAt);
        break;
      default:
      // MMAP and MMAP2 are checked for their size and counted; what is mapped does not matter to a schedule.
    }
  }

  /** The layout of the sample id that ends at `end`; undefined where the record's id is none that is known. */
  #sampleIdAt(fields: Fields, end: number): SampleId | undefined {
    if (this.#common !== undefined) return this.#common;
    if (this.#attrs === 0)
      throw new UserError(
        `${this.#name}: its first records come before any event attributes; the file is damaged`,
        HOW_TO_RECORD,
      );
    if (!this.#identified)
      throw new UserError(
        `${this.#name}: its ${this.#attrs} events write differently shaped records without an identifier`,
        `Record one event only. ${HOW_TO_RECORD}`,
      );
    return this.#byId.get(fields.u64(end - 8));
  }

  /** ns since the first time seen, exact although a clock may be beyond 2^53 ns; undefined where it cannot be. */
  #timeOf(fields: Fields, at: number): number | undefined {
    const high = fields.high32(at);
    const low = fields.low32(at);
    if ((high === 0 && low === 0) || (high === ALL_ONES && low === ALL_ONES)) return BEFORE_RECORDING;
    if (!this.#hasBase) {
      this.#hasBase = true;
      this.#baseHigh = high;
      this.#baseLow = low;
    }
    const timeNs = (high - this.#baseHigh) * 0x1_0000_0000 + (low - this.#baseLow);
    return Number.isSafeInteger(timeNs) ? timeNs : undefined;
  }

  #refuseWithoutTimes(): never {
    throw new UserError(
      `${this.#name}: its records carry no times (sample_id_all or PERF_SAMPLE_TIME is not set in the event's attributes)`,
      `Add --timestamp if you use --per-thread. ${HOW_TO_RECORD}`,
    );
  }
}
