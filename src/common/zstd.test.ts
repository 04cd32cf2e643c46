import { describe, expect, it } from "vitest";
import { unzstd } from "./zstd.ts";

const MOST = 1024 ** 2;
/** 4,096 bytes: every third of the first 1,800 is (7i² + i) mod 251, all others are zero. */
const CONTENT = new Uint8Array(4096).map((_, at) =>
  at < 1800 && at % 3 === 0 ? ((at / 3) ** 2 * 7 + at / 3) % 251 : 0,
);
/** That as `zstd -19` packs it: one block, with content size and checksum. */
const PACKED = Uint8Array.from(
  atob(
    [
      "KLUv/WQAD90LACZfRykAu90au5dIoEopdZaXbOnJvCfKZ2BoTy9vldmHNL9Ehn8Q0A4cqQBNATQANQBNAAX+GumbUxa55JeDphru",
      "i4+2W+e5h44Y7aVh3vjhhR2ueGWhuzbY5rJHJltm31X//HHDvwc9p03y2C7jDXXME/d2W+214yY4Y5+1ThhouXkG2OmTBz57aqWJ",
      "LrrprN+GeOewKX5aYqxbBh/eGOaliDm7C6oXkZuvFgmKnbcmoqkBJx4grYw4tV4M3lgaAxNKR43YjEaIUYGX1V6zXTDIRrcd8tUa",
      "gz3zwWInXbPJHXuMcs5Mm81wCjh3XFt1NAjnTXfeCFtMc9R1q7w1xlyzfLfUOHOscMD/3fDHP1ftW2ayRy7bZoO7Fnrlih1eGDWo",
      "Ifj9/xkDEBKBQc75EfTr////cfUAVAAF9ErRGV10rjahvL/4L888bZ0JZ1u1p5IM6+lGLKtK+SjDJA0dCNSuei+lGtfRZdEWKvSV",
      "YartVLAdVe7i/kICoAoAs51X",
    ].join(""),
  ),
  (character) => character.charCodeAt(0),
);

const bytesOf = (...parts: readonly (readonly number[] | Uint8Array)[]): Uint8Array =>
  Uint8Array.from(parts.flatMap((part) => [...part]));
const MAGIC = [0x28, 0xb5, 0x2f, 0xfd];

it("unpacks a file, and several frames after each other with something between them", async () => {
  expect(await unzstd(PACKED, MOST)).toEqual(CONTENT);
  const skipped = [0x5e, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
  expect(await unzstd(bytesOf(PACKED, skipped, PACKED), MOST)).toEqual(bytesOf(CONTENT, CONTENT));
  expect(await unzstd(new Uint8Array(0), MOST)).toEqual(new Uint8Array(0));
});

it("unpacks raw and repeated bytes, with neither size nor checksum", async () => {
  // A window of 1 KiB; a raw block of "ab", and a last one that repeats "c" five times.
  const frame = bytesOf(MAGIC, [0, 0], [2 << 3, 0, 0, 0x61, 0x62], [(5 << 3) | 2 | 1, 0, 0, 0x63]);
  expect(new TextDecoder().decode(await unzstd(frame, MOST))).toBe("abccccc");
});

describe("refused is", () => {
  it("a file with a bit turned over, unless the bit means nothing", async () => {
    let refused = 0;
    for (let bit = 0; bit < 8 * PACKED.length; bit++) {
      const flipped = Uint8Array.from(PACKED);
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      const content = await unzstd(flipped, MOST).catch(() => undefined);
      if (content === undefined) refused += 1;
      else expect([bit, Buffer.from(content).equals(CONTENT)]).toEqual([bit, true]);
    }
    expect(refused).toBeGreaterThan(8 * PACKED.length * 0.98);
  });

  it("a file that is cut short anywhere", async () => {
    for (let bytes = 1; bytes < PACKED.length; bytes += 7)
      await expect(unzstd(PACKED.subarray(0, bytes), MOST)).rejects.toThrow();
    await expect(unzstd(PACKED.subarray(0, -1), MOST)).rejects.toThrow("it is cut short");
  });

  it("content whose checksum is another", async () => {
    const flipped = PACKED.with(PACKED.length - 1, (PACKED.at(-1) ?? 0) ^ 0x80);
    await expect(unzstd(flipped, MOST)).rejects.toThrow("does not have the checksum that it names");
  });

  it("content that is larger than it may be, before it is there", async () => {
    await expect(unzstd(PACKED, 4095)).rejects.toThrow("it unpacks to more than 4095 bytes");
    await expect(unzstd(bytesOf(PACKED, PACKED), 8191)).rejects.toThrow("more than 8191 bytes");
    // Single segment, 2^40 bytes of content, and a block of one byte.
    const size = [0, 0, 0, 0, 0, 1, 0, 0];
    const boastful = bytesOf(MAGIC, [0xe0], size, [(1 << 3) | 1, 0, 0, 0x61]);
    await expect(unzstd(boastful, 2 ** 50)).rejects.toThrow("1099511627776 bytes are not in its blocks");
    // 512 blocks of 128 KiB each in two KiB.
    const bomb = bytesOf(MAGIC, [0, 0x38], ...Array.from({ length: 512 }, () => [2, 0, 0x10, 0]));
    await expect(unzstd(bytesOf(bomb, [3, 0, 0, 0]), MOST)).rejects.toThrow("more than 1048576 bytes");
  });

  it("a window that no kernel has, a dictionary, and what follows the last frame", async () => {
    await expect(unzstd(bytesOf(MAGIC, [0, 0xff]), MOST)).rejects.toThrow(/a window of \d+ bytes/);
    await expect(unzstd(bytesOf(MAGIC, [1, 0, 7], [1, 0, 0]), MOST)).rejects.toThrow("dictionary");
    await expect(unzstd(bytesOf(PACKED, [1, 2, 3, 4]), MOST)).rejects.toThrow(
      `no Zstandard frame begins at byte ${PACKED.length}`,
    );
  });
});
