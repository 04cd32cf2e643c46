/** The guest that a machine boots where nobody names files: fetched when it is first wanted. */
import { UserError } from "../../common/errors.ts";
import { makeModulesArchive } from "../../guest/debian/initrd.ts";
import { kernelModules } from "../../guest/debian/modules.ts";
import { KERNELS, type Kernel, megabytesOf, type Suite } from "../../guest/debian/recipe.ts";
import type { Patience } from "../../guest/node/download.ts";
import { fetchGuest, RECIPE_ID } from "../../guest/node/fetch-guest.ts";
import { guestFiles, type StoredGuest } from "../../guest/node/guests.ts";
import { machineMirror } from "../../guest/node/mirror.ts";
import { openModules } from "../../guest/node/module-folder.ts";
import { cacheFolder } from "../cache-folder.ts";
import { inMib } from "../guest.ts";
import { startProgress } from "../progress.ts";
import type { World } from "../world.ts";

/**
 * The default guest, fetched first if it is not there; says before what is fetched, why and how much it is.
 * @param patience with the mirror, where it is not the usual
 */
export async function defaultGuest(
  suite: Suite,
  kernel: Kernel,
  world: World,
  patience?: Patience,
): Promise<StoredGuest> {
  const cacheDir = cacheFolder(world.env);
  const stored = await guestFiles(suite, cacheDir, kernel);
  // One that another version of ours has made would not understand this one.
  if (stored?.manifest.recipe === RECIPE_ID) return stored;
  const mirror = world.env["SPEVISOR_MIRROR"] || (await machineMirror());
  const why = stored === undefined ? "" : "; the one that is there was made by another version";
  const what =
    kernel === "generic"
      ? `Debian's generic kernel (${KERNELS.generic}), busybox and perf for ${suite}: --share needs 9p, which the cloud kernel is built without`
      : `Debian's cloud kernel (${KERNELS.cloud}), busybox and perf for ${suite}`;
  world.stderr.write(
    `spevisor: fetching ${what}${why}. About ${megabytesOf(suite, kernel)} MB from ${mirror}, once\n`,
  );
  const progress = startProgress(`asking ${mirror}`, world);
  const { guest } = await fetchGuest({
    suite,
    kernel,
    mirror,
    cacheDir,
    onProgress: (news) => progress.onProgress(inMib(news)),
    onWarning: (text) => world.stderr.write(`spevisor: ${text}\n`),
    ...(patience === undefined ? {} : { patience }),
  }).finally(progress.stop);
  return guest;
}

/** Modules of another kernel for the default initial RAM disk. */
export interface OtherModules {
  readonly folder: string;
  readonly release: string;
  /** What goes behind the initial RAM disk. */
  readonly archive: Uint8Array;
}

/** Reads --modules. Throws UserError for a folder that has none, or those of several kernels. */
export async function otherModules(folder: string): Promise<OtherModules> {
  const { release, files } = openModules(folder);
  const modules = await kernelModules(files).catch((error: unknown) => {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(`--modules ${folder}: ${error.what}`, "Copy, or install, the modules again");
  });
  return { folder, release, archive: makeModulesArchive(modules, release) };
}

/** Modules are for one kernel only: it would load no others. */
export function checkModules({ folder, release }: OtherModules, kernel: string | undefined): void {
  if (kernel === undefined || kernel === release) return;
  throw new UserError(
    `--modules ${folder}: has modules for Linux ${release}, and the kernel is Linux ${kernel}`,
    `Give the folder lib/modules/${kernel} that belongs to the kernel`,
  );
}
