/** The header of a perf.data: byte order, pipe mode or file, attrs, features, and where the records are. */
import { counted } from "../common/counts.ts";
import { UserError } from "../common/errors.ts";
import { LFS_POINTER_BYTES, refuseLfsPointer } from "../common/lfs.ts";
import { type EventAttr, readAttr, SMALLEST_ATTR_BYTES } from "./attr.ts";
import type { ByteSource } from "./byte-source.ts";
import { READ_FEATURES, type RecordingInfo, readFeature } from "./features.ts";
import { Fields } from "./fields.ts";
import { FEATURE, FEATURE_BITS } from "./format.ts";

/** What to type to get a file that can be read. Part of every refusal. */
export const HOW_TO_RECORD =
  "Record one with: perf record --switch-events -e dummy --sample-cpu -- COMMAND   (add -a for the whole system)";

/** An event of the recording and the ids that its records carry. */
export interface RecordedAttr {
  readonly attr: EventAttr;
  readonly ids: readonly number[];
}

export interface RecordingHeader {
  readonly littleEndian: boolean;
  /** Written with `perf record -o -`: attrs and features come as records. */
  readonly pipe: boolean;
  readonly attrs: readonly RecordedAttr[];
  readonly dataOffset: number;
  /** Undefined: to the end of the source. */
  readonly dataBytes: number | undefined;
  readonly info: RecordingInfo;
  readonly warnings: readonly string[];
}

/** struct perf_file_header, up to its feature bitmap, and with it. */
const FILE_HEADER_BYTES = 72 + FEATURE_BITS / 8;
/** struct perf_pipe_file_header. */
const PIPE_HEADER_BYTES = 16;
/** No attr section or feature section that is worth reading is larger. */
const SECTION_LIMIT_BYTES = 16 << 20;

const latin1 = (bytes: Uint8Array): string => String.fromCharCode(...bytes);

/** Refuses what does not start as a perf.data does, saying what it is where that can be told. */
function byteOrderOf(name: string, start: Uint8Array): boolean {
  const magic = latin1(start.subarray(0, 8));
  if (magic === "PERFILE2") return true;
  if (magic === "2ELIFREP") return false;
  if (start.length === 0) throw new UserError(`${name}: it is empty`, HOW_TO_RECORD);
  if (magic === "PERFFILE" || magic === "ELIFFREP")
    throw new UserError(
      `${name}: perf.data of version 1 (magic PERFFILE, at offset 0), which perf wrote before Linux 3.4`,
      `It is not supported. ${HOW_TO_RECORD}`,
    );
  const looksLike = magic.startsWith("\x7fELF") ? ": it is an ELF binary" : "";
  throw new UserError(
    `${name} is not a perf.data file${looksLike} (no PERFILE2 at offset 0; ${counted(Math.min(start.length, 8), "byte")} read)`,
    HOW_TO_RECORD,
  );
}

interface Section {
  readonly offset: number;
  readonly sizeBytes: number;
}

const section = (fields: Fields, at: number): Section => ({
  offset: fields.u64(at),
  sizeBytes: fields.u64(at + 8),
});

/** A section's bytes; fewer where the file is cut. */
async function readSection(source: ByteSource, at: Section, littleEndian: boolean): Promise<Fields> {
  if (!Number.isSafeInteger(at.offset + at.sizeBytes)) return new Fields(new Uint8Array(0), littleEndian);
  const bytes = await source.read(at.offset, Math.min(at.sizeBytes, SECTION_LIMIT_BYTES));
  return new Fields(bytes.slice(), littleEndian);
}

/**
 * The attrs section: attr, then a section with its ids, and so on. Each attr says its own size, which may be another
 * than ours (perf_session__read_header).
 */
async function readAttrs(
  source: ByteSource,
  at: Section,
  littleEndian: boolean,
  warnings: string[],
): Promise<RecordedAttr[]> {
  const fields = await readSection(source, at, littleEndian);
  const attrs: RecordedAttr[] = [];
  let next = 0;
  while (next < at.sizeBytes) {
    const attr = readAttr(fields, next);
    if (attr === undefined || next + attr.sizeBytes + 16 > fields.lengthBytes) {
      warnings.push(
        `the event attributes at offset ${at.offset + next} are damaged or cut; ${attrs.length} read before them`,
      );
      break;
    }
    const idsAt = section(fields, next + attr.sizeBytes);
    const idFields = await readSection(source, idsAt, littleEndian);
    const ids: number[] = [];
    for (let i = 0; i + 8 <= idFields.lengthBytes; i += 8) ids.push(idFields.u64(i));
    attrs.push({ attr, ids });
    next += attr.sizeBytes + 16;
  }
  return attrs;
}

/** The feature bits, lowest first. */
function featureBits(fields: Fields, at: number): number[] {
  const collect = (bitAt: (bit: number) => number): number[] =>
    Array.from({ length: FEATURE_BITS }, (_, bit) => bit).filter((bit) => bitAt(bit) === 1);
  const word64 = collect((bit) => {
    const word = at + 8 * Math.floor(bit / 64);
    return ((bit % 64 < 32 ? fields.low32(word) : fields.high32(word)) >>> (bit % 32)) & 1;
  });
  if (fields.littleEndian || word64.includes(FEATURE.hostname)) return word64;
  // The bitmap is an array of longs: on a 32-bit big-endian machine their halves stand the other way round. perf
  // tells the two apart by HOSTNAME, which it always writes (perf_file_header__read).
  return collect((bit) => (fields.u32(at + 4 * Math.floor(bit / 32)) >>> (bit % 32)) & 1);
}

/** The table of feature sections stands behind the data, one entry for each bit that is set. */
async function readFeatures(
  source: ByteSource,
  bits: readonly number[],
  tableAt: number,
  littleEndian: boolean,
  warnings: string[],
): Promise<RecordingInfo> {
  const info: RecordingInfo = {};
  if (bits.length === 0 || !Number.isSafeInteger(tableAt)) return info;
  const table = new Fields((await source.read(tableAt, 16 * bits.length)).slice(), littleEndian);
  if (table.lengthBytes < 16 * bits.length) {
    warnings.push(
      `the file ends before the header's features (their table should be at offset ${tableAt}): it does not say the command line, machine or kernel`,
    );
    return info;
  }
  let cut = 0;
  for (const [i, bit] of bits.entries()) {
    const at = section(table, 16 * i);
    if (source.sizeBytes !== undefined && at.offset + at.sizeBytes > source.sizeBytes) cut++;
    if (!READ_FEATURES.has(bit)) continue;
    if (!readFeature(info, bit, await readSection(source, at, littleEndian)))
      warnings.push(`header feature ${bit} at offset ${at.offset} is damaged or cut and was left out`);
  }
  if (cut > 0)
    warnings.push(
      `the file is truncated at offset ${source.sizeBytes}: ${cut} of the header's features ${cut === 1 ? "is" : "are"} cut`,
    );
  return info;
}

/**
 * Reads what stands before and behind the records. Leaves a pipe where its first record starts.
 *
 * @throws UserError if the source is no perf.data, or one of a kind that is not supported (version 1, a directory of
 *   `perf record --threads`, file format through a pipe)
 */
export async function readHeader(source: ByteSource): Promise<RecordingHeader> {
  const start = (await source.read(0, PIPE_HEADER_BYTES)).slice();
  if (latin1(start.subarray(0, 8)) === "version ") {
    const rest = await source.read(start.length, LFS_POINTER_BYTES - start.length);
    refuseLfsPointer(source.name, Uint8Array.from([...start, ...rest]));
  }
  const littleEndian = byteOrderOf(source.name, start);
  if (start.length < PIPE_HEADER_BYTES)
    throw new UserError(`${source.name} ends within its header, at offset ${start.length}`, HOW_TO_RECORD);
  const sizeBytes = new Fields(start, littleEndian).u64(8);
  const warnings: string[] = [];
  if (sizeBytes === PIPE_HEADER_BYTES)
    return {
      littleEndian,
      pipe: true,
      attrs: [],
      dataOffset: PIPE_HEADER_BYTES,
      dataBytes: undefined,
      info: {},
      warnings,
    };
  if (!source.seekable)
    throw new UserError(
      `${source.name}: a perf.data file came through a pipe, but its header refers to offsets`,
      "Give the file's name instead, or pipe from `perf record -o -`.",
    );
  const rest = (await source.read(PIPE_HEADER_BYTES, FILE_HEADER_BYTES - PIPE_HEADER_BYTES)).slice();
  if (rest.length < FILE_HEADER_BYTES - PIPE_HEADER_BYTES || sizeBytes < FILE_HEADER_BYTES)
    throw new UserError(
      `${source.name}: its header is cut or damaged (it says ${sizeBytes} bytes at offset 8; ${PIPE_HEADER_BYTES + rest.length} are there, ${FILE_HEADER_BYTES} are needed)`,
      HOW_TO_RECORD,
    );
  const fields = new Fields(rest, littleEndian);
  // Offsets in struct perf_file_header, less the 16 bytes already read: attr_size 16, attrs 24, data 40,
  // event_types 56, the feature bitmap 72.
  const attrs = section(fields, 24 - PIPE_HEADER_BYTES);
  const data = section(fields, 40 - PIPE_HEADER_BYTES);
  const bits = featureBits(fields, 72 - PIPE_HEADER_BYTES);
  if (bits.includes(FEATURE.dirFormat))
    throw new UserError(
      `${source.name} belongs to a perf.data directory (perf record --threads; DIR_FORMAT in the header at offset 72)`,
      `Directories are not supported. ${HOW_TO_RECORD}`,
    );
  if (attrs.sizeBytes < SMALLEST_ATTR_BYTES + 16 || !Number.isSafeInteger(data.offset) || data.offset < 16)
    throw new UserError(
      `${source.name}: the header's sections are damaged (attrs: ${attrs.sizeBytes} bytes, data at ${data.offset})`,
      HOW_TO_RECORD,
    );
  const recorded = await readAttrs(source, attrs, littleEndian, warnings);
  // perf writes the size and the features at the end: a perf that was killed leaves 0 here, and reads such a file
  // to its end itself.
  if (data.sizeBytes === 0) {
    warnings.push(
      "perf record did not end in good order (the header's data size is 0): read to the file's end; the header's features are missing",
    );
    return {
      littleEndian,
      pipe: false,
      attrs: recorded,
      dataOffset: data.offset,
      dataBytes: undefined,
      info: {},
      warnings,
    };
  }
  const info = await readFeatures(source, bits, data.offset + data.sizeBytes, littleEndian, warnings);
  return {
    littleEndian,
    pipe: false,
    attrs: recorded,
    dataOffset: data.offset,
    dataBytes: data.sizeBytes,
    info,
    warnings,
  };
}
