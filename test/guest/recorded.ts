/** Recordings of SPE that came out of a guest, as our decoder and perf on this computer read them. */
import { readFileSync } from "node:fs";
import { expect } from "vitest";
import { bytesSource } from "../../src/perf/byte-source.ts";
import { readProfile } from "../../src/perf/profile.ts";
import { decodeSpe, type SpeRecord } from "../../src/perf/spe-record.ts";
import { expectSameDump } from "../spe-perf/dump.ts";
import { perf } from "../spe-perf/perf-tool.ts";

/** What perf took out of one AUX buffer at a time. */
export interface RecordedPiece {
  /** -1 for a task's own buffer. */
  readonly cpu: number;
  /** -1 for a CPU's. */
  readonly tid: number;
  readonly records: readonly SpeRecord[];
}

export interface Recorded {
  readonly data: Uint8Array;
  readonly pieces: readonly RecordedPiece[];
  readonly records: readonly SpeRecord[];
  /**
   * Flags of each PERF_RECORD_AUX: PERF_AUX_FLAG_* of include/uapi/linux/perf_event.h. Undefined where this computer's perf is too
   * old for the file.
   */
  readonly auxFlags: readonly number[] | undefined;
}

/**
 * Reads a perf.data, and expects that perf dumps its AUX data as our decoder reads it: records, padding, and nothing else.
 * @param hasPerf whether perf on this computer can read it; one that is older than the guest's may not
 */
export async function recordedAt(path: string, hasPerf: boolean): Promise<Recorded> {
  const data = new Uint8Array(readFileSync(path));
  const { aux, damage } = await readProfile(bytesSource(path, data));
  expect(damage).toBeUndefined();
  const bytesOf = (at: number, sizeBytes: number): Uint8Array => data.subarray(at, at + sizeBytes);
  const pieces = aux.map(({ at, sizeBytes, cpu, tid }) => {
    const { records, account } = decodeSpe(bytesOf(at, sizeBytes));
    expect(account.recordBytes + account.paddingBytes, path).toBe(sizeBytes);
    return { cpu, tid, records };
  });
  const auxFlags = hasPerf
    ? dumpedFlags(
        data,
        aux.map(({ at, sizeBytes }) => bytesOf(at, sizeBytes)),
      )
    : undefined;
  return { data, pieces, records: pieces.flatMap(({ records }) => records), auxFlags };
}

/** Compares perf's dump of AUX data with our decoder's, and returns the flags of its records. */
function dumpedFlags(data: Uint8Array, pieces: readonly Uint8Array[]): readonly number[] {
  const dump = perf(data, ["report", "-D"]);
  expectSameDump(pieces, dump);
  return [...dump.matchAll(/PERF_RECORD_AUX .* flags: (?:0x)?([0-9a-f]+) /g)].map(([, flags]) =>
    Number.parseInt(String(flags), 16),
  );
}
