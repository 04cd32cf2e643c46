/** Headers as Documentation/arch/arm64/booting.rst has them, places as QEMU's hw/arm/boot.c. */
import { describe, expect, it } from "vitest";
import { UserError } from "../common/errors.ts";
import { placeImage, readImage } from "./image.ts";

const MIB = 1024 ** 2;
const BASE = 0x4000_0000;

function image(header: { textOffset?: bigint; imageBytes?: bigint; flags?: bigint; magic?: number } = {}) {
  const bytes = new Uint8Array(4096);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(8, header.textOffset ?? 0n, true);
  view.setBigUint64(16, header.imageBytes ?? BigInt(20 * MIB), true);
  view.setBigUint64(24, header.flags ?? 0xan, true);
  view.setUint32(56, header.magic ?? 0x644d_5241, true);
  return bytes;
}

describe("the header", () => {
  it("says where the image goes and what it takes with its BSS", () => {
    const bytes = image({ textOffset: 0x8_0000n });
    expect(readImage(bytes, "--kernel F")).toEqual({ bytes, textOffset: 0x8_0000, memoryBytes: 20 * MIB });
  });

  it("is read where it lies in a larger buffer", () => {
    const around = new Uint8Array(5000);
    around.set(image({ textOffset: 0x8_0000n }), 77);
    expect(readImage(around.subarray(77), "F").textOffset).toBe(0x8_0000);
  });

  it("never takes less than the file", () => {
    expect(readImage(image({ imageBytes: 100n }), "F").memoryBytes).toBe(4096);
  });

  it.each([
    ["cut off", image().subarray(0, 63), /--kernel F: a kernel of 63 bytes/],
    ["empty", new Uint8Array(0), /--kernel F: a kernel of 0 bytes/],
    [
      "of another architecture",
      image({ magic: 0x5a4d_5241 }),
      /not an arm64 Image: no "ARM\\x64" at offset 56/,
    ],
    ["big-endian", image({ flags: 0xbn }), /a big-endian kernel/],
  ])("is refused where it is %s", (_, bytes, message) => {
    expect(() => readImage(bytes, "--kernel F")).toThrow(UserError);
    expect(() => readImage(bytes, "--kernel F")).toThrow(message);
  });
});

describe("the EFI stub's header", () => {
  /** With a section that ends at `end`. */
  const stub = (end: number, sections = 1): Uint8Array => {
    const bytes = image();
    const view = new DataView(bytes.buffer);
    view.setUint32(60, 64, true);
    view.setUint32(64, 0x0000_4550, true);
    view.setUint16(64 + 6, sections, true);
    view.setUint16(64 + 20, 0, true);
    view.setUint32(64 + 24 + 16, 1000, true);
    view.setUint32(64 + 24 + 20, end - 1000, true);
    return bytes;
  };

  it("says how long the file is", () => {
    expect(readImage(stub(4096), "F").memoryBytes).toBe(20 * MIB);
    expect(() => readImage(stub(4097), "F")).toThrow(/F: cut short: 4096 of 4097 bytes/);
    expect(() => readImage(stub(4096, 5000), "F")).toThrow(/F: cut short: 4096 of 200088 bytes/);
  });

  it("says nothing where it is none", () => {
    const bytes = image();
    new DataView(bytes.buffer).setUint32(60, 0xffff_fff0, true);
    expect(readImage(bytes, "F").memoryBytes).toBe(20 * MIB);
  });
});

describe("places", () => {
  const kernel = (textOffset: bigint, memoryBytes = 20 * MIB) =>
    readImage(image({ textOffset, imageBytes: BigInt(memoryBytes) }), "F");
  const place = (ramBytes: number, of = kernel(0n), initrdBytes = 10 * MIB) =>
    placeImage({ base: BASE, bytes: ramBytes }, of, initrdBytes, 4096);

  it("leave the start of memory to QEMU's boot code", () => {
    expect(place(512 * MIB).kernel).toBe(BASE + 2 * MIB);
    expect(place(512 * MIB, kernel(0x8_0000n)).kernel).toBe(BASE + 0x8_0000);
  });

  it("have the RAM disk at half of memory, 128 MiB at most, and the tree behind it", () => {
    expect(place(128 * MIB)).toEqual({
      kernel: BASE + 2 * MIB,
      initrd: BASE + 64 * MIB,
      deviceTree: BASE + 74 * MIB,
    });
    expect(place(4096 * MIB).initrd).toBe(BASE + 128 * MIB);
    expect(place(512 * MIB, kernel(0n), 10 * MIB + 1).deviceTree).toBe(BASE + 140 * MIB);
  });

  it("have the RAM disk behind a kernel that reaches further", () => {
    expect(place(512 * MIB, kernel(0n, 200 * MIB + 1)).initrd).toBe(BASE + 204 * MIB);
  });

  it("do not overlap, and are all in memory", () => {
    for (const ramBytes of [64 * MIB, 100 * MIB, 1024 * MIB])
      for (const bytes of [1, 3 * MIB, 17 * MIB]) {
        const { kernel: at, initrd, deviceTree } = place(ramBytes, kernel(0n), bytes);
        expect(at + 20 * MIB).toBeLessThanOrEqual(initrd);
        expect(initrd + bytes).toBeLessThanOrEqual(deviceTree);
        expect(deviceTree + 4096).toBeLessThanOrEqual(BASE + ramBytes);
      }
  });

  it("are refused where memory ends before them", () => {
    expect(() => place(16 * MIB)).toThrow(
      /kernel and initial RAM disk need 32 MiB of memory, and the machine has 16 MiB\nRaise --memory/,
    );
    expect(() => place(32 * MIB, kernel(1n << 60n))).toThrow(UserError);
  });
});
