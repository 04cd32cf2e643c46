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
  /** Flags of each PERF_RECORD_AUX: PERF_AUX_FLAG_* of include/uapi/linux/perf_event.h. */
  readonly auxFlags: readonly number[];
}

/** Reads a perf.data, and expects that perf dumps its AUX data as our decoder reads it: records, padding, and nothing else. */
export async function recordedAt(path: string): Promise<Recorded> {
  const data = new Uint8Array(readFileSync(path));
  const { aux, damage } = await readProfile(bytesSource(path, data));
  expect(damage).toBeUndefined();
  const bytesOf = (at: number, sizeBytes: number): Uint8Array => data.subarray(at, at + sizeBytes);
  const pieces = aux.map(({ at, sizeBytes, cpu, tid }) => {
    const { records, account } = decodeSpe(bytesOf(at, sizeBytes));
    expect(account.recordBytes + account.paddingBytes, path).toBe(sizeBytes);
    return { cpu, tid, records };
  });
  const dump = perf(data, ["report", "-D"]);
  expectSameDump(
    aux.map(({ at, sizeBytes }) => bytesOf(at, sizeBytes)),
    dump,
  );
  const auxFlags = [...dump.matchAll(/PERF_RECORD_AUX .* flags: (?:0x)?([0-9a-f]+) /g)].map(([, flags]) =>
    Number.parseInt(String(flags), 16),
  );
  return { data, pieces, records: pieces.flatMap(({ records }) => records), auxFlags };
}
