/** A run of a machine: from files, or a snapshot, to its command's status. */
import { UserError } from "../../common/errors.ts";
import type { KERNELS, Suite } from "../../guest/debian/recipe.ts";
import { fetchGuest, RECIPE_ID } from "../../guest/node/fetch-guest.ts";
import { guestFiles, type StoredGuest } from "../../guest/node/guests.ts";
import { machineMirror } from "../../guest/node/mirror.ts";
import { costTable } from "../../host/costs.ts";
import { PROFILES } from "../../host/profiles.ts";
import { GuestAgent, quoted } from "../../vmm/agent.ts";
import { readDeviceTree, readInitrd, readKernel } from "../../vmm/node/boot-files.ts";
import { type OpenedDisk, openDisk } from "../../vmm/node/disk.ts";
import { checkOut } from "../../vmm/node/out.ts";
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
import { collectOut, OutStream } from "./collect.ts";
import { ByteStream, SerialConsole } from "./console.ts";
import { type MachineRecord, recordOf } from "./record.ts";
import { type PlacedShare, placeShares, type ShareFlag } from "./shares.ts";

/** What the guest's kernel is told beside --append: a panic ends the machine. */
export const COMMAND_LINE = "console=ttyAMA0 panic=-1";
/** The guest's shell reads a command by the character: a longer one would take minutes, or never fit into the port. */
const MOST_SCRIPT_LENGTH = 128 * 1024;
const MS = 1000;

export interface MachineFlags {
  readonly kernel?: string;
  readonly initrd?: string;
  readonly dtb?: string;
  readonly append?: string;
  readonly disk?: string;
  readonly share?: readonly ShareFlag[];
  readonly out?: string;
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
  /** What --out could not bring back, a line for each. */
  readonly lost: readonly string[];
  /** The serial console's last lines, where they were not shown. */
  readonly tail: string | undefined;
}

/** Seconds since 1970 at a new machine's time 0 where nobody says: 1 January 2026. */
export const DEFAULT_RTC_SECONDS = 1_767_225_600;

const nowSeconds = (): number => Math.floor(Date.now() / MS);

/** The default guest, fetched first if it is not there. */
async function defaultGuest(suite: Suite, kernel: keyof typeof KERNELS, world: World): Promise<StoredGuest> {
  const cacheDir = cacheFolder(world.env);
  const stored = await guestFiles(suite, cacheDir, kernel);
  // One that another version of ours has made would not understand this one.
  if (stored?.manifest.recipe === RECIPE_ID) return stored;
  const mirror = world.env["SPEVISOR_MIRROR"] || (await machineMirror());
  world.stderr.write(`spevisor: fetching the ${suite} guest from ${mirror} (once)\n`);
  const progress = startProgress(`asking ${mirror}`, world);
  const { guest } = await fetchGuest({
    suite,
    kernel,
    mirror,
    cacheDir,
    onProgress: ({ what, doneBytes, totalBytes }) =>
      progress.onProgress({ what, done: doneBytes, total: totalBytes ?? 1 }),
    onWarning: (text) => world.stderr.write(`spevisor: ${text}\n`),
  }).finally(progress.stop);
  return guest;
}

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
}

async function originOf(
  flags: MachineFlags,
  shares: readonly PlacedShare[],
  command: boolean,
  world: World,
  build: string,
): Promise<Origin> {
  if (flags.snapshot !== undefined) {
    const given = openSnapshot(flags.snapshot, build);
    if (command && !given.config.agent)
      throw new UserError(
        `--snapshot ${flags.snapshot}: its guest was not started by spevisor and takes no commands`,
        "Leave the command away, or save a snapshot of the default guest",
      );
    for (const [option, has, wants] of [
      ["--share", given.config.shares.length, shares.length],
      ["--disk", given.config.disks.length, flags.disk === undefined ? 0 : 1],
    ] as const)
      if (has !== wants) {
        const times = has > 1 ? ` ${has} times` : "";
        throw new UserError(
          `--snapshot ${flags.snapshot}: it was saved ${has > 0 ? "with" : "without"} ${option}${times}`,
          `${has > 0 ? "Give" : "Leave away"} ${option}${times}, or save another snapshot`,
        );
      }
    for (const { tag, directory, text } of shares) {
      const there = given.agent?.shared.find((share) => share.tag === tag);
      if (there !== undefined && there.directory !== directory)
        throw new UserError(
          `--share ${text}: in --snapshot ${flags.snapshot} it is mounted at ${there.directory}`,
          `Give DIR:${there.directory}, or save another snapshot`,
        );
    }
    return {
      config: given.config,
      boot: () => Promise.reject(new Error("a snapshot is not booted")),
      key: undefined,
      given,
    };
  }
  // The cloud kernel has no 9P.
  const kernelKind = shares.length === 0 ? "cloud" : "generic";
  const guest =
    flags.kernel === undefined || (command && flags.initrd === undefined)
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
    shares: shares.map(({ tag }) => tag),
    disks: flags.disk === undefined ? [] : ["disk0"],
    agent,
  };
  const append = [COMMAND_LINE, flags.append ?? ""].join(" ").trim();
  const initrd = flags.initrd ?? (agent ? guest?.initrd : undefined);
  return {
    config,
    boot: async () => ({
      kernel: await readKernel(flags.kernel ?? guest!.image),
      initrd: initrd === undefined ? undefined : readInitrd(initrd),
      append,
      deviceTree: flags.dtb === undefined ? undefined : readDeviceTree(flags.dtb),
    }),
    // A disk's content and a device tree are not looked at: such boots are not kept.
    key:
      agent && flags.kernel === undefined && flags.disk === undefined && flags.dtb === undefined
        ? { config, append, files: guest.manifest.files }
        : undefined,
    given: undefined,
  };
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
    if (flags.out !== undefined) {
      if (command.length === 0)
        throw new UserError(
          `--out ${flags.out}: brings back what a command has left, and there is none`,
          "Give a command after --, or a directory with --share",
        );
      checkOut(flags.out);
    }
    const placed = placeShares(flags.share ?? []);
    const shares = placed.map(({ tag, path, readOnly }) => ({
      tag,
      files: opened("--share", path, () => openShare(path, { readOnly })),
    }));
    if (flags.disk !== undefined) disks.push(opened("--disk", flags.disk, (path) => openDisk(path)));
    const { config, boot, key, given } = await originOf(flags, placed, command.length > 0, world, build);
    if (flags.out !== undefined && !config.agent)
      throw new UserError(
        `--out ${flags.out}: only a guest with spevisor's own RAM disk brings files back`,
        "Leave --out or --initrd away, or give a directory with --share",
      );
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
    const out = new OutStream();
    const agent = new GuestAgent({
      onOut: out.take,
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
      disks: disks.map(({ disk }, i) => ({ disk, id: config.disks[i] ?? "" })),
      shares,
    });
    if (vm.board.console !== undefined) agent.attach(vm.board.console);
    if (snapshot !== undefined) {
      vm.restore(snapshot.state, await snapshot.pages);
      if (snapshot.agent !== undefined) agent.restore(snapshot.agent);
    }
    const runNs = world.nowNs();
    const before = vm.instructions;
    let host: "none" | "restored" | "saved" = snapshot === undefined ? "none" : "restored";

    const deadlineMs = flags.timeout === undefined ? 0 : performance.now() + flags.timeout * MS;
    const timeoutMs = (): number => (deadlineMs === 0 ? 0 : Math.max(1, deadlineMs - performance.now()));
    const nothing = { input: undefined, feed: () => 0, paced: false } as const;
    let stopped: Stopped = "done";
    let lost: readonly string[] = flags.out === undefined ? [] : ["the guest was not ready yet"];
    if (config.agent && !agent.ready) {
      const progress = startProgress("booting the guest", world);
      stopped = await runMachine(vm, {
        ...nothing,
        timeoutMs: timeoutMs(),
        isDone: () => agent.ready,
      }).finally(progress.stop);
      if (agent.ready && key !== undefined && flags.cache) {
        const state = vm.save();
        if (typeof state !== "string") keep(boots, key, { config, agent: agent.save(), ...state }, world);
      }
    }
    if (stopped === "done") {
      if (config.agent) {
        for (const share of placed) agent.share(share);
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
        if (flags.out !== undefined) {
          const isOff = stopped === "off" || stopped === "reset";
          lost = isOff
            ? ["the guest is off, and what was in its /out is gone"]
            : await collectOut(flags.out, vm, agent, out, world);
        }
        // What its page cache holds is written, or saved with the machine.
        if (status !== undefined && flags.disk !== undefined && saved === undefined) {
          agent.powerOff();
          await runMachine(vm, { ...nothing, timeoutMs: timeoutMs(), isDone: () => false });
        }
      } else if (interactive || !config.agent) {
        const tty = process.stdin.isTTY === true;
        if (tty || !process.stdin.readableEnded) input = openInput(process.stdin, tty);
        serial.out = toStdout;
        if (config.agent) {
          if (tty) agent.size(process.stdout.rows || 24, process.stdout.columns || 80);
          agent.console();
        }
        const resize = (): void => agent.size(process.stdout.rows || 24, process.stdout.columns || 80);
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
    if (saved !== undefined) {
      const state = vm.save();
      if (typeof state === "string")
        throw new UserError(`--save-snapshot ${saved.path}: the machine cannot be saved: ${state}`);
      saved.write(
        encodeSnapshot({ config, agent: config.agent ? agent.save() : undefined, ...state }, build),
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
    return { record, stopped, status, lost, tail: serial.out === undefined ? serial.tail : undefined };
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
