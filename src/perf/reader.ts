/**
 * Reads a perf.data and tells a sink, in time order, who was switched in and out. It streams: what it holds at once
 * is a stretch of the file, the records of about two of perf's rounds, and counts.
 */
import { counted } from "../common/counts.ts";
import { UserError } from "../common/errors.ts";
import type { ByteSource } from "./byte-source.ts";
import { RecordDecoder } from "./decoder.ts";
import type { RecordingInfo } from "./features.ts";
import { recordName } from "./format.ts";
import { HOW_TO_RECORD, type RecordingHeader, readHeader } from "./header.ts";
import { OrderedSink, type RecordingSink } from "./recording-sink.ts";
import { RecordSplitter } from "./splitter.ts";

/** What was read, and what was not. */
export interface ReadReport {
  readonly name: string;
  readonly info: RecordingInfo;
  readonly pipe: boolean;
  readonly littleEndian: boolean;
  /**
   * Whether the command's execve turns on every event that records switches (attr.enable_on_exec). perf sets that for
   * `perf record -- COMMAND` alone: not for -a, -C, -p or -t.
   */
  readonly switchesFromExec: boolean;
  /** How many ids the event that records switches has: for -a and -C one for each CPU. 0 where the file has none. */
  readonly switchEventIds: number;
  /** How many records of each type: by name ("SWITCH"), or "type 99" for one that is not known. */
  readonly records: ReadonlyMap<string, number>;
  /** Sum of PERF_RECORD_LOST: records that did not fit into a ring buffer. */
  readonly lostRecords: number;
  /** Sum of PERF_RECORD_LOST_SAMPLES, which since Linux 6.0 says the same losses once more, by event. */
  readonly lostSamples: number;
  /** Records too short for their type, or with an impossible time. */
  readonly damagedRecords: number;
  /** Records of types that neither the kernel nor perf had when this was written. */
  readonly unknownRecords: number;
  /** Records that came when a later one had already been passed on. */
  readonly lateRecords: number;
  /** Bytes of the data section that were not read as records. */
  readonly unreadBytes: number;
  /** Sentences for people. */
  readonly warnings: readonly string[];
}

const CHUNK_BYTES = 1 << 20;

/** Pushes the data section through `splitter`. @returns the offset after the last byte that was there */
async function pump(
  source: ByteSource,
  splitter: RecordSplitter,
  from: number,
  end: number,
): Promise<number> {
  let at = from;
  while (at < end && splitter.damage === undefined) {
    if (splitter.pendingSkipBytes > CHUNK_BYTES) {
      // AUX data can be gigabytes: go past it.
      const here = source.sizeBytes === undefined ? end : Math.min(end, source.sizeBytes);
      const step = Math.min(splitter.pendingSkipBytes, here - at);
      if (step <= 0) break;
      splitter.skipped(step);
      at += step;
      continue;
    }
    const chunk = await source.read(at, Math.min(CHUNK_BYTES, end - at));
    if (chunk.length === 0) break;
    splitter.push(chunk);
    at += chunk.length;
  }
  return at;
}

interface Ending {
  readonly unreadBytes: number;
  readonly warnings: readonly string[];
}

/** Accounts for what is left at the end: a cut file, a damaged record, a record that does not end. */
function endingOf(
  source: ByteSource,
  splitter: RecordSplitter,
  decoder: RecordDecoder,
  readTo: number,
  end: number,
): Ending {
  const warnings: string[] = [];
  const sectionEnd = Math.min(end, Math.max(readTo, source.sizeBytes ?? readTo));
  if (splitter.damage !== undefined) {
    const { offset, what } = splitter.damage;
    const unreadBytes = sectionEnd - offset;
    warnings.push(
      `damaged at offset ${offset}: ${what}. What comes before it is used, ${counted(unreadBytes, "byte")} after it ${unreadBytes === 1 ? "is" : "are"} not`,
    );
    return { unreadBytes, warnings };
  }
  const unreadBytes = splitter.pendingBytes + decoder.pendingInnerBytes;
  if (readTo < end && end !== Number.POSITIVE_INFINITY)
    warnings.push(
      `the file is truncated at offset ${readTo}: ${counted(end - readTo, "byte")} of records ${end - readTo === 1 ? "is" : "are"} missing. What is there is used`,
    );
  else if (splitter.pendingSkipBytes > 0)
    warnings.push(
      `the file ends within AUX data: ${counted(splitter.pendingSkipBytes, "byte")} of it ${splitter.pendingSkipBytes === 1 ? "is" : "are"} missing`,
    );
  else if (unreadBytes > 0)
    warnings.push(
      `the last record is cut: ${counted(unreadBytes, "byte")} from offset ${splitter.recordOffset} on ${unreadBytes === 1 ? "is" : "are"} not used`,
    );
  return { unreadBytes, warnings };
}

function oddities(decoder: RecordDecoder, late: number): string[] {
  const warnings: string[] = [];
  const first = decoder.firstOddity === undefined ? "" : ` (the first: ${decoder.firstOddity})`;
  if (decoder.damagedRecords + decoder.unknownRecords > 0)
    warnings.push(
      `${decoder.damagedRecords} damaged and ${decoder.unknownRecords} unknown records were left out${first}`,
    );
  if (late > 0)
    warnings.push(
      `${counted(late, "record is", "records are")} older than one from an earlier round of perf's: their order may be wrong`,
    );
  return warnings;
}

/**
 * Reads all of `source` and tells `sink`.
 *
 * @returns counts and warnings; a truncated or damaged file gives what comes before the damage, and says so
 * @throws UserError if it is no perf.data, one of a kind that is not supported, or one without switch events or times
 */
export async function readRecording(source: ByteSource, sink: RecordingSink): Promise<ReadReport> {
  const header: RecordingHeader = await readHeader(source);
  const info: RecordingInfo = { ...header.info };
  const ordered = new OrderedSink(sink);
  const decoder = new RecordDecoder(source.name, ordered, info);
  for (const attr of header.attrs) decoder.addAttr(attr);
  if (!header.pipe) refuseWithoutSwitches(source, decoder);
  const splitter: RecordSplitter = new RecordSplitter(
    header.littleEndian,
    header.dataOffset,
    (fields, at, type, misc, sizeBytes) => decoder.record(splitter, fields, at, type, misc, sizeBytes),
  );
  const end =
    header.dataBytes === undefined ? Number.POSITIVE_INFINITY : header.dataOffset + header.dataBytes;
  const readTo = await pump(source, splitter, header.dataOffset, end);
  ordered.finish();
  if (header.pipe) refuseWithoutSwitches(source, decoder);
  const ending = endingOf(source, splitter, decoder, readTo, end);
  return {
    name: source.name,
    info,
    pipe: header.pipe,
    littleEndian: header.littleEndian,
    switchesFromExec: decoder.switchesFromExec,
    switchEventIds: decoder.switchEventIds,
    records: new Map([...decoder.counts].map(([type, n]) => [recordName(type) ?? `type ${type}`, n])),
    lostRecords: decoder.lostRecords,
    lostSamples: decoder.lostSamples,
    damagedRecords: decoder.damagedRecords,
    unknownRecords: decoder.unknownRecords,
    lateRecords: ordered.lateRecords,
    unreadBytes: ending.unreadBytes,
    warnings: [...header.warnings, ...ending.warnings, ...oddities(decoder, ordered.lateRecords)],
  };
}

function refuseWithoutSwitches(source: ByteSource, decoder: RecordDecoder): void {
  if (decoder.contextSwitch) return;
  throw new UserError(
    decoder.attrs === 0
      ? `${source.name}: no event attributes could be read (the section at offset 24 of the header, or HEADER_ATTR records)`
      : `${source.name} has no switch events: ${decoder.attrs === 1 ? "its event does not have" : `none of its ${decoder.attrs} events has`} context_switch set`,
    HOW_TO_RECORD,
  );
}
