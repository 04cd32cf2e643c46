import { describe, expect, it } from "vitest";
import { CompressedStream, DamagedCompression } from "./compressed.ts";

/** Magic, descriptor, window descriptor. */
const frame = (descriptor = 0, window = (19 - 10) << 3): number[] => [
  0x28,
  0xb5,
  0x2f,
  0xfd,
  descriptor,
  window,
];
/** A raw or RLE block (RFC 8878, 3.1.1.2). */
const block = (kind: 0 | 1, size: number, content: readonly number[], last = 0): number[] => {
  const header = last | (kind << 1) | (size << 3);
  return [header & 255, (header >> 8) & 255, header >> 16, ...content];
};
const raw = (...content: number[]): number[] => block(0, content.length, content);

function stream() {
  const out: number[] = [];
  const compressed = new CompressedStream((bytes) => out.push(...bytes));
  const push = (bytes: readonly number[], mapBytes?: number): void =>
    compressed.push(Uint8Array.from(bytes), mapBytes);
  return { out, push };
}

const text = [..."perf writes this".repeat(2)].map((c) => c.charCodeAt(0));

describe("CompressedStream", () => {
  it("reads one frame over several payloads, wherever they are cut", () => {
    const whole = [...frame(), ...raw(...text), ...block(1, 5, [7]), ...raw(1, 2, 3)];
    for (let cut = 1; cut < whole.length; cut++) {
      const { out, push } = stream();
      push(whole.slice(0, cut));
      push(whole.slice(cut));
      expect(out).toEqual([...text, 7, 7, 7, 7, 7, 1, 2, 3]);
    }
  });

  it.each([
    ["what is no frame", [1, 2, 3, 4, 5, 6, 7], /does not start a Zstandard frame/],
    ["a window beyond level 19's", frame(0, (24 - 10) << 3), /window is 16777216 bytes/],
    ["a single segment", frame(0x20), /kind of Zstandard frame/],
    ["a frame that ends", [...frame(), ...block(0, 3, [1, 2, 3], 1)], /frame ends/],
    [
      "more blocks than a payload can have",
      [...frame(), ...Array.from({ length: 5000 }, () => block(1, 1, [0])).flat()],
      /more than 4096 blocks/,
    ],
    ["a block beyond 128 KiB", [...frame(), 0xfc, 0xff, 0xff], /block that Zstandard does not have/],
    ["an impossible block type", [...frame(), 0x06, 0, 0], /block that Zstandard does not have/],
  ])("refuses %s", (_, bytes, what) => {
    const { push } = stream();
    expect(() => push(bytes)).toThrow(DamagedCompression);
    expect(() => stream().push(bytes)).toThrow(what);
  });

  it("stops what expands to more than perf's buffer could hold, and passes on what came before", () => {
    const bomb = [
      ...frame(),
      ...raw(...text),
      ...Array.from({ length: 100 }, () => block(1, 1 << 17, [0])).flat(),
    ];
    const { out, push } = stream();
    expect(() => push(bomb, 64 << 10)).toThrow(/expands to more than 131072 bytes/);
    expect(out.slice(0, text.length)).toEqual(text);
    expect(out.length).toBeLessThanOrEqual(131072);
  });
});
