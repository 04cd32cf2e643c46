/**
 * Modules of a kernel that a guest has a use for, with all that they need, and the lists that modprobe reads. Names are
 * those that modprobe takes: "a-b" and "a_b" are one module.
 */
import { compressionOf, decompress } from "./decompress.ts";
import { elfSection } from "./elf.ts";

/** What a guest may load; some kernels have some built in, or not at all. */
const WANTED = [
  "virtio_mmio",
  "virtio_blk",
  "virtio_console",
  "virtio_rng",
  "9p",
  "9pnet_virtio",
  "arm_spe_pmu",
  "loop",
  "overlay",
  // What a disk may have on it. vfat's names need tables that no module names: its defaults, and utf8.
  ...["ext4", "xfs", "btrfs", "vfat", "exfat", "squashfs", "erofs", "isofs", "udf"],
  ...["nls_cp437", "nls_ascii", "nls_iso8859_1", "nls_utf8"],
  // A small one that needs no device, to try loading a module with.
  "dummy",
] as const;

/** The files below lib/modules/RELEASE, as a package or a folder has them. */
export interface ModuleFiles {
  /** Paths of regular files. */
  readonly paths: readonly string[];
  read(path: string): Uint8Array;
}

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

interface Module {
  readonly path: string;
  readonly content: Uint8Array;
  /** Modules that it cannot be loaded without. */
  readonly needs: readonly string[];
  /** What it asks for when it runs, by a module's name or one of its aliases: soft and weak dependencies. */
  readonly wants: readonly string[];
  readonly aliases: readonly string[];
}

const text = (bytes: Uint8Array): string => new TextDecoder("latin1").decode(bytes);
const normal = (name: string): string => name.replaceAll("-", "_");
const MODULE = /([^/]+)\.ko(?:\.(?:xz|zst|gz))?$/;
const nameOf = (path: string): string => normal(MODULE.exec(path)?.[1] ?? "");
const words = (list: string): readonly string[] => list.split(/[\s,]+/).filter((word) => word !== "");

/**
 * Where the modules are that algorithms come from: the crypto API asks for them by alias, and all of them are read for
 * their aliases, which only depmod writes into a list.
 */
const ALGORITHMS = /(?:^|\/)(?:crypto|lib)\//;

/** "key=value" entries of a module's .modinfo. */
function moduleInfo(module: Uint8Array, key: string): readonly string[] {
  const section = elfSection(module, ".modinfo");
  if (section === undefined) return [];
  const entries = text(section).split("\0");
  return entries.filter((entry) => entry.startsWith(`${key}=`)).map((entry) => entry.slice(key.length + 1));
}

async function readModule(files: ModuleFiles, path: string): Promise<Module> {
  const content = await decompress(files.read(path).slice(), compressionOf(path), path);
  const info = (key: string): readonly string[] => moduleInfo(content, key);
  return {
    path: path.replace(/\.(xz|zst|gz)$/, ""),
    content,
    needs: info("depends").flatMap(words).map(normal),
    // "softdep=pre: a b post: c" (modprobe.d(5)), "weakdep=a".
    wants: [...info("softdep"), ...info("weakdep")]
      .flatMap(words)
      .filter((word) => !/^(pre|post):$/.test(word)),
    aliases: info("alias"),
  };
}

/** The wanted modules of a kernel with all that they need and may ask for, unpacked, with modules.dep, .alias and .builtin. */
export async function kernelModules(files: ModuleFiles): Promise<KernelModules> {
  const paths = new Map<string, string>();
  for (const path of files.paths) if (MODULE.test(path)) paths.set(nameOf(path), path);
  const builtInList = files.paths.includes("modules.builtin")
    ? files.read("modules.builtin").slice()
    : new Uint8Array();
  const builtInNames = new Set(text(builtInList).split("\n").map(nameOf));

  const known = new Map<string, Promise<Module>>();
  const read = (name: string): Promise<Module> | undefined => {
    const path = paths.get(name);
    if (path === undefined) return undefined;
    const module = known.get(name) ?? readModule(files, path);
    known.set(name, module);
    return module;
  };
  let algorithms: Promise<ReadonlyMap<string, readonly string[]>> | undefined;
  /** Modules by alias, of those whose aliases are asked for. */
  const readAlgorithms = async (): Promise<ReadonlyMap<string, readonly string[]>> => {
    const byAlias = new Map<string, string[]>();
    for (const [name, path] of paths)
      if (ALGORITHMS.test(path))
        for (const alias of (await read(name))?.aliases ?? [])
          byAlias.set(alias, [...(byAlias.get(alias) ?? []), name]);
    return byAlias;
  };

  const modules = new Map<string, Module>();
  const add = async (name: string): Promise<void> => {
    if (modules.has(name)) return;
    const module = await read(name);
    if (module === undefined) return;
    modules.set(name, module);
    for (const need of module.needs) await add(need);
    for (const want of module.wants) {
      algorithms ??= readAlgorithms();
      for (const provider of [normal(want), ...((await algorithms).get(want) ?? [])]) await add(provider);
    }
  };
  for (const name of WANTED) await add(normal(name));

  const names = [...modules.keys()].sort();
  const encode = (lines: readonly string[]): Uint8Array =>
    new TextEncoder().encode(lines.map((line) => `${line}\n`).join(""));
  const lists = {
    "modules.builtin": builtInList,
    "modules.dep": encode(
      names.map((name) => [`${modules.get(name)?.path}:`, ...closure(modules, name)].join(" ")),
    ),
    "modules.alias": encode(
      names.flatMap((name) => (modules.get(name)?.aliases ?? []).map((alias) => `alias ${alias} ${name}`)),
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

/** Paths of all that a module needs, what must be loaded last first: the order of a line of modules.dep. */
function closure(modules: ReadonlyMap<string, Module>, name: string): readonly string[] {
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
}
