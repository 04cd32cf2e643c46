/** A run of a machine: from files, or a snapshot, to its command's status. */
import { BrokenInvariant, UserError } from "../../common/errors.ts";
import { type CostTable, costTable } from "../../host/costs.ts";
import { PROFILES } from "../../host/profiles.ts";
import { POLICIES } from "../../kvm/spe/policies/index.ts";
import type { PinPolicy } from "../../kvm/spe/policy.ts";
import { linuxRecordOf } from "../../lab/linux-record.ts";
import type { Host, LinuxRun } from "../../lab/report/run.ts";
import type { CodeMapping } from "../../perf/profile.ts";
import { quoted } from "../../vmm/agent.ts";
import type { Session, Stopped } from "../../vmm/guest-session.ts";
import type { MachineConfig } from "../../vmm/machine-config.ts";
import { checkOut } from "../../vmm/node/out.ts";
import { encodeSnapshot, type OpenedSnapshot, openSnapshot } from "../../vmm/node/snapshot-file.ts";
import type { BootFiles } from "../../vmm/virtual-machine.ts";
import { cacheFolder, sourceVersion } from "../cache-folder.ts";
import { beginFile, type PendingFile } from "../files.ts";
import { hostFacts } from "../host-facts.ts";
import { choosePolicies } from "../job.ts";
import { chosen, profileNamed } from "../lab.ts";
import { knownName } from "../options.ts";
import { STDOUT } from "../output.ts";
import { startProgress } from "../progress.ts";
import type { World } from "../world.ts";
import { BOOTING_POLICY, Boots, bootingConfig } from "./boots.ts";
import { collectOut, collectSymbols } from "./collect.ts";
import { diskStates, type HostDevices, openDevices } from "./devices.ts";
import { ExactFile, symbolsIn } from "./exact-file.ts";
import type { MachineFlags } from "./flags.ts";
import { HostProfileFile } from "./host-profile-file.ts";
import { symbolsOf } from "./kernel-symbols.ts";
import { nowSeconds, type Origin, originOf } from "./origin.ts";
import { ScheduleFile } from "./schedule-file.ts";
import { TerminalSession } from "./session.ts";
import { TraceFile } from "./trace-file.ts";
import { SWITCHED_OFF, type UnfitGuest, withoutPort } from "./unfit.ts";

/** The guest's shell reads a command by the character: a longer one would take minutes, or never fit into the port. */
const MOST_SCRIPT_LENGTH = 128 * 1024;
const MS = 1000;

export interface JobOutcome {
  readonly run: LinuxRun;
  readonly host: Host;
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
  /** Where recordings of perf's have come: which code was mapped where. */
  readonly mappings?: readonly CodeMapping[] | undefined;
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
  let schedule: ScheduleFile | undefined;
  let exact: ExactFile | undefined;
  let trace: TraceFile | undefined;
  let hostProfile: HostProfileFile | undefined;
  let devices: HostDevices | undefined;
  let session: TerminalSession | undefined;
  try {
    if (flags.saveSnapshot !== undefined) saved = beginFile(flags.saveSnapshot);
    if (flags.exactProfile !== undefined) exact = new ExactFile(flags.exactProfile);
    if (flags.traceInstructions !== undefined)
      trace = new TraceFile(flags.traceInstructions, flags, world.stdout);
    if (flags.hostProfile !== undefined) hostProfile = new HostProfileFile(flags.hostProfile);
    if (flags.schedule !== undefined) schedule = new ScheduleFile(flags.schedule);
    // Before anything is fetched for it.
    if (flags.out !== undefined) checkOutFlag(flags.out, command);
    for (const option of ["schedule", "exactProfile"] as const)
      if (flags[option] !== undefined && command.length === 0)
        throw new UserError(
          `--${option === "schedule" ? option : "exact-profile"} ${flags[option]}: is a command's, and there is none`,
          "Give a command after --",
        );
    devices = openDevices(flags);
    const askedMs = performance.now();
    const origin = await originOf(flags, devices, command.length > 0, build, world);
    const fetchMs = performance.now() - askedMs;
    const { config } = origin;
    if (flags.out !== undefined && !config.agent)
      throw new UserError(
        `--out ${flags.out}: only a guest with spevisor's own RAM disk brings files back`,
        "Leave --out or --initrd away, or give a directory with --share",
      );
    const [choice] = await choosePolicies(await world.loadLab(), [config.policy]);
    if (choice === undefined) throw new UserError(`--policy ${config.policy}: no policy`);
    const policy = chosen(choice);
    const deadlineMs = flags.timeout === undefined ? 0 : deadlineOf(flags.timeout * MS, fetchMs);
    const plan: Plan = {
      flags,
      script,
      origin,
      devices,
      policy,
      boots,
      build,
      costs: costTable(profileNamed(config.profile)),
      onCommand: (event, of) => {
        if (script === undefined) return;
        if (event === "begins") {
          schedule?.begin(of, script);
          exact?.begin(of);
          trace?.begin(of);
          hostProfile?.begin(of);
        } else {
          hostProfile?.end(of);
          schedule?.end();
          exact?.end(of);
          trace?.end(of);
        }
      },
      leftMs: () => (deadlineMs === 0 ? 0 : Math.max(1, deadlineMs - performance.now())),
      world,
    };
    const ready = await readySession(plan);
    session = ready.session;
    const { guest, serial } = session;
    const { vm } = guest;
    if ((trace ?? hostProfile) !== undefined && ready.ended === undefined) {
      const saved = await ready.copy();
      const kernel = saved && (await symbolsOf(saved, guest.config, plan));
      trace?.open(guest, kernel);
      hostProfile?.open(kernel);
      if (script === undefined) trace?.begin(guest);
      if (script === undefined) hostProfile?.begin(guest);
    }
    let used: NonNullable<Host["machine"]>["snapshot"] = ready.isBooted ? "none" : "restored";
    const course = ready.ended ?? (await runSession(session, plan));
    if (saved !== undefined && course.unfit === undefined && course.stopped !== "memory") {
      saveSnapshot(saved, guest, devices, build);
      used = "saved";
    }
    if (script === undefined) hostProfile?.end(guest);
    hostProfile?.commit(script ?? "console");
    schedule?.commit();
    trace?.commit((text) => world.stderr.write(`spevisor: ${text}\n`));
    const symbols =
      flags.out === undefined || course.mappings === undefined
        ? undefined
        : symbolsIn(flags.out, course.mappings);
    const fidelity = exact?.commit(guest, script ?? "", symbols, world.stderr) ?? null;
    const run = linuxRecordOf(guest, script === undefined ? "console" : command.join(" "), course.stopped, {
      fidelity,
    });
    const endNs = world.nowNs();
    const instructions = vm.instructions - ready.instructionsBefore;
    const host = hostFacts(endNs - startedNs, {
      startNs: ready.runNs - startedNs,
      runNs: endNs - ready.runNs,
      instructions,
      mips: Math.round((instructions / (endNs - ready.runNs)) * 1e4) / 10,
      snapshot: used,
    });
    const tail = serial.out === undefined ? serial.tail : undefined;
    return { ...course, run, host, status: guest.status, tail };
  } finally {
    session?.close();
    devices?.close();
    saved?.discard();
    schedule?.discard();
    exact?.discard();
    hostProfile?.discard();
    trace?.close();
  }
}

/**
 * The instant, as performance.now() counts from this process's start, at which --timeout is over: it counts from that start,
 * as timeout(1) would, but for what a guest's fetching takes; half of it is the guest's in any case.
 */
const deadlineOf = (timeoutMs: number, fetchMs: number): number =>
  Math.max(fetchMs + timeoutMs, performance.now() + timeoutMs / 2);

/** Standard output is the report's, or the trace's, where that is asked for there. */
const stdoutOf = (flags: MachineFlags, world: World) =>
  flags.json === STDOUT || flags.traceInstructions === STDOUT ? world.stderr : world.stdout;

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
  readonly policy: PinPolicy;
  readonly boots: Boots;
  /** The version of the source that snapshots are good for. */
  readonly build: string;
  readonly costs: CostTable;
  /** Told when the command begins, and when it has ended. */
  readonly onCommand: (event: "begins" | "ended", guest: Session) => void;
  /** Milliseconds that are left of the machine's time; 0: it has no end. */
  readonly leftMs: () => number;
  readonly world: World;
}

/** A machine that takes commands, or whatever there is where it takes none. */
interface Ready {
  readonly session: TerminalSession;
  /** How it ended before it was ready. */
  readonly ended: Course | undefined;
  readonly isBooted: boolean;
  /** The machine as it is now, once more; undefined: it takes no orders, or cannot be had. */
  readonly copy: () => Promise<Parameters<Session["restore"]>[0] | undefined>;
  /** When the machine began, and how many instructions had been executed by then. */
  readonly runNs: number;
  readonly instructionsBefore: number;
}

/** Whether the terminal is to be the guest's console. */
const isInteractive = ({ flags, script, origin }: Plan): boolean =>
  origin.config.agent && script === undefined && flags.saveSnapshot === undefined;

function newSession(plan: Plan, config: MachineConfig, boot: BootFiles | undefined): TerminalSession {
  const { flags, devices, world, leftMs } = plan;
  const isBooting = config !== plan.origin.config;
  const session: TerminalSession = new TerminalSession({
    config,
    onCommand: (event) => plan.onCommand(event, session.guest),
    policy: isBooting ? BOOTING_POLICY : plan.policy,
    costs: costTable(profileNamed(config.profile)),
    disks: devices.disks.map(({ disk }) => disk),
    shares: devices.shares,
    bareMetal: flags.bareMetal === true && !isBooting,
    boot,
    stdin: world.stdin,
    stdout: stdoutOf(flags, world),
    stderr: world.stderr,
    leftMs,
  });
  if (!config.agent) session.serial.out = stdoutOf(flags, world);
  else if (flags.verbose === true) session.serial.out = world.stderr;
  return session;
}

/** Makes the machine, from a snapshot or by booting it. */
async function readySession(plan: Plan): Promise<Ready> {
  const { flags, origin, devices, boots, policy, world } = plan;
  const { config, named, given } = origin;
  // A boot on bare metal cannot be kept.
  const mayBeKept = named !== undefined && (flags.cache || flags.bareMetal !== true);
  const booting = mayBeKept ? bootingConfig(config, policy) : config;
  // A policy of the user's may be another one the next time.
  const isKept = mayBeKept && (booting !== config || POLICIES.includes(policy));
  const key = { config: booting, ...named };
  const snapshot = given ?? (isKept && flags.cache ? boots.find(key) : undefined);
  if (snapshot !== undefined) {
    const session = newSession(plan, config, undefined);
    await restore(session.guest, snapshot, devices);
    const runNs = world.nowNs();
    const instructionsBefore = session.guest.vm.instructions;
    const copy = async (): ReturnType<Ready["copy"]> => {
      const again = flags.snapshot === undefined ? boots.find(key) : openSnapshot(flags.snapshot, plan.build);
      return config.agent && again !== undefined ? { ...again, pages: await again.pages } : undefined;
    };
    return { session, ended: undefined, isBooted: false, copy, runNs, instructionsBefore };
  }
  const first = newSession(plan, booting, await origin.boot());
  const booted = {
    isBooted: true,
    runNs: world.nowNs(),
    instructionsBefore: 0,
    copy: (): ReturnType<Ready["copy"]> => {
      const saved = config.agent ? first.guest.save() : undefined;
      return Promise.resolve(typeof saved === "string" ? undefined : saved);
    },
  };
  const ended = config.agent ? await bootSession(first, plan) : undefined;
  if (!isKept || ended !== undefined) return { ...booted, session: first, ended };
  const saved = first.guest.save();
  if (typeof saved === "string")
    throw new BrokenInvariant(`a guest that has booted cannot be saved: ${saved}`);
  if (flags.cache)
    boots.keepBoot(key, { config: booting, ...saved }, (text) => world.stderr.write(`spevisor: ${text}\n`));
  if (booting === config) return { ...booted, session: first, ended };
  first.close();
  const session = newSession(plan, config, undefined);
  session.guest.restore(saved);
  return { ...booted, session, ended, copy: () => Promise.resolve(saved) };
}

/** @returns how it ended, where it is not ready for commands */
async function bootSession(session: TerminalSession, plan: Plan): Promise<Course | undefined> {
  const { flags, origin, world } = plan;
  const { agent } = session.guest;
  const interactive = isInteractive(plan);
  const progress = startProgress("booting the guest", world);
  const showShell = (): void => {
    if (interactive) session.serial.out = stdoutOf(flags, world);
  };
  const { stopped, deaf } = await session.boot(showShell).finally(progress.stop);
  const unfit = agent.ready || interactive ? undefined : unfitOf(stopped, deaf, origin);
  const lost = flags.out === undefined ? [] : ["the guest was not ready yet"];
  return stopped !== "done" || unfit !== undefined ? { stopped, lost, unfit } : undefined;
}

/** From where it is ready to its last instruction: mounts, runs the command or the console. */
async function runSession(session: TerminalSession, plan: Plan): Promise<Course> {
  const { flags, script, devices, world } = plan;
  const { guest } = session;
  const { agent, config } = guest;
  const toStdout = stdoutOf(flags, world);
  const lost = flags.out === undefined ? [] : ["the guest was not ready yet"];
  if (config.agent) {
    guest.mount(devices.shares);
    if (flags.rtc === "now") agent.date(nowSeconds());
  }
  if (script !== undefined) return { ...(await runCommand(session, script, plan)), unfit: undefined };
  const stopped = isInteractive(plan) || !config.agent ? await session.console(toStdout) : "done";
  return { stopped, lost, unfit: undefined };
}

function unfitOf(stopped: Stopped, deaf: string | undefined, origin: Origin): UnfitGuest | undefined {
  if (deaf !== undefined) return withoutPort(deaf, origin.modulesFor);
  return stopped === "off" ? SWITCHED_OFF : undefined;
}

async function runCommand(
  session: TerminalSession,
  script: string,
  plan: Plan,
): Promise<Omit<Course, "unfit">> {
  const { flags, devices, world } = plan;
  let stopped = await session.command(script);
  let lost: readonly string[] = [];
  let mappings: readonly CodeMapping[] | undefined;
  if (flags.out !== undefined) {
    const gone = GONE[stopped];
    if (gone !== undefined) lost = [gone];
    else {
      const collected = await collectOut(flags.out, session.guest, session.out, world);
      lost = collected.lost;
      if (stopped === "done") stopped = collected.stopped;
      if (collected.stopped === "done") {
        const symbols = await collectSymbols(flags.out, collected.files, session.guest, session.out, world);
        lost = [...lost, ...(symbols?.lost ?? [])];
        mappings = symbols?.mappings;
      }
    }
  }
  // What its page cache holds is written, or saved with the machine.
  const isDirty = devices.disks.some(({ mode }) => mode === "writable") && flags.saveSnapshot === undefined;
  if (session.guest.status !== undefined && isDirty && GONE[stopped] === undefined) await session.powerOff();
  return { stopped, lost, mappings };
}

/** Machines that do nothing any more, and bring nothing back. */
const GONE: Readonly<Partial<Record<Stopped, string>>> = {
  off: "the guest is off, and what was in its /out is gone",
  reset: "the guest is off, and what was in its /out is gone",
  memory: "the guest has no memory left to bring its /out with",
};

function saveSnapshot(saved: PendingFile, guest: Session, { disks }: HostDevices, build: string): void {
  const state = guest.save();
  if (typeof state === "string")
    throw new UserError(`--save-snapshot ${saved.path}: the machine cannot be saved: ${state}`);
  const { config } = guest;
  saved.write(encodeSnapshot({ config, disks: diskStates(disks, saved.path), ...state }, build));
  saved.commit();
}

/** Goes on where a saved machine was, its disks included. */
async function restore(guest: Session, snapshot: OpenedSnapshot, devices: HostDevices): Promise<void> {
  guest.restore({ ...snapshot, pages: await snapshot.pages });
  for (const [i, disk] of snapshot.disks.entries()) if (disk !== null) devices.disks[i]?.restore(disk);
}
