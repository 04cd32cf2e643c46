/** What a worker runs of real code: boots a guest, or runs commands in guests; and the tasks that have it run. */
import { parentPort } from "node:worker_threads";
import { DEFAULT_CLOCK } from "../../a64/state.ts";
import { invariant, UserError } from "../../common/errors.ts";
import { formatNs } from "../../common/sizes.ts";
import { DEFAULT_COMMAND_LINE } from "../../guest/debian/command-line.ts";
import type { StoredGuest } from "../../guest/node/guests.ts";
import { costTable, withFreeSpe } from "../../host/costs.ts";
import type { PinPolicy } from "../../kvm/spe/policy.ts";
import { type Cell, type CellMachine, labelOf, machineOf } from "../../lab/linux/cells.ts";
import { FREE_SPE } from "../../lab/linux/free-spe.ts";
import { startsLater } from "../../lab/linux/shared-start.ts";
import { linuxRecordOf } from "../../lab/linux-record.ts";
import type { Json } from "../../lab/questions/question.ts";
import type { LinuxRun, ModelRun } from "../../lab/report/run.ts";
import { counted } from "../../lab/report/words.ts";
import { DEFAULT_SPE } from "../../spe/implementation.ts";
import { type RunGuest, type SavedCommand, Session, type Stopped } from "../../vmm/guest-session.ts";
import { DEFAULT_HOST, type HostConfig, type MachineConfig } from "../../vmm/machine-config.ts";
import { readInitrd, readKernel } from "../../vmm/node/boot-files.ts";
import { runMachine } from "../../vmm/node/run-machine.ts";
import type { OpenedSnapshot } from "../../vmm/node/snapshot-file.ts";
import type { CellContext, CellTask, InputFile } from "../cells/task.ts";
import { choosePolicies } from "../job.ts";
import { chosen, loadLab, profileNamed } from "../lab.ts";
import { BOOTING_POLICY, Boots, bootingConfig } from "../run/boots.ts";
import { DEFAULT_RTC_SECONDS } from "../run/flags.ts";
import { CommandSchedule, replayOf, type ScheduleSoFar } from "./replay.ts";

/** A command that takes longer does not get on: twice the longest that anybody has reported of the thread's. */
export const LIMIT_NS = 360e9;

/** The guest whose kernel is booted. */
export interface GuestFiles {
  readonly image: string;
  readonly initrd: string;
  /** What names it among the boots that are kept: its files' checksums. */
  readonly files: unknown;
}

/** What is to be run, with the places of its files. */
export interface GuestTask {
  readonly guest: GuestFiles;
  readonly cacheDir: string;
  /** The version of the source that snapshots are good for. */
  readonly build: string;
  readonly seed: number;
  /** How much of the guest's time a command may take, in ns. */
  readonly limitNs: number;
  /** Cells whose machines start alike (lab/linux/shared-start.ts). */
  readonly cells: readonly Cell[];
}

/** The same without the places. */
interface GuestInput {
  readonly image: InputFile;
  readonly initrd: InputFile;
  readonly files: Json;
  readonly seed: number;
  readonly limitNs: number;
  readonly cells: readonly Cell[];
}

/** A guest by its files' content. */
export type GuestInputs = Pick<GuestInput, "image" | "initrd" | "files">;

/** A guest's files, and where they are. */
export function guestInputs({ image, initrd, manifest: { files } }: StoredGuest): {
  readonly input: GuestInputs;
  readonly paths: ReadonlyMap<string, string>;
} {
  const inputOf = (name: "Image" | "initrd.cpio"): InputFile => ({ name, sha256: files[name].sha256 });
  const input = { image: inputOf("Image"), initrd: inputOf("initrd.cpio"), files };
  return {
    input,
    paths: new Map([
      [input.image.sha256, image],
      [input.initrd.sha256, initrd],
    ]),
  };
}

/** Cells of real code as a task; of `guest-boot` only the first one's machine is booted, and kept. */
export function guestTask(
  kind: "guest" | "guest-boot",
  guest: GuestInputs,
  how: Pick<GuestInput, "seed" | "limitNs">,
  cells: readonly Cell[],
): CellTask {
  const input: GuestInput = { ...guest, ...how, cells };
  return {
    kind,
    input: input as unknown as Json,
    files: [guest.image, guest.initrd],
    label: labelOf(cells[0]!),
  };
}

function taskOf(input: Json, paths: Readonly<Record<string, string>>, context: CellContext): GuestTask {
  const { image, initrd, files, ...rest } = input as unknown as GuestInput;
  const pathOf = ({ name, sha256 }: InputFile): string => {
    const path = paths[sha256];
    invariant(path !== undefined, `nobody says where ${name} is`);
    return path;
  };
  const { cacheDir, build } = context;
  return { guest: { image: pathOf(image), initrd: pathOf(initrd), files }, cacheDir, build, ...rest };
}

/** What became of a cell. Error classes do not survive the crossing, so a user's error is spelt out. */
export type CellOutcome =
  | {
      readonly kind: "ran";
      readonly run: LinuxRun;
      /** What the model takes for the same schedule, under a policy. */
      readonly model?: ModelRun | undefined;
      readonly said: string;
      readonly instructions: number;
    }
  /** The machine or its command came to no good end. */
  | { readonly kind: "failed"; readonly why: string };

/** Charges nothing. */
const FREE = "free";
/** A command that takes longer than this of the host's time hangs. */
const LIMIT_MS = 30 * 60_000;

const MOST_BYTES = 1 << 20;

/** What a guest prints, as far as anybody reads it. */
class Said {
  readonly #pieces: Uint8Array[] = [];
  #bytes = 0;

  /** @param before what was said before, in the same command */
  constructor(before?: Said) {
    if (before !== undefined) for (const piece of before.#pieces) this.take(piece);
  }

  readonly take = (bytes: Uint8Array): void => {
    if (this.#bytes >= MOST_BYTES) return;
    this.#bytes += bytes.length;
    this.#pieces.push(bytes.slice());
  };

  get text(): string {
    return Buffer.concat(this.#pieces).toString("utf8");
  }
}

function configOf(
  task: GuestTask,
  of: Cell["of"],
  host: HostConfig,
  policy: string,
  profile: string,
): MachineConfig {
  const { cpus, memoryBytes, speIntervalOps } = machineOf(of);
  return {
    cpus,
    clockGHz: DEFAULT_CLOCK,
    memoryBytes,
    policy,
    profile,
    seed: task.seed,
    host,
    spe: { ...DEFAULT_SPE, intervalOps: speIntervalOps, models: "sampled" },
    startSeconds: DEFAULT_RTC_SECONDS,
    shares: [],
    disks: [],
    agent: true,
  };
}

/** What the hypervisor charges, and what it does with the guest's buffer. */
async function hypervisorOf(machine: CellMachine): Promise<{ policy: PinPolicy; profile: string }> {
  switch (machine.kind) {
    case "bare-metal":
      return { policy: FREE_SPE, profile: FREE };
    case "free-spe":
      return { policy: FREE_SPE, profile: machine.profile };
    case "policy": {
      const [choice] = await choosePolicies(await loadLab(), [machine.policy]);
      return { policy: chosen(choice!), profile: machine.profile };
    }
  }
}

const run: RunGuest = (vm, errand) =>
  runMachine(vm, errand, { timeoutMs: LIMIT_MS, input: undefined, paced: false });

/** Runs up to an instant of the guest's time at most. */
const runUntil =
  (endNs: number): RunGuest =>
  (vm, errand) =>
    run(vm, { ...errand, isDone: () => errand.isDone() || vm.machine.nowNs >= endNs });

/** The snapshot of a guest that has booted on such a machine, booted and kept first where there is none. */
async function bootOf(task: GuestTask, of: Cell["of"], host: HostConfig): Promise<OpenedSnapshot> {
  const { guest, cacheDir, build } = task;
  const boots = new Boots(cacheDir, build);
  const config = bootingConfig(configOf(task, of, host, BOOTING_POLICY.name, FREE), BOOTING_POLICY);
  const key = { config, append: DEFAULT_COMMAND_LINE, files: guest.files };
  const kept = boots.find(key);
  if (kept !== undefined) return kept;
  const session = sessionOf(config, BOOTING_POLICY, false, new Said(), {
    kernel: await readKernel(guest.image),
    initrd: readInitrd(guest.initrd),
    append: DEFAULT_COMMAND_LINE,
    deviceTree: undefined,
  });
  await session.boot(run);
  if (!session.agent.ready) throw new Error("the guest did not boot");
  const saved = session.save();
  if (typeof saved === "string") throw new Error(`a guest that has booted cannot be saved: ${saved}`);
  boots.keepBoot(key, { config, ...saved }, (text) => {
    throw new UserError(text, "Make room in the cache folder, or name another with XDG_CACHE_HOME");
  });
  const booted = boots.find(key);
  if (booted === undefined) throw new Error("the booted guest was not kept");
  return booted;
}

const sessionOf = (
  config: MachineConfig,
  policy: PinPolicy,
  bareMetal: boolean,
  said: Said,
  boot: ConstructorParameters<typeof Session>[0]["boot"],
): Session =>
  new Session({
    config,
    policy,
    costs:
      policy === FREE_SPE
        ? withFreeSpe(costTable(profileNamed(config.profile)))
        : costTable(profileNamed(config.profile)),
    disks: [],
    shares: [],
    bareMetal,
    boot,
    onConsole: () => undefined,
    onStdout: said.take,
    onStderr: said.take,
    onError: (order, text) => said.take(new TextEncoder().encode(`the guest refused "${order}": ${text}\n`)),
  });

/** Why there is no record of a command that did not end. */
const ENDINGS: Readonly<Partial<Record<Stopped, string>>> = {
  reset: "the guest's kernel has panicked, or rebooted",
  off: "the guest has powered off",
  asleep: "every vCPU sleeps, and nothing will wake it",
  timeout: "the command takes more than half an hour of this computer's time",
  memory: "the guest has touched all memory that there is room for",
};

const tooLong = (limitNs: number, enables: number): string =>
  `the command has not ended after ${formatNs(limitNs)} of the guest's time and ${counted(enables, "enable")} of its buffer`;

/** A command in its middle, and what has been said before. */
interface Start {
  readonly saved: SavedCommand;
  readonly said: Said;
  /** How many instructions it took so far. */
  readonly instructions: number;
  /** The guest's time when it began. */
  readonly beganNs: number;
  /** The machine that it was saved of: its pages are the saved ones. */
  readonly session: Session;
  readonly schedule: ScheduleSoFar;
}

const hostOf = (of: Cell["of"], policy: PinPolicy): HostConfig => {
  const host = { ...DEFAULT_HOST, ...machineOf(of).host };
  return { ...host, backing: policy.backing ?? host.backing };
};

/** A session of a guest that has booted, with all of its memory mapped. */
async function bootedSession(
  task: GuestTask,
  { of, machine }: Cell,
  policy: PinPolicy,
  profile: string,
  said: Said,
): Promise<Session> {
  const host = hostOf(of, policy);
  const snapshot = await bootOf(task, of, host);
  const config = configOf(task, of, host, policy.name, profile);
  const session = sessionOf(config, policy, machine.kind === "bare-metal", said, undefined);
  session.restore({ ...snapshot, pages: await snapshot.pages });
  session.populate();
  return session;
}

/** Runs a cell's command up to where its machine is that of the others of its group. @returns undefined where there is no such instant */
async function startOf(task: GuestTask, cell: Cell, profile: string): Promise<Start | undefined> {
  const said = new Said();
  const session = await bootedSession(task, cell, BOOTING_POLICY, profile, said);
  const before = session.vm.instructions;
  const beganNs = session.vm.machine.nowNs;
  const watching = new CommandSchedule(session);
  const saved = await session.commandUpToSpe(cell.command, run);
  const schedule = watching.pause();
  return typeof saved === "string"
    ? undefined
    : { saved, said, instructions: session.vm.instructions - before, beganNs, session, schedule };
}

/** Runs a cell's command, from its start or from where others have brought it. */
async function runCommand(task: GuestTask, cell: Cell, start: Start | undefined): Promise<CellOutcome> {
  const { policy, profile } = await hypervisorOf(cell.machine);
  const said = new Said(start?.said);
  let session: Session;
  let before: number;
  let stopped: Stopped;
  let watching: CommandSchedule;
  if (start === undefined) {
    session = await bootedSession(task, cell, policy, profile, said);
    before = session.vm.instructions;
    watching = new CommandSchedule(session);
    stopped = await session.command(cell.command, runUntil(session.vm.machine.nowNs + task.limitNs));
  } else {
    const config = configOf(task, cell.of, hostOf(cell.of, policy), policy.name, profile);
    session = sessionOf(config, policy, false, said, undefined);
    session.resume(start.saved);
    before = session.vm.instructions - start.instructions;
    watching = new CommandSchedule(session, start.schedule);
    stopped = await session.finish(runUntil(start.beganNs + task.limitNs));
  }
  const { status } = session;
  if (status === undefined && stopped === "done")
    return { kind: "failed", why: tooLong(task.limitNs, session.work.counted.counts.bufferEnables) };
  if (status !== 0)
    return { kind: "failed", why: ENDINGS[stopped] ?? `exit status ${status}: ${said.text.trim()}` };
  const facts = { bufferBytes: cell.of.bufferBytes, printed: said.text };
  const schedule = watching.end(cell.command);
  return {
    kind: "ran",
    run: linuxRecordOf(session, cell.scenario, stopped, facts),
    ...(cell.machine.kind === "policy"
      ? { model: replayOf(cell.scenario, schedule, policy, profileNamed(profile)) }
      : {}),
    said: said.text,
    instructions: session.vm.instructions - before,
  };
}

/** What `action` comes to; a user's error is an outcome. */
async function outcomeOf(action: () => Promise<CellOutcome>): Promise<CellOutcome> {
  try {
    return await action();
  } catch (error) {
    if (error instanceof UserError) return { kind: "failed", why: [error.what, error.remedy].join(". ") };
    throw error;
  }
}

/** Has the guest of a task's first machine booted and kept, so that no two workers make the same. */
export async function bootGuest(
  input: Json,
  paths: Readonly<Record<string, string>>,
  context: CellContext,
): Promise<Json> {
  const task = taskOf(input, paths, context);
  const [first] = task.cells;
  invariant(first !== undefined, "a guest is booted for a cell");
  // What cannot be booted is told by each cell's own outcome.
  await outcomeOf(async () => {
    await bootOf(task, first.of, { ...DEFAULT_HOST, ...machineOf(first.of).host });
    return { kind: "failed", why: "" };
  });
  return null;
}

/** Runs a task's cells. @returns their outcomes */
export const runGuestCells = async (
  input: Json,
  paths: Readonly<Record<string, string>>,
  context: CellContext,
): Promise<Json> => (await runGuestTask(taskOf(input, paths, context))) as unknown as Json;

/** Carries out a task: its outcomes by cell. What is neither an outcome nor the user's doing is thrown. */
export async function runGuestTask(task: GuestTask): Promise<readonly CellOutcome[]> {
  const { cells } = task;
  const outcomes: CellOutcome[] = [];
  let start: Promise<Start | undefined> | undefined;
  for (const cell of cells) {
    const outcome = await outcomeOf(async () => {
      const { policy, profile } = await hypervisorOf(cell.machine);
      if (cells.length === 1 || !startsLater(policy)) return runCommand(task, cell, undefined);
      start ??= startOf(task, cell, profile);
      return runCommand(task, cell, await start);
    });
    outcomes.push(outcome);
    parentPort?.postMessage(labelOf(cell));
  }
  return outcomes;
}
