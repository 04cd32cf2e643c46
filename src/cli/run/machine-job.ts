/** A run of a machine: from files, or a snapshot, to its command's status. */
import { concat } from "../../common/bytes.ts";
import { UserError } from "../../common/errors.ts";
import type { Suite } from "../../guest/debian/recipe.ts";
import { costTable } from "../../host/costs.ts";
import { PROFILES } from "../../host/profiles.ts";
import { GuestAgent, quoted, releaseWithoutPort } from "../../vmm/agent.ts";
import { kernelRelease } from "../../vmm/kernel-file.ts";
import { readDeviceTree, readInitrd, readKernel } from "../../vmm/node/boot-files.ts";
import type { OpenedDisk } from "../../vmm/node/disk.ts";
import { openDisks } from "../../vmm/node/disk-options.ts";
import { runMachine, type Stopped } from "../../vmm/node/run-machine.ts";
import { openShare } from "../../vmm/node/share.ts";
import {
  encodeSnapshot,
  type MachineConfig,
  type OpenedSnapshot,
  openSnapshot,
  type Snapshot,
} from "../../vmm/node/snapshot-file.ts";
import { type Input, inputAtOnce, openInput, wholeInput } from "../../vmm/node/terminal.ts";
import { type BootFiles, VirtualMachine } from "../../vmm/virtual-machine.ts";
import { cacheFolder, sourceVersion } from "../cache-folder.ts";
import { beginFile, type PendingFile } from "../files.ts";
import { choosePolicies } from "../job.ts";
import { chosen, profileNamed } from "../lab.ts";
import { knownName } from "../options.ts";
import { STDOUT } from "../output.ts";
import { startProgress } from "../progress.ts";
import type { World } from "../world.ts";
import { Boots } from "./boots.ts";
import { ByteStream, SerialConsole } from "./console.ts";
import { checkModules, defaultGuest, otherModules } from "./default-guest.ts";
import { type MachineRecord, recordOf } from "./record.ts";

/** What the guest's kernel is told beside --append: a panic ends the machine. */
export const COMMAND_LINE = "console=ttyAMA0 panic=-1";
const SHARE_TAG = "share0";
/** Where --share is in the guest. */
export const SHARE_DIRECTORY = "/share";
/** The guest's shell reads a command by the character: a longer one would take minutes, or never fit into the port. */
const MOST_SCRIPT_LENGTH = 128 * 1024;
/** Of the board's 32 virtio transports, console and entropy have one each. */
const MOST_DEVICES = 30;
const MS = 1000;

export interface MachineFlags {
  readonly kernel?: string;
  readonly initrd?: string;
  readonly dtb?: string;
  readonly append?: string;
  /** False: --append is the whole command line. */
  readonly defaultAppend: boolean;
  readonly modules?: string;
  readonly disk?: readonly string[];
  readonly share?: string;
  readonly memory: number;
  readonly cpus: number;
  readonly suite: Suite;
  readonly policy: string;
  readonly profile: string;
  readonly timeout?: number;
  readonly json?: string;
  readonly seed: number;
  /** Seconds since 1970; "now" is the host's clock. */
  readonly rtc: number | "now";
  readonly snapshot?: string;
  readonly saveSnapshot?: string;
  /** False: boots anew, whatever is kept. */
  readonly cache: boolean;
  readonly verbose?: true;
}

export interface JobOutcome {
  readonly record: MachineRecord;
  readonly stopped: Stopped;
  /** The command's, where one ended. */
  readonly status: number | undefined;
  /** The serial console's last lines, where they were not shown. */
  readonly tail: string | undefined;
  /** Why the command could not be run, where the machine ended before it was ready for one. */
  readonly unfit: UnfitGuest | undefined;
}

/** A guest whose first process takes no orders. */
export interface UnfitGuest {
  readonly what: string;
  readonly remedy: string;
}

/** Seconds since 1970 at a new machine's time 0 where nobody says: 1 January 2026. */
export const DEFAULT_RTC_SECONDS = 1_767_225_600;

const nowSeconds = (): number => Math.floor(Date.now() / MS);

/** What an option's file is opened to; what is wrong with it names the option. */
function opened<T>(option: string, path: string, open: (path: string) => T): T {
  try {
    return open(path);
  } catch (error) {
    if (error instanceof UserError) throw new UserError(`${option} ${error.what}`, error.remedy);
    throw error;
  }
}

/** What is booted, and what names it among the boots that are kept. */
interface Origin {
  readonly config: MachineConfig;
  readonly boot: () => Promise<BootFiles>;
  /** Undefined: its boot cannot be kept. */
  readonly key: unknown;
  readonly given: OpenedSnapshot | undefined;
  /** The kernel that the initial RAM disk has modules for, where it is ours. */
  readonly modulesFor: string | undefined;
}

async function originOf(
  flags: MachineFlags,
  disks: readonly OpenedDisk[],
  command: boolean,
  world: World,
  build: string,
): Promise<Origin> {
  const diskConfigs = disks.map(({ mode }, i) => ({ id: `disk${i}`, mode }));
  if (flags.snapshot !== undefined) {
    const given = openSnapshot(flags.snapshot, build);
    if (command && !given.config.agent)
      throw new UserError(
        `--snapshot ${flags.snapshot}: its guest was not started by spevisor and takes no commands`,
        "Leave the command away, or save a snapshot of the default guest",
      );
    for (const [option, has, wants] of [
      ["--share", given.config.shares.length > 0, flags.share !== undefined],
    ] as const)
      if (has !== wants)
        throw new UserError(
          `--snapshot ${flags.snapshot}: it was saved ${has ? "with" : "without"} ${option}`,
          `${has ? "Give" : "Leave away"} ${option}, or save another snapshot`,
        );
    const [had, has] = [given.config.disks, diskConfigs].map((of) => of.map(({ mode }) => mode).join(", "));
    if (had !== has)
      throw new UserError(
        `--snapshot ${flags.snapshot}: it was saved ${had === "" ? "without --disk" : `with --disk (${had})`}`,
        had === ""
          ? "Leave away --disk, or save another snapshot"
          : "Give --disk as often, and in these modes",
      );
    return {
      config: given.config,
      boot: () => Promise.reject(new Error("a snapshot is not booted")),
      key: undefined,
      given,
      modulesFor: undefined,
    };
  }
  // The cloud kernel has no 9P.
  const kernelKind = flags.share === undefined ? "cloud" : "generic";
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
      ? await defaultGuest(flags.suite, kernelKind, world)
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
    memoryBytes: flags.memory,
    policy: flags.policy,
    profile: flags.profile,
    seed: flags.seed,
    startSeconds: agent && flags.rtc === "now" ? DEFAULT_RTC_SECONDS : startSeconds,
    shares: flags.share === undefined ? [] : [SHARE_TAG],
    disks: diskConfigs,
    agent,
  };
  const append = [flags.defaultAppend ? COMMAND_LINE : "", flags.append ?? ""].join(" ").trim();
  const initrd = flags.initrd ?? (agent ? guest?.initrd : undefined);
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
    // A disk's content and a device tree are not looked at: such boots are not kept.
    key:
      agent &&
      flags.kernel === undefined &&
      modules === undefined &&
      flags.disk === undefined &&
      flags.dtb === undefined
        ? { config, append, files: guest.manifest.files }
        : undefined,
    given: undefined,
    modulesFor: agent ? (modules?.release ?? guest.manifest.release) : undefined,
  };
}

/** What to say of a guest that takes no orders since its kernel, of this release, has no virtio console. */
function withoutPort(running: string, modulesFor: string | undefined): UnfitGuest {
  if (running === modulesFor)
    return {
      what: `Linux ${running} found no control port: it has no driver for a virtio console, or none for virtio over MMIO, and there is no module of them`,
      remedy: "Take a kernel with CONFIG_VIRTIO_CONSOLE and CONFIG_VIRTIO_MMIO",
    };
  return {
    what: `Linux ${running} found no control port: it needs the module virtio_console, or virtio_mmio, and the initial RAM disk has modules for Linux ${modulesFor ?? "no kernel"} only`,
    remedy: `Give its own modules: --modules DIR, such as the folder lib/modules/${running}`,
  };
}

const SWITCHED_OFF: UnfitGuest = {
  what: "the guest has powered off before it was ready for a command",
  remedy: "--verbose shows what its kernel says",
};

/** What stays out of a snapshot: its JSON has an end. */
const MOST_DISK_STATE_LENGTH = 192 * 1024 ** 2;

/** What snapshot disks have of their own. Throws UserError where it is too much for a file. */
function diskStates(disks: readonly OpenedDisk[], path: string) {
  const states = disks.map((disk) => disk.save() ?? null);
  const length = states.reduce(
    (sum, state) => sum + (state?.blocks.reduce((all, [, data]) => all + data.length, 0) ?? 0),
    0,
  );
  if (length > MOST_DISK_STATE_LENGTH)
    throw new UserError(
      `--save-snapshot ${path}: the guest has written more to its snapshot disks than a snapshot holds (128 MiB)`,
      "Give the disk without ,snapshot: then its file has what the guest writes",
    );
  return states;
}

/** Runs a machine until its command, or itself, has ended. */
export async function runJob(
  flags: MachineFlags,
  command: readonly string[],
  world: World,
): Promise<JobOutcome> {
  knownName(
    "cost profile",
    flags.profile,
    PROFILES.map(({ name }) => name),
  );
  const script = command.map(quoted).join(" ");
  if (script.length > MOST_SCRIPT_LENGTH)
    throw new UserError(
      `a command of ${script.length} characters: the guest takes ${MOST_SCRIPT_LENGTH}`,
      "Put it into a file, and give that with --share or as standard input",
    );
  const startedNs = world.nowNs();
  const build = sourceVersion();
  const boots = new Boots(cacheFolder(world.env), build);
  const files: PendingFile[] = [];
  const disks: OpenedDisk[] = [];
  let input: Input | undefined;
  try {
    const saved = flags.saveSnapshot === undefined ? undefined : beginFile(flags.saveSnapshot);
    if (saved !== undefined) files.push(saved);
    // Before anything is fetched for it.
    const share =
      flags.share === undefined
        ? undefined
        : opened("--share", flags.share, (path) => openShare(path, { readOnly: false }));
    disks.push(...openDisks(flags.disk ?? []));
    const devices = disks.length + (share === undefined ? 0 : 1);
    if (devices > MOST_DEVICES)
      throw new UserError(`${devices} disks and shares: the machine has room for ${MOST_DEVICES}`);
    const origin = await originOf(flags, disks, command.length > 0, world, build);
    const { config, boot, key, given } = origin;
    const [choice] = await choosePolicies(await world.loadLab(), [config.policy]);
    if (choice === undefined) throw new UserError(`--policy ${config.policy}: no policy`);
    const kept = key !== undefined && flags.cache ? boots.find(key) : undefined;
    const snapshot = given ?? kept;

    const toStdout = flags.json === STDOUT ? world.stderr : world.stdout;
    const stdout = new ByteStream(toStdout);
    const stderr = new ByteStream(world.stderr);
    const serial = new SerialConsole();
    const interactive = config.agent && command.length === 0 && saved === undefined;
    if (!config.agent) serial.out = toStdout;
    else if (flags.verbose === true) serial.out = world.stderr;

    let status: number | undefined;
    const agent = new GuestAgent({
      onStdout: stdout.write,
      onStderr: stderr.write,
      onReady: () => vm.machine.pause(),
      onError: (order, text) => world.stderr.write(`spevisor: the guest refused "${order}": ${text}\n`),
      onExit: (code) => {
        status = code;
        vm.machine.pause();
      },
    });
    const vm: VirtualMachine = new VirtualMachine({
      cpus: config.cpus,
      memoryBytes: config.memoryBytes,
      policy: chosen(choice),
      costs: costTable(profileNamed(config.profile)),
      backing: "thp",
      seed: config.seed,
      startSeconds: config.startSeconds,
      boot: snapshot === undefined ? await boot() : undefined,
      console: serial.byte,
      ports: config.agent ? agent.ports : [],
      disks: disks.map(({ disk }, i) => ({ disk, id: config.disks[i]?.id ?? "" })),
      shares: share === undefined ? [] : [{ tag: SHARE_TAG, files: share }],
    });
    if (vm.board.console !== undefined) agent.attach(vm.board.console);
    if (snapshot !== undefined) {
      vm.restore(snapshot.state, await snapshot.pages);
      if (snapshot.agent !== undefined) agent.restore(snapshot.agent);
      snapshot.disks.forEach((state, i) => {
        if (state !== null) disks[i]?.restore(state);
      });
    }
    const runNs = world.nowNs();
    const before = vm.instructions;
    let host: "none" | "restored" | "saved" = snapshot === undefined ? "none" : "restored";

    const deadlineMs = flags.timeout === undefined ? 0 : performance.now() + flags.timeout * MS;
    const timeoutMs = (): number => (deadlineMs === 0 ? 0 : Math.max(1, deadlineMs - performance.now()));
    const nothing = { input: undefined, feed: () => 0, paced: false } as const;
    let stopped: Stopped = "done";
    let unfit: UnfitGuest | undefined;
    if (config.agent && !agent.ready) {
      let deaf: string | undefined;
      serial.onLine = (line) => {
        deaf ??= releaseWithoutPort(line);
        if (deaf === undefined) return;
        // What comes next is the shell that there is instead.
        if (interactive) serial.out = toStdout;
        vm.machine.pause();
      };
      const progress = startProgress("booting the guest", world);
      stopped = await runMachine(vm, {
        ...nothing,
        timeoutMs: timeoutMs(),
        isDone: () => agent.ready || deaf !== undefined,
      }).finally(progress.stop);
      serial.onLine = undefined;
      if (!agent.ready && !interactive)
        unfit =
          deaf !== undefined
            ? withoutPort(deaf, origin.modulesFor)
            : stopped === "off"
              ? SWITCHED_OFF
              : undefined;
      if (agent.ready && key !== undefined && flags.cache) {
        const state = vm.save();
        if (typeof state !== "string") keep(boots, key, { config, agent: agent.save(), ...state }, world);
      }
    }
    if (stopped === "done" && unfit === undefined) {
      if (config.agent) {
        if (flags.share !== undefined) agent.share(SHARE_TAG, SHARE_DIRECTORY);
        if (flags.rtc === "now") agent.date(nowSeconds());
      }
      if (command.length > 0) {
        agent.run(script);
        const whole = inputAtOnce(0);
        input = whole === undefined ? openInput(process.stdin, false) : wholeInput(whole);
        stopped = await runMachine(vm, {
          timeoutMs: timeoutMs(),
          input,
          feed: (bytes) => agent.input(bytes),
          onInputEnd: () => agent.endInput(),
          isDone: () => status !== undefined,
          paced: false,
          settled: () => stdout.drained ?? stderr.drained,
        });
        // What its page cache holds is written, or saved with the machine.
        if (status !== undefined && disks.some(({ mode }) => mode === "writable") && saved === undefined) {
          agent.powerOff();
          await runMachine(vm, { ...nothing, timeoutMs: timeoutMs(), isDone: () => false });
        }
      } else if (interactive || !config.agent) {
        const tty = process.stdin.isTTY === true;
        if (tty || !process.stdin.readableEnded) input = openInput(process.stdin, tty);
        serial.out = toStdout;
        if (config.agent) {
          if (tty) agent.size(process.stdout.rows ?? 24, process.stdout.columns ?? 80);
          agent.console();
        }
        const resize = (): void => agent.size(process.stdout.rows ?? 24, process.stdout.columns ?? 80);
        if (tty && config.agent) process.stdout.on("resize", resize);
        stopped = await runMachine(vm, {
          timeoutMs: timeoutMs(),
          input,
          feed: (bytes) => vm.type(bytes),
          isDone: () => false,
          paced: tty,
        });
        process.stdout.off("resize", resize);
      }
    }
    if (saved !== undefined && unfit === undefined && stopped !== "memory") {
      const state = vm.save();
      if (typeof state === "string")
        throw new UserError(`--save-snapshot ${saved.path}: the machine cannot be saved: ${state}`);
      saved.write(
        encodeSnapshot(
          {
            config,
            agent: config.agent ? agent.save() : undefined,
            disks: diskStates(disks, saved.path),
            ...state,
          },
          build,
        ),
      );
      saved.commit();
      host = "saved";
    }
    const record = recordOf(vm, config, {
      stopped,
      status,
      host: {
        startNs: runNs - startedNs,
        runNs: world.nowNs() - runNs,
        instructions: vm.instructions - before,
        snapshot: host,
      },
    });
    return { record, stopped, status, tail: serial.out === undefined ? serial.tail : undefined, unfit };
  } finally {
    input?.close();
    for (const disk of disks) disk.close();
    for (const file of files) file.discard();
  }
}

/** A boot that cannot be kept costs the next run its time, and this one nothing. */
function keep(boots: Boots, key: unknown, snapshot: Snapshot, world: World): void {
  try {
    boots.keep(key, snapshot);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    world.stderr.write(`spevisor: the booted guest cannot be kept: ${why}\n`);
  }
}
