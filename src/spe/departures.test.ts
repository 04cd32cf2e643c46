/**
 * Where the unit departs from Arm's published pseudocode, or where documents disagree: one test each. Where it can be
 * shown, the test runs the pseudocode as published beside the unit.
 */
import { describe, expect, it } from "vitest";
import { MDCR_EL2, PMSIDR_EL1, type SpeRegisterName } from "../arm/registers.ts";
import { sysregTrap } from "../arm/spe-traps.ts";
import { bareMetalPe } from "./enables.ts";
import { DEFAULT_IMPLEMENTATION, type SpeImplementation } from "./implementation.ts";
import type { SampledOp } from "./op.ts";
import type { RecordFault } from "./outcomes.ts";
import { Pseudocode } from "./pseudocode.testing.ts";
import { BUFFER, LOAD, start, toSample, unit } from "./spu.testing.ts";

type Registers = Partial<Record<SpeRegisterName, bigint>>;

const withPmsidr = (
  fields: Parameters<typeof PMSIDR_EL1.with>[1],
  pmsVer: SpeImplementation["pmsVer"] = 3,
): SpeImplementation => ({
  ...DEFAULT_IMPLEMENTATION,
  pmsVer,
  pmsidr: PMSIDR_EL1.with(DEFAULT_IMPLEMENTATION.pmsidr, fields),
});

const published = (implementation: SpeImplementation, faultAt?: (va: bigint) => RecordFault): Pseudocode => {
  const p = new Pseudocode(bareMetalPe(), {
    asPublished: true,
    pmsidr: implementation.pmsidr,
    align: 6,
    pmsVer: implementation.pmsVer,
    sve: false,
    ecv: false,
    random: () => 7,
    counter: () => 1000n,
    faultAt: faultAt ?? (() => undefined),
    eventsBytes: 4,
    dataSourceBytes: 2,
  });
  p.PMBPTR_EL1 = BUFFER;
  p.PMBLIMITR_EL1 = (BUFFER + 16384n) | 1n;
  p.PMSIRR_EL1 = 256n;
  p.PMSICR_EL1 = 1n;
  p.PMSCR_EL1 = 0x2bn;
  return p;
};

/** Whether one op's record passes the filters: in the unit, and in the pseudocode as published. */
function keptBy(
  implementation: SpeImplementation,
  registers: Registers,
  op: SampledOp,
): { unit: boolean; published: boolean } {
  const { spu } = unit({ implementation });
  start(spu, 256);
  const p = published(implementation);
  for (const [name, value] of Object.entries(registers) as [SpeRegisterName, bigint][]) {
    spu.write(name, value);
    (p as unknown as Record<string, bigint>)[name] = value;
  }
  toSample(spu);
  p.preExecution();
  return { unit: spu.sample(op).kind === "written", published: p.postExecution(op) };
}

describe("unlike the pseudocode", () => {
  it("records with a latency of at least MINLAT are kept, not those below it", () => {
    const registers = { PMSFCR_EL1: 4n, PMSLATFR_EL1: 20n };
    const at = (totalLatency: number): object =>
      keptBy(DEFAULT_IMPLEMENTATION, registers, { ...LOAD, totalLatency });
    expect(at(19)).toEqual({ unit: false, published: true });
    expect(at(20)).toEqual({ unit: true, published: false });
  });

  it("the data-source filter is applied", () => {
    const implementation = withPmsidr({ FDS: 1 }, 5);
    const registers = { PMSFCR_EL1: 16n, PMSDSFR_EL1: 1n << 8n };
    expect(keptBy(implementation, registers, { ...LOAD, dataSource: 9 })).toEqual({
      unit: false,
      published: true,
    });
    expect(keptBy(implementation, registers, { ...LOAD, dataSource: 8 })).toEqual({
      unit: true,
      published: true,
    });
  });

  it("events 19 to 23 can be filtered from v1p4 on", () => {
    const registers = { PMSFCR_EL1: 1n, PMSEVFR_EL1: 1n << 20n };
    const op = { ...LOAD, events: 0x2 };
    expect(keptBy(withPmsidr({}, 5), registers, op)).toEqual({ unit: false, published: true });
    expect(keptBy(withPmsidr({}, 3), registers, op).unit).toBe(true);
    const { spu } = unit({ implementation: withPmsidr({}, 5) });
    spu.write("PMSEVFR_EL1", 0xf8_0000n);
    expect(spu.read("PMSEVFR_EL1")).toBe(0xf8_0000n);
  });

  it("16-bit counters saturate at 0xFFFF, instead of falling to 0xFFF above it", () => {
    const implementation = withPmsidr({ CountSize: 3 });
    const counterIn = (read: (at: bigint) => number | undefined): number =>
      (read(BUFFER + 6n) ?? 0) | ((read(BUFFER + 7n) ?? 0) << 8);
    for (const [totalLatency, ours, theirs] of [
      [0x0fff, 0x0fff, 0x0fff],
      [0x1000, 0x1000, 0x0fff],
      [0xffff, 0xffff, 0x0fff],
      [0x1_0000, 0xffff, 0xffff],
    ] as const) {
      const op = { ...LOAD, totalLatency };
      const { spu, memory } = unit({ implementation });
      start(spu, 256);
      toSample(spu);
      spu.sample(op);
      expect(counterIn((at) => memory.bytes.get(at))).toBe(ours);
      const p = published(implementation);
      p.preExecution();
      p.postExecution(op);
      expect(counterIn((at) => p.memory.get(at))).toBe(theirs);
    }
  });

  it("E2PB = 3 gives EL1 the buffer without traps; the value 2 of the pseudocode's boot code traps PMB*", () => {
    const verdict = (E2PB: number): unknown =>
      sysregTrap("PMBPTR_EL1", true, { MDCR_EL2: MDCR_EL2.with(0n, { E2PB }), fgt: false });
    expect(verdict(2)).toBe("MDCR_EL2.E2PB");
    expect(verdict(3)).toBe(undefined);
  });

  it("PMBSR_EL1[63:32] stays zero, which Linux takes for RES0", () => {
    const { spu, memory } = unit();
    start(spu);
    spu.write("PMBSR_EL1", 0x00ff_ffff_0000_0000n);
    expect(spu.read("PMBSR_EL1")).toBe(0n);
    memory.faultAt = () => ({ kind: "mmu", stage: 1, dfsc: 0x0f });
    toSample(spu);
    spu.sample(LOAD);
    expect(spu.read("PMBSR_EL1") >> 32n).toBe(0n);
  });

  it("call/return bits are recorded where PMSIDR_EL1.CRR says so, and dropped where it does not", () => {
    const bl: SampledOp = {
      kind: "branch",
      subclass: 0x08,
      events: 2,
      totalLatency: 1,
      issueLatency: 1,
      pc: 4n,
    };
    const subclassIn = (implementation: SpeImplementation): string => {
      const { spu, memory } = unit({ implementation });
      start(spu, 256);
      toSample(spu);
      spu.sample(bl);
      return Buffer.from(memory.records[0] as Uint8Array).toString("hex");
    };
    expect(subclassIn(withPmsidr({ CRR: 1 }))).toContain("4a0862");
    expect(subclassIn(withPmsidr({ CRR: 0 }))).toContain("4a0062");
  });

  it("an ISB is an other op, and not a branch that was not taken", () => {
    const isb: SampledOp = {
      kind: "other",
      subclass: 0,
      events: 2,
      totalLatency: 9,
      issueLatency: 1,
      pc: 4n,
    };
    expect(keptBy(DEFAULT_IMPLEMENTATION, { PMSFCR_EL1: 0x1_0002n }, isb).unit).toBe(false); // FT, B
    expect(keptBy(DEFAULT_IMPLEMENTATION, {}, isb).unit).toBe(true);
  });

  it("an op that takes an exception keeps its class, and its EL is the one it ran at", () => {
    const { spu, memory } = unit();
    start(spu, 256);
    spu.pe.el = 0;
    toSample(spu);
    spu.select();
    spu.pe.el = 1;
    spu.complete({ ...LOAD, events: 0x01 });
    const text = Buffer.from(memory.records[0] as Uint8Array).toString("hex");
    expect(text).toContain("b00010400000000080");
    expect(text).toContain("49006201000000");
  });

  it("an op that traps to EL2 is recorded with the state it ran in; the pseudocode would assert", () => {
    const { spu, memory } = unit();
    start(spu, 256);
    spu.write("PMSCR_EL1", 0x2bn);
    Object.assign(spu.pe, { el2: true, e2pb: 3, el: 1, contextIdrEl1: 77 });
    toSample(spu);
    spu.select();
    spu.pe.el = 2;
    expect(spu.complete(LOAD).kind).toBe("written");
    const text = Buffer.from(memory.records[0] as Uint8Array).toString("hex");
    expect(text.startsWith("644d000000")).toBe(true);
    expect(text).toContain("b000104000000000a0");
  });

  it("a collision leaves the op in flight as it was; the pseudocode turns it into another class", () => {
    const { spu, memory } = unit();
    start(spu, 256);
    toSample(spu);
    spu.select();
    toSample(spu);
    spu.select();
    spu.complete(LOAD);
    expect(Buffer.from(memory.records[0] as Uint8Array).toString("hex")).toContain("4900");
  });

  it("a record is written whole or not at all; the pseudocode stops at the byte that faults", () => {
    const fault: RecordFault = { kind: "mmu", stage: 1, dfsc: 7 };
    const faultAt = (va: bigint): RecordFault | undefined => (va >= BUFFER + 16n ? fault : undefined);
    const { spu, memory } = unit();
    start(spu, 256);
    memory.faultAt = faultAt;
    toSample(spu);
    spu.sample(LOAD);
    expect(spu.read("PMBPTR_EL1")).toBe(BUFFER);
    expect(memory.bytes.size).toBe(0);
    expect(spu.read("PMBSR_EL1") & (1n << 19n)).toBe(0n); // DL
    const p = published(DEFAULT_IMPLEMENTATION, faultAt as (va: bigint) => RecordFault);
    p.preExecution();
    p.postExecution(LOAD);
    expect(p.PMBPTR_EL1).toBe(BUFFER + 16n);
  });

  it("a memory that does write part of a record sets DL", () => {
    const { spu, memory } = unit();
    start(spu, 256);
    memory.faultAt = () => ({ kind: "mmu", stage: 2, dfsc: 7, incompleteBytes: 64 });
    toSample(spu);
    spu.sample(LOAD);
    expect(spu.read("PMBSR_EL1") & (1n << 19n)).toBe(1n << 19n);
    expect(spu.read("PMBPTR_EL1")).toBe(BUFFER + 64n);
  });

  it("nothing is written beyond LIMIT less the largest record; the pseudocode would write once", () => {
    const { spu, memory } = unit();
    start(spu, 256, 4096);
    spu.write("PMBPTR_EL1", BUFFER + 4096n);
    toSample(spu);
    expect(spu.sample(LOAD)).toEqual({ kind: "refused-full" });
    expect(memory.records).toEqual([]);
    expect(spu.read("PMBSR_EL1")).toBe((1n << 17n) | 1n);
    expect(spu.read("PMBPTR_EL1")).toBe(BUFFER + 4096n);
    const p = published(DEFAULT_IMPLEMENTATION);
    p.PMBPTR_EL1 = BUFFER + 16384n;
    p.preExecution();
    p.postExecution(LOAD);
    expect(p.memory.size).toBe(64);
  });
});

describe("where documents disagree", () => {
  it("both starts work: PMSICR_EL1 = 0 as Arm says, and the period itself as Linux writes it", () => {
    const { spu } = unit();
    start(spu, 4096);
    expect(spu.opsToNextSample() + 1).toBe(4096);
    spu.write("PMSICR_EL1", 0n);
    expect(spu.opsToNextSample() + 1).toBe(4097); // the op that finds 0 reloads
  });

  it("there is no jitter unless PMSIRR_EL1.RND is set", () => {
    let drawn = 0;
    const { spu } = unit({
      random: () => {
        drawn++;
        return 5;
      },
    });
    start(spu, 256);
    spu.write("PMSICR_EL1", 0n);
    expect(spu.opsToNextSample()).toBe(256);
    expect(drawn).toBe(0);
    spu.write("PMSIRR_EL1", 0x101n);
    expect(spu.opsToNextSample()).toBe(261);
    expect(drawn).toBe(1);
  });
});

describe("traps for implementers", () => {
  it("S gates profiling at once, at every exception level", () => {
    const { spu } = unit();
    start(spu, 256);
    spu.write("PMBSR_EL1", 1n << 17n);
    for (const el of [0, 1] as const) {
      spu.pe.el = el;
      expect(spu.opsToNextSample()).toBe(Number.POSITIVE_INFINITY);
    }
  });

  it("profiling resumes inside the interrupt handler when S is cleared, and samples it as EL1", () => {
    const { spu, memory } = unit();
    start(spu, 256);
    spu.write("PMBSR_EL1", 1n << 17n);
    spu.pe.el = 1;
    spu.write("PMBSR_EL1", 0n);
    toSample(spu);
    spu.sample(LOAD);
    expect(Buffer.from(memory.records[0] as Uint8Array).toString("hex")).toContain("b000104000000000a0");
  });

  it("the context is that of the moment of sampling", () => {
    const { spu, memory } = unit();
    start(spu, 256);
    for (const tid of [100, 0xffff_ffff]) {
      spu.pe.contextIdrEl1 = tid;
      toSample(spu);
      spu.sample(LOAD);
    }
    expect(memory.records.map((r) => Buffer.from(r.slice(0, 5)).toString("hex"))).toEqual([
      "6464000000",
      "64ffffffff",
    ]);
  });

  it("a jitter byte of zero after COUNT loses the sample, as in the pseudocode", () => {
    const bytes = [0, 1];
    const { spu } = unit({ implementation: withPmsidr({ ERnd: 1 }), random: () => bytes.shift() ?? 9 });
    start(spu, 256);
    spu.write("PMSIRR_EL1", 0x101n);
    // 256 ops to a byte of 0, then 1 to reload and 256 to a byte of 1, which samples in the same op.
    expect(spu.opsToNextSample() + 1).toBe(256 + 1 + 256);
  });
});
