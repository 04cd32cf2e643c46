/** Kernels as distributions and builds leave them: packed, or in a PE file that unpacks itself under EFI. */
import { UserError } from "../common/errors.ts";
import { type Compression, compressionIn, unpack } from "../common/unpack.ts";

/** What a packed kernel may unpack to: the largest have a tenth of it. */
const MOST_KERNEL_BYTES = 1024 ** 3;
/** A packed kernel in an EFI zboot file, packed once more: nobody goes further. */
const MOST_LAYERS = 3;
const ZBOOT_HEADER_BYTES = 64;

/** As the header names them; zstd has a level of its own in some versions. */
const ZBOOT_COMPRESSIONS: Readonly<Record<string, Compression>> = {
  gzip: "gzip",
  zstd: "zstd",
  zstd22: "zstd",
  xz: "xz",
  xzkern: "xz",
};

const text = (bytes: Uint8Array): string => new TextDecoder("latin1").decode(bytes);

interface Packed {
  readonly content: Uint8Array;
  readonly compression: Compression;
}

/**
 * The kernel in an EFI zboot file: its offset and size at bytes 8 and 12, how it is packed at 24
 * (drivers/firmware/efi/libstub/zboot-header.S). Undefined where a file is none.
 */
function zboot(file: Uint8Array, where: string): Packed | undefined {
  const isZboot = text(file.subarray(0, 2)) === "MZ" && text(file.subarray(4, 8)) === "zimg";
  if (file.length < ZBOOT_HEADER_BYTES || !isZboot) return undefined;
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const [offset, bytes] = [view.getUint32(8, true), view.getUint32(12, true)];
  const how = text(file.subarray(24, 56)).split("\0")[0] ?? "";
  const compression = ZBOOT_COMPRESSIONS[how];
  if (compression === undefined)
    throw new UserError(
      `${where}: is packed with ${how}`,
      "Take another kernel: gzip, zstd and xz can be unpacked",
    );
  if (offset + bytes > file.length)
    throw new UserError(`${where}: cut short: ${file.length} of ${offset + bytes} bytes`, "Copy it again");
  return { content: file.subarray(offset, offset + bytes), compression };
}

/**
 * The kernel's own bytes: out of gzip, zstd, xz, and EFI zboot files, as QEMU's loader does it for the first two.
 * @param where its name, for errors
 * @throws UserError where it is damaged, or packed in a way that nothing here unpacks
 */
export async function unpackKernel(file: Uint8Array, where: string): Promise<Uint8Array> {
  let bytes = file;
  for (let layer = 0; layer < MOST_LAYERS; layer++) {
    const compression = compressionIn(bytes);
    const packed = compression === undefined ? zboot(bytes, where) : { content: bytes, compression };
    if (packed === undefined) return bytes;
    bytes = await unpack(packed.content.slice(), packed.compression, MOST_KERNEL_BYTES).catch(
      (error: unknown) => {
        const why = error instanceof Error ? error.message : String(error);
        throw new UserError(`${where}: it is damaged (${why})`, "Copy it, or fetch it, again");
      },
    );
  }
  return bytes;
}

const BANNER = "Linux version ";

/** The release that uname -r would say, out of a kernel's banner (init/version.c); undefined where it has none. */
export function kernelRelease(kernel: Uint8Array): string | undefined {
  const banner = new TextEncoder().encode(BANNER);
  for (let at = kernel.indexOf(banner[0]!); at >= 0; at = kernel.indexOf(banner[0]!, at + 1)) {
    if (!banner.every((byte, i) => kernel[at + i] === byte)) continue;
    const start = at + banner.length;
    const release = /^[\w.+~-]+(?= \()/.exec(text(kernel.subarray(start, start + 65)))?.[0];
    if (release !== undefined) return release;
  }
  return undefined;
}
