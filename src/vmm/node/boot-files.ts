/** The files that a machine boots from: kernels are unpacked, RAM disks are taken as they are. */
import { gunzipSync } from "node:zlib";
import { readFdt } from "../../board/fdt.ts";
import { UserError } from "../../common/errors.ts";
import { unzstd } from "../../common/zstd.ts";
import { type KernelImage, readImage } from "../image.ts";
import { readWhole } from "./read-file.ts";

/** What a compressed kernel may unpack to: the largest have a tenth of it. */
const MOST_KERNEL_BYTES = 1024 ** 3;
const GZIP = [0x1f, 0x8b];
const ZSTD = [0x28, 0xb5, 0x2f, 0xfd];

const startsWith = (bytes: Uint8Array, magic: readonly number[]): boolean =>
  magic.every((byte, i) => bytes[i] === byte);

/** A kernel, raw or compressed with gzip or zstd. */
export async function readKernel(path: string): Promise<KernelImage> {
  const bytes = readWhole(path, `--kernel ${path}`);
  const unpacked = async (): Promise<Uint8Array> => {
    if (startsWith(bytes, GZIP)) return gunzipSync(bytes, { maxOutputLength: MOST_KERNEL_BYTES });
    return startsWith(bytes, ZSTD) ? unzstd(bytes, MOST_KERNEL_BYTES) : bytes;
  };
  const image = await unpacked().catch((error: unknown) => {
    const why = error instanceof Error ? error.message : String(error);
    throw new UserError(`--kernel ${path}: it is damaged (${why})`);
  });
  return readImage(image, `--kernel ${path}`);
}

/** A flattened device tree. Throws UserError for what is none, or is malformed. */
export function readDeviceTree(path: string): Uint8Array {
  const bytes = readWhole(path, `--dtb ${path}`);
  readFdt(bytes, `--dtb ${path}`);
  return bytes;
}

const CPIO = "070701";
const ARCHIVES: readonly (readonly number[])[] = [
  GZIP,
  ZSTD,
  // xz, lzma, bzip2, lz4.
  [0xfd, 0x37, 0x7a, 0x58],
  [0x5d, 0x00, 0x00],
  [0x42, 0x5a, 0x68],
  [0x02, 0x21, 0x4c, 0x18],
];

/** An initial RAM disk: a cpio archive, whole, or one in a compression that the kernel unpacks. */
export function readInitrd(path: string): Uint8Array {
  const bytes = readWhole(path, `--initrd ${path}`);
  const isCpio = bytes.toString("latin1", 0, CPIO.length) === CPIO;
  if (!isCpio && !ARCHIVES.some((magic) => startsWith(bytes, magic)))
    throw new UserError(
      `--initrd ${path}: neither a cpio archive nor a compressed one`,
      "Make one with `cpio -o -H newc`",
    );
  if (isCpio && !bytes.includes("TRAILER!!!"))
    throw new UserError(
      `--initrd ${path}: the archive ends at byte ${bytes.length} without its trailer`,
      "Copy it again: it was cut short",
    );
  return bytes;
}
