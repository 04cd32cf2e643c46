/**
 * Turns a little-endian perf.data into what a big-endian machine would have written: every field of every structure
 * swapped one by one, from include/uapi/linux/perf_event.h and tools/perf/util/header.c. It shares no code with the
 * reader. Left out, since no test needs them: features other than those listed here, and the tool's own records
 * other than HEADER_ATTR, ID_INDEX, FINISHED_ROUND and FINISHED_INIT. Compressed recordings cannot be turned.
 */

/** Widths of the fields before the sample id; `s` is text or bytes up to the sample id. */
const BODIES: Readonly<Record<number, string>> = {
  1: "44888s",
  2: "88",
  3: "44s",
  4: "44448",
  7: "44448",
  10: "4488844" + "8844s",
  13: "8",
  14: "",
  15: "44",
  17: "8422s",
  18: "224s",
};
const TOOL_BODIES: Readonly<Record<number, string>> = { 68: "", 69: "8*", 82: "" };
/** perf_event_attr without its bit-field at 40, up to config3. */
const ATTR_HEAD = "448888";
const ATTR_TAIL = "448888448" + "4224488";
/** OSRELEASE, VERSION, ARCH (text), NRCPUS, CMDLINE, SAMPLE_TIME, and HOSTNAME, by which perf knows the byte order. */
const FEATURES: Readonly<Record<number, string>> = {
  3: "4s",
  4: "4s",
  5: "4s",
  6: "4s",
  7: "44",
  11: "list",
  21: "88",
};

class Swapper {
  readonly from: Uint8Array;
  readonly view: DataView;
  readonly out: number[] = [];

  constructor(from: Uint8Array) {
    this.from = from;
    this.view = new DataView(from.buffer, from.byteOffset, from.byteLength);
  }

  u16 = (at: number): number => this.view.getUint16(at, true);
  u32 = (at: number): number => this.view.getUint32(at, true);
  u64 = (at: number): number => Number(this.view.getBigUint64(at, true));

  reversed(at: number, width: number): void {
    for (let i = width - 1; i >= 0; i--) this.out.push(this.from[at + i] ?? 0);
  }

  /** Fields by their widths, then the rest up to `end` as it is. @returns where the fields ended */
  fields(at: number, widths: string, end: number): number {
    let next = at;
    for (const width of widths.replace("8*", "8".repeat((end - at) / 8))) {
      if (width === "s" || next + Number(width) > end) break;
      this.reversed(next, Number(width));
      next += Number(width);
    }
    this.copy(next, end);
    return next;
  }

  copy(from: number, to: number): void {
    for (let i = from; i < to; i++) this.out.push(this.from[i] ?? 0);
  }

  number(value: number, width: number): void {
    for (let i = width - 1; i >= 0; i--) this.out.push(Math.floor(value / 2 ** (8 * i)) % 256);
  }

  /** The attr's flags are one bit each, numbered from the other end of every byte. */
  attr(at: number): void {
    const sizeBytes = this.u32(at + 4);
    this.fields(at, ATTR_HEAD, at + 40);
    for (let i = 40; i < 48; i++) {
      const byte = this.from[at + i] ?? 0;
      let turned = 0;
      for (let bit = 0; bit < 8; bit++) turned |= ((byte >> bit) & 1) << (7 - bit);
      this.out.push(turned);
    }
    this.fields(at + 48, ATTR_TAIL, at + sizeBytes);
  }
}

/** The sample id's fields: eight bytes each; TID and CPU are two u32. */
function sampleIdWidths(sampleType: number): string {
  const bits: readonly [number, string][] = [
    [1, "44"],
    [2, "8"],
    [6, "8"],
    [9, "8"],
    [7, "44"],
    [16, "8"],
  ];
  return bits.map(([bit, widths]) => ((sampleType >> bit) & 1 ? widths : "")).join("");
}

function swapRecords(swap: Swapper, from: number, to: number, widthsOfId: () => string): void {
  let at = from;
  while (at + 8 <= to) {
    const type = swap.u32(at);
    const end = at + swap.u16(at + 6);
    const start = swap.out.length;
    const body = type < 64 ? BODIES[type] : TOOL_BODIES[type];
    const idWidths = type < 64 ? widthsOfId() : "";
    const idBytes = [...idWidths].reduce((sum, width) => sum + Number(width), 0);
    if (body !== undefined || type === 64) {
      swap.fields(at, "422", at + 8);
      if (type === 64) {
        swap.attr(at + 8);
        const idsAt = at + 8 + swap.u32(at + 12);
        swap.fields(idsAt, "8*", end);
      } else {
        swap.fields(at + 8, body ?? "", end - idBytes);
        swap.fields(end - idBytes, idWidths, end);
      }
      if (swap.out.length - start !== end - at)
        throw new Error(`record type ${type} at ${at} was not turned whole`);
    }
    at = end;
  }
}

function swapFeature(from: Swapper, at: number, sizeBytes: number, kind: string): number[] {
  const swap = new Swapper(from.from.subarray(at, at + sizeBytes));
  if (kind !== "list") swap.fields(0, kind, sizeBytes);
  else {
    const count = swap.u32(0);
    swap.reversed(0, 4);
    let next = 4;
    for (let i = 0; i < count; i++) {
      swap.reversed(next, 4);
      swap.copy(next + 4, next + 4 + swap.u32(next));
      next += 4 + swap.u32(next);
    }
  }
  return swap.out;
}

/** The same recording as a big-endian machine would have written it. */
export function toBigEndian(file: Uint8Array): Uint8Array {
  const swap = new Swapper(file);
  const magic = [...file.subarray(0, 8)].reverse();
  if (swap.u64(8) === 16) {
    swap.out.push(...magic);
    swap.number(16, 8);
    // In a pipe the attr comes first.
    let sampleType = 0;
    swapRecords(swap, 16, file.length, () => {
      for (let at = 16; sampleType === 0; at += swap.u16(at + 6))
        if (swap.u32(at) === 64) sampleType = swap.u32(at + 8 + 24);
      return sampleIdWidths(sampleType);
    });
    return Uint8Array.from(swap.out);
  }
  const attrsAt = swap.u64(24);
  const dataAt = swap.u64(40);
  const dataEnd = dataAt + swap.u64(48);
  const widths = sampleIdWidths(swap.u32(attrsAt + 24));
  const attrBytes = swap.u32(attrsAt + 4);
  const idsAt = swap.u64(attrsAt + attrBytes);
  const idsBytes = swap.u64(attrsAt + attrBytes + 8);

  const records = new Swapper(file);
  swapRecords(records, dataAt, dataEnd, () => widths);
  const attr = new Swapper(file);
  attr.attr(attrsAt);
  const newIdsAt = 104 + attrBytes + 16;
  const newDataAt = newIdsAt + idsBytes;

  const features: { bit: number; bytes: number[] }[] = [];
  let entry = dataEnd;
  for (let bit = 0; bit < 256; bit++) {
    if (((swap.u32(72 + 4 * (bit >> 5)) >> (bit & 31)) & 1) === 0) continue;
    const kind = FEATURES[bit];
    if (kind !== undefined)
      features.push({ bit, bytes: swapFeature(swap, swap.u64(entry), swap.u64(entry + 8), kind) });
    entry += 16;
  }

  swap.out.push(...magic);
  for (const value of [104, attrBytes + 16, 104, attrBytes + 16, newDataAt, records.out.length, 0, 0])
    swap.number(value, 8);
  for (let word = 0; word < 4; word++) {
    const bits = features.filter(({ bit }) => bit >> 6 === word);
    swap.number(
      bits.reduce((sum, { bit }) => sum + 2 ** (bit & 63), 0),
      8,
    );
  }
  swap.out.push(...attr.out);
  swap.number(newIdsAt, 8);
  swap.number(idsBytes, 8);
  swap.fields(idsAt, "8*", idsAt + idsBytes);
  // One by one: a spread of a whole data section is more arguments than a call may have.
  for (const byte of records.out) swap.out.push(byte);
  let featureAt = swap.out.length + 16 * features.length;
  for (const { bytes } of features) {
    swap.number(featureAt, 8);
    swap.number(bytes.length, 8);
    featureAt += bytes.length;
  }
  for (const { bytes } of features) swap.out.push(...bytes);
  return Uint8Array.from(swap.out);
}
