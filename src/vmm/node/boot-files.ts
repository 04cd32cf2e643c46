/** The files that a machine boots from: kernels are unpacked, RAM disks are taken as they are. */
import { readFdt } from "../../board/fdt-reader.ts";
import { type Kernel, readImage } from "../image.ts";
import { unpackKernel } from "../kernel-file.ts";
import { readAny, readWhole } from "./read-file.ts";

/** A kernel, packed or not. @throws UserError for what cannot be booted */
export async function readKernel(path: string): Promise<Kernel> {
  const name = `--kernel ${path}`;
  return readImage(await unpackKernel(readWhole(path, name), name), name);
}

/** A flattened device tree. Throws UserError for what is none, or is malformed. */
export function readDeviceTree(path: string): Uint8Array {
  const bytes = readWhole(path, `--dtb ${path}`);
  readFdt(bytes, `--dtb ${path}`);
  return bytes;
}

/** An initial RAM disk: any bytes, or none. What they mean is the kernel's business: it unpacks more than is known here. */
export const readInitrd = (path: string): Uint8Array => readAny(path, `--initrd ${path}`);
