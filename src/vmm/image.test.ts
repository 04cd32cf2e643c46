/** Headers as Documentation/arch/arm64/booting.rst has them, places as QEMU's hw/arm/boot.c. */
import { describe, expect, it } from "vitest";
import { UserError } from "../common/errors.ts";
import { type Kernel, type KernelImage, placeImage, readImage } from "./image.ts";

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

function asImage(kernel: Kernel): KernelImage {
  if (kernel.kind !== "image") throw new Error("it is no Image");
  return kernel;
}

describe("the header", () => {
  it("says where the image goes and what it takes with its BSS", () => {
    const bytes = image({ textOffset: 0x8_0000n });
    expect(readImage(bytes, "--kernel F")).toEqual({
      kind: "image",
      bytes,
      textOffset: 0x8_0000,
      memoryBytes: 20 * MIB,
    });
  });

  it("is read where it lies in a larger buffer", () => {
    const around = new Uint8Array(5000);
    around.set(image({ textOffset: 0x8_0000n }), 77);
    expect(asImage(readImage(around.subarray(77), "F")).textOffset).toBe(0x8_0000);
  });

  it("never takes less than the file", () => {
    expect(asImage(readImage(image({ imageBytes: 100n }), "F")).memoryBytes).toBe(4096);
  });

  it.each([
    ["cut off", image().subarray(0, 63), /not an arm64 Image: no "ARM\\x64" at offset 56/],
    ["empty", new Uint8Array(0), /--kernel F: a kernel of 0 bytes/],
    ["big-endian", image({ flags: 0xbn }), /a big-endian kernel/],
  ])("is refused where it is %s", (_, bytes, message) => {
    expect(() => readImage(bytes, "--kernel F")).toThrow(UserError);
    expect(() => readImage(bytes, "--kernel F")).toThrow(message);
  });
});

it("means nothing in a header without a size, as before Linux 3.17", () => {
  expect(asImage(readImage(image({ textOffset: 0x100n, imageBytes: 0n }), "F")).textOffset).toBe(0x8_0000);
});

/** An ELF file of segments that are its content and some zeros. */
function elf(
  segments: readonly { virtual: bigint; address?: bigint; content: Uint8Array; memory?: number }[],
  header: { machine?: number; class?: number; data?: number; entry?: bigint } = {},
): Uint8Array {
  const table = 64;
  const start = table + 56 * segments.length;
  const bytes = new Uint8Array(start + segments.reduce((sum, { content }) => sum + content.length, 0));
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, header.class ?? 2, header.data ?? 1, 1]);
  view.setUint16(0x12, header.machine ?? 183, true);
  view.setBigUint64(0x18, header.entry ?? segments[0]?.virtual ?? 0n, true);
  view.setBigUint64(0x20, BigInt(table), true);
  view.setUint16(0x36, 56, true);
  view.setUint16(0x38, segments.length, true);
  let at = start;
  segments.forEach(({ virtual, address, content, memory }, i) => {
    const place = table + 56 * i;
    view.setUint32(place, 1, true);
    view.setUint32(place + 4, 5, true);
    [
      BigInt(at),
      virtual,
      address ?? virtual,
      BigInt(content.length),
      BigInt(memory ?? content.length),
    ].forEach((value, field) => {
      view.setBigUint64(place + 8 + 8 * field, value, true);
    });
    bytes.set(content, at);
    at += content.length;
  });
  return bytes;
}

describe("a raw binary", () => {
  const code = Uint8Array.of(0x1f, 0x20, 0x03, 0xd5, ...new Uint8Array(100));

  it("goes to 512 KiB, as QEMU has it, and gets a device tree", () => {
    const kernel = readImage(code, "F");
    expect(kernel).toMatchObject({ kind: "image", textOffset: 0x8_0000, memoryBytes: code.length });
    const place = placeImage({ base: BASE, bytes: 512 * MIB }, kernel, undefined, 4096);
    expect(place.entry).toBe(BigInt(BASE + 0x8_0000));
    expect([place.initrd, place.deviceTree, place.argument]).toEqual([
      undefined,
      BASE + 128 * MIB,
      BASE + 128 * MIB,
    ]);
  });

  const text = (of: string): Uint8Array => new TextEncoder().encode(of.padEnd(600, "\0"));
  const x86 = (): Uint8Array => {
    const bytes = new Uint8Array(4096);
    bytes.set([0x4d, 0x5a, 0xea, 0x07]);
    bytes.set(text("HdrS"), 0x202);
    return bytes.subarray(0, 0x300);
  };
  it.each([
    ["a script", new TextEncoder().encode("#!/bin/sh\n".repeat(9)), /it is a text/],
    ["zeros", new Uint8Array(4096), /no instruction at its start/],
    [
      "lz4",
      Uint8Array.of(0x02, 0x21, 0x4c, 0x18, ...new Uint8Array(90)),
      /packed with lz4\nUnpack it: lz4 -dc KERNEL >Image/,
    ],
    ["bzip2", text("BZh9"), /packed with bzip2\nUnpack it: bzip2 -dc KERNEL >Image/],
    [
      "a uImage",
      Uint8Array.of(0x27, 0x05, 0x19, 0x56, ...new Uint8Array(90)),
      /a uImage.*\nUnpack it: dumpimage/,
    ],
    ["a FIT", Uint8Array.of(0xd0, 0x0d, 0xfe, 0xed, ...new Uint8Array(90)), /a device tree, or a FIT/],
    ["a bzImage", x86(), /a kernel for x86/],
    ["a package", text("!<arch>\ndebian-binary"), /a Debian package/],
    ["a disk", Uint8Array.of(0x51, 0x46, 0x49, 0xfb, ...new Uint8Array(600)), /a qcow2 image\nUnpack it/],
    ["half a header", Uint8Array.of(0x4d, 0x5a, 0, 0x91, 0, 0), /cut short/],
  ])("is not %s", (_, bytes, message) => {
    expect(() => readImage(bytes, "F")).toThrow(UserError);
    expect(() => readImage(bytes, "F")).toThrow(message);
  });
});

describe("an ELF program", () => {
  const ram = { base: BASE, bytes: 256 * MIB };
  const code = Uint8Array.of(1, 2, 3, 4);

  it("goes to its physical addresses, and starts at the one of its entry point", () => {
    const at = 0x4040_0000n;
    const kernel = readImage(
      elf([{ virtual: 0x1000n, address: at, content: code, memory: 64 }], { entry: 0x1004n - 2n }),
      "F",
    );
    expect(placeImage(ram, kernel, undefined, 4096)).toEqual({
      entry: at + 2n,
      kernel: [{ address: Number(at), bytes: code }],
      initrd: undefined,
      deviceTree: BASE,
      argument: 0,
    });
  });

  it("gets no device tree where it lies at the start of memory, and never a RAM disk", () => {
    const kernel = readImage(elf([{ virtual: BigInt(BASE) + 512n, content: code }]), "F");
    expect(placeImage(ram, kernel, undefined, 4096).deviceTree).toBeUndefined();
    expect(() => placeImage(ram, kernel, 5, 4096)).toThrow(/no.* initial RAM disk/);
  });

  it.each([
    [
      "outside of memory",
      elf([{ virtual: 0x1000n, content: code }]),
      /wants 4 bytes at 0x1000, and memory is from 0x40000000/,
    ],
    ["behind memory", elf([{ virtual: 0x4fff_fffen, content: code }]), /wants 4 bytes at 0x4ffffffe/],
  ])("is refused %s", (_, bytes, message) => {
    expect(() => placeImage(ram, readImage(bytes, "F"), undefined, 4096)).toThrow(message);
  });

  it.each([
    ["for x86", elf([{ virtual: 0n, content: code }], { machine: 62 }), /another machine \(e_machine 62\)/],
    ["of 32 bits", elf([{ virtual: 0n, content: code }], { class: 1 }), /32-bit/],
    ["big-endian", elf([{ virtual: 0n, content: code }], { data: 2 }), /big-endian/],
    ["of nothing", elf([]), /nothing to load/],
    ["cut short", elf([{ virtual: 0n, content: code }]).subarray(0, -1), /cut short: 123 of 124 bytes/],
    ["cut off", elf([]).subarray(0, 50), /an ELF file of 50 bytes/],
  ])("is refused %s", (_, bytes, message) => {
    expect(() => readImage(bytes, "F")).toThrow(UserError);
    expect(() => readImage(bytes, "F")).toThrow(message);
  });
});

it("a vmlinux is the Image that is made from it", () => {
  const [head, data] = [image({ imageBytes: 0x5000n }), Uint8Array.of(5, 6, 7)];
  const at = 0xffff_8000_8000_0000n;
  const bytes = elf([
    { virtual: at + 0x2000n, content: data, memory: 0x3000 },
    { virtual: at, content: head },
  ]);
  const kernel = asImage(readImage(bytes, "F"));
  expect(kernel).toMatchObject({ textOffset: 0, memoryBytes: 0x5000 });
  expect(kernel.bytes.length).toBe(0x2003);
  expect(kernel.bytes.subarray(0, 4096)).toEqual(head);
  expect([...kernel.bytes.subarray(0x2000)]).toEqual([5, 6, 7]);
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
    expect(asImage(readImage(stub(4096), "F")).memoryBytes).toBe(20 * MIB);
    expect(() => readImage(stub(4097), "F")).toThrow(/F: cut short: 4096 of 4097 bytes/);
    expect(() => readImage(stub(4096, 5000), "F")).toThrow(/F: cut short: 4096 of 200088 bytes/);
  });

  it("says nothing where it is none", () => {
    const bytes = image();
    new DataView(bytes.buffer).setUint32(60, 0xffff_fff0, true);
    expect(asImage(readImage(bytes, "F")).memoryBytes).toBe(20 * MIB);
  });
});

describe("places", () => {
  const kernel = (textOffset: bigint, memoryBytes = 20 * MIB) =>
    readImage(image({ textOffset, imageBytes: BigInt(memoryBytes) }), "F");
  const place = (ramBytes: number, of = kernel(0n), initrdBytes = 10 * MIB) => {
    const {
      kernel: parts,
      initrd,
      deviceTree,
    } = placeImage({ base: BASE, bytes: ramBytes }, of, initrdBytes, 4096);
    return { kernel: parts[0]?.address ?? 0, initrd: initrd ?? 0, deviceTree: deviceTree ?? 0 };
  };

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
