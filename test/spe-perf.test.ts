/**
 * perf as the oracle of SPE records: what the profiling unit writes, wrapped in a perf.data, is decoded by the
 * machine's own perf, and packets and samples are compared field by field with our decoder and with what was put in.
 */
import { describe, expect, it } from "vitest";
import { type SpePacket, spePackets } from "../src/perf/spe-packets.ts";
import { decodeSpe, type SpeRecord } from "../src/perf/spe-record.ts";
import { EVENT } from "../src/spe/op.ts";
import { writePerfData } from "./spe-perf/perf-data-writer.ts";
import {
  type DumpedPacket,
  dumpedPackets,
  perf,
  type ScriptedSample,
  scriptedSamples,
} from "./spe-perf/perf-tool.ts";
import { type PutIn, runSession, type Session } from "./spe-perf/sessions.ts";

const TIDS = [100, 101, 4242, 70_000];
const NEOVERSE_N1 = "0x00000000413fd0c1";
/** 25 MHz: 40 ns a tick. */
const TIME = { timeShift: 10, timeMult: 40 << 10 };

const fileOf = (session: Session, physicalAddresses: boolean): Uint8Array =>
  writePerfData({
    auxByCpu: session.auxByCpu,
    threads: TIDS.map((tid) => ({ tid, comm: `task-${tid}` })),
    cpuid: NEOVERSE_N1,
    ...TIME,
    physicalAddresses,
  });

function whyNot(): string | undefined {
  const probe = runSession({ samples: 1, seed: 1, anyControls: false, collectPa: true, tids: TIDS });
  try {
    const report = perf(fileOf(probe, true), ["report", "-D"]);
    return report.includes("ARM SPE data") ? undefined : "this perf was built without SPE decoding";
  } catch {
    return "there is no working perf";
  }
}

const reason = whyNot();
if (reason !== undefined)
  console.log(
    `test/spe-perf.test.ts: skipped, ${reason}. Install perf (Debian: apt-get install linux-perf).`,
  );

// ---- perf report -D: packet by packet ----

const EVENT_WORDS: readonly [number, string][] = [
  [EVENT.exceptionGenerated, "EXCEPTION-GEN"],
  [EVENT.retired, "RETIRED"],
  [EVENT.l1dAccess, "L1D-ACCESS"],
  [EVENT.l1dRefill, "L1D-REFILL"],
  [EVENT.tlbAccess, "TLB-ACCESS"],
  [EVENT.tlbWalk, "TLB-REFILL"],
  [EVENT.notTaken, "NOT-TAKEN"],
  [EVENT.mispredicted, "MISPRED"],
  [EVENT.llcAccess, "LLC-ACCESS"],
  [EVENT.llcMiss, "LLC-REFILL"],
  [EVENT.remoteAccess, "REMOTE-ACCESS"],
  [EVENT.misaligned, "ALIGNMENT"],
  [EVENT.partialPredicate, "SVE-PARTIAL-PRED"],
  [EVENT.emptyPredicate, "SVE-EMPTY-PRED"],
];
const SUBCLASS_WORDS: Readonly<Record<number, string>> = {
  0: "GP-REG",
  4: "SIMD-FP",
  16: "UNSPEC-REG",
  20: "MTE-TAG",
  32: "MEMCPY",
  36: "MEMSET",
  48: "NV-SYSREG",
};
const OP_WORDS = ["OTHER", "COND-SELECT", "LD", "ST", "AT", "EXCL", "AR", "B", "COND", "IND"];
const VOCABULARY = new Set([...OP_WORDS, ...Object.values(SUBCLASS_WORDS), ...EVENT_WORDS.map(([, w]) => w)]);

/** Words that perf 6.1 does not know yet; where one is printed it must be right. */
const NEWER = new Set(["MTE-TAG", "MEMCPY", "MEMSET"]);

/** Words of perf's line that this test knows: a newer perf may add others. */
const knownWords = (text: string): string[] =>
  text
    .split(" ")
    .filter((word) => VOCABULARY.has(word))
    .sort();

function expectText(text: string, expected: string | readonly string[]): void {
  if (typeof expected === "string") {
    expect(text).toBe(expected);
    return;
  }
  const printed = knownWords(text);
  expect(printed).toEqual(expected.filter((word) => !NEWER.has(word) || printed.includes(word)));
}

function opWords(packet: SpePacket & { kind: "op-type" }): string[] {
  const has = (bit: number): boolean => (packet.subclass & bit) !== 0;
  switch (packet.opClass) {
    case "other":
      return has(1) ? ["OTHER", "COND-SELECT"] : ["OTHER"];
    case "branch":
      return ["B", ...(has(1) ? ["COND"] : []), ...(has(2) ? ["IND"] : [])];
    case "load-store": {
      const words = [has(1) ? "ST" : "LD"];
      if ((packet.subclass & 0xe2) === 0x02) {
        if (has(4)) words.push("AT");
        if (has(8)) words.push("EXCL");
        if (has(16)) words.push("AR");
      } else words.push(SUBCLASS_WORDS[packet.subclass & 0xfe] ?? "unnamed");
      return words;
    }
    case "reserved":
      return ["reserved"];
  }
}

/** What perf prints for one of our packets; words in any order for operation types and events. */
function expectedText(packet: SpePacket): string | string[] {
  switch (packet.kind) {
    case "padding":
      return "PAD";
    case "end":
      return "END";
    case "timestamp":
      return `TS ${BigInt.asIntN(64, packet.value)}`;
    case "data-source":
      return `DATA-SOURCE ${packet.value}`;
    case "context":
      return `CONTEXT 0x${packet.value.toString(16)} el${packet.el}`;
    case "counter":
      return `LAT ${packet.value} ${["TOT", "ISSUE", "XLAT"][packet.index]}`;
    case "events":
      return EVENT_WORDS.filter(([bit]) => (Number(packet.value) & bit) !== 0)
        .map(([, word]) => word)
        .sort();
    case "op-type":
      return opWords(packet).sort();
    case "address": {
      const low = `0x${(packet.value & ((1n << 56n) - 1n)).toString(16)}`;
      const ns = packet.value >> 63n;
      if (packet.index === 2) return `VA 0x${packet.value.toString(16)}`;
      if (packet.index === 3)
        return `PA ${low} ns=${ns} ch=${(packet.value >> 62n) & 1n} pat=${((packet.value >> 56n) & 15n).toString(16)}`;
      const name = ["PC", "TGT", "", "", "PBT"][packet.index];
      return `${name} ${low} el${(packet.value >> 61n) & 3n} ns=${ns}`;
    }
    default:
      return `our decoder does not understand these bytes (${packet.kind})`;
  }
}

/** perf prints 16 bytes of padding a line; we give a run as one packet. */
function joinPadding(lines: readonly DumpedPacket[]): DumpedPacket[] {
  const out: DumpedPacket[] = [];
  for (const line of lines) {
    const last = out.at(-1);
    if (line.text === "PAD" && last?.text === "PAD")
      out[out.length - 1] = { ...last, bytes: [...last.bytes, ...line.bytes] };
    else out.push(line);
  }
  return out;
}

function expectSameDump(session: Session, report: string): void {
  const dumped = dumpedPackets(report);
  expect(dumped.length).toBe(session.auxByCpu.length);
  for (const [cpu, aux] of session.auxByCpu.entries()) {
    const ours = [...spePackets(aux)];
    const theirs = joinPadding(dumped[cpu] ?? []);
    expect(theirs.map((p) => [p.at, p.bytes.length])).toEqual(ours.map((p) => [p.at, p.sizeBytes]));
    for (const [index, packet] of ours.entries()) {
      const line = theirs[index] as DumpedPacket;
      expect(line.bytes).toEqual([...aux.subarray(packet.at, packet.at + packet.sizeBytes)]);
      expectText(line.text, expectedText(packet));
    }
  }
}

// ---- Our decoder against what was put in ----

function expectAsPutIn(session: Session): void {
  for (const [cpu, aux] of session.auxByCpu.entries()) {
    const { records, account } = decodeSpe(aux);
    expect(account.recordBytes + account.paddingBytes).toBe(aux.length);
    const put = session.samples.filter((s) => s.cpu === cpu);
    expect(records.length).toBe(put.length);
    for (const [index, record] of records.entries()) expectRecord(record, put[index] as PutIn);
  }
}

const LOW_56 = (1n << 56n) - 1n;

function expectRecord(record: SpeRecord, put: PutIn): void {
  const { op } = put;
  const memory = op.kind !== "branch" && op.kind !== "other";
  const low = (address: bigint | undefined): bigint | undefined =>
    address === undefined ? address : address & LOW_56;
  const cycles = (n: number | undefined): number | undefined => (n === undefined ? n : Math.min(n, 0xfff));
  expect({
    contextEl1: record.contextEl1,
    contextEl2: record.contextEl2,
    timestamp: record.timestamp,
    latencies: [record.totalLatency, record.issueLatency, record.translationLatency],
    pc: low(record.pc?.va),
    el: record.pc?.el,
    target: low(record.target?.va),
    va: record.va,
    pa: record.pa?.pa,
    dataSource: record.dataSource,
    opClass: record.opClass,
    subclass: record.subclass,
    events: record.events,
  }).toEqual({
    contextEl1: put.contextEl1,
    contextEl2: put.contextEl2,
    timestamp: put.timestamp === undefined ? undefined : BigInt(put.timestamp),
    latencies: [cycles(op.totalLatency), cycles(op.issueLatency), cycles(op.translationLatency)],
    pc: low(op.pc),
    el: put.el,
    target: low(op.target),
    va: op.va,
    pa: put.pa === undefined ? undefined : BigInt(put.pa),
    dataSource: op.dataSource,
    opClass: memory ? "load-store" : op.kind,
    subclass: op.subclass,
    events: BigInt(op.events),
  });
}

// ---- perf script: sample by sample ----

/** Events by which perf's samples are named (tools/perf/util/arm-spe.c). */
const SAMPLE_EVENTS: readonly [string, number][] = [
  ["l1d-miss", EVENT.l1dRefill],
  ["l1d-access", EVENT.l1dAccess],
  ["llc-miss", EVENT.llcMiss],
  ["llc-access", EVENT.llcAccess],
  ["tlb-miss", EVENT.tlbWalk],
  ["tlb-access", EVENT.tlbAccess],
  ["branch-miss", EVENT.mispredicted],
  ["remote-access", EVENT.remoteAccess],
];
/** perf_mem_data_src.mem_lvl_num by data source: L1 1, L2 2, L3 3, RAM 0xd. 13 is another socket's: mem_remote, and
 *  a level that differs between versions of perf. */
const LEVEL_OF_SOURCE: Readonly<Record<number, number>> = {
  0: 1,
  8: 2,
  9: 2,
  10: 3,
  11: 3,
  12: 3,
  14: 0xd,
};
const REMOTE_SOURCE = 13;
const MEM_OP_LOAD = 2n;
const MEM_OP_STORE = 4n;

/** perf's instruction address: the top byte of a Non-secure EL1 or EL2 address is filled with ones. */
const perfIp = (address: bigint, el: number): bigint => (address & LOW_56) | (el === 0 ? 0n : 0xffn << 56n);
/** perf's data address: the top byte is dropped, and filled with ones if bits 55:52 are. */
const perfVa = (address: bigint): bigint => {
  const low = address & LOW_56;
  return low >> 52n === 0xfn ? low | (0xffn << 56n) : low;
};

function expectScript(put: PutIn, samples: readonly ScriptedSample[], collectPa: boolean): void {
  const { op } = put;
  const isStore = (op.subclass & 1) === 1;
  const memory = op.kind !== "branch" && op.kind !== "other";
  const known = new Set([...SAMPLE_EVENTS.map(([name]) => name), "memory", "instructions"]);
  const expectedEvents = SAMPLE_EVENTS.filter(([, bit]) => (op.events & bit) !== 0).map(([name]) => name);
  if (memory) expectedEvents.push("memory");
  expectedEvents.push("instructions");
  expect(
    samples
      .map((s) => s.event)
      .filter((event) => known.has(event))
      .sort(),
  ).toEqual(expectedEvents.sort());
  for (const s of samples) {
    const addr =
      s.event === "branch-miss"
        ? op.target === undefined
          ? 0n
          : perfIp(op.target, put.el)
        : op.va === undefined
          ? 0n
          : perfVa(op.va);
    if (known.has(s.event)) expect(s.addr).toBe(addr);
    expect({ comm: s.comm, tid: s.tid, cpu: s.cpu, ip: s.ip, weight: s.weight }).toEqual({
      comm: `task-${put.contextEl1}`,
      tid: put.contextEl1,
      cpu: put.cpu,
      ip: perfIp(op.pc, put.el),
      weight: Math.min(op.totalLatency, 0xfff),
    });
    if (collectPa && s.event !== "branch-miss") expect(s.physAddr).toBe(BigInt(put.pa ?? 0));
    if (s.event !== "memory") continue;
    expect(s.dataSrc & 0x1fn).toBe(isStore ? MEM_OP_STORE : MEM_OP_LOAD);
    if (isStore) continue;
    const source = op.dataSource ?? 0;
    expect((s.dataSrc >> 37n) & 1n).toBe(source === REMOTE_SOURCE ? 1n : 0n);
    if (source !== REMOTE_SOURCE) expect(Number((s.dataSrc >> 33n) & 15n)).toBe(LEVEL_OF_SOURCE[source]);
  }
}

describe.skipIf(reason !== undefined)("perf decodes what the profiling unit writes", () => {
  it("packet by packet, with every control at random", () => {
    const session = runSession({ samples: 600, seed: 2, anyControls: true, collectPa: true, tids: TIDS });
    expectAsPutIn(session);
    expectSameDump(session, perf(fileOf(session, true), ["report", "-D"]));
  });

  it.each([
    ["with physical addresses", true],
    ["without physical addresses", false],
  ])("sample by sample, %s", (_name, collectPa) => {
    const session = runSession({
      samples: 500,
      seed: collectPa ? 3 : 4,
      anyControls: false,
      collectPa,
      tids: TIDS,
    });
    expectAsPutIn(session);
    const byTime = new Map<bigint, ScriptedSample[]>();
    let previous = 0n;
    for (const sample of scriptedSamples(fileOf(session, collectPa), collectPa)) {
      expect(sample.timeNs).toBeGreaterThanOrEqual(previous);
      previous = sample.timeNs;
      byTime.set(sample.timeNs, [...(byTime.get(sample.timeNs) ?? []), sample]);
    }
    expect(byTime.size).toBe(session.samples.length);
    for (const put of session.samples)
      expectScript(put, byTime.get(BigInt(put.timestamp as number) * 40n) ?? [], collectPa);
  });
});
