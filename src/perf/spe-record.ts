/**
 * SPE sample records, typed: what the packets of one record say together. A record ends with its TIMESTAMP or END
 * packet; bytes after the last of those are an incomplete record.
 */
import { ADDRESS, COUNTER } from "../spe/packets.ts";
import { type OpClass, type SpePacket, spePackets } from "./spe-packets.ts";

/** An instruction address: bits 55:0, and the state in the top byte of the packet. */
export interface SpeInstructionAddress {
  /** Bits 55:0 as recorded, with 63:56 set where bit 55 is: the address as software uses it. */
  readonly va: bigint;
  readonly el: number;
  readonly ns: boolean;
  readonly nse: boolean;
}

export interface SpePhysicalAddress {
  /** Bits 55:0. */
  readonly pa: bigint;
  readonly ns: boolean;
  readonly nse: boolean;
  /** FEAT_MTE: the access was tag-checked, with this physical tag. */
  readonly tagChecked: boolean;
  readonly tag: number;
}

/** One sample. A part is undefined if its packet was not there; of repeated packets the last counts. */
export interface SpeRecord {
  /** Offset of the first packet in the bytes given. */
  readonly at: number;
  /** Up to and including TIMESTAMP or END, without padding. */
  readonly sizeBytes: number;
  readonly contextEl1: number | undefined;
  readonly contextEl2: number | undefined;
  readonly totalLatency: number | undefined;
  readonly issueLatency: number | undefined;
  readonly translationLatency: number | undefined;
  readonly pc: SpeInstructionAddress | undefined;
  readonly target: SpeInstructionAddress | undefined;
  readonly previousTarget: SpeInstructionAddress | undefined;
  /** With its top byte as recorded: a tag, or zero. */
  readonly va: bigint | undefined;
  readonly pa: SpePhysicalAddress | undefined;
  readonly dataSource: number | undefined;
  readonly opClass: OpClass | undefined;
  readonly subclass: number | undefined;
  readonly events: bigint | undefined;
  readonly timestamp: bigint | undefined;
  /** Packets of the record that have no field here (other counters, addresses and contexts). */
  readonly others: readonly SpePacket[];
}

/** What the bytes were, in bytes; the five add up to their number. */
export interface SpeAccount {
  recordBytes: number;
  paddingBytes: number;
  /** Bytes that begin no packet. */
  unknownBytes: number;
  /** A packet that the end cut off. */
  cutBytes: number;
  /** Whole packets after the last complete record. */
  incompleteBytes: number;
}

const TOP_BYTE = 0xffn << 56n;

/** The address and state of a PC, target or previous-target payload. */
function instructionAddress(payload: bigint): SpeInstructionAddress {
  const low = payload & ~TOP_BYTE;
  return {
    va: (payload >> 55n) & 1n ? low | TOP_BYTE : low,
    el: Number((payload >> 61n) & 3n),
    ns: payload >> 63n !== 0n,
    nse: ((payload >> 60n) & 1n) !== 0n,
  };
}

/** The address and state of a data PA payload. */
const physicalAddress = (payload: bigint): SpePhysicalAddress => ({
  pa: payload & ~TOP_BYTE,
  ns: payload >> 63n !== 0n,
  nse: ((payload >> 60n) & 1n) !== 0n,
  tagChecked: ((payload >> 62n) & 1n) !== 0n,
  tag: Number((payload >> 56n) & 15n),
});

type Draft = { -readonly [K in keyof SpeRecord]: SpeRecord[K] } & { others: SpePacket[] };

const draft = (at: number): Draft => ({
  at,
  sizeBytes: 0,
  contextEl1: undefined,
  contextEl2: undefined,
  totalLatency: undefined,
  issueLatency: undefined,
  translationLatency: undefined,
  pc: undefined,
  target: undefined,
  previousTarget: undefined,
  va: undefined,
  pa: undefined,
  dataSource: undefined,
  opClass: undefined,
  subclass: undefined,
  events: undefined,
  timestamp: undefined,
  others: [],
});

/**
 * The complete records of a piece of AUX data, in order.
 * @param account counts every byte; exact once the generator has ended
 */
function* speRecords(
  bytes: Uint8Array,
  account: SpeAccount = noBytes(),
): Generator<SpeRecord, void, undefined> {
  let record: Draft | undefined;
  let pendingBytes = 0;
  for (const packet of spePackets(bytes)) {
    switch (packet.kind) {
      case "padding":
      case "alignment":
        account.paddingBytes += packet.sizeBytes;
        continue;
      case "unknown":
        account.unknownBytes += packet.sizeBytes;
        continue;
      case "cut":
        account.cutBytes += packet.sizeBytes;
        continue;
    }
    record ??= draft(packet.at);
    pendingBytes += packet.sizeBytes;
    if (packet.kind !== "end" && packet.kind !== "timestamp") {
      add(record, packet);
      continue;
    }
    if (packet.kind === "timestamp") record.timestamp = packet.value;
    record.sizeBytes = packet.at + packet.sizeBytes - record.at;
    account.recordBytes += pendingBytes;
    pendingBytes = 0;
    yield record;
    record = undefined;
  }
  account.incompleteBytes += pendingBytes;
}

/** All records of a piece of AUX data, and what became of every byte. */
export function decodeSpe(bytes: Uint8Array): { records: SpeRecord[]; account: SpeAccount } {
  const account = noBytes();
  const records = [...speRecords(bytes, account)];
  return { records, account };
}

const noBytes = (): SpeAccount => ({
  recordBytes: 0,
  paddingBytes: 0,
  unknownBytes: 0,
  cutBytes: 0,
  incompleteBytes: 0,
});

function add(record: Draft, packet: SpePacket): void {
  switch (packet.kind) {
    case "context":
      if (packet.el === 1) record.contextEl1 = packet.value;
      else if (packet.el === 2) record.contextEl2 = packet.value;
      else record.others.push(packet);
      return;
    case "counter":
      if (packet.index === COUNTER.total) record.totalLatency = packet.value;
      else if (packet.index === COUNTER.issue) record.issueLatency = packet.value;
      else if (packet.index === COUNTER.translation) record.translationLatency = packet.value;
      else record.others.push(packet);
      return;
    case "address":
      if (packet.index === ADDRESS.pc) record.pc = instructionAddress(packet.value);
      else if (packet.index === ADDRESS.target) record.target = instructionAddress(packet.value);
      else if (packet.index === ADDRESS.previousTarget)
        record.previousTarget = instructionAddress(packet.value);
      else if (packet.index === ADDRESS.va) record.va = packet.value;
      else if (packet.index === ADDRESS.pa) record.pa = physicalAddress(packet.value);
      else record.others.push(packet);
      return;
    case "data-source":
      record.dataSource = Number(packet.value);
      return;
    case "op-type":
      record.opClass = packet.opClass;
      record.subclass = packet.subclass;
      return;
    case "events":
      record.events = packet.value;
      return;
    default:
      record.others.push(packet);
  }
}
