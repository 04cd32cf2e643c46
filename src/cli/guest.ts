/** `spevisor guest`: fetches, lists and removes the guests that machines boot. */
import { type Command, Option } from "commander";
import { UserError } from "../common/errors.ts";
import { formatBytes } from "../common/sizes.ts";
import { KERNELS, type Kernel, SUITES, type Suite } from "../guest/debian/recipe.ts";
import { type FetchProgress, fetchGuest } from "../guest/node/fetch-guest.ts";
import { IMAGE, INITRD, listGuests, removeGuest, type StoredGuest } from "../guest/node/guests.ts";
import { machineMirror } from "../guest/node/mirror.ts";
import { lastingCacheFolder } from "./cache-folder.ts";
import { knownName, nonEmpty } from "./options.ts";
import { startProgress } from "./progress.ts";
import { renderList } from "./tables.ts";
import { lookOf, type World } from "./world.ts";

interface CacheFlags {
  readonly cache?: string;
  readonly json?: true;
}

interface FetchFlags extends CacheFlags {
  readonly suite: Suite;
  readonly kernel: Kernel;
  readonly mirror?: string;
}

/** The user's folder for everything of ours that may be thrown away. */
const cacheDirOf = (flags: CacheFlags, world: World): string => flags.cache ?? lastingCacheFolder(world.env);

/** A guest for machines. */
const factsOf = ({ name, description, image, initrd, manifest }: StoredGuest) => ({
  name,
  description,
  image,
  initrd,
  ...manifest,
});

const bytesOf = ({ manifest: { files } }: StoredGuest): number => files[IMAGE].bytes + files[INITRD].bytes;

const MIB = 1024 ** 2;

/** Progress in whole MiB. */
export const inMib = ({ what, doneBytes, totalBytes }: FetchProgress) => ({
  what: totalBytes === undefined ? what : `fetching ${what}, MiB`,
  done: doneBytes / MIB,
  total: Math.max(1, Math.ceil((totalBytes ?? 0) / MIB)),
});

async function fetchCommand(flags: FetchFlags, world: World): Promise<void> {
  const mirror = flags.mirror ?? (world.env["SPEVISOR_MIRROR"] || (await machineMirror()));
  const say = (text: string): unknown => world.stderr.write(`spevisor: ${text}\n`);
  const progress = startProgress(`asking ${mirror}`, world);
  const { guest, isNew } = await fetchGuest({
    suite: flags.suite,
    kernel: flags.kernel,
    mirror,
    cacheDir: cacheDirOf(flags, world),
    onProgress: (news) => progress.onProgress(inMib(news)),
    onWarning: say,
  }).finally(progress.stop);
  if (flags.json === true) {
    world.stdout.write(`${JSON.stringify({ ...factsOf(guest), isNew }, undefined, 2)}\n`);
    return;
  }
  say(`${guest.name} ${isNew ? `was made from ${mirror}` : "is as new as the mirror"}: ${guest.description}`);
  const { absent } = guest.manifest.modules;
  if (absent.length > 0) say(`this kernel was built without ${absent.join(", ")}`);
  world.stdout.write(
    `${renderList(
      [
        ["kernel", guest.image],
        ["initrd", guest.initrd],
      ],
      lookOf(world.stdout, world.env),
    )}\n`,
  );
}

async function listCommand(flags: CacheFlags, world: World): Promise<void> {
  const guests = await listGuests(cacheDirOf(flags, world));
  if (flags.json === true) world.stdout.write(`${JSON.stringify(guests.map(factsOf), undefined, 2)}\n`);
  else if (guests.length === 0) world.stdout.write("no guests yet: spevisor guest fetch makes one\n");
  else
    world.stdout.write(
      `${renderList(
        guests.map((guest) => [guest.name, `${guest.description}; ${formatBytes(bytesOf(guest))}`]),
        lookOf(world.stdout, world.env),
      )}\n`,
    );
}

async function removeCommand(name: string, flags: CacheFlags, world: World): Promise<void> {
  const cacheDir = cacheDirOf(flags, world);
  const guests = await listGuests(cacheDir);
  if (guests.length === 0)
    throw new UserError(
      `guest "${name}" does not exist: there are none in ${cacheDir}`,
      "spevisor guest fetch makes one",
    );
  const guest =
    guests[
      guests
        .map((one) => one.name)
        .indexOf(
          knownName(
            "guest",
            name,
            guests.map((one) => one.name),
          ),
        )
    ];
  if (guest === undefined) return;
  await removeGuest(guest, cacheDir);
  world.stderr.write(`spevisor: removed ${guest.folder}\n`);
}

/** Adds `guest` to the command line. */
export function addGuest(program: Command, world: World): void {
  const guest = program
    .command("guest")
    .description("fetch, list and remove guests: a kernel and a RAM disk with perf");
  const withCache = (command: Command): Command =>
    command.option(
      "--cache <folder>",
      "where guests are (default: spevisor in XDG_CACHE_HOME, or in ~/.cache)",
      nonEmpty,
    );

  withCache(guest.command("fetch"))
    .description("make a guest from Debian's packages, without root rights: its kernel, busybox, perf")
    .addOption(new Option("--suite <name>", "the release of Debian").choices(SUITES).default("bookworm"))
    .addOption(
      new Option("--kernel <name>", "the cloud kernel starts sooner; the generic one has 9p, too")
        .choices(Object.keys(KERNELS))
        .default("cloud"),
    )
    .option(
      "--mirror <address>",
      "a Debian mirror (default: SPEVISOR_MIRROR, or the one that apt uses here)",
      nonEmpty,
    )
    .option("--json", "say what was made as JSON")
    .addHelpText(
      "after",
      `
The mirror's signature is checked where gpgv and debian-archive-keyring are installed, and each package's checksum
always. A guest that is there already is made anew only when the mirror has newer packages.

Examples:
  $ spevisor guest fetch
  $ spevisor guest fetch --suite trixie --mirror http://deb.debian.org/debian
  $ spevisor guest fetch --kernel generic --json`,
    )
    .action((flags: FetchFlags) => fetchCommand(flags, world));

  withCache(guest.command("list"))
    .description("list the guests that were fetched")
    .option("--json", "as JSON, with every package's version")
    .addHelpText("after", "\nExamples:\n  $ spevisor guest list\n  $ spevisor guest list --json")
    .action((flags: CacheFlags) => listCommand(flags, world));

  withCache(guest.command("remove"))
    .description("remove a guest from the cache")
    .argument("<name>", "as spevisor guest list says it")
    .addHelpText("after", "\nExamples:\n  $ spevisor guest remove bookworm")
    .action((name: string, flags: CacheFlags) => removeCommand(name, flags, world));
}
