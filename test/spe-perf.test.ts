/**
 * perf as the oracle of SPE records: what the profiling unit writes, wrapped in a perf.data, is decoded by the
 * machine's own perf, and packets and samples are compared field by field with our decoder and with what was put in.
 */

import { describe, expect, it } from "vitest";
import { decodeSpe, type SpeRecord } from "../src/perf/spe-record.ts";
import { SAMPLE_EVENTS } from "./perf-samples.ts";
import { expectSameDump } from "./spe-perf/dump.ts";
import { writePerfData } from "./spe-perf/perf-data-writer.ts";
import { perf, type ScriptedSample, scriptedSamples } from "./spe-perf/perf-tool.ts";
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
    expectSameDump(session.auxByCpu, perf(fileOf(session, true), ["report", "-D"]));
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
