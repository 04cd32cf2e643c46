/** A run of a machine: from files, or a snapshot, to its command's status. */
import { UserError } from "../../common/errors.ts";
import { costTable } from "../../host/costs.ts";
import { PROFILES } from "../../host/profiles.ts";
import { quoted } from "../../vmm/agent.ts";
import { checkOut } from "../../vmm/node/out.ts";
import type { Stopped } from "../../vmm/node/run-machine.ts";
import { encodeSnapshot, type Snapshot } from "../../vmm/node/snapshot-file.ts";
import { cacheFolder, sourceVersion } from "../cache-folder.ts";
import { beginFile, type PendingFile } from "../files.ts";
import { choosePolicies } from "../job.ts";
import { chosen, profileNamed } from "../lab.ts";
import { knownName } from "../options.ts";
import { STDOUT } from "../output.ts";
import { startProgress } from "../progress.ts";
import type { World } from "../world.ts";
import { Boots } from "./boots.ts";
import { collectOut } from "./collect.ts";
import { diskStates, type HostDevices, openDevices } from "./devices.ts";
import type { MachineFlags } from "./flags.ts";
import { nowSeconds, type Origin, originOf } from "./origin.ts";
import { type HostTimes, type MachineRecord, recordOf } from "./record.ts";
import { Session } from "./session.ts";
import { SWITCHED_OFF, type UnfitGuest, withoutPort } from "./unfit.ts";

/** The guest's shell reads a command by the character: a longer one would take minutes, or never fit into the port. */
const MOST_SCRIPT_LENGTH = 128 * 1024;
const MS = 1000;

export interface JobOutcome {
  readonly record: MachineRecord;
  readonly stopped: Stopped;
  /** The command's, where one ended. */
  readonly status: number | undefined;
  /** What --out could not bring back, a line for each. */
  readonly lost: readonly string[];
  /** The serial console's last lines, where they were not shown. */
  readonly tail: string | undefined;
  /** Why the command could not be run, where the machine ended before it was ready for one. */
  readonly unfit: UnfitGuest | undefined;
}

/** How a run went, beside what the machine itself knows. */
interface Course {
  readonly stopped: Stopped;
  readonly lost: readonly string[];
  readonly unfit: UnfitGuest | undefined;
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
  const script = scriptOf(command);
  const startedNs = world.nowNs();
  const build = sourceVersion();
  const boots = new Boots(cacheFolder(world.env), build);
  let saved: PendingFile | undefined;
  let devices: HostDevices | undefined;
  let session: Session | undefined;
  try {
    if (flags.saveSnapshot !== undefined) saved = beginFile(flags.saveSnapshot);
    // Before anything is fetched for it.
    if (flags.out !== undefined) checkOutFlag(flags.out, command);
    devices = openDevices(flags);
    const askedMs = performance.now();
    const origin = await originOf(flags, devices, command.length > 0, build, world);
    const fetchMs = performance.now() - askedMs;
    const { config, boot, key, given } = origin;
    if (flags.out !== undefined && !config.agent)
      throw new UserError(
        `--out ${flags.out}: only a guest with spevisor's own RAM disk brings files back`,
        "Leave --out or --initrd away, or give a directory with --share",
      );
    const [choice] = await choosePolicies(await world.loadLab(), [config.policy]);
    if (choice === undefined) throw new UserError(`--policy ${config.policy}: no policy`);
    const snapshot = given ?? (key !== undefined && flags.cache ? boots.find(key) : undefined);

    let deadlineMs = 0;
    session = new Session({
      config,
      policy: chosen(choice),
      costs: costTable(profileNamed(config.profile)),
      devices,
      boot: snapshot === undefined ? await boot() : undefined,
      stdout: stdoutOf(flags, world),
      stderr: world.stderr,
      onError: (order, text) => world.stderr.write(`spevisor: the guest refused "${order}": ${text}\n`),
      leftMs: () => (deadlineMs === 0 ? 0 : Math.max(1, deadlineMs - performance.now())),
    });
    if (snapshot !== undefined) await session.restore(snapshot);
    const { vm, agent, serial } = session;
    const runNs = world.nowNs();
    const before = vm.instructions;
    let host: HostTimes["snapshot"] = snapshot === undefined ? "none" : "restored";
    if (flags.timeout !== undefined) deadlineMs = deadlineOf(flags.timeout * MS, fetchMs);

    const keepBoot = (): void => {
      if (key === undefined || !flags.cache) return;
      const state = vm.save();
      if (typeof state !== "string") keep(boots, key, { config, agent: agent.save(), ...state }, world);
    };
    const course = await runSession(session, { flags, script, origin, devices, keepBoot, world });
    if (saved !== undefined && course.unfit === undefined && course.stopped !== "memory") {
      saveSnapshot(saved, session, origin, devices, build);
      host = "saved";
    }
    const record = recordOf(vm, config, {
      stopped: course.stopped,
      status: session.status,
      host: {
        startNs: runNs - startedNs,
        runNs: world.nowNs() - runNs,
        instructions: vm.instructions - before,
        snapshot: host,
      },
    });
    const tail = serial.out === undefined ? serial.tail : undefined;
    return { ...course, record, status: session.status, tail };
  } finally {
    session?.close();
    devices?.close();
    saved?.discard();
  }
}

/**
 * The instant, as performance.now() counts from this process's start, at which --timeout is over: it counts from that start,
 * as timeout(1) would, but for what a guest's fetching takes; half of it is the guest's in any case.
 */
const deadlineOf = (timeoutMs: number, fetchMs: number): number =>
  Math.max(fetchMs + timeoutMs, performance.now() + timeoutMs / 2);

/** Standard output is the report's, where that is asked for there. */
const stdoutOf = (flags: MachineFlags, world: World) => (flags.json === STDOUT ? world.stderr : world.stdout);

function scriptOf(command: readonly string[]): string | undefined {
  if (command.length === 0) return undefined;
  const script = command.map(quoted).join(" ");
  if (script.length > MOST_SCRIPT_LENGTH)
    throw new UserError(
      `a command of ${script.length} characters: the guest takes ${MOST_SCRIPT_LENGTH}`,
      "Put it into a file, and give that with --share or as standard input",
    );
  return script;
}

function checkOutFlag(out: string, command: readonly string[]): void {
  if (command.length === 0)
    throw new UserError(
      `--out ${out}: brings back what a command has left, and there is none`,
      "Give a command after --, or a directory with --share",
    );
  checkOut(out);
}

interface Plan {
  readonly flags: MachineFlags;
  /** Undefined: the console. */
  readonly script: string | undefined;
  readonly origin: Origin;
  readonly devices: HostDevices;
  /** Called when the guest is ready and has done nothing yet. */
  readonly keepBoot: () => void;
  readonly world: World;
}

/** From the machine's first instruction to its last: boots, mounts, runs the command or the console. */
async function runSession(session: Session, plan: Plan): Promise<Course> {
  const { flags, script, origin, devices, world } = plan;
  const { agent, serial } = session;
  const { config } = origin;
  const toStdout = stdoutOf(flags, world);
  const interactive = config.agent && script === undefined && flags.saveSnapshot === undefined;
  if (!config.agent) serial.out = toStdout;
  else if (flags.verbose === true) serial.out = world.stderr;

  const lost = flags.out === undefined ? [] : ["the guest was not ready yet"];
  if (config.agent && !agent.ready) {
    const progress = startProgress("booting the guest", world);
    const showShell = (): void => {
      if (interactive) serial.out = toStdout;
    };
    const { stopped, deaf } = await session.boot(showShell).finally(progress.stop);
    const unfit = agent.ready || interactive ? undefined : unfitOf(stopped, deaf, origin);
    if (agent.ready) plan.keepBoot();
    if (stopped !== "done" || unfit !== undefined) return { stopped, lost, unfit };
  }
  if (config.agent) {
    for (const share of devices.shares) agent.share(share);
    if (flags.rtc === "now") agent.date(nowSeconds());
  }
  if (script !== undefined) return { ...(await runCommand(session, script, plan)), unfit: undefined };
  const stopped = interactive || !config.agent ? await session.console(toStdout) : "done";
  return { stopped, lost, unfit: undefined };
}

function unfitOf(stopped: Stopped, deaf: string | undefined, origin: Origin): UnfitGuest | undefined {
  if (deaf !== undefined) return withoutPort(deaf, origin.modulesFor);
  return stopped === "off" ? SWITCHED_OFF : undefined;
}

async function runCommand(session: Session, script: string, plan: Plan): Promise<Omit<Course, "unfit">> {
  const { flags, devices, world } = plan;
  let stopped = await session.command(script);
  let lost: readonly string[] = [];
  if (flags.out !== undefined) {
    const gone = GONE[stopped];
    if (gone !== undefined) lost = [gone];
    else {
      const { vm, agent, out } = session;
      const collected = await collectOut(flags.out, vm, agent, out, world);
      lost = collected.lost;
      if (stopped === "done") stopped = collected.stopped;
    }
  }
  // What its page cache holds is written, or saved with the machine.
  const isDirty = devices.disks.some(({ mode }) => mode === "writable") && flags.saveSnapshot === undefined;
  if (session.status !== undefined && isDirty && GONE[stopped] === undefined) await session.powerOff();
  return { stopped, lost };
}

/** Machines that do nothing any more, and bring nothing back. */
const GONE: Readonly<Partial<Record<Stopped, string>>> = {
  off: "the guest is off, and what was in its /out is gone",
  reset: "the guest is off, and what was in its /out is gone",
  memory: "the guest has no memory left to bring its /out with",
};

function saveSnapshot(
  saved: PendingFile,
  { vm, agent }: Session,
  { config }: Origin,
  { disks }: HostDevices,
  build: string,
): void {
  const state = vm.save();
  if (typeof state === "string")
    throw new UserError(`--save-snapshot ${saved.path}: the machine cannot be saved: ${state}`);
  const snapshot: Snapshot = {
    config,
    agent: config.agent ? agent.save() : undefined,
    disks: diskStates(disks, saved.path),
    ...state,
  };
  saved.write(encodeSnapshot(snapshot, build));
  saved.commit();
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
