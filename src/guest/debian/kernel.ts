/** A kernel package's parts: the Image to boot, and the modules that a guest has a use for. */
import { UserError } from "../../common/errors.ts";
import type { DebFiles } from "./deb.ts";
import { type Compression, compressionOf, decompress } from "./decompress.ts";
import { elfSection } from "./elf.ts";

/** What a guest may load, by the names that modprobe takes; some kernels have some built in, or not at all. */
const WANTED = [
  "virtio_mmio",
  "virtio_blk",
  "virtio_console",
  "virtio_rng",
  "9p",
  "9pnet_virtio",
  "ext4",
  "overlay",
  "arm_spe_pmu",
  "loop",
  // A small one that needs no device, to try loading a module with.
  "dummy",
] as const;

export interface KernelModules {
  /** By their path below lib/modules/RELEASE. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** Names of the modules that can be loaded, sorted, the ones that others need among them. */
  readonly loadable: readonly string[];
  /** Wanted ones that the kernel has built in. */
  readonly builtIn: readonly string[];
  /** Wanted ones that this kernel was built without. */
  readonly absent: readonly string[];
}

/** arm64's Image: "ARM\x64" at byte 56 (Documentation/arch/arm64/booting.rst). */
const isImage = (bytes: Uint8Array): boolean =>
  bytes.length > 64 && new DataView(bytes.buffer, bytes.byteOffset).getUint32(56, true) === 0x644d5241;

const text = (bytes: Uint8Array): string => new TextDecoder("latin1").decode(bytes);

const ZBOOT_HEADER_BYTES = 64;

/** An EFI zboot file: the packed Image's offset and size at bytes 8 and 12, how at 24 (drivers/firmware/efi/libstub/zboot-header.S). */
async function unpackZboot(file: Uint8Array, where: string): Promise<Uint8Array> {
  const view = new DataView(file.buffer, file.byteOffset);
  const [offset, bytes] = [view.getUint32(8, true), view.getUint32(12, true)];
  const how = text(file.subarray(24, 56)).split("\0")[0] ?? "";
  const known: Readonly<Record<string, Compression>> = { gzip: "gz", zstd: "zst", xzkern: "xz" };
  const compression = known[how];
  if (compression === undefined)
    throw new UserError(
      `${where}: is packed with ${how}`,
      "Take another kernel: gzip, zstd and xz can be unpacked",
    );
  return decompress(file.slice(offset, offset + bytes), compression, `${where}: its kernel`);
}

/** The release, such as 6.1.0-50-cloud-arm64, and the raw Image of a kernel package. */
export async function kernelImage(
  files: DebFiles,
  where: string,
): Promise<{ readonly release: string; readonly image: Uint8Array }> {
  for (const [path, entry] of files) {
    const release = /^boot\/vmlinuz-(.+)$/.exec(path)?.[1];
    if (release === undefined || entry.kind !== "file") continue;
    const file = entry.content;
    const packed = file.length >= ZBOOT_HEADER_BYTES && text(file.subarray(4, 8)) === "zimg";
    const image = packed
      ? await unpackZboot(file, where)
      : file[0] === 0x1f && file[1] === 0x8b
        ? await decompress(file.slice(), "gz", `${where}: ${path}`)
        : file;
    if (!isImage(image)) throw new UserError(`${where}: ${path} is no arm64 Image`);
    return { release, image };
  }
  throw new UserError(`${where}: has no boot/vmlinuz`);
}

/** "a-b" and "a_b" are one module. */
const normal = (name: string): string => name.replaceAll("-", "_");
const MODULE = /([^/]+)\.ko(?:\.(?:xz|zst|gz))?$/;
const nameOf = (path: string): string => normal(MODULE.exec(path)?.[1] ?? "");

/** "key=value" entries of a module's .modinfo. Its soft dependencies are left out: none of ours has one that matters. */
function moduleInfo(module: Uint8Array, key: string): readonly string[] {
  const section = elfSection(module, ".modinfo");
  if (section === undefined) return [];
  const entries = text(section).split("\0");
  return entries.filter((entry) => entry.startsWith(`${key}=`)).map((entry) => entry.slice(key.length + 1));
}

/**
 * The wanted modules of a kernel with all that they need, unpacked, and the lists that modprobe reads: modules.dep,
 * modules.alias, modules.builtin.
 */
export async function kernelModules(files: DebFiles, release: string): Promise<KernelModules> {
  const folder = new RegExp(`^(?:usr/)?lib/modules/${release.replace(/[.+]/g, "\\$&")}/(.+)$`);
  const packed = new Map<string, { readonly path: string; readonly content: Uint8Array }>();
  let builtInList = new Uint8Array();
  for (const [full, entry] of files) {
    const path = folder.exec(full)?.[1];
    if (path === undefined || entry.kind !== "file") continue;
    if (path === "modules.builtin") builtInList = entry.content.slice();
    else if (MODULE.test(path)) packed.set(nameOf(path), { path, content: entry.content });
  }
  const builtInNames = new Set(text(builtInList).split("\n").map(nameOf));

  interface Module {
    readonly path: string;
    readonly content: Uint8Array;
    readonly needs: readonly string[];
  }
  const modules = new Map<string, Module>();
  const add = async (name: string): Promise<void> => {
    const found = packed.get(name);
    if (found === undefined || modules.has(name)) return;
    const content = await decompress(found.content.slice(), compressionOf(found.path), found.path);
    const needs = moduleInfo(content, "depends")
      .flatMap((list) => list.split(","))
      .filter((need) => need !== "")
      .map(normal);
    modules.set(name, { path: found.path.replace(/\.(xz|zst|gz)$/, ""), content, needs });
    for (const need of needs) await add(need);
  };
  for (const name of WANTED) await add(normal(name));

  /** All that a module needs, what must be loaded last first: the order of a line of modules.dep. */
  const closure = (name: string): readonly string[] => {
    const order: string[] = [];
    const seen = new Set([name]);
    const visit = (at: string): void => {
      for (const need of modules.get(at)?.needs ?? []) {
        if (seen.has(need)) continue;
        seen.add(need);
        visit(need);
        order.push(need);
      }
    };
    visit(name);
    return order.reverse().flatMap((need) => modules.get(need)?.path ?? []);
  };
  const names = [...modules.keys()].sort();
  const encode = (lines: readonly string[]): Uint8Array =>
    new TextEncoder().encode(lines.map((line) => `${line}\n`).join(""));
  const lists = {
    "modules.builtin": builtInList,
    "modules.dep": encode(names.map((name) => [`${modules.get(name)?.path}:`, ...closure(name)].join(" "))),
    "modules.alias": encode(
      names.flatMap((name) =>
        moduleInfo(modules.get(name)?.content ?? new Uint8Array(), "alias").map(
          (alias) => `alias ${alias} ${name}`,
        ),
      ),
    ),
  };
  const missing = WANTED.map(normal).filter((name) => !modules.has(name));
  return {
    files: new Map([
      ...Object.entries(lists),
      ...[...modules.values()].map(({ path, content }) => [path, content] as const),
    ]),
    loadable: names,
    builtIn: missing.filter((name) => builtInNames.has(name)),
    absent: missing.filter((name) => !builtInNames.has(name)),
  };
}
