/** What the tests of spe/ share: a sparse memory, ops at random, a unit ready to sample. */
import fc from "fast-check";
import type { OpKind, SampledOp } from "./op.ts";
import type { RecordFault, RecordMemory } from "./outcomes.ts";
import { Spu, type SpuOptions } from "./spu.ts";

export const BUFFER = 0xffff_8000_8000_0000n;

/** Memory that holds every byte written and faults where it is told to. */
export class SparseMemory implements RecordMemory {
  readonly bytes = new Map<bigint, number>();
  readonly records: Uint8Array[] = [];
  drained = 0;
  faultAt: (va: bigint) => RecordFault | undefined = () => undefined;

  write(page: number, offset: number, size: number, bytes: Uint8Array | undefined): RecordFault | undefined {
    const start = (BigInt(page) << 12n) + BigInt(offset);
    for (let i = 0; i < size; i++) {
      const fault = this.faultAt(start + BigInt(i));
      if (fault !== undefined) return fault;
    }
    if (bytes === undefined) return undefined;
    bytes.forEach((byte, i) => {
      this.bytes.set(start + BigInt(i), byte);
    });
    this.records.push(bytes.slice());
    return undefined;
  }

  drain(): void {
    this.drained++;
  }
}

/** A unit with memory, a counter that stands at 1000 and random bytes of 7, unless told otherwise. */
export function unit(options: Partial<SpuOptions> = {}): { spu: Spu; memory: SparseMemory } {
  const memory = new SparseMemory();
  return { spu: new Spu({ memory, random: () => 7, counter: () => 1000, ...options }), memory };
}

/** The registers as Linux's driver writes them at start: 16 KiB at BUFFER, everything but PA. */
export function start(spu: Spu, periodOps = 4096, bytes = 16384): void {
  spu.write("PMBPTR_EL1", BUFFER);
  spu.write("PMBLIMITR_EL1", (BUFFER + BigInt(bytes)) | 1n);
  spu.write("PMSIRR_EL1", BigInt(periodOps));
  spu.write("PMSICR_EL1", BigInt(periodOps));
  spu.write("PMSCR_EL1", 0x2bn);
}

/** Lets ops pass up to the next sample. */
export function toSample(spu: Spu): void {
  spu.advance(spu.opsToNextSample());
}

export const LOAD: SampledOp = {
  kind: "load",
  subclass: 0,
  events: 0x16,
  totalLatency: 20,
  issueLatency: 5,
  translationLatency: 3,
  pc: 0x401000n,
  va: 0x7fff1000n,
  pa: 0x40001000,
  dataSource: 0,
};

const MAX_VA = (1n << 64n) - 1n;
const anyVa = fc.oneof(fc.bigInt(0n, 0x0000_ffff_ffff_ffffn), fc.bigInt(0xffff_0000_0000_0000n, MAX_VA));

const latency = fc.oneof(fc.integer({ min: 0, max: 64 }), fc.integer({ min: 0, max: 70_000 }));

/** Subclasses that a load, a store, an atomic, a branch or another op may have (bit 0 says store). */
const SUBCLASSES: Readonly<Record<OpKind, readonly number[]>> = {
  load: [0x00, 0x04, 0x10, 0x14, 0x20, 0x30, 0x0a, 0x12, 0x1a],
  store: [0x01, 0x05, 0x11, 0x15, 0x21, 0x25, 0x31, 0x0b, 0x13],
  atomic: [0x06, 0x0e, 0x16, 0x1e],
  branch: [0, 1, 2],
  other: [0, 1],
};

/** Any op, its parts consistent with its kind. */
export const anyOp: fc.Arbitrary<SampledOp> = fc
  .constantFrom<OpKind>("load", "store", "atomic", "branch", "other")
  .chain((kind) => {
    const memory = kind === "load" || kind === "store" || kind === "atomic";
    return fc.record({
      kind: fc.constant(kind),
      subclass: fc.constantFrom(...SUBCLASSES[kind]),
      events: fc.oneof(fc.integer({ min: 0, max: 0xffff }), fc.integer({ min: 0, max: 0xffff_ffff })),
      totalLatency: latency,
      issueLatency: latency,
      translationLatency: memory ? fc.option(latency, { nil: undefined }) : fc.constant(undefined),
      pc: anyVa,
      va: memory ? anyVa : fc.constant(undefined),
      pa: memory
        ? fc.option(fc.integer({ min: 0, max: 2 ** 48 - 1 }), { nil: undefined })
        : fc.constant(undefined),
      target: kind === "branch" ? fc.option(anyVa, { nil: undefined }) : fc.constant(undefined),
      dataSource:
        kind === "load" || kind === "atomic"
          ? fc.option(fc.integer({ min: 0, max: 63 }), { nil: undefined })
          : fc.constant(undefined),
    });
  });
