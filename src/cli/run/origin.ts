/** Where a machine comes from: files and the default guest, or a snapshot. */
import { concat } from "../../common/bytes.ts";
import { UserError } from "../../common/errors.ts";
import { COMMAND_LINE, DEFAULT_COMMAND_LINE } from "../../guest/debian/command-line.ts";
import { kernelRelease } from "../../vmm/kernel-file.ts";
import type { MachineConfig } from "../../vmm/machine-config.ts";
import { readDeviceTree, readInitrd, readKernel } from "../../vmm/node/boot-files.ts";
import { type OpenedSnapshot, openSnapshot } from "../../vmm/node/snapshot-file.ts";
import type { BootFiles } from "../../vmm/virtual-machine.ts";
import type { World } from "../world.ts";
import { checkModules, defaultGuest, otherModules } from "./default-guest.ts";
import type { HostDevices } from "./devices.ts";
import { DEFAULT_RTC_SECONDS, type MachineFlags } from "./flags.ts";

const MS = 1000;

/** Seconds since 1970. */
export const nowSeconds = (): number => Math.floor(Date.now() / MS);

/** What is booted, and what names it among the boots that are kept. */
export interface Origin {
  readonly config: MachineConfig;
  readonly boot: () => Promise<BootFiles>;
  /** What names its boot, beside the machine; undefined: it is not kept. */
  readonly named: { readonly append: string; readonly files: unknown } | undefined;
  readonly given: OpenedSnapshot | undefined;
  /** The kernel that the initial RAM disk has modules for, where it is ours. */
  readonly modulesFor: string | undefined;
}

/**
 * Reads what the options name; the default guest is fetched where it is needed and not there.
 * @param command whether the guest is to run one
 * @param build the version of the source that snapshots are good for
 * @throws UserError for files that cannot be booted, and for options that contradict each other
 */
export async function originOf(
  flags: MachineFlags,
  devices: HostDevices,
  command: boolean,
  build: string,
  world: World,
): Promise<Origin> {
  return flags.snapshot === undefined
    ? originInFiles(flags, devices, command, world)
    : originInSnapshot(flags.snapshot, devices, command, build);
}

function originInSnapshot(path: string, devices: HostDevices, command: boolean, build: string): Origin {
  const given = openSnapshot(path, build);
  if (command && !given.config.agent)
    throw new UserError(
      `--snapshot ${path}: its guest was not started by spevisor and takes no commands`,
      "Leave the command away, or save a snapshot of the default guest",
    );
  checkShares(path, given, devices);
  checkDisks(path, given, devices);
  return {
    config: given.config,
    boot: () => Promise.reject(new Error("a snapshot is not booted")),
    named: undefined,
    given,
    modulesFor: undefined,
  };
}

/** A machine has the devices that it was saved with: as many shares, and at the places where they are mounted. */
function checkShares(path: string, { config, agent }: OpenedSnapshot, { shares }: HostDevices): void {
  const had = config.shares.length;
  if (had !== shares.length) {
    const times = had > 1 ? ` ${had} times` : "";
    throw new UserError(
      `--snapshot ${path}: it was saved ${had > 0 ? "with" : "without"} --share${times}`,
      `${had > 0 ? "Give" : "Leave away"} --share${times}, or save another snapshot`,
    );
  }
  for (const { tag, directory, text } of shares) {
    const there = agent?.shared.find((share) => share.tag === tag);
    if (there !== undefined && there.directory !== directory)
      throw new UserError(
        `--share ${text}: in --snapshot ${path} it is mounted at ${there.directory}`,
        `Give DIR:${there.directory}, or save another snapshot`,
      );
  }
}

function checkDisks(path: string, { config }: OpenedSnapshot, { diskConfigs }: HostDevices): void {
  const [had, has] = [config.disks, diskConfigs].map((of) => of.map(({ mode }) => mode).join(", "));
  if (had !== has)
    throw new UserError(
      `--snapshot ${path}: it was saved ${had === "" ? "without --disk" : `with --disk (${had})`}`,
      had === "" ? "Leave away --disk, or save another snapshot" : "Give --disk as often, and in these modes",
    );
}

async function originInFiles(
  flags: MachineFlags,
  { shares, diskConfigs }: HostDevices,
  command: boolean,
  world: World,
): Promise<Origin> {
  if (flags.modules !== undefined && flags.initrd !== undefined)
    throw new UserError(
      "--modules is for spevisor's own RAM disk, and --initrd names another",
      "Put the modules into that one, or leave --initrd away",
    );
  const modules = flags.modules === undefined ? undefined : await otherModules(flags.modules);
  // Before a guest is fetched for it.
  const other = flags.kernel === undefined ? undefined : await readKernel(flags.kernel);
  if (other?.kind === "elf" && (command || modules !== undefined))
    throw new UserError(
      `--kernel ${flags.kernel}: an ELF program runs no commands`,
      "Give a Linux kernel: its Image, or its vmlinux",
    );
  if (other?.kind === "image" && modules !== undefined) checkModules(modules, kernelRelease(other.bytes));
  const guest =
    flags.kernel === undefined || ((command || modules !== undefined) && flags.initrd === undefined)
      ? // The cloud kernel has no 9P.
        await defaultGuest(flags.suite, shares.length === 0 ? "cloud" : "generic", world)
      : undefined;
  const agent = guest !== undefined && flags.initrd === undefined;
  if (command && !agent)
    throw new UserError(
      "a command needs spevisor's own RAM disk, and --initrd names another",
      "Leave --initrd away, or the command",
    );
  const startSeconds = flags.rtc === "now" ? nowSeconds() : flags.rtc;
  const config: MachineConfig = {
    cpus: flags.cpus,
    clockGHz: flags.freq,
    memoryBytes: flags.memory,
    policy: flags.policy,
    profile: flags.profile,
    seed: flags.seed,
    host: {
      backing: flags.backing,
      memlockBytes: flags.memlock,
      memlockMaxBytes: flags.memlockMax,
      maxBufferBytes: flags.speMaxBuffer ?? null,
      irqLatencyNs: flags.irqLatency,
      pressure: flags.pressure ?? null,
      physicalAddresses: flags.spePa === true,
    },
    spe: { version: flags.speVersion, intervalOps: flags.speInterval, models: flags.speModels },
    // A guest of ours is told the time when it is ready.
    startSeconds: agent && flags.rtc === "now" ? DEFAULT_RTC_SECONDS : startSeconds,
    shares: shares.map(({ tag }) => tag),
    disks: diskConfigs,
    agent,
  };
  const before = flags.kernel === undefined ? DEFAULT_COMMAND_LINE : COMMAND_LINE;
  const append = [flags.defaultAppend ? before : "", flags.append ?? ""].join(" ").trim();
  const initrd = flags.initrd ?? (agent ? guest?.initrd : undefined);
  // A disk's content and a device tree are not looked at: such boots are not kept.
  const isKept =
    agent &&
    flags.kernel === undefined &&
    modules === undefined &&
    diskConfigs.length === 0 &&
    flags.dtb === undefined;
  return {
    config,
    boot: async () => ({
      kernel: other ?? (await readKernel(guest!.image)),
      initrd:
        initrd === undefined
          ? undefined
          : concat([readInitrd(initrd), ...(modules ? [modules.archive] : [])]),
      append,
      deviceTree: flags.dtb === undefined ? undefined : readDeviceTree(flags.dtb),
    }),
    named: isKept ? { append, files: guest.manifest.files } : undefined,
    given: undefined,
    modulesFor: agent ? (modules?.release ?? guest.manifest.release) : undefined,
  };
}
