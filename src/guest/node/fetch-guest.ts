/** Makes the default guest out of a Debian mirror's packages, and puts it into the cache. */
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { UserError } from "../../common/errors.ts";
import { unpackDeb } from "../debian/deb.ts";
import { compressionOf, decompress } from "../debian/decompress.ts";
import { MIRROR_SETTING } from "../debian/hints.ts";
import type { Unpack, Unpacked } from "../debian/libraries.ts";
import { type Package, PackageIndex } from "../debian/packages.ts";
import { type Guest, type Kernel, makeGuest, RECIPE, type Suite } from "../debian/recipe.ts";
import { parseRelease, type Release } from "../debian/release.ts";
import { download, PATIENCE, type Patience, Refused, sha256, WrongContent } from "./download.ts";
import {
  guestFiles,
  guestName,
  guestsFolder,
  IMAGE,
  INITRD,
  MANIFEST,
  type Manifest,
  packagesFolder,
  removePackages,
  type StoredGuest,
} from "./guests.ts";
import { checkSignature, DEBIAN_KEYRING } from "./signature.ts";
import {
  readIfThere,
  removeAbandoned,
  storeFile,
  storeFolder,
  type WriteFile,
  writeDurably,
} from "./store.ts";

export interface FetchProgress {
  /** What is being done, such as a package's name. */
  readonly what: string;
  readonly doneBytes: number;
  /** Undefined where nobody knows, or nothing is fetched. */
  readonly totalBytes: number | undefined;
}

export interface FetchOptions {
  readonly suite: Suite;
  readonly kernel?: Kernel;
  /** The address above dists/ and pool/. */
  readonly mirror: string;
  readonly cacheDir: string;
  readonly onProgress?: (progress: FetchProgress) => void;
  /** Told what the user should know and nothing fails of. */
  readonly onWarning?: (text: string) => void;
  readonly signal?: AbortSignal;
  readonly patience?: Patience;
  readonly keyring?: string;
  readonly writeFile?: WriteFile;
}

export interface Fetched {
  readonly guest: StoredGuest;
  /** False where the cache already had what the mirror would have given. */
  readonly isNew: boolean;
}

/** The best first; a mirror has the first, and small ones of one's own often only the second. */
const INDEXES = ["main/binary-arm64/Packages.xz", "main/binary-arm64/Packages.gz"];
const MIB = 1024 ** 2;
/** An InRelease has 150 KiB. */
const MOST_RELEASE_BYTES = 16 * MIB;
/** The generic kernel has 100 MiB, and whatever is fetched is in memory first. */
const MOST_FILE_BYTES = 1024 * MIB;
const SCHEMA = "spevisor.guest/1";

const INIT = readFileSync(new URL("../debian/init.sh", import.meta.url));
/** What a guest is made by: the recipe and the init of this version. */
export const RECIPE_ID = `${RECIPE}-${sha256(INIT).slice(0, 16)}`;

/** One fetch from one mirror. */
class Fetching {
  readonly #options: FetchOptions;
  readonly #mirror: string;

  constructor(options: FetchOptions) {
    this.#options = options;
    this.#mirror = options.mirror.replace(/\/+$/, "");
    if (!/^https?:\/\/[^/]/.test(this.#mirror))
      throw new UserError(
        `the mirror "${options.mirror}" is no http or https address`,
        `Name one with ${MIRROR_SETTING}, such as http://deb.debian.org/debian`,
      );
  }

  /** The suite's release file, and whether Debian's signature on it was checked. */
  async release(): Promise<{ readonly release: Release; readonly signature: Manifest["signature"] }> {
    const { suite, keyring, onWarning } = this.#options;
    const path = `dists/${suite}/InRelease`;
    const where = `${this.#mirror}/${path}`;
    const message = await this.#get(path, `${suite}'s release`, MOST_RELEASE_BYTES, undefined);
    const { text, unchecked } = checkSignature(message, where, keyring ?? DEBIAN_KEYRING);
    if (unchecked !== undefined) onWarning?.(`the mirror's signature was not checked: ${unchecked}`);
    return {
      release: parseRelease(text, suite, where),
      signature: unchecked === undefined ? "checked" : "not checked",
    };
  }

  async index(release: Release): Promise<PackageIndex> {
    const { suite } = this.#options;
    const name = INDEXES.find((one) => release.files.has(one));
    const listed = name === undefined ? undefined : release.files.get(name);
    if (name === undefined || listed === undefined)
      throw new UserError(
        `${this.#mirror}/dists/${suite}/InRelease: has no ${INDEXES[0]}`,
        `Name another mirror with ${MIRROR_SETTING}`,
      );
    const path = `dists/${suite}/${name}`;
    const where = `${this.#mirror}/${path}`;
    const get = (from: string) => this.#checked(from, `${suite}'s packages`, listed);
    // In the middle of an update the plain name may already be the next index; the old one stays under its checksum.
    const packed = await get(path).catch((error: unknown) => {
      if (!(error instanceof WrongContent) && !(error instanceof Refused)) throw error;
      return get(`${path.slice(0, path.lastIndexOf("/"))}/by-hash/SHA256/${listed.sha256}`).catch(
        (second: unknown) => {
          throw second instanceof Refused ? error : second;
        },
      );
    });
    return new PackageIndex(
      new TextDecoder().decode(await decompress(packed, compressionOf(name), where)),
      where,
    );
  }

  /** Packages by name out of the index, each fetched and unpacked once. */
  unpacker(index: PackageIndex): Unpack {
    const known = new Map<string, Promise<Unpacked>>();
    return (wanted) => {
      if (!index.has(wanted.name)) return Promise.resolve(undefined);
      const about = index.find(wanted);
      const key = `${about.name} ${about.version}`;
      const unpacked = known.get(key) ?? this.#unpack(about);
      known.set(key, unpacked);
      return unpacked;
    };
  }

  async #unpack(about: Package): Promise<Unpacked> {
    const { cacheDir, writeFile } = this.#options;
    const path = join(packagesFolder(cacheDir), basename(about.filename));
    const kept = await readIfThere(path);
    let archive: Uint8Array<ArrayBuffer>;
    if (kept !== undefined && sha256(kept) === about.sha256) archive = new Uint8Array(kept);
    else {
      archive = await this.#checked(about.filename, about.name, about);
      await storeFile(path, archive, writeFile ?? writeDurably);
    }
    return { about, files: await unpackDeb(archive, `${this.#mirror}/${about.filename}`) };
  }

  async #checked(
    path: string,
    what: string,
    listed: { readonly bytes: number; readonly sha256: string },
  ): Promise<Uint8Array<ArrayBuffer>> {
    if (!(listed.bytes <= MOST_FILE_BYTES))
      throw new UserError(
        `${this.#mirror}/${path}: is said to have ${listed.bytes} bytes, and ${MOST_FILE_BYTES} are the most that is fetched`,
        `Name another mirror with ${MIRROR_SETTING}`,
      );
    const got = await this.#get(path, what, listed.bytes, listed.bytes);
    if (sha256(got) !== listed.sha256)
      throw new WrongContent(
        `${this.#mirror}/${path}: has the SHA256 ${sha256(got)} and should have ${listed.sha256}`,
      );
    return got;
  }

  #get(
    path: string,
    what: string,
    mostBytes: number,
    totalBytes: number | undefined,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const { onProgress, patience, signal } = this.#options;
    onProgress?.({ what, doneBytes: 0, totalBytes });
    return download(`${this.#mirror}/${path}`, {
      patience: patience ?? PATIENCE,
      signal,
      onBytes: (doneBytes) => onProgress?.({ what, doneBytes, totalBytes }),
      mostBytes,
      leastBytes: totalBytes ?? 0,
    });
  }
}

/** Whether a stored guest is what these packages would make, and its files are unharmed. */
async function isCurrent(stored: StoredGuest, index: PackageIndex): Promise<boolean> {
  const { manifest } = stored;
  if (manifest.recipe !== RECIPE_ID) return false;
  for (const { name, sha256: sum } of manifest.packages)
    if (!index.has(name) || index.find({ name, exactVersion: undefined }).sha256 !== sum) return false;
  for (const file of [IMAGE, INITRD] as const) {
    const bytes = await readIfThere(join(stored.folder, file));
    if (bytes === undefined || sha256(bytes) !== manifest.files[file].sha256) return false;
  }
  return true;
}

function manifestOf(guest: Guest, of: Pick<Manifest, "suite" | "kernel" | "debian" | "signature">): Manifest {
  const file = (bytes: Uint8Array) => ({ bytes: bytes.length, sha256: sha256(bytes) });
  return {
    schema: SCHEMA,
    recipe: RECIPE_ID,
    ...of,
    release: guest.release,
    packages: guest.packages.map(({ name, version, sha256: sum }) => ({ name, version, sha256: sum })),
    modules: {
      loadable: [...guest.modules.loadable],
      builtIn: [...guest.modules.builtIn],
      absent: [...guest.modules.absent],
    },
    files: { [IMAGE]: file(guest.image), [INITRD]: file(guest.initrd) },
  };
}

/**
 * Makes a suite's guest and puts it into the cache, unless what is there is as new as the mirror. Whatever goes wrong,
 * the cache has the guest it had before, or none, and never half of one.
 * @throws UserError where the mirror, the network or the disk is in the way; the signal's reason once it is aborted
 */
export async function fetchGuest(options: FetchOptions): Promise<Fetched> {
  const { suite, cacheDir, onProgress, signal } = options;
  const kernel = options.kernel ?? "cloud";
  const fetching = new Fetching(options);
  const folder = join(guestsFolder(cacheDir), guestName(suite, kernel));
  await removeAbandoned(guestsFolder(cacheDir));
  await removeAbandoned(packagesFolder(cacheDir));
  const { release, signature } = await fetching.release();
  const index = await fetching.index(release);
  const stored = await guestFiles(suite, cacheDir, kernel);
  if (stored !== undefined && (await isCurrent(stored, index))) return { guest: stored, isNew: false };

  const made = await makeGuest(fetching.unpacker(index), kernel, INIT);
  onProgress?.({ what: "writing", doneBytes: 0, totalBytes: undefined });
  signal?.throwIfAborted();
  const manifest = manifestOf(made, { suite, kernel, debian: release.version, signature });
  await storeFolder(
    folder,
    {
      [IMAGE]: made.image,
      [INITRD]: made.initrd,
      [MANIFEST]: new TextEncoder().encode(`${JSON.stringify(manifest, undefined, 2)}\n`),
    },
    options.writeFile ?? writeDurably,
  );
  await removePackages(cacheDir);
  const guest = await guestFiles(suite, cacheDir, kernel);
  if (guest === undefined)
    throw new UserError(`${folder}: somebody removed it while it was made`, "Fetch it again");
  return { guest, isNew: true };
}
