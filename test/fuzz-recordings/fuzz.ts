/** Damaged recordings: mutations of the shipped files. Each must give a UserError or a result. */
import { performance } from "node:perf_hooks";
import { UserError } from "../../src/common/errors.ts";
import { type RandomStream, randomStream } from "../../src/common/random.ts";
import { buildSchedule } from "../../src/guest/recording/build.ts";
import { readRuns } from "../../src/guest/recording/read.ts";
import type { Target } from "../../src/guest/recording/target.ts";
import { NO_SEGMENT, type Schedule, SEGMENT, WAIT } from "../../src/guest/schedule.ts";
import { bytesSource, streamSource } from "../../src/perf/byte-source.ts";
import { toBigEndian } from "../perf-byteswap.ts";
import { bytesOf, RECORDINGS } from "../perf-recordings.ts";

const originals = RECORDINGS.map((name) => ({ name, bytes: bytesOf(name) }));
const turned = RECORDINGS.filter((name) => !name.includes("-z.")).map((name) => ({
  name: `${name} (big-endian)`,
  bytes: toBigEndian(bytesOf(name)),
}));
const files = [...originals, ...turned].filter(({ bytes }) => bytes.length < 150_000);

const pick = <T>(random: RandomStream, from: readonly T[]): T =>
  from[random.integer(0, from.length - 1)] as T;

/** Offsets of the records in the data section. */
function recordOffsets(bytes: Uint8Array): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const little = bytes[0] === 0x50;
  const isPipe = Number(view.getBigUint64(8, little)) === 16;
  let at = isPipe ? 16 : Number(view.getBigUint64(40, little));
  const end = isPipe ? bytes.length : Math.min(bytes.length, at + Number(view.getBigUint64(48, little)));
  const offsets: number[] = [];
  while (at + 8 <= end) {
    offsets.push(at);
    if (view.getUint16(at + 6, little) < 8) break;
    at += view.getUint16(at + 6, little);
  }
  return offsets;
}

type Mutation = (bytes: Uint8Array, random: RandomStream) => Uint8Array;

const flipBytes: Mutation = (bytes, random) => {
  for (let n = random.integer(1, 16); n > 0; n--)
    bytes[random.integer(0, bytes.length - 1)] = random.integer(0, 255);
  return bytes;
};

/** Most of a file is data: the first kilobyte, and the features at its end, get their own share. */
const flipHeader: Mutation = (bytes, random) => {
  const atEnd = random.fraction() < 0.4;
  for (let n = random.integer(1, 4); n > 0; n--) {
    const at = random.integer(8, Math.min(1024, bytes.length - 1));
    bytes[atEnd ? bytes.length - at : at] = random.integer(0, 255);
  }
  return bytes;
};

const truncate: Mutation = (bytes, random) => bytes.slice(0, random.integer(0, bytes.length - 1));

const splice: Mutation = (bytes, random) => {
  const other = pick(random, files).bytes;
  const from = random.integer(0, other.length - 1);
  const piece = other.subarray(from, from + random.integer(1, 4096));
  const at = random.integer(0, bytes.length - 1);
  if (random.fraction() < 0.5) {
    bytes.set(piece.subarray(0, bytes.length - at), at);
    return bytes;
  }
  const out = new Uint8Array(bytes.length + piece.length);
  out.set(bytes.subarray(0, at));
  out.set(piece, at);
  out.set(bytes.subarray(at), at + piece.length);
  return out;
};

const cutOut: Mutation = (bytes, random) => {
  const at = random.integer(0, bytes.length - 1);
  const length = random.integer(1, 2048);
  const out = bytes.slice(0, Math.max(at, bytes.length - length));
  out.set(bytes.subarray(at + length), at);
  return out;
};

/** The size, type or misc of a record, or a field right behind its header. */
const recordField: Mutation = (bytes, random) => {
  const little = bytes[0] === 0x50;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const offsets = recordOffsets(bytes);
  if (offsets.length === 0) return bytes;
  for (let n = random.integer(1, 4); n > 0; n--) {
    const at = pick(random, offsets);
    const kind = random.integer(0, 3);
    if (kind === 0)
      view.setUint16(at + 6, pick(random, [0, 7, 8, 9, 15, 16, 24, 65535, random.integer(0, 65535)]), little);
    else if (kind === 1)
      view.setUint32(at, pick(random, [1, 2, 3, 7, 9, 13, 14, 15, 64, 66, 68, 71, 80, 81, 83, 200]), little);
    else if (kind === 2) view.setUint16(at + 4, random.integer(0, 65535), little);
    else if (at + 16 <= bytes.length)
      view.setBigUint64(at + 8, BigInt(random.integer(0, 1 << 30)) << BigInt(random.integer(0, 34)), little);
  }
  return bytes;
};

/** One of the header's offsets and sizes, to something absurd. */
const headerField: Mutation = (bytes, random) => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const at = 8 * random.integer(1, 12);
  const value = pick(random, [
    0n,
    1n,
    15n,
    16n,
    BigInt(bytes.length),
    1n << 31n,
    1n << 40n,
    1n << 53n,
    (1n << 64n) - 1n,
  ]);
  if (at + 8 <= bytes.length) view.setBigUint64(at, value, bytes[0] === 0x50);
  return bytes;
};

const zeros: Mutation = (bytes, random) => {
  const at = random.integer(0, bytes.length - 1);
  return bytes.fill(random.fraction() < 0.5 ? 0 : 0xff, at, at + random.integer(1, 512));
};

const MUTATIONS: readonly Mutation[] = [
  flipBytes,
  flipHeader,
  truncate,
  splice,
  cutOut,
  recordField,
  headerField,
  zeros,
];

/** The command that was recorded, everything where that can be asked of the file, or a command by name. */
function targetFor(name: string, random: RandomStream): Target | undefined {
  const draw = random.fraction();
  if (draw < 0.6) return undefined;
  if (draw < 0.8 && name.includes("system")) return { kind: "per-cpu" };
  return { kind: "comm", comm: /^(make|sched-pipe|sched-messaging|node)/.exec(name)?.[0] ?? "perf" };
}

/** What the replay relies on, whatever the file was. */
function check({ segments, vcpus, tasks, durationNs }: Schedule): void {
  const { count, vcpu, task, startNs, endNs, flags, wait, waker, wakerOffsetNs, waitNs, previousOfTask } =
    segments;
  for (let i = 0; i < count; i++) {
    const start = startNs[i] as number;
    const previous = previousOfTask[i] as number;
    const ok =
      (vcpu[i] as number) < vcpus &&
      (task[i] as number) < tasks.length &&
      start >= 0 &&
      (endNs[i] as number) >= start &&
      (endNs[i] as number) <= durationNs &&
      (i === 0 || start >= (startNs[i - 1] as number)) &&
      previous < i &&
      (previous === NO_SEGMENT || task[previous] === task[i]) &&
      (wait[i] === WAIT.woken) === ((waker[i] as number) !== NO_SEGMENT) &&
      (waker[i] as number) < i &&
      (wakerOffsetNs[i] as number) >= 0 &&
      (waitNs[i] as number) >= 0;
    if (!ok) throw new Error(`segment ${i} of ${count} breaks what the replay relies on`);
  }
  // Every enable is taken back once: E cannot rise twice.
  const on = new Uint8Array(vcpus);
  for (let i = 0; i < count; i++) {
    const bits = flags[i] as number;
    if ((bits & SEGMENT.target) === 0) continue;
    const lane = vcpu[i] as number;
    if (((bits & SEGMENT.enables) !== 0) === (on[lane] === 1))
      throw new Error(`segment ${i}: enables disagree`);
    on[lane] = (bits & SEGMENT.disables) === 0 ? 1 : 0;
  }
  if (on.some((lane) => lane === 1)) throw new Error("the buffer stays enabled at the end");
}

/** @returns what came of it: a word for the tally */
async function tryOne(bytes: Uint8Array, target: Target | undefined, asPipe: boolean): Promise<string> {
  try {
    const source = asPipe ? streamSource("fuzzed", pieces(bytes)) : bytesSource("fuzzed", bytes);
    const recorded = await readRuns(source);
    const built = buildSchedule(recorded, { target });
    if (built.kind !== "schedule") return "asked for a target";
    if (!built.schedule.perCpu) check(built.schedule);
    return built.recording.warnings.length > 0 ? "read, with warnings" : "read";
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    if (error.what.length <= 10) throw new Error(`too few words: ${error.what}`, { cause: error });
    return "refused";
  }
}

async function* pieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 10_007) yield bytes.subarray(at, at + 10_007);
}

/** What came of mutations. */
export interface FuzzedRecordings {
  /** How many were refused, read, read with warnings, or asked for a target. */
  readonly tally: ReadonlyMap<string, number>;
  readonly slowestMs: number;
}

/** Tries mutations. @throws Error for one that gives neither a UserError nor a sound result, with its number and seed */
export async function fuzzRecordings(seed: number, count: number): Promise<FuzzedRecordings> {
  const random = randomStream(seed);
  const tally = new Map<string, number>();
  let slowestMs = 0;
  for (let i = 0; i < count; i++) {
    const { name, bytes } = pick(random, files);
    let mutated = bytes.slice();
    const mutations = Array.from({ length: random.integer(1, 2) }, () => pick(random, MUTATIONS));
    for (const mutate of mutations) if (mutated.length > 1100) mutated = mutate(mutated, random).slice();
    const target = targetFor(name, random);
    const before = performance.now();
    const asPipe = name.includes("pipe-mode") && random.fraction() < 0.5;
    const outcome = await tryOne(mutated, target, asPipe).catch((error: unknown) => {
      throw new Error(`mutation ${i} of ${name} (FUZZ_SEED=${seed}): ${String(error)}`, { cause: error });
    });
    slowestMs = Math.max(slowestMs, performance.now() - before);
    tally.set(outcome, (tally.get(outcome) ?? 0) + 1);
  }
  return { tally, slowestMs };
}
