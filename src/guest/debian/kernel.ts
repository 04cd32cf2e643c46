/** A kernel package's parts: the Image to boot, and the modules that come with it. */
import { UserError } from "../../common/errors.ts";
import { unpackKernel } from "../../vmm/kernel-file.ts";
import type { DebFiles } from "./deb.ts";
import type { ModuleFiles } from "./modules.ts";

/** arm64's Image: "ARM\x64" at byte 56 (Documentation/arch/arm64/booting.rst). */
const isImage = (bytes: Uint8Array): boolean =>
  bytes.length > 64 && new DataView(bytes.buffer, bytes.byteOffset).getUint32(56, true) === 0x644d5241;

/** The release, such as 6.1.0-50-cloud-arm64, and the raw Image of a kernel package. */
export async function kernelImage(
  files: DebFiles,
  where: string,
): Promise<{ readonly release: string; readonly image: Uint8Array }> {
  for (const [path, entry] of files) {
    const release = /^boot\/vmlinuz-(.+)$/.exec(path)?.[1];
    if (release === undefined || entry.kind !== "file") continue;
    const image = await unpackKernel(entry.content, where);
    if (!isImage(image)) throw new UserError(`${where}: ${path} is no arm64 Image`);
    return { release, image };
  }
  throw new UserError(`${where}: has no boot/vmlinuz`);
}

/** What a package has below lib/modules/RELEASE. */
export function modulesOf(files: DebFiles, release: string): ModuleFiles {
  const folder = new RegExp(`^(?:usr/)?lib/modules/${release.replace(/[.+]/g, "\\$&")}/(.+)$`);
  const contents = new Map<string, Uint8Array>();
  for (const [full, entry] of files) {
    const path = folder.exec(full)?.[1];
    if (path !== undefined && entry.kind === "file") contents.set(path, entry.content);
  }
  return { paths: [...contents.keys()], read: (path) => contents.get(path) ?? new Uint8Array() };
}
