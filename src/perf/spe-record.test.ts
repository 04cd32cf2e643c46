import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { anyOp, start, toSample, unit } from "../spe/spu.testing.ts";
import { OP_CLASSES, type PacketBody, spePackets } from "./spe-packets.ts";
import { decodeSpe } from "./spe-record.ts";

const fromHex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text.replaceAll(" ", ""), "hex"));

/** Bytes of one packet, by the table of headers; the decoder's inverse, for tests. */
function encode(body: PacketBody): number[] {
  const sized = (header: number, bytes: number, value: bigint): number[] => {
    const size = { 1: 0, 2: 0x10, 4: 0x20, 8: 0x30 }[bytes] as number;
    return [
      header | size,
      ...Array.from({ length: bytes }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn)),
    ];
  };
  switch (body.kind) {
    case "end":
      return [0x01];
    case "timestamp":
      return sized(0x41, 8, body.value);
    case "events":
      return sized(0x42, body.payloadBytes, body.value);
    case "data-source":
      return sized(0x43, body.payloadBytes, body.value);
    case "context":
      return sized(0x44 + body.el - 1, 4, BigInt(body.value));
    case "op-type":
      return sized(0x48 + OP_CLASSES.indexOf(body.opClass), 1, BigInt(body.subclass));
    case "counter":
      return [
        ...(body.extended ? [0x20 + (body.index >> 3)] : []),
        ...sized(0x88 + (body.index & 7), 2, BigInt(body.value)),
      ];
    case "address":
      return [
        ...(body.extended ? [0x20 + (body.index >> 3)] : []),
        ...sized(0x80 + (body.index & 7), 8, body.value),
      ];
    default:
      throw new Error(`no encoding for ${body.kind}`);
  }
}

const u64 = fc.bigInt(0n, (1n << 64n) - 1n);
const payloadOf = (sizes: readonly number[]): fc.Arbitrary<{ value: bigint; payloadBytes: number }> =>
  fc
    .constantFrom(...sizes)
    .chain((payloadBytes) =>
      fc.bigInt(0n, (1n << BigInt(8 * payloadBytes)) - 1n).map((value) => ({ value, payloadBytes })),
    );
const indexed = fc
  .boolean()
  .chain((extended) =>
    fc.record({ extended: fc.constant(extended), index: fc.integer({ min: 0, max: extended ? 31 : 7 }) }),
  );

const anyPacket: fc.Arbitrary<PacketBody> = fc.oneof(
  fc.constant<PacketBody>({ kind: "end" }),
  u64.map((value): PacketBody => ({ kind: "timestamp", value })),
  payloadOf([1, 2, 4, 8]).map((p): PacketBody => ({ kind: "events", ...p })),
  payloadOf([1, 2]).map((p): PacketBody => ({ kind: "data-source", ...p })),
  fc
    .record({ el: fc.integer({ min: 1, max: 2 }), value: fc.integer({ min: 0, max: 0xffff_ffff }) })
    .map((p): PacketBody => ({ kind: "context", ...p })),
  fc
    .record({ opClass: fc.constantFrom(...OP_CLASSES), subclass: fc.integer({ min: 0, max: 255 }) })
    .map((p): PacketBody => ({ kind: "op-type", ...p })),
  fc
    .tuple(indexed, fc.integer({ min: 0, max: 0xffff }))
    .map(([i, value]): PacketBody => ({ kind: "counter", ...i, value })),
  fc.tuple(indexed, u64).map(([i, value]): PacketBody => ({ kind: "address", ...i, value })),
);

describe("packets", () => {
  it("decode to what was encoded, and cover every byte", () => {
    fc.assert(
      fc.property(fc.array(anyPacket, { maxLength: 30 }), (packets) => {
        const bytes = new Uint8Array(packets.flatMap(encode));
        const decoded = [...spePackets(bytes)];
        expect(decoded.map(({ at: _at, sizeBytes: _size, ...body }) => body)).toEqual(packets);
        expect(decoded.reduce((sum, p) => sum + p.sizeBytes, 0)).toBe(bytes.length);
      }),
    );
  });

  it("of any bytes at all lie end to end and cover them", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        let at = 0;
        for (const packet of spePackets(bytes)) {
          expect(packet.at).toBe(at);
          expect(packet.sizeBytes).toBeGreaterThan(0);
          at += packet.sizeBytes;
        }
        expect(at).toBe(bytes.length);
      }),
      { numRuns: 1000 },
    );
  });

  it("join runs of padding and of unknown bytes, and say where the end cuts one off", () => {
    expect([...spePackets(fromHex("000000 fefd 01 b00010"))]).toEqual([
      { kind: "padding", at: 0, sizeBytes: 3 },
      { kind: "unknown", at: 3, sizeBytes: 2 },
      { kind: "end", at: 5, sizeBytes: 1 },
      { kind: "cut", at: 6, sizeBytes: 3 },
    ]);
  });

  it("skip to the boundary that an alignment packet names, counted from the buffer's start", () => {
    expect([...spePackets(fromHex("01 2000 0000000000 01"), 1)]).toEqual([
      { kind: "end", at: 0, sizeBytes: 1 },
      { kind: "alignment", boundaryBytes: 2, at: 1, sizeBytes: 2 },
      { kind: "padding", at: 3, sizeBytes: 5 },
      { kind: "end", at: 8, sizeBytes: 1 },
    ]);
  });
});

describe("records", () => {
  it("of the reference bytes are read field by field", () => {
    const bytes = fromHex(
      "64 64000000 98 1400 99 0500 9a 0300 b0 0010400000000080 b2 0010ff7f00000000" +
        "b3 0010004000000080 53 0000 49 00 62 16000000 71 e803000000000000 00000000",
    );
    const { records, account } = decodeSpe(bytes);
    expect(records).toEqual([
      {
        at: 0,
        sizeBytes: 60,
        contextEl1: 100,
        contextEl2: undefined,
        totalLatency: 20,
        issueLatency: 5,
        translationLatency: 3,
        pc: { va: 0x401000n, el: 0, ns: true, nse: false },
        target: undefined,
        previousTarget: undefined,
        va: 0x7fff1000n,
        pa: { pa: 0x40001000n, ns: true, nse: false, tagChecked: false, tag: 0 },
        dataSource: 0,
        opClass: "load-store",
        subclass: 0,
        events: 0x16n,
        timestamp: 1000n,
        others: [],
      },
    ]);
    expect(account).toEqual({
      recordBytes: 60,
      paddingBytes: 4,
      unknownBytes: 0,
      cutBytes: 0,
      incompleteBytes: 0,
    });
  });

  it("account for every byte of any input", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        const { account } = decodeSpe(bytes);
        expect(Object.values(account).reduce((a, b) => a + b, 0)).toBe(bytes.length);
      }),
      { numRuns: 500 },
    );
  });

  it("that the profiling unit wrote say what it was given", () => {
    const anySetting = fc.record({
      op: anyOp,
      el: fc.constantFrom(0 as const, 1 as const),
      context: fc.integer({ min: 0, max: 0xffff_ffff }),
      pmscr: fc.bigInt(0n, 0x7fn),
      time: fc.bigInt(0n, (1n << 64n) - 1n),
    });
    fc.assert(
      fc.property(anySetting, ({ op, el, context, pmscr, time }) => {
        const { spu, memory } = unit({ counter: () => time });
        start(spu, 256);
        spu.write("PMSCR_EL1", pmscr | 3n);
        Object.assign(spu.pe, { el, contextIdrEl1: context });
        toSample(spu);
        spu.sample(op);
        const bytes = memory.records[0] as Uint8Array;
        const { records, account } = decodeSpe(bytes);
        expect([account.unknownBytes, account.cutBytes, account.incompleteBytes]).toEqual([0, 0, 0]);
        expect(records.length).toBe(1);
        const canonical = (va: bigint): bigint =>
          (va >> 55n) & 1n ? va | (0xffn << 56n) : va & ~(0xffn << 56n);
        const instruction = (va: bigint | undefined): object | undefined =>
          va === undefined ? undefined : { va: canonical(va), el, ns: true, nse: false };
        const memoryOp = op.kind !== "branch" && op.kind !== "other";
        const isSet = (bit: bigint): boolean => (pmscr & bit) !== 0n;
        const cycles = (n: number | undefined): number | undefined =>
          n === undefined ? n : Math.min(n, 0xfff);
        expect(records[0]).toEqual({
          at: 0,
          sizeBytes: account.recordBytes,
          contextEl1: isSet(8n) ? context : undefined,
          contextEl2: undefined,
          totalLatency: cycles(op.totalLatency),
          issueLatency: cycles(op.issueLatency),
          translationLatency: cycles(op.translationLatency),
          pc: instruction(op.pc),
          target: instruction(op.target),
          previousTarget: undefined,
          va: op.va,
          pa:
            op.pa !== undefined && isSet(16n)
              ? { pa: BigInt(op.pa), ns: true, nse: false, tagChecked: false, tag: 0 }
              : undefined,
          dataSource: op.dataSource,
          opClass: memoryOp ? "load-store" : op.kind,
          subclass: op.subclass,
          events: BigInt(op.events),
          timestamp: isSet(32n) ? time : undefined,
          others: [],
        });
      }),
      { numRuns: 500 },
    );
  });
});
