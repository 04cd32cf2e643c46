/**
 * Writes a perf.data of one SPE session, just enough for `perf report -D` and `perf script` to decode it on any host:
 * the file format of tools/perf/Documentation/perf.data-file-format.txt, the events of tools/lib/perf/include/perf/
 * event.h and the AUXTRACE_INFO of tools/perf/util/arm-spe.h (version 1, which 7.2 reads too).
 */

/** PERF_SAMPLE_*: what both events sample, so that every record has the same sample_id trailer. */
const SAMPLE = {
  ip: 1n << 0n,
  tid: 1n << 1n,
  time: 1n << 2n,
  addr: 1n << 3n,
  cpu: 1n << 7n,
  period: 1n << 8n,
  weight: 1n << 14n,
  dataSrc: 1n << 15n,
  identifier: 1n << 16n,
  physAddr: 1n << 19n,
} as const;

const RECORD = {
  comm: 3,
  mmap2: 10,
  aux: 11,
  itraceStart: 12,
  finishedRound: 68,
  auxtraceInfo: 70,
  auxtrace: 71,
  timeConv: 79,
} as const;

const SPE_PMU_TYPE = 100;
const ATTR_BYTES = 128;
const HEADER_BYTES = 104;
const AUXTRACE_ARM_SPE = 4;
const FEATURE_ARCH = 6;
const FEATURE_CPUID = 9;

/** Grows as it is written, little-endian. */
class Bytes {
  private readonly parts: number[] = [];
  get size(): number {
    return this.parts.length;
  }
  u16(value: number): this {
    this.parts.push(value & 0xff, (value >> 8) & 0xff);
    return this;
  }
  u32(value: number): this {
    return this.u16(value & 0xffff).u16((value >>> 16) & 0xffff);
  }
  u64(value: bigint | number): this {
    const v = BigInt.asUintN(64, BigInt(value));
    return this.u32(Number(v & 0xffff_ffffn)).u32(Number(v >> 32n));
  }
  bytes(value: Uint8Array): this {
    for (const byte of value) this.parts.push(byte);
    return this;
  }
  /** Text with a NUL, padded to a multiple of 8. */
  text(value: string): this {
    const raw = new TextEncoder().encode(value);
    this.bytes(raw);
    for (let i = raw.length; i < Math.ceil((raw.length + 1) / 8) * 8; i++) this.parts.push(0);
    return this;
  }
  done(): Uint8Array {
    return new Uint8Array(this.parts);
  }
}

export interface SpeThread {
  readonly tid: number;
  readonly comm: string;
}

export interface SpeSession {
  /** What the SPU wrote on each CPU; a CPU's number is its index. */
  readonly auxByCpu: readonly Uint8Array[];
  readonly threads: readonly SpeThread[];
  /** MIDR_EL1 in hex: perf decodes data sources by it. */
  readonly cpuid: string;
  /** ns = (ticks * mult) >> shift. */
  readonly timeShift: number;
  readonly timeMult: number;
  readonly physicalAddresses: boolean;
}

/** One record: header, body, and (unless it is perf's own kind) the sample_id trailer. */
function record(type: number, body: Bytes, trailer: Bytes | undefined, misc = 0): Bytes {
  const out = new Bytes();
  const size = 8 + body.size + (trailer?.size ?? 0);
  out.u32(type).u16(misc).u16(size).bytes(body.done());
  if (trailer !== undefined) out.bytes(trailer.done());
  return out;
}

const sampleId = (tid: number, cpu: number, id: number): Bytes =>
  new Bytes().u32(tid).u32(tid).u64(0).u32(cpu).u32(0).u64(id);

function attr(type: number, config: number, sampleType: bigint, flags: bigint, ids: { at: number }): Bytes {
  const out = new Bytes();
  out.u32(type).u32(ATTR_BYTES).u64(config).u64(4096).u64(sampleType).u64(0).u64(flags);
  while (out.size < ATTR_BYTES) out.u32(0);
  return out.u64(ids.at).u64(8);
}

/** The file. */
export function writePerfData(session: SpeSession): Uint8Array {
  const idsAt = HEADER_BYTES;
  const attrsAt = idsAt + 16;
  const attrsBytes = 2 * (ATTR_BYTES + 16);
  const dataAt = attrsAt + attrsBytes;

  const common = SAMPLE.ip | SAMPLE.tid | SAMPLE.time | SAMPLE.cpu | SAMPLE.identifier;
  // `perf script -F weight` asks it of every event, not only of those that the decoder makes.
  const all = common | SAMPLE.addr | SAMPLE.period | SAMPLE.weight | SAMPLE.dataSrc;
  const spe = session.physicalAddresses ? all | SAMPLE.physAddr : all;
  const sampleIdAll = 1n << 18n;
  const [mmap, comm, task, mmap2] = [1n << 8n, 1n << 9n, 1n << 13n, 1n << 23n];

  const data = dataRecords(session);
  const features: [number, Bytes][] = [
    [FEATURE_ARCH, featureText("aarch64")],
    [FEATURE_CPUID, featureText(session.cpuid)],
  ];
  const out = new Bytes();
  out
    .bytes(new TextEncoder().encode("PERFILE2"))
    .u64(HEADER_BYTES)
    .u64(ATTR_BYTES + 16);
  out.u64(attrsAt).u64(attrsBytes).u64(dataAt).u64(data.size).u64(0).u64(0);
  out.u64(features.reduce((bits, [bit]) => bits | (1n << BigInt(bit)), 0n));
  out.u64(0).u64(0).u64(0);
  out.u64(1).u64(2); // the events' ids
  out.bytes(attr(SPE_PMU_TYPE, 1, spe, sampleIdAll, { at: idsAt }).done());
  out.bytes(attr(1, 9, common, sampleIdAll | mmap | comm | task | mmap2, { at: idsAt + 8 }).done());
  out.bytes(data.done());

  let at = out.size + features.length * 16;
  for (const [, content] of features) {
    out.u64(at).u64(content.size);
    at += content.size;
  }
  for (const [, content] of features) out.bytes(content.done());
  return out.done();
}

function featureText(text: string): Bytes {
  const padded = new Bytes().text(text);
  return new Bytes().u32(padded.size).bytes(padded.done());
}

function dataRecords(session: SpeSession): Bytes {
  const out = new Bytes();
  const add = (r: Bytes): void => {
    out.bytes(r.done());
  };
  const conversion = new Bytes().u64(session.timeShift).u64(session.timeMult).u64(0).u64(0).u64(0);
  add(record(RECORD.timeConv, conversion.u16(1).u16(0).u32(0), undefined));
  add(
    record(RECORD.auxtraceInfo, new Bytes().u32(AUXTRACE_ARM_SPE).u32(0).u64(SPE_PMU_TYPE).u64(1), undefined),
  );
  for (const { tid, comm } of session.threads) {
    add(record(RECORD.comm, new Bytes().u32(tid).u32(tid).text(comm), sampleId(tid, 0, 2)));
    const map = new Bytes().u32(tid).u32(tid).u64(0x400000).u64(0x100000).u64(0).u32(0).u32(0).u64(0).u64(0);
    add(record(RECORD.mmap2, map.u32(5).u32(2).text("/spevisor/none"), sampleId(tid, 0, 2), 2));
    add(record(RECORD.itraceStart, new Bytes().u32(tid).u32(tid), sampleId(tid, 0, 1)));
  }
  for (const [cpu, aux] of session.auxByCpu.entries()) {
    add(record(RECORD.aux, new Bytes().u64(0).u64(aux.length).u64(0), sampleId(0, cpu, 1)));
    const info = new Bytes()
      .u64(aux.length)
      .u64(0)
      .u64(0x1234 + cpu)
      .u32(cpu)
      .u32(0xffff_ffff)
      .u32(cpu)
      .u32(0);
    add(record(RECORD.auxtrace, info, undefined));
    out.bytes(aux);
  }
  add(record(RECORD.finishedRound, new Bytes(), undefined));
  return out;
}
