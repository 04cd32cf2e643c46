/** The arm64 boot image (Documentation/arch/arm64/booting.rst) and where its parts go in memory. */
import { counted } from "../common/counts.ts";
import { UserError } from "../common/errors.ts";
import { formatBytes } from "../common/sizes.ts";

const HEADER_BYTES = 64;
const MAGIC_AT = 56;
/** "ARM\x64". */
const MAGIC = 0x644d_5241;
/** The kernel's base is aligned to this, and so are device tree and initial RAM disk here. */
const ALIGNMENT = 2 * 1024 ** 2;
const MIB = 1024 ** 2;
/** QEMU has its boot code at the start of memory; an image that asks for that place goes behind it. */
const BOOT_CODE_BYTES = 4096;

export interface KernelImage {
  readonly bytes: Uint8Array;
  /** From a 2 MiB aligned base to the image. */
  readonly textOffset: number;
  /** What the image needs from there on, with its BSS. */
  readonly memoryBytes: number;
}

/** Reads an Image's header. Throws UserError for what is none. */
export function readImage(bytes: Uint8Array, name: string): KernelImage {
  const refuse = (what: string): never => {
    throw new UserError(
      `${name}: ${what}`,
      "Give an arm64 Image (Debian's /boot/vmlinuz-*-arm64 is one), raw or compressed with gzip or zstd",
    );
  };
  if (bytes.length < HEADER_BYTES) return refuse(`a kernel of ${counted(bytes.length, "byte")}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(MAGIC_AT, true) !== MAGIC)
    return refuse(`not an arm64 Image: no "ARM\\x64" at offset ${MAGIC_AT}`);
  const whole = fileBytes(view);
  if (whole > bytes.length) return refuse(`cut short: ${bytes.length} of ${whole} bytes`);
  const textOffset = Number(view.getBigUint64(8, true));
  const imageBytes = Number(view.getBigUint64(16, true));
  const flags = Number(view.getBigUint64(24, true));
  if ((flags & 1) === 1) return refuse("a big-endian kernel");
  return { bytes, textOffset, memoryBytes: Math.max(imageBytes, bytes.length) };
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
  readonly kernel: number;
  readonly initrd: number;
  readonly deviceTree: number;
}

const align = (value: number): number => Math.ceil(value / ALIGNMENT) * ALIGNMENT;

/** Where QEMU puts them (hw/arm/boot.c): the RAM disk at half of memory, 128 MiB at most, the device tree after it. */
export function placeImage(
  ram: { readonly base: number; readonly bytes: number },
  image: KernelImage,
  initrdBytes: number,
  deviceTreeBytes: number,
): Placement {
  const kernel = ram.base + image.textOffset + (image.textOffset < BOOT_CODE_BYTES ? ALIGNMENT : 0);
  const initrd = Math.max(
    align(ram.base + Math.min(ram.bytes / 2, 128 * MIB)),
    align(kernel + image.memoryBytes),
  );
  const deviceTree = align(initrd + initrdBytes);
  const end = deviceTree + deviceTreeBytes;
  if (end > ram.base + ram.bytes)
    throw new UserError(
      `kernel and initial RAM disk need ${formatBytes(end - ram.base)} of memory, and the machine has ${formatBytes(ram.bytes)}`,
      "Raise --memory",
    );
  return { kernel, initrd, deviceTree };
}
