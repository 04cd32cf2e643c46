import { describe, expect, it } from "vitest";
import { type Ipn, ipn, PAGE_BYTES, type Pfn, pfn, type Vpn, vpn } from "../common/address.ts";
import { stage1Regime, stage2Config } from "../mmu/config.ts";
import type { TableMemory } from "../mmu/table-memory.ts";
import { bareMetalPe } from "./enables.ts";
import { TranslatedRecords } from "./record-memory.ts";

const NONE = { TCR_EL1: 0n, TTBR0_EL1: 0n, TTBR1_EL1: 0n, SCTLR_EL1: 0n, MAIR_EL1: 0n };
/** Stage 1 off: an IPA is the VA. */
const OFF = stage1Regime(NONE);
/** Stage 1 on, its tables beyond what TCR_EL1.IPS allows: nothing translates. */
const NOWHERE = stage1Regime({ ...NONE, SCTLR_EL1: 1n, TCR_EL1: 16n, TTBR0_EL1: 0x7_0000_0000n });

/** An SPU's memory: pages 0 to 7 are there, and stage 1 is what `regime` says. */
function memory() {
  const pages = new Map(Array.from({ length: 8 }, (_, i) => [i, new Uint32Array(PAGE_BYTES / 4)]));
  const wrote: number[] = [];
  const told: [Ipn, Pfn][] = [];
  const physical: TableMemory<Pfn> = {
    page: (page) => pages.get(page),
    wrote: (page) => wrote.push(page),
  };
  const pe = bareMetalPe();
  const m = { regime: { ...OFF } };
  const records = new TranslatedRecords(
    {
      stage1: () => m.regime,
      stage2: stage2Config({ VTCR_EL2: 0n, VTTBR_EL2: 0n, HCR_EL2: 0n }),
      physical,
      ownBuffer: (page) => pfn(page - 0x100),
      onRecordPage: (page, frame) => told.push([page, frame]),
    },
    pe,
  );
  const bytes = (page: number): Uint8Array => new Uint8Array((pages.get(page) as Uint32Array).buffer);
  return { m, pe, records, wrote, told, bytes };
}

const record = Uint8Array.from({ length: 64 }, (_, i) => i + 1);
const at = (n: number): Vpn => vpn(n);

describe("a record", () => {
  it("is stored where its pages translate to, and who reads tables is told", () => {
    const { records, wrote, told, bytes } = memory();
    expect(records.write(at(2), PAGE_BYTES - 16, 64, record)).toBeUndefined();
    expect([...bytes(2).subarray(PAGE_BYTES - 16)]).toEqual([...record.subarray(0, 16)]);
    expect([...bytes(3).subarray(0, 48)]).toEqual([...record.subarray(16)]);
    expect(wrote).toEqual([2, 3]);
    expect(told).toEqual([
      [2, 2],
      [3, 3],
    ]);
  });

  it("is stored whole or not at all", () => {
    const { m, records, bytes } = memory();
    records.translates(at(2));
    m.regime = NOWHERE;
    expect(records.write(at(2), PAGE_BYTES - 16, 64, record)).toMatchObject({ kind: "mmu", stage: 1 });
    expect(bytes(2).every((byte) => byte === 0)).toBe(true);
  });

  it("that nobody stores is translated, too", () => {
    const { records, wrote, told } = memory();
    expect(records.write(at(1), 0, 64, undefined)).toBeUndefined();
    expect([told.length, wrote.length]).toEqual([1, 0]);
  });

  it("goes through EL2's own map while EL2 has the buffer", () => {
    const { pe, records, told, bytes } = memory();
    Object.assign(pe, { el2: true, e2pb: 0 });
    records.write(at(0x104), 64, 64, record);
    expect([...bytes(4).subarray(64, 128)]).toEqual([...record]);
    expect(told).toEqual([]);
  });
});

describe("a translation", () => {
  it("is kept until its IPA is invalidated, whatever the tables say by then", () => {
    const { m, records } = memory();
    expect(records.translates(at(2))).toBe(true);
    Object.assign(m.regime, NOWHERE);
    expect(records.translates(at(2))).toBe(true);
    records.invalidateByIpa(ipn(3), 5);
    expect(records.translates(at(2))).toBe(true);
    records.invalidateByIpa(ipn(1), 2);
    expect(records.translates(at(2))).toBe(false);
  });

  it("is gone when all are, or when many others were made since", () => {
    const { m, records } = memory();
    for (const page of Array(16).keys()) records.translates(at(page + 0x10));
    records.translates(at(2));
    Object.assign(m.regime, NOWHERE);
    expect(records.translates(at(2))).toBe(true);
    expect(records.translates(at(0x10))).toBe(false);
    records.invalidateAll();
    expect(records.translates(at(2))).toBe(false);
  });

  it("is of the regime that it was made in", () => {
    const { m, records } = memory();
    records.translates(at(2));
    m.regime = NOWHERE;
    expect(records.translates(at(2))).toBe(false);
  });

  it("survives in a snapshot", () => {
    const [a, b] = [memory(), memory()];
    a.records.translates(at(5));
    b.records.restore(a.records.save());
    b.m.regime = NOWHERE;
    expect(b.records.translates(at(5))).toBe(true);
  });
});
