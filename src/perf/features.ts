/** What the header of a perf.data says about the machine and the command (tools/perf/util/header.c). */
import type { Fields } from "./fields.ts";
import { FEATURE } from "./format.ts";

/** Each member is undefined where the file does not say it: perf adds most of them only when it ends in good order. */
export interface RecordingInfo {
  commandLine?: readonly string[];
  cpusOnline?: number;
  cpusAvailable?: number;
  /** uname -m of the recording machine. */
  arch?: string;
  /** uname -r of the recording machine. */
  osRelease?: string;
  perfVersion?: string;
  eventNames?: readonly string[];
  /** First and last sample, ns of perf's clock; zeros where there was none. */
  sampleTimeNs?: readonly [number, number];
  /** `perf record -z`: the level, and perf's own limit for what one record expands to. */
  compressed?: { readonly level: number; readonly mapBytes: number };
}

/** A perf_header_string: u32 length, then that many bytes with NULs at the end. */
function headerString(fields: Fields, at: number): { text: string; end: number } | undefined {
  if (at + 4 > fields.lengthBytes) return undefined;
  const lengthBytes = fields.u32(at);
  const end = at + 4 + lengthBytes;
  return end > fields.lengthBytes ? undefined : { text: fields.text(at + 4, lengthBytes), end };
}

function stringList(fields: Fields): string[] | undefined {
  if (fields.lengthBytes < 4) return undefined;
  const out: string[] = [];
  let at = 4;
  for (let i = fields.u32(0); i > 0; i--) {
    const string = headerString(fields, at);
    if (string === undefined) return undefined;
    out.push(string.text);
    at = string.end;
  }
  return out;
}

/** EVENT_DESC: u32 count, u32 attr size, then for each the attr, u32 number of ids, name, ids. */
function eventNames(fields: Fields): string[] | undefined {
  if (fields.lengthBytes < 8) return undefined;
  const out: string[] = [];
  const attrBytes = fields.u32(4);
  let at = 8;
  for (let i = fields.u32(0); i > 0; i--) {
    const idsAt = at + attrBytes;
    const name = headerString(fields, idsAt + 4);
    if (name === undefined) return undefined;
    out.push(name.text);
    at = name.end + 8 * fields.u32(idsAt);
  }
  return out;
}

/**
 * Reads one feature section (or the payload of a HEADER_FEATURE record) into `info`.
 * @returns false where the section is too short for what it announces; features not listed here are left alone
 */
export function readFeature(info: RecordingInfo, feature: number, fields: Fields): boolean {
  const text = (): string | undefined => headerString(fields, 0)?.text;
  switch (feature) {
    case FEATURE.osRelease: {
      const value = text();
      if (value !== undefined) info.osRelease = value;
      return value !== undefined;
    }
    case FEATURE.version: {
      const value = text();
      if (value !== undefined) info.perfVersion = value;
      return value !== undefined;
    }
    case FEATURE.arch: {
      const value = text();
      if (value !== undefined) info.arch = value;
      return value !== undefined;
    }
    case FEATURE.cmdline: {
      const value = stringList(fields);
      if (value !== undefined) info.commandLine = value;
      return value !== undefined;
    }
    case FEATURE.eventDesc: {
      const value = eventNames(fields);
      if (value !== undefined) info.eventNames = value;
      return value !== undefined;
    }
    case FEATURE.nrCpus:
      if (fields.lengthBytes < 8) return false;
      info.cpusAvailable = fields.u32(0);
      info.cpusOnline = fields.u32(4);
      return true;
    case FEATURE.sampleTime:
      if (fields.lengthBytes < 16) return false;
      info.sampleTimeNs = [fields.u64(0), fields.u64(8)];
      return true;
    case FEATURE.compressed:
      if (fields.lengthBytes < 20) return false;
      info.compressed = { level: fields.u32(8), mapBytes: fields.u32(16) };
      return true;
    default:
      return true;
  }
}

/** Features whose sections `readFeature` looks into. */
export const READ_FEATURES: ReadonlySet<number> = new Set([
  FEATURE.osRelease,
  FEATURE.version,
  FEATURE.arch,
  FEATURE.nrCpus,
  FEATURE.cmdline,
  FEATURE.eventDesc,
  FEATURE.sampleTime,
  FEATURE.compressed,
]);
