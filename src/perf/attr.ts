/**
 * struct perf_event_attr and the sample id that it puts at the end of every record
 * (include/uapi/linux/perf_event.h, "struct sample_id").
 */
import type { Fields } from "./fields.ts";
import { ATTR_FLAG, SAMPLE } from "./format.ts";

/** PERF_ATTR_SIZE_VER0: the smallest attr that a kernel ever had. */
export const SMALLEST_ATTR_BYTES = 64;

export interface EventAttr {
  readonly sizeBytes: number;
  /** Bits 31..0 of sample_type. */
  readonly sampleType: number;
  readonly sampleIdAll: boolean;
  readonly contextSwitch: boolean;
  readonly enableOnExec: boolean;
  readonly inherit: boolean;
}

/** Where a record's sample id has what, in bytes from its start; undefined where it has it not. */
export interface SampleId {
  readonly sizeBytes: number;
  readonly tidAt: number | undefined;
  readonly timeAt: number | undefined;
  readonly cpuAt: number | undefined;
  /** PERF_SAMPLE_IDENTIFIER: the last eight bytes are the event's id, whatever the rest looks like. */
  readonly identified: boolean;
}

/**
 * One flag of the attr's bit-field. The field is declared bit by bit, so a big-endian compiler numbers the bits of
 * each byte from the top: perf swaps it byte by byte for that reason (perf_event__attr_swap).
 */
function flag(fields: Fields, at: number, bit: number): boolean {
  const byte = fields.bytes[at + 40 + (bit >> 3)] ?? 0;
  return ((byte >> (fields.littleEndian ? bit & 7 : 7 - (bit & 7))) & 1) === 1;
}

/**
 * The attr at `at`, or undefined where its own size field cannot be true (below PERF_ATTR_SIZE_VER0, or longer than
 * what is there). A size of 0 is from the first kernels and means VER0.
 */
export function readAttr(fields: Fields, at: number): EventAttr | undefined {
  if (at + SMALLEST_ATTR_BYTES > fields.lengthBytes) return undefined;
  const stated = fields.u32(at + 4);
  const sizeBytes = stated === 0 ? SMALLEST_ATTR_BYTES : stated;
  if (sizeBytes < SMALLEST_ATTR_BYTES || sizeBytes % 8 !== 0 || at + sizeBytes > fields.lengthBytes)
    return undefined;
  return {
    sizeBytes,
    sampleType: fields.low32(at + 24),
    sampleIdAll: flag(fields, at, ATTR_FLAG.sampleIdAll),
    contextSwitch: flag(fields, at, ATTR_FLAG.contextSwitch),
    enableOnExec: flag(fields, at, ATTR_FLAG.enableOnExec),
    inherit: flag(fields, at, ATTR_FLAG.inherit),
  };
}

/** The sample id of an attr's records: eight bytes for each of these bits of sample_type that is set, in this order. */
export function sampleIdOf(attr: EventAttr): SampleId {
  let at = 0;
  const place = (bit: number): number | undefined => {
    if (!attr.sampleIdAll || (attr.sampleType & bit) === 0) return undefined;
    at += 8;
    return at - 8;
  };
  const tidAt = place(SAMPLE.tid);
  const timeAt = place(SAMPLE.time);
  place(SAMPLE.id);
  place(SAMPLE.streamId);
  const cpuAt = place(SAMPLE.cpu);
  const identified = place(SAMPLE.identifier) !== undefined;
  return { sizeBytes: at, tidAt, timeAt, cpuAt, identified };
}

export const sameSampleId = (a: SampleId, b: SampleId): boolean =>
  a.sizeBytes === b.sizeBytes && a.tidAt === b.tidAt && a.timeAt === b.timeAt && a.cpuAt === b.cpuAt;
