/** The guests that are in the cache: what they are, and where their files lie. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { KERNELS, type Kernel, SUITES, type Suite } from "../debian/recipe.ts";
import { isUnfinished, namesIn, readIfThere, removeAbandoned } from "./store.ts";

export const IMAGE = "Image";
export const INITRD = "initrd.cpio";
export const MANIFEST = "guest.json";

const fileSchema = z.object({ bytes: z.number(), sha256: z.string() });

const manifestSchema = z.object({
  schema: z.literal("spevisor.guest/1"),
  /** What made it: the recipe's number and the checksum of the guest's init. */
  recipe: z.string(),
  suite: z.enum(SUITES),
  kernel: z.enum(Object.keys(KERNELS) as [Kernel, ...Kernel[]]),
  /** The suite's point release. */
  debian: z.string(),
  /** The kernel's release, as uname -r says it. */
  release: z.string(),
  signature: z.enum(["checked", "not checked"]),
  packages: z.array(z.object({ name: z.string(), version: z.string(), sha256: z.string() })),
  modules: z.object({
    loadable: z.array(z.string()),
    builtIn: z.array(z.string()),
    absent: z.array(z.string()),
  }),
  files: z.object({ [IMAGE]: fileSchema, [INITRD]: fileSchema }),
});

/** guest.json: what a guest was made of, and its files' checksums. */
export type Manifest = z.infer<typeof manifestSchema>;

export interface StoredGuest {
  readonly name: string;
  readonly folder: string;
  /** Paths of the kernel and the initial RAM disk. */
  readonly image: string;
  readonly initrd: string;
  /** One line for people. */
  readonly description: string;
  readonly manifest: Manifest;
}

/** A guest's name: its suite, and its kernel where that is not the usual one. */
export const guestName = (suite: Suite, kernel: Kernel): string =>
  kernel === "cloud" ? suite : `${suite}-${kernel}`;

export const guestsFolder = (cacheDir: string): string => join(cacheDir, "guests");
/** Fetched packages, until the guest that they are for is whole. */
export const packagesFolder = (cacheDir: string): string => join(cacheDir, "packages");

function describe({ suite, debian, packages, release }: Manifest): string {
  const version = (name: string): string => packages.find((one) => one.name === name)?.version ?? "unknown";
  return `Debian ${debian} (${suite}), Linux ${release}, perf ${version("linux-perf")}, busybox ${version("busybox-static")}`;
}

async function load(cacheDir: string, name: string): Promise<StoredGuest | undefined> {
  const folder = join(guestsFolder(cacheDir), name);
  const text = await readIfThere(join(folder, MANIFEST));
  if (text === undefined) return undefined;
  let data: unknown;
  try {
    data = JSON.parse(text.toString("utf8"));
  } catch {
    return undefined;
  }
  const { success, data: manifest } = manifestSchema.safeParse(data);
  // One of another version of ours counts as none: it is fetched again.
  if (!success) return undefined;
  return {
    name,
    folder,
    image: join(folder, IMAGE),
    initrd: join(folder, INITRD),
    description: describe(manifest),
    manifest,
  };
}

/**
 * The guest of a suite, if it was fetched.
 * @param cacheDir where fetchGuest put it
 */
export const guestFiles = (
  suite: Suite,
  cacheDir: string,
  kernel: Kernel = "cloud",
): Promise<StoredGuest | undefined> => load(cacheDir, guestName(suite, kernel));

/** All guests in the cache, by name. */
export async function listGuests(cacheDir: string): Promise<readonly StoredGuest[]> {
  const guests = await Promise.all(
    (await namesIn(guestsFolder(cacheDir)))
      .filter((name) => !name.startsWith("."))
      .map((name) => load(cacheDir, name)),
  );
  return guests.filter((guest) => guest !== undefined);
}

/** Removes fetched packages, but not what another fetch is writing at this moment. */
export async function removePackages(cacheDir: string): Promise<void> {
  const folder = packagesFolder(cacheDir);
  await removeAbandoned(folder);
  for (const name of await namesIn(folder))
    if (!isUnfinished(name)) await rm(join(folder, name), { recursive: true, force: true });
}

/** Removes a guest's files, and packages that an interrupted fetch has left. */
export async function removeGuest(guest: StoredGuest, cacheDir: string): Promise<void> {
  await rm(guest.folder, { recursive: true, force: true });
  await removePackages(cacheDir);
}
