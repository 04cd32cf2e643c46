/** A worker's side of `thread --guest linux`: boots a guest, or runs one command in one. Started by bin/guest-worker.js. */
import { DEFAULT_CLOCK } from "../../a64/state.ts";
import { UserError } from "../../common/errors.ts";
import { DEFAULT_COMMAND_LINE } from "../../guest/debian/command-line.ts";
import { costTable, withFreeSpe } from "../../host/costs.ts";
import type { PinPolicy } from "../../kvm/spe/policy.ts";
import { type Cell, type CellMachine, machineOf } from "../../lab/linux/cells.ts";
import { FREE_SPE } from "../../lab/linux/free-spe.ts";
import { linuxRecordOf } from "../../lab/linux-record.ts";
import type { LinuxRun } from "../../lab/report/run.ts";
import { DEFAULT_SPE } from "../../spe/implementation.ts";
import { Session, type Stopped } from "../../vmm/guest-session.ts";
import { DEFAULT_HOST, type HostConfig, type MachineConfig } from "../../vmm/machine-config.ts";
import { readInitrd, readKernel } from "../../vmm/node/boot-files.ts";
import { runMachine } from "../../vmm/node/run-machine.ts";
import type { OpenedSnapshot } from "../../vmm/node/snapshot-file.ts";
import { choosePolicies } from "../job.ts";
import { chosen, loadLab, profileNamed } from "../lab.ts";
import { BOOTING_POLICY, Boots, bootingConfig } from "../run/boots.ts";
import { DEFAULT_RTC_SECONDS } from "../run/flags.ts";

/** The guest whose kernel is booted. */
export interface GuestFiles {
  readonly image: string;
  readonly initrd: string;
  /** What names it among the boots that are kept: its files' checksums. */
  readonly files: unknown;
}

/** What a worker is told: plain data. */
export interface GuestTask {
  readonly guest: GuestFiles;
  readonly cacheDir: string;
  /** The version of the source that snapshots are good for. */
  readonly build: string;
  readonly seed: number;
  readonly cell: Cell;
  /** Only has its machine's guest booted and kept. */
  readonly bootOnly: boolean;
}

/** What became of it. Error classes do not survive the crossing, so a user's error is spelt out. */
export type GuestOutcome =
  | { readonly kind: "booted" }
  | { readonly kind: "ran"; readonly run: LinuxRun; readonly said: string; readonly instructions: number }
  /** The machine or its command came to no good end. */
  | { readonly kind: "failed"; readonly why: string };

/** Charges nothing. */
const FREE = "free";
/** A command that takes longer than this of the host's time hangs. */
const LIMIT_MS = 30 * 60_000;

const TEXT_BYTES = 1 << 20;

/** What a guest prints, as far as anybody reads it. */
class Said {
  readonly #decoder = new TextDecoder();
  text = "";

  readonly take = (bytes: Uint8Array): void => {
    if (this.text.length < TEXT_BYTES) this.text += this.#decoder.decode(bytes, { stream: true });
  };
}

function configOf(task: GuestTask, host: HostConfig, policy: string, profile: string): MachineConfig {
  const { cpus, memoryBytes, speIntervalOps } = machineOf(task.cell.of);
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

const run: (limitMs: number) => Parameters<Session["command"]>[1] = (limitMs) => (vm, errand) =>
  runMachine(vm, errand, { timeoutMs: limitMs, input: undefined, paced: false });

/** The snapshot of a guest that has booted on such a machine, booted and kept first where there is none. */
async function bootOf(task: GuestTask, host: HostConfig): Promise<OpenedSnapshot> {
  const { guest, cacheDir, build } = task;
  const boots = new Boots(cacheDir, build);
  const config = bootingConfig(configOf(task, host, BOOTING_POLICY.name, FREE), BOOTING_POLICY);
  const key = { config, append: DEFAULT_COMMAND_LINE, files: guest.files };
  const kept = boots.find(key);
  if (kept !== undefined) return kept;
  const session = sessionOf(config, BOOTING_POLICY, false, new Said(), {
    kernel: await readKernel(guest.image),
    initrd: readInitrd(guest.initrd),
    append: DEFAULT_COMMAND_LINE,
    deviceTree: undefined,
  });
  await session.boot(run(LIMIT_MS));
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

async function runCommand(task: GuestTask): Promise<GuestOutcome> {
  const { cell } = task;
  const { policy, profile } = await hypervisorOf(cell.machine);
  const host: HostConfig = { ...DEFAULT_HOST, ...machineOf(cell.of).host };
  const backing = policy.backing ?? host.backing;
  const snapshot = await bootOf(task, { ...host, backing });
  const said = new Said();
  const config = configOf(task, { ...host, backing }, policy.name, profile);
  const session = sessionOf(config, policy, cell.machine.kind === "bare-metal", said, undefined);
  session.restore({ ...snapshot, pages: await snapshot.pages });
  session.populate();
  const before = session.vm.instructions;
  const stopped = await session.command(cell.command, run(LIMIT_MS));
  const { status } = session;
  if (status !== 0)
    return { kind: "failed", why: ENDINGS[stopped] ?? `exit status ${status}: ${said.text.trim()}` };
  return {
    kind: "ran",
    run: linuxRecordOf(session, cell.scenario, stopped, {
      bufferBytes: cell.of.bufferBytes,
      printed: said.text,
    }),
    said: said.text,
    instructions: session.vm.instructions - before,
  };
}

/** Carries out a task. What is neither an outcome nor the user's doing is thrown. */
export async function runGuestCell(task: GuestTask): Promise<GuestOutcome> {
  try {
    if (!task.bootOnly) return await runCommand(task);
    await bootOf(task, { ...DEFAULT_HOST, ...machineOf(task.cell.of).host });
    return { kind: "booted" };
  } catch (error) {
    if (error instanceof UserError) return { kind: "failed", why: [error.what, error.remedy].join(". ") };
    throw error;
  }
}
