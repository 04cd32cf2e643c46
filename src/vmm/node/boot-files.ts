/** The files that a machine boots from: kernels are unpacked, RAM disks are taken as they are. */
import { readFileSync } from "node:fs";
import { readFdt } from "../../board/fdt.ts";
import { UserError } from "../../common/errors.ts";
import { type Kernel, readImage } from "../image.ts";
import { unpackKernel } from "../kernel-file.ts";

function readWhole(path: string, option: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
    const why =
      code === "ENOENT"
        ? "there is no such file"
        : code === "EISDIR"
          ? "it is a directory"
          : `it cannot be read (${code})`;
    throw new UserError(`${option} ${path}: ${why}`);
  }
}

/** A kernel, packed or not. @throws UserError for what cannot be booted */
export async function readKernel(path: string): Promise<Kernel> {
  const name = `--kernel ${path}`;
  return readImage(await unpackKernel(readWhole(path, "--kernel"), name), name);
}

/** A flattened device tree. Throws UserError for what is none, or is malformed. */
export function readDeviceTree(path: string): Uint8Array {
  const bytes = readWhole(path, "--dtb");
  readFdt(bytes, `--dtb ${path}`);
  return bytes;
}

/** An initial RAM disk: any bytes. What they mean is the kernel's business: it unpacks more than is known here. */
export const readInitrd = (path: string): Uint8Array => readWhole(path, "--initrd");
