/**
 * What a perf.data has of a profile: the AUX data that the profiling unit wrote, and the files whose code was mapped while
 * it did. It streams, and leaves AUX data where it is.
 */
import type { ByteSource } from "./byte-source.ts";
import { CompressedStream, DamagedCompression } from "./compressed.ts";
import type { Fields } from "./fields.ts";
import { MISC, RECORD, RECORD_HEADER_BYTES } from "./format.ts";
import { readHeader } from "./header.ts";
import { RecordSplitter } from "./splitter.ts";

/** One PERF_RECORD_AUXTRACE: what perf took out of one AUX buffer at a time. */
export interface AuxPiece {
  /** Where it is in the file, and how long. */
  readonly at: number;
  readonly sizeBytes: number;
  /** Where it began in what was ever written to the buffer. */
  readonly offset: number;
  /** Which buffer. */
  readonly index: number;
  /** The task of a buffer of one's own, and -1 for a CPU's. */
  readonly tid: number;
  /** -1 for a task's. */
  readonly cpu: number;
}

/** A stretch of a process's address space with a file's code. */
export interface CodeMapping {
  readonly pid: number;
  readonly start: bigint;
  readonly sizeBytes: bigint;
  /** Where it begins in the file. */
  readonly offset: bigint;
  readonly path: string;
}

export interface Profile {
  readonly aux: readonly AuxPiece[];
  /** Code that was mapped from files, by processes. */
  readonly mappings: readonly CodeMapping[];
  /** Absolute paths on the machine that was recorded, kernel modules among them, in the order of their first mapping. */
  readonly mapped: readonly string[];
  /** Why it was not read to its end; undefined: it was. */
  readonly damage: string | undefined;
}

/** Bytes before a file's name: pid, tid, start, length, offset, and in MMAP2 inode or build id, protection and flags. */
const NAME_AT: Readonly<Record<number, number>> = { [RECORD.mmap]: 32, [RECORD.mmap2]: 64 };
/** size, offset, reference, idx, tid, cpu. */
const AUXTRACE_BYTES = 36;
const CHUNK_BYTES = 1 << 20;
/** Mappings of no file that have a path all the same. */
const NO_FILE = /^(\/\/anon|\/dev\/zero|\/memfd:|\/SYSV|\/anon_hugepage)| \(deleted\)$/;

class ProfileReader {
  readonly aux: AuxPiece[] = [];
  readonly mapped = new Set<string>();
  readonly mappings: CodeMapping[] = [];
  readonly splitter: RecordSplitter;
  readonly #inner: RecordSplitter;
  readonly #compressed: CompressedStream;
  readonly #mostExpandedBytes: number | undefined;

  constructor(littleEndian: boolean, startOffset: number, mostExpandedBytes: number | undefined) {
    this.#mostExpandedBytes = mostExpandedBytes;
    this.splitter = new RecordSplitter(littleEndian, startOffset, (...record) =>
      this.#record(this.splitter, ...record),
    );
    this.#inner = new RecordSplitter(littleEndian, 0, (...record) => this.#record(this.#inner, ...record));
    this.#compressed = new CompressedStream((bytes) => this.#inner.push(bytes));
  }

  #record(
    splitter: RecordSplitter,
    fields: Fields,
    at: number,
    type: number,
    misc: number,
    sizeBytes: number,
  ): void {
    const body = fields.within(at + RECORD_HEADER_BYTES, at + sizeBytes);
    const nameAt = NAME_AT[type];
    if (nameAt !== undefined) {
      if ((misc & MISC.mmapData) === 0) this.#map(body, body.text(nameAt, body.lengthBytes));
    } else if (type === RECORD.auxtrace) this.#auxtrace(splitter, body, sizeBytes);
    else if (type === RECORD.headerTracingData && body.lengthBytes >= 4) splitter.skip(body.u32(0));
    else if (type === RECORD.compressed) this.#expand(splitter, body.bytes);
    else if (type === RECORD.compressed2 && body.lengthBytes >= 8)
      this.#expand(splitter, body.bytes.subarray(8, 8 + body.u64(0)));
  }

  #map(body: Fields, path: string): void {
    if (!path.startsWith("/") || NO_FILE.test(path)) return;
    this.mapped.add(path);
    const pid = body.i32(0);
    // The kernel's own modules are in its list of symbols.
    if (pid < 0) return;
    const [start, sizeBytes, offset] = [8, 16, 24].map(
      (at) => (BigInt(body.high32(at)) << 32n) | BigInt(body.low32(at)),
    ) as [bigint, bigint, bigint];
    this.mappings.push({ pid, start, sizeBytes, offset, path });
  }

  #auxtrace(splitter: RecordSplitter, body: Fields, recordBytes: number): void {
    const sizeBytes = body.lengthBytes < AUXTRACE_BYTES ? Number.NaN : body.u64(0);
    if (!Number.isSafeInteger(sizeBytes)) {
      splitter.damage = { offset: splitter.recordOffset, what: "AUXTRACE without its size" };
      return;
    }
    this.aux.push({
      at: splitter.recordOffset + recordBytes,
      sizeBytes,
      offset: body.u64(8),
      index: body.u32(24),
      tid: body.i32(28),
      cpu: body.i32(32),
    });
    splitter.skip(sizeBytes);
  }

  #expand(splitter: RecordSplitter, payload: Uint8Array): void {
    try {
      if (splitter === this.#inner) throw new DamagedCompression("within a compressed record");
      this.#compressed.push(payload, this.#mostExpandedBytes);
    } catch (error) {
      if (!(error instanceof DamagedCompression)) throw error;
      splitter.damage = { offset: splitter.recordOffset, what: `a compressed record: ${error.message}` };
    }
  }
}

/**
 * Reads where a profile's AUX data is, and which files it needs to be understood elsewhere.
 * @returns for a file that is damaged or cut, what comes before
 * @throws UserError for what is no perf.data
 */
export async function readProfile(source: ByteSource): Promise<Profile> {
  const { littleEndian, dataOffset, dataBytes, info } = await readHeader(source);
  const reader = new ProfileReader(littleEndian, dataOffset, info.compressed?.mapBytes);
  const { splitter } = reader;
  const end = Math.min(
    dataOffset + (dataBytes ?? Number.POSITIVE_INFINITY),
    source.sizeBytes ?? Number.POSITIVE_INFINITY,
  );
  for (let at = dataOffset; at < end && splitter.damage === undefined; ) {
    const skipBytes = Math.min(splitter.pendingSkipBytes, end - at);
    if (skipBytes > 0 && source.seekable) {
      splitter.skipped(skipBytes);
      at += skipBytes;
      continue;
    }
    const chunk = await source.read(at, Math.min(CHUNK_BYTES, end - at));
    if (chunk.length === 0) break;
    splitter.push(chunk);
    at += chunk.length;
  }
  const { damage } = splitter;
  return {
    aux: reader.aux,
    mapped: [...reader.mapped],
    mappings: reader.mappings,
    damage: damage === undefined ? undefined : `damaged at offset ${damage.offset}: ${damage.what}`,
  };
}
