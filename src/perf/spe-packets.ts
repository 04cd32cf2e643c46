/**
 * SPE sample records as a stream of packets (Arm DDI 0487, "Statistical Profiling Extension Sample Record
 * Specification"; the reader in Linux is tools/perf/util/arm-spe-decoder/arm-spe-pkt-decoder.c).
 *
 * Every byte is accounted for: the sizes of the packets given add up to the bytes read. Bytes that begin no packet
 * are "unknown", one by one as perf skips them; a packet that the input cuts off is "cut".
 */
import { PACKET } from "../spe/packets.ts";

/** Operation classes by the two low bits of the header; 3 is reserved. */
export const OP_CLASSES = ["other", "load-store", "branch", "reserved"] as const;
export type OpClass = (typeof OP_CLASSES)[number];

export type PacketBody =
  | { readonly kind: "padding" }
  /** End of a record without a timestamp. */
  | { readonly kind: "end" }
  | { readonly kind: "timestamp"; readonly value: bigint }
  | { readonly kind: "events"; readonly value: bigint; readonly payloadBytes: number }
  | { readonly kind: "data-source"; readonly value: bigint; readonly payloadBytes: number }
  /** CONTEXTIDR_ELx; `el` is 1 or 2 (3 and 4 are reserved). */
  | { readonly kind: "context"; readonly el: number; readonly value: number }
  | { readonly kind: "op-type"; readonly opClass: OpClass; readonly subclass: number }
  /** Counters 0 total, 1 issue, 2 translation; others up to 31 by the extended header. */
  | { readonly kind: "counter"; readonly index: number; readonly value: number; readonly extended: boolean }
  /** Addresses 0 PC, 1 branch target, 2 data VA, 3 data PA, 4 previous target; up to 31 by the extended header. */
  | { readonly kind: "address"; readonly index: number; readonly value: bigint; readonly extended: boolean }
  /** Skip to a multiple of `boundaryBytes`. */
  | { readonly kind: "alignment"; readonly boundaryBytes: number }
  | { readonly kind: "unknown" }
  | { readonly kind: "cut" };

export type SpePacket = PacketBody & {
  /** Offset of the header in the bytes given. */
  readonly at: number;
  /** Header and payload, or the run of bytes. */
  readonly sizeBytes: number;
};

/**
 * The packets of a piece of AUX data, in order. Runs of padding are one packet, and so are runs of unknown bytes.
 * @param baseOffset where the bytes start in the buffer, for alignment packets
 */
export function* spePackets(bytes: Uint8Array, baseOffset = 0): Generator<SpePacket, void, undefined> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  let unknownFrom: number | undefined;
  while (at < bytes.length) {
    const packet = packetAt(bytes, view, at, baseOffset);
    if (packet === undefined) {
      unknownFrom ??= at;
      at++;
      continue;
    }
    if (unknownFrom !== undefined) {
      yield { kind: "unknown", at: unknownFrom, sizeBytes: at - unknownFrom };
      unknownFrom = undefined;
    }
    yield packet;
    at += packet.sizeBytes;
  }
  if (unknownFrom !== undefined) yield { kind: "unknown", at: unknownFrom, sizeBytes: at - unknownFrom };
}

function packetAt(bytes: Uint8Array, view: DataView, at: number, baseOffset: number): SpePacket | undefined {
  const header = bytes[at] as number;
  if (header === PACKET.padding) {
    let end = at + 1;
    while (end < bytes.length && bytes[end] === PACKET.padding) end++;
    return { kind: "padding", at, sizeBytes: end - at };
  }
  if (header === PACKET.end) return { kind: "end", at, sizeBytes: 1 };
  if ((header & 0xfc) === PACKET.extended) {
    if (at + 1 >= bytes.length) return { kind: "cut", at, sizeBytes: 1 };
    const second = bytes[at + 1] as number;
    if (second === PACKET.padding) {
      const boundaryBytes = 2 << (header & 0x0f);
      const sizeBytes = boundaryBytes - ((baseOffset + at) % boundaryBytes);
      return { kind: "alignment", boundaryBytes, at, sizeBytes: Math.min(sizeBytes, bytes.length - at) };
    }
    const indexed = (second & 0xf8) === PACKET.address || (second & 0xf8) === PACKET.counter;
    return indexed ? sized(bytes, view, at, 2, second, (header & 3) * 8) : undefined;
  }
  return hasPayload(header) ? sized(bytes, view, at, 1, header, 0) : undefined;
}

function hasPayload(header: number): boolean {
  if (header === PACKET.timestamp) return true;
  const withoutSize = header & 0xcf;
  if (withoutSize === PACKET.events || withoutSize === PACKET.dataSource) return true;
  const withoutIndex = header & 0xfc;
  if (withoutIndex === PACKET.contextEl1 || withoutIndex === PACKET.opOther) return true;
  return (header & 0xf8) === PACKET.address || (header & 0xf8) === PACKET.counter;
}

function sized(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  headerBytes: number,
  header: number,
  indexBase: number,
): SpePacket {
  const payloadBytes = 1 << ((header >> 4) & 3);
  const sizeBytes = headerBytes + payloadBytes;
  if (at + sizeBytes > bytes.length) return { kind: "cut", at, sizeBytes: bytes.length - at };
  const from = at + headerBytes;
  const place = { at, sizeBytes };
  if (header === PACKET.timestamp)
    return { kind: "timestamp", value: view.getBigUint64(from, true), ...place };
  const withoutSize = header & 0xcf;
  if (withoutSize === PACKET.events)
    return { kind: "events", value: payload(view, from, payloadBytes), payloadBytes, ...place };
  if (withoutSize === PACKET.dataSource)
    return { kind: "data-source", value: payload(view, from, payloadBytes), payloadBytes, ...place };
  if ((header & 0xfc) === PACKET.contextEl1)
    return { kind: "context", el: (header & 3) + 1, value: view.getUint32(from, true), ...place };
  if ((header & 0xfc) === PACKET.opOther) {
    const opClass = OP_CLASSES[header & 3] as OpClass;
    return { kind: "op-type", opClass, subclass: view.getUint8(from), ...place };
  }
  const index = indexBase + (header & 7);
  const extended = headerBytes === 2;
  return (header & 0xf8) === PACKET.address
    ? { kind: "address", index, value: view.getBigUint64(from, true), extended, ...place }
    : { kind: "counter", index, value: view.getUint16(from, true), extended, ...place };
}

function payload(view: DataView, at: number, bytes: number): bigint {
  if (bytes === 8) return view.getBigUint64(at, true);
  return BigInt(
    bytes === 4 ? view.getUint32(at, true) : bytes === 2 ? view.getUint16(at, true) : view.getUint8(at),
  );
}
