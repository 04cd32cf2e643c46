import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AuxBuffer, type AuxOptions } from "./aux-buffer.ts";

const MIB = 1024 ** 2;

const aux = (options: Partial<AuxOptions> = {}): AuxBuffer =>
  new AuxBuffer({ bytes: 4 * MIB, snapshot: false, watermarkBytes: 0, maxRecordBytes: 64, ...options });

describe("perf's AUX buffer", () => {
  it("gives an empty 4 MiB buffer out by halves: the wake-up point is the first limit", () => {
    const buffer = aux();
    expect(buffer.begin()).toEqual({ headBytes: 0, limitBytes: 2 * MIB });
    expect(buffer.end(2 * MIB)).toBe(true);
    buffer.consume();
    expect(buffer.begin()).toEqual({ headBytes: 2 * MIB, limitBytes: 4 * MIB });
    expect(buffer.end(4 * MIB)).toBe(true);
    expect(buffer.head).toBe(4 * MIB);
    buffer.consume();
    expect(buffer.begin()).toEqual({ headBytes: 0, limitBytes: 2 * MIB });
  });

  it("wakes the reader only when half a buffer has come since the last time", () => {
    const buffer = aux();
    for (let at = 64 * 1024; at < 2 * MIB; at += 64 * 1024) {
      buffer.begin();
      expect(buffer.end(at)).toBe(false);
    }
    buffer.begin();
    expect(buffer.end(2 * MIB)).toBe(true);
  });

  it("keeps the head where the last record ended, and the limit where it was", () => {
    const buffer = aux();
    buffer.begin();
    buffer.end(640);
    expect(buffer.begin()).toEqual({ headBytes: 640, limitBytes: 2 * MIB });
  });

  it("rounds a wake-up point that is no page boundary up", () => {
    expect(aux({ watermarkBytes: 100_000 }).begin()).toEqual({ headBytes: 0, limitBytes: 25 * 4096 });
  });

  it("ends below what the reader has not taken, rounded down to a page", () => {
    const buffer = aux({ bytes: 64 * 1024 });
    buffer.begin();
    buffer.end(20_480 + 640);
    buffer.consume();
    buffer.begin();
    buffer.end(32_768);
    buffer.begin();
    buffer.end(65_536);
    // Around the end: the reader's tail is at 21,120, so the last whole page below it ends at 20,480.
    expect(buffer.begin()).toEqual({ headBytes: 0, limitBytes: 20_480 });
  });

  it("has one byte less than the gap: the last page before an unread byte stays out of reach", () => {
    const buffer = aux({ bytes: 64 * 1024 });
    buffer.begin();
    buffer.end(32_768);
    expect(buffer.begin()).toEqual({ headBytes: 32_768, limitBytes: 65_536 - 4096 });
    buffer.end(65_536 - 4096);
    // 4,095 bytes are free: no page boundary lies ahead of the head.
    expect(buffer.begin()).toEqual({ headBytes: 65_535, limitBytes: 0 });
    expect(buffer.paddedBytes).toBe(4095);
    // Now perf itself has none for the driver.
    expect(buffer.begin()).toBeUndefined();
    buffer.consume();
    expect(buffer.begin()).toEqual({ headBytes: 0, limitBytes: 32_768 });
    expect(buffer.paddedBytes).toBe(4096);
  });

  it("fills less than a page of space, and begins at an aligned head when the reader has caught up", () => {
    const buffer = aux({ bytes: 64 * 1024 });
    buffer.begin();
    buffer.end(640);
    buffer.consume();
    buffer.begin();
    buffer.end(32_768);
    buffer.begin();
    buffer.end(65_536);
    // Free: up to 640, of which perf leaves one byte.
    expect(buffer.begin()).toEqual({ headBytes: 639, limitBytes: 0 });
    expect(buffer.paddedBytes).toBe(639);
    expect(buffer.head).toBe(65_536 + 639);
    buffer.consume();
    expect(buffer.begin()).toEqual({ headBytes: 640, limitBytes: 32_768 });
    expect(buffer.paddedBytes).toBe(640);
  });

  it("fills an end that is shorter than a record and goes on behind it", () => {
    const buffer = aux({ maxRecordBytes: 2048 });
    buffer.begin();
    buffer.end(2 * MIB - 1024);
    expect(buffer.begin()).toEqual({ headBytes: 2 * MIB, limitBytes: 4 * MIB - 4096 });
    expect(buffer.paddedBytes).toBe(1024);
    // The padding took the head past the wake-up point, so the reader hears of it.
    expect(buffer.end(2 * MIB + 2048)).toBe(true);
    buffer.consume();
    buffer.begin();
    buffer.end(4 * MIB - 64);
    buffer.consume();
    expect(buffer.begin()).toEqual({ headBytes: 0, limitBytes: 2 * MIB });
    expect(buffer.head).toBe(4 * MIB);
  });

  it("gives half of a snapshot's buffer at most, whoever reads", () => {
    const buffer = aux({ snapshot: true });
    expect(buffer.begin()).toEqual({ headBytes: 0, limitBytes: 2 * MIB });
    expect(buffer.end(MIB)).toBe(false);
    expect(buffer.begin()).toEqual({ headBytes: MIB, limitBytes: 2 * MIB });
    expect(buffer.end(2 * MIB)).toBe(false);
    expect(buffer.begin()).toEqual({ headBytes: 2 * MIB, limitBytes: 4 * MIB });
    expect(buffer.end(4 * MIB)).toBe(false);
    expect(buffer.begin()).toEqual({ headBytes: 0, limitBytes: 2 * MIB });
    buffer.end(2 * MIB - 32);
    expect(buffer.begin()).toEqual({ headBytes: 2 * MIB, limitBytes: 4 * MIB });
    expect(buffer.paddedBytes).toBe(32);
    buffer.end(4 * MIB - 32);
    expect(buffer.begin()).toEqual({ headBytes: 0, limitBytes: 2 * MIB });
  });

  it("never gives out what the reader has not taken, nor less than a record, whatever happens", () => {
    const step = fc.record({ fill: fc.nat(100), read: fc.boolean() });
    fc.assert(
      fc.property(
        fc.constantFrom(8192, 16_384, 65_536),
        fc.constantFrom(64, 256, 2048),
        fc.constantFrom(0, 4096, 6000),
        fc.array(step, { maxLength: 60 }),
        (bytes, maxRecordBytes, watermarkBytes, steps) => {
          const buffer = aux({ bytes, maxRecordBytes, watermarkBytes });
          for (const { fill, read } of steps) {
            if (read) buffer.consume();
            const window = buffer.begin();
            expect(buffer.head - buffer.tail).toBeLessThan(bytes + 1);
            expect(buffer.head).toBeGreaterThanOrEqual(buffer.tail);
            if (window === undefined || window.limitBytes === 0) {
              expect(read && bytes > 2 * 4096 && maxRecordBytes === 64).toBe(false);
              continue;
            }
            const { headBytes, limitBytes } = window;
            expect(headBytes).toBe(buffer.head % bytes);
            expect(headBytes % 64).toBe(0);
            expect(limitBytes % 4096).toBe(0);
            expect(limitBytes).toBeLessThanOrEqual(bytes);
            expect(limitBytes - headBytes).toBeGreaterThanOrEqual(Math.min(maxRecordBytes, 64));
            expect(buffer.head + limitBytes - headBytes - buffer.tail).toBeLessThanOrEqual(bytes);
            const most = Math.floor((limitBytes - headBytes) / maxRecordBytes);
            const records = fill > 90 ? most : Math.floor((most * fill) / 100);
            const before = buffer.head;
            buffer.end(headBytes + records * maxRecordBytes);
            expect(buffer.head).toBe(before + records * maxRecordBytes);
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});
