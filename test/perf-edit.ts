/** Little-endian perf.data files with records taken out or changed, as other tools and other perfs leave them. */
import { RECORD, RECORD_HEADER_BYTES } from "../src/perf/format.ts";

/** Offsets in struct perf_file_header. */
const ATTR_BYTES_AT = 16;
const ATTRS_AT = 24;
const DATA_AT = 40;
const FEATURES_AT = 72;
const FEATURE_BYTES = 32;
/** struct perf_file_section: offset and size, behind each attr and in the table of features. */
const SECTION_BYTES = 16;
/** The flags of struct perf_event_attr: two words of 32. */
const FLAGS_AT = 40;

interface Place {
  readonly at: number;
  readonly type: number;
  readonly sizeBytes: number;
  /** Of COMM, FORK, EXIT, MMAP and MMAP2. */
  readonly pid: number;
}

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const number64 = (view: DataView, at: number): number => Number(view.getBigUint64(at, true));

function* recordsOf(bytes: Uint8Array): Generator<Place> {
  const view = viewOf(bytes);
  const end = number64(view, DATA_AT) + number64(view, DATA_AT + 8);
  for (let at = number64(view, DATA_AT); at < end; ) {
    const sizeBytes = view.getUint16(at + 6, true);
    yield { at, type: view.getUint32(at, true), sizeBytes, pid: view.getUint32(at + 8, true) };
    at += sizeBytes;
  }
}

/** Without some records, and the features where they are then: what perf inject makes. */
export function without(bytes: Uint8Array, isGone: (record: Place) => boolean): Uint8Array {
  const view = viewOf(bytes);
  const from = number64(view, DATA_AT);
  const end = from + number64(view, DATA_AT + 8);
  const kept = [...recordsOf(bytes)].filter(
    (record) => record.sizeBytes === RECORD_HEADER_BYTES || !isGone(record),
  );
  const parts = [
    bytes.subarray(0, from),
    ...kept.map(({ at, sizeBytes }) => bytes.subarray(at, at + sizeBytes)),
    bytes.subarray(end),
  ];
  const out = new Uint8Array(Buffer.concat(parts));
  const dataBytes = kept.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const shifted = end - from - dataBytes;
  const outView = viewOf(out);
  outView.setBigUint64(DATA_AT + 8, BigInt(dataBytes), true);
  const bits = bytes.subarray(FEATURES_AT, FEATURES_AT + FEATURE_BYTES);
  const features = bits.reduce((sum, byte) => sum + byte.toString(2).replaceAll("0", "").length, 0);
  for (let i = 0; i < features; i++) {
    const at = from + dataBytes + SECTION_BYTES * i;
    outView.setBigUint64(at, outView.getBigUint64(at, true) - BigInt(shifted), true);
  }
  return out;
}

export const withoutTypes = (bytes: Uint8Array, ...types: readonly number[]): Uint8Array =>
  without(bytes, ({ type }) => types.includes(type));

export const withoutSwitches = (bytes: Uint8Array): Uint8Array =>
  withoutTypes(bytes, RECORD.switch, RECORD.switchCpuWide);

/** Who has the first COMM record. */
export const firstNamed = (bytes: Uint8Array): number =>
  [...recordsOf(bytes)].find(({ type }) => type === RECORD.comm)?.pid ?? 0;

/** With another name in the COMM records that have this one; it takes no more of their words of eight bytes. */
export function renamed(bytes: Uint8Array, from: string, to: string): Uint8Array {
  const out = bytes.slice();
  for (const { at, type } of recordsOf(out)) {
    if (type !== RECORD.comm) continue;
    const name = out.subarray(at + 16, at + 16 + 8 * Math.ceil((from.length + 1) / 8));
    if (Buffer.from(name).toString("latin1").replace(/\0.*/s, "") !== from) continue;
    name.fill(0);
    name.set(Buffer.from(to, "latin1"));
  }
  return out;
}

/** With one flag of each event's attr set or cleared. */
export function withAttrFlag(bytes: Uint8Array, bit: number, on: boolean): Uint8Array {
  const out = bytes.slice();
  const view = viewOf(out);
  const entryBytes = number64(view, ATTR_BYTES_AT);
  const end = number64(view, ATTRS_AT) + number64(view, ATTRS_AT + 8);
  for (let at = number64(view, ATTRS_AT); at < end; at += entryBytes) {
    const flagsAt = at + FLAGS_AT + 4 * Math.floor(bit / 32);
    const mask = 1 << (bit % 32);
    const flags = view.getUint32(flagsAt, true);
    view.setUint32(flagsAt, on ? flags | mask : flags & ~mask, true);
  }
  return out;
}
