/** What the default guest is made of, and the making of it from unpacked packages. */
import { UserError } from "../../common/errors.ts";
import { contentOf, type DebFiles } from "./deb.ts";
import { isElf } from "./elf.ts";
import { MIRROR_SETTING } from "./hints.ts";
import { makeInitrd } from "./initrd.ts";
import { kernelImage, modulesOf } from "./kernel.ts";
import { librariesFor, type Unpack, type Unpacked } from "./libraries.ts";
import { type KernelModules, kernelModules } from "./modules.ts";
import type { Package } from "./packages.ts";

export const SUITES = ["bookworm", "trixie"] as const;
export type Suite = (typeof SUITES)[number];

/** Debian's cloud kernel is the smaller one and starts faster; the generic one also has 9p, among much else. */
export const KERNELS = { cloud: "linux-image-cloud-arm64", generic: "linux-image-arm64" } as const;
export type Kernel = keyof typeof KERNELS;

/** Packages in MB, and 9 for the index, as of November 2026: what a first fetch is told to take. */
const MEGABYTES: Readonly<Record<Suite, Readonly<Record<Kernel, number>>>> = {
  bookworm: { cloud: 49, generic: 88 },
  trixie: { cloud: 68, generic: 133 },
};

/** About how much is fetched for a guest, in MB. */
export const megabytesOf = (suite: Suite, kernel: Kernel): number => MEGABYTES[suite][kernel];

/** Goes up when the same packages make another guest than before; an older one is then made anew. */
export const RECIPE = 3;

/** perf's shell tests of SPE; the others test what this guest is not made for, and want programs that it has not. */
const PERF_TESTS = /^usr\/lib\/perf-core\/tests\/shell\/test_arm_spe\w*\.sh$/;

/**
 * Programs by package that those tests are given, where busybox's would not do: its mktemp wants six X's and gets five; its
 * grep needs minutes for what perf prints; and its sh runs its own applets whatever else is there.
 */
const PERF_TESTS_CALL = { dash: ["dash"], coreutils: ["mktemp"], grep: ["grep", "egrep"] } as const;

export interface Guest {
  readonly image: Uint8Array;
  readonly initrd: Uint8Array;
  /** The kernel's release, such as 6.1.0-50-cloud-arm64. */
  readonly release: string;
  readonly modules: Omit<KernelModules, "files">;
  /** All packages that something was taken from, by name. */
  readonly packages: readonly Package[];
}

/** A package that must be there, unlike a library's. */
async function required(unpack: Unpack, name: string, exactVersion?: string): Promise<Unpacked> {
  const unpacked = await unpack({ name, exactVersion });
  if (unpacked === undefined)
    throw new UserError(
      `the suite has no package ${name}`,
      `Choose another --suite, or another mirror with ${MIRROR_SETTING}`,
    );
  return unpacked;
}

/** The first of some paths that a package has. */
function fileAt(
  { about, files }: Unpacked,
  paths: readonly string[],
  isWanted = (_: Uint8Array) => true,
): Uint8Array {
  const found = paths
    .map((path) => contentOf(files, path))
    .find((file) => file !== undefined && isWanted(file));
  if (found === undefined)
    throw new UserError(`${about.name} ${about.version}: has no program ${paths.join(" or ")}`);
  return found;
}

const filesLike = (files: DebFiles, pattern: RegExp): ReadonlyMap<string, Uint8Array> =>
  new Map(
    [...files].flatMap(([path, entry]) =>
      entry.kind === "file" && pattern.test(path) ? [[path, entry.content]] : [],
    ),
  );

/**
 * Makes the guest's kernel and initial RAM disk: busybox, perf with its libraries and its tests of SPE, and the modules
 * that the machine's devices need.
 * @param unpack fetches and unpacks a package of the suite; undefined where it has none of that name
 */
export async function makeGuest(unpack: Unpack, kernel: Kernel, init: Uint8Array): Promise<Guest> {
  const used = new Map<string, Package>();
  const noting: Unpack = async (wanted) => {
    const unpacked = await unpack(wanted);
    if (unpacked !== undefined) used.set(unpacked.about.name, unpacked.about);
    return unpacked;
  };
  const meta = await required(noting, KERNELS[kernel]);
  const image = meta.about.depends.find(({ name }) => name.startsWith("linux-image-"));
  if (image === undefined) throw new UserError(`${meta.about.name}: depends on no linux-image`);
  const linux = await required(noting, image.name, image.exactVersion);
  const { release, image: bytes } = await kernelImage(linux.files, linux.about.name);
  const { files: moduleFiles, ...modules } = await kernelModules(modulesOf(linux.files, release));

  const busybox = fileAt(await required(noting, "busybox-static"), ["usr/bin/busybox", "bin/busybox"], isElf);
  const perfPackage = await required(noting, "linux-perf");
  const perf = fileAt(perfPackage, ["usr/bin/perf"], isElf);
  const programs = new Map([["perf", perf]]);
  const libraries = new Map(await librariesFor({ about: perfPackage.about, content: perf }, noting));
  for (const [name, wanted] of Object.entries(PERF_TESTS_CALL)) {
    const calledPackage = await required(noting, name);
    for (const called of wanted) {
      const content = fileAt(calledPackage, [`usr/bin/${called}`, `bin/${called}`]);
      programs.set(called, content);
      const its = await librariesFor({ about: calledPackage.about, content }, noting);
      for (const [library, of] of its) libraries.set(library, of);
    }
  }
  return {
    image: bytes,
    initrd: makeInitrd({
      init,
      busybox,
      programs,
      perfTests: filesLike(perfPackage.files, PERF_TESTS),
      libraries,
      release,
      modules: { ...modules, files: moduleFiles },
    }),
    release,
    modules,
    packages: [...used.values()].sort((a, b) => (a.name < b.name ? -1 : 1)),
  };
}
