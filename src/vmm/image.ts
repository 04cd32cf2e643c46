/** What can be booted, foremost the arm64 boot image (Documentation/arch/arm64/booting.rst), and where its parts go in memory. */
import { counted } from "../common/counts.ts";
import { UserError } from "../common/errors.ts";
import { formatBytes } from "../common/sizes.ts";
import { type ElfProgram, isElf, readElf } from "./elf-program.ts";
import { type FileFormat, formatOf, HEAD_BYTES, isText } from "./file-formats.ts";

const HEADER_BYTES = 64;
const MAGIC_AT = 56;
/** "ARM\x64". */
const MAGIC = 0x644d_5241;
/** The kernel's base is aligned to this, and so are device tree and initial RAM disk here. */
const ALIGNMENT = 2 * 1024 ** 2;
const MIB = 1024 ** 2;
/** QEMU has its boot code at the start of memory; an image that asks for that place goes behind it. */
const BOOT_CODE_BYTES = 4096;
/** Where a kernel goes that does not say where: KERNEL64_LOAD_ADDR of QEMU's hw/arm/boot.c. */
const RAW_OFFSET = 0x8_0000;
const MOST_IMAGE_BYTES = 1n << 30n;
/** Where addresses of TTBR1_EL1 begin, with 48 bits of them or with 52. */
const KERNEL_HALF = 0xfff0n << 48n;

/** What a machine boots: Linux or another program that takes its boot protocol, or an ELF program. */
export type Kernel = KernelImage | ElfKernel;

export interface KernelImage {
  readonly kind: "image";
  readonly bytes: Uint8Array;
  /** From the start of memory, or of the first 2 MiB behind QEMU's boot code, to the image. */
  readonly textOffset: number;
  /** What the image needs from there on, with its BSS. */
  readonly memoryBytes: number;
}

/** A program at addresses of its own, which is told nothing. */
export interface ElfKernel extends ElfProgram {
  readonly kind: "elf";
}

const startsWithMagic = (bytes: Uint8Array): boolean =>
  bytes.length >= HEADER_BYTES && viewOf(bytes).getUint32(MAGIC_AT, true) === MAGIC;

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/**
 * Reads an unpacked kernel as QEMU does (hw/arm/boot.c, arm_load_kernel): ELF, Image, or else a raw binary. Unlike there,
 * a vmlinux is the Image that is made from it, and what is known to be something else is refused by name.
 * @throws UserError for what is none, is cut short, or is of another machine
 */
export function readImage(bytes: Uint8Array, name: string): Kernel {
  const refuse = (what: string, remedy = ""): never => {
    const wanted =
      "Give an arm64 Image (Debian's /boot/vmlinuz-*-arm64 is one), an ELF program or a raw binary";
    throw new UserError(`${name}: ${what}`, remedy === "" ? wanted : remedy);
  };
  if (bytes.length < 4) return refuse(`a kernel of ${counted(bytes.length, "byte")}`);
  if (isElf(bytes)) return elfKernel(readElf(bytes, name), name);
  if (startsWithMagic(bytes)) return linuxImage(bytes, name);
  const notImage = `not an arm64 Image: no "ARM\\x64" at offset ${MAGIC_AT}`;
  const format = formatOf(bytes.subarray(0, HEAD_BYTES)) ?? otherKernel(bytes);
  if (format !== undefined)
    return refuse(
      `${notImage}; it is ${format.name}`,
      format.toRaw?.replace("FILE", "KERNEL").replace("RAW", "Image").replace(/^/, "Unpack it: "),
    );
  if (isText(bytes)) return refuse(`${notImage}; it is a text`);
  if (viewOf(bytes).getUint32(0, true) === 0) return refuse(`${notImage}, and no instruction at its start`);
  return { kind: "image", bytes, textOffset: RAW_OFFSET, memoryBytes: bytes.length };
}

/** Kernels for other machines and boot loaders. */
function otherKernel(bytes: Uint8Array): FileFormat | undefined {
  const view = viewOf(bytes);
  const named = (name: string, toRaw?: string): FileFormat => ({ name, toRaw });
  if (view.getUint32(0) === 0x2705_1956)
    return named("a uImage for U-Boot", "dumpimage -T kernel -p 0 -o RAW FILE");
  if (view.getUint32(0) === 0xd00d_feed) return named("a device tree, or a FIT for U-Boot");
  if (bytes.length >= 0x206 && view.getUint32(0x202) === 0x4864_7253) return named("a kernel for x86");
  if (view.getUint16(0) !== 0x4d5a) return undefined;
  const header = bytes.length >= HEADER_BYTES ? view.getUint32(PE_HEADER_AT, true) : 0;
  if (header < 4) return bytes.length < HEADER_BYTES ? named("cut short") : undefined;
  const isPe = header + 24 <= bytes.length && view.getUint32(header, true) === PE_MAGIC;
  return isPe ? named("a program for EFI, or for another machine") : undefined;
}

function linuxImage(bytes: Uint8Array, name: string): KernelImage {
  const refuse = (what: string): never => {
    throw new UserError(`${name}: ${what}`, "Give a whole little-endian arm64 Image");
  };
  const view = viewOf(bytes);
  const whole = fileBytes(view);
  if (whole > bytes.length) return refuse(`cut short: ${bytes.length} of ${whole} bytes`);
  const imageBytes = Number(view.getBigUint64(16, true));
  const flags = Number(view.getBigUint64(24, true));
  if ((flags & 1) === 1) return refuse("a big-endian kernel");
  return {
    kind: "image",
    bytes,
    // Kernels before 3.17 do not say how large they are, and their offset means nothing then.
    textOffset: imageBytes === 0 ? RAW_OFFSET : Number(view.getBigUint64(8, true)),
    memoryBytes: Math.max(imageBytes, bytes.length),
  };
}

/**
 * A vmlinux is linked to the kernel's half of virtual addresses, which are nowhere in memory; the Image of it is what
 * `objcopy -O binary` would make.
 */
function elfKernel(program: ElfProgram, name: string): Kernel {
  const [first] = program.segments;
  if (first === undefined || first.address < KERNEL_HALF || !startsWithMagic(first.content))
    return { kind: "elf", ...program };
  const last = program.segments.at(-1) ?? first;
  const bytes = last.address - first.address + BigInt(last.content.length);
  if (bytes > MOST_IMAGE_BYTES)
    throw new UserError(
      `${name}: its segments are ${formatBytes(Number(bytes))} apart`,
      "Give the Image that was made from it",
    );
  const image = new Uint8Array(Number(bytes));
  for (const { address, content } of program.segments) image.set(content, Number(address - first.address));
  return linuxImage(image, name);
}

const PE_HEADER_AT = 60;
const PE_MAGIC = 0x0000_4550;
const PE_SECTION_BYTES = 40;

/** How long the file must be, as the sections of its EFI stub's PE header have it; 0 where it has none. */
function fileBytes(view: DataView): number {
  const header = view.getUint32(PE_HEADER_AT, true);
  if (header + 24 > view.byteLength || view.getUint32(header, true) !== PE_MAGIC) return 0;
  const sections = view.getUint16(header + 6, true);
  const first = header + 24 + view.getUint16(header + 20, true);
  let end = first + sections * PE_SECTION_BYTES;
  if (end > view.byteLength) return end;
  for (let i = 0; i < sections; i++) {
    const at = first + i * PE_SECTION_BYTES;
    end = Math.max(end, view.getUint32(at + 16, true) + view.getUint32(at + 20, true));
  }
  return end;
}

export interface Placement {
  /** Where vCPU 0 starts. */
  readonly entry: bigint;
  /** What is written to memory, and where. */
  readonly kernel: readonly { readonly address: number; readonly bytes: Uint8Array }[];
  /** Undefined where there is no initial RAM disk. */
  readonly initrd: number | undefined;
  /** Undefined where there is no room for it. */
  readonly deviceTree: number | undefined;
  /** X0 at the start. */
  readonly argument: number;
}

const align = (value: number): number => Math.ceil(value / ALIGNMENT) * ALIGNMENT;

interface Ram {
  readonly base: number;
  readonly bytes: number;
}

/**
 * Where QEMU puts them (hw/arm/boot.c). Linux: the RAM disk at half of memory, 128 MiB at most, the device tree after it
 * and its address in X0. An ELF program: at its own addresses, with the device tree at the start of memory if there is room,
 * no RAM disk, and zero in X0.
 */
export function placeImage(
  ram: Ram,
  image: Kernel,
  initrdBytes: number | undefined,
  deviceTreeBytes: number,
): Placement {
  if (image.kind === "elf") return placeElf(ram, image, initrdBytes, deviceTreeBytes);
  const kernel = ram.base + image.textOffset + (image.textOffset < BOOT_CODE_BYTES ? ALIGNMENT : 0);
  const initrd = Math.max(
    align(ram.base + Math.min(ram.bytes / 2, 128 * MIB)),
    align(kernel + image.memoryBytes),
  );
  const deviceTree = align(initrd + (initrdBytes ?? 0));
  const end = deviceTree + deviceTreeBytes;
  if (end > ram.base + ram.bytes)
    throw new UserError(
      `kernel and initial RAM disk need ${formatBytes(end - ram.base)} of memory, and the machine has ${formatBytes(ram.bytes)}`,
      "Raise --memory",
    );
  return {
    entry: BigInt(kernel),
    kernel: [{ address: kernel, bytes: image.bytes }],
    initrd: initrdBytes === undefined ? undefined : initrd,
    deviceTree,
    argument: deviceTree,
  };
}

function placeElf(
  ram: Ram,
  { segments, entry }: ElfKernel,
  initrdBytes: number | undefined,
  deviceTreeBytes: number,
): Placement {
  if (initrdBytes !== undefined)
    throw new UserError(
      "an ELF program is not told of an initial RAM disk",
      "Leave --initrd away, or give an arm64 Image",
    );
  const [base, end] = [BigInt(ram.base), BigInt(ram.base + ram.bytes)];
  for (const { address, memoryBytes } of segments)
    if (address < base || address + memoryBytes > end)
      throw new UserError(
        `the ELF program wants ${memoryBytes} bytes at 0x${address.toString(16)}, and memory is from 0x${base.toString(16)} to 0x${end.toString(16)}`,
        "Link it to addresses in memory, or raise --memory",
      );
  const first = Number(segments[0]?.address ?? base);
  return {
    entry,
    kernel: segments.map(({ address, content }) => ({ address: Number(address), bytes: content })),
    initrd: undefined,
    deviceTree: ram.base + deviceTreeBytes <= first ? ram.base : undefined,
    argument: 0,
  };
}
