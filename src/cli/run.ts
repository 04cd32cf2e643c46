/** `spevisor run`: boots an arm64 kernel under the hypervisor. */
import { type Command, Option } from "commander";
import { UserError } from "../common/errors.ts";
import { formatBytes, formatNs } from "../common/sizes.ts";
import { TIME_KINDS } from "../common/timeline.ts";
import { costTable } from "../host/costs.ts";
import { readInitrd, readKernel } from "../vmm/node/boot-files.ts";
import { runMachine, type Stopped } from "../vmm/node/run-machine.ts";
import { VirtualMachine } from "../vmm/virtual-machine.ts";
import { beginFile } from "./files.ts";
import { choosePolicies } from "./job.ts";
import { chosen, profileNamed } from "./lab.ts";
import { nonEmpty, positive, positiveSize, whole } from "./options.ts";
import { STDOUT, VERSION } from "./output.ts";
import type { World } from "./world.ts";

const MIB = 1024 ** 2;
const DEFAULT_MEMORY = 512 * MIB;
const MOST_CPUS = 16;
const MACHINE_SCHEMA = "spevisor.machine/1";
/** What the guest's kernel is told beside --append: a panic ends the machine. */
const COMMAND_LINE = "console=ttyAMA0 panic=-1";

/** After the guest has started, errors have codes of their own, as timeout(1) and chroot(1) have. */
const EXIT_TIMEOUT = 124;
const EXIT_GUEST = 125;

/** The machine ended with this exit code: what there is to say has been said. */
export class MachineEnded extends Error {
  override readonly name = "MachineEnded";
  readonly exitCode: number;

  constructor(exitCode: number) {
    super(`exit code ${exitCode}`);
    this.exitCode = exitCode;
  }
}

interface Flags {
  readonly kernel: string;
  readonly initrd?: string;
  readonly append?: string;
  readonly memory: number;
  readonly cpus: number;
  readonly policy: string;
  readonly profile: string;
  readonly timeout?: number;
  readonly json?: string;
  readonly seed: number;
}

const ENDINGS: Readonly<Record<Stopped, { readonly exitCode: number; readonly words: string }>> = {
  off: { exitCode: 0, words: "the guest has powered off" },
  quit: { exitCode: 0, words: "ended from the keyboard" },
  reset: { exitCode: EXIT_GUEST, words: "the guest asked for a reset: its kernel has panicked, or rebooted" },
  asleep: { exitCode: EXIT_GUEST, words: "every vCPU sleeps, and nothing will wake it" },
  timeout: { exitCode: EXIT_TIMEOUT, words: "--timeout is over" },
};

/** What a run comes to, as data. */
function recordOf(vm: VirtualMachine, stopped: Stopped, hostNs: number) {
  const { statistics } = vm.machine.vm;
  const exits = [...statistics.exitReasons].sort(([, a], [, b]) => b - a);
  return {
    schema: MACHINE_SCHEMA,
    version: VERSION,
    ended: stopped,
    instructions: vm.instructions,
    guestNs: vm.machine.nowNs,
    /** Accesses of the cores that stage 2 did not map. */
    stage2Faults: statistics.exitReasons.get("DABT") ?? 0,
    exits: Object.fromEntries(exits),
    vcpus: vm.machine.vcpus.map(({ timeline }, i) => ({
      instructions: vm.cores[i]?.core.executed ?? 0,
      ns: timeline.nowNs,
      spentNs: Object.fromEntries(TIME_KINDS.map((kind) => [kind, timeline.spentNs(kind)])),
    })),
    /** Encodings that the core does not have, by word. */
    undefined: Object.fromEntries(
      [...vm.code.undefinedWords].map(([word, count]) => [`0x${word.toString(16).padStart(8, "0")}`, count]),
    ),
    host: { ns: hostNs, mips: Math.round((vm.instructions / hostNs) * 1e4) / 10 },
  };
}

function summaryOf(record: ReturnType<typeof recordOf>): string {
  const exits = Object.entries(record.exits)
    .slice(0, 6)
    .map(([reason, count]) => `${reason} ${count.toLocaleString("en")}`)
    .join(", ");
  const hypervisorNs = record.vcpus.reduce(
    (sum, { spentNs }) =>
      sum +
      Object.entries(spentNs).reduce(
        (own, [kind, ns]) => (kind === "guestRun" || kind === "idle" ? own : own + ns),
        0,
      ),
    0,
  );
  const lines = [
    `${record.instructions.toLocaleString("en")} instructions in ${formatNs(record.host.ns)} (${record.host.mips} MIPS); ` +
      `${formatNs(record.guestNs)} of the guest's time, ${formatNs(hypervisorNs)} of it the hypervisor's`,
    `${record.stage2Faults.toLocaleString("en")} stage-2 faults; exits: ${exits}`,
  ];
  return `${lines.map((line) => `spevisor: ${line}`).join("\n")}\n`;
}

async function runCommand(flags: Flags, world: World): Promise<void> {
  const [choice] = await choosePolicies(await world.loadLab(), [flags.policy]);
  if (choice === undefined) throw new UserError(`--policy ${flags.policy}: no policy`);
  const kernel = readKernel(flags.kernel);
  const initrd = flags.initrd === undefined ? undefined : readInitrd(flags.initrd);
  const json = flags.json === undefined || flags.json === STDOUT ? undefined : beginFile(flags.json);
  try {
    const console = flags.json === STDOUT ? world.stderr : world.stdout;
    // The guest's bytes go out as they are, also where a character is split between two of them.
    const decoder = new TextDecoder("utf-8");
    const startedNs = world.nowNs();
    const vm = new VirtualMachine({
      cpus: flags.cpus,
      memoryBytes: flags.memory,
      kernel,
      initrd,
      append: [COMMAND_LINE, flags.append ?? ""].join(" ").trim(),
      policy: chosen(choice),
      costs: costTable(profileNamed(flags.profile)),
      backing: "thp",
      seed: flags.seed,
      console: (byte) => console.write(decoder.decode(Uint8Array.of(byte), { stream: true })),
    });
    const stopped = await runMachine(vm, {
      timeoutMs: flags.timeout === undefined ? undefined : flags.timeout * 1000,
      input: process.stdin.isTTY === true ? process.stdin : undefined,
    });
    const record = recordOf(vm, stopped, world.nowNs() - startedNs);
    const text = `${JSON.stringify(record, undefined, 2)}\n`;
    if (flags.json === STDOUT) world.stdout.write(text);
    else {
      json?.write(text);
      json?.commit();
    }
    const { exitCode, words } = ENDINGS[stopped];
    world.stderr.write(`spevisor: ${words}\n${summaryOf(record)}`);
    if (exitCode !== 0) throw new MachineEnded(exitCode);
  } finally {
    json?.discard();
  }
}

export function addRun(program: Command, world: World): void {
  program
    .command("run")
    .description("boot an arm64 Linux kernel on this machine's interpreter, under the hypervisor")
    .requiredOption("--kernel <file>", "an arm64 Image, raw or compressed with gzip or zstd", nonEmpty)
    .option("--initrd <file>", "an initial RAM disk", nonEmpty)
    .option("--append <text>", `more for the kernel's command line (it starts with "${COMMAND_LINE}")`)
    .addOption(
      new Option("--memory <size>", "the guest's memory")
        .argParser(positiveSize("--memory"))
        .default(DEFAULT_MEMORY, formatBytes(DEFAULT_MEMORY)),
    )
    .option("--cpus <n>", "vCPUs", whole("--cpus", 1, MOST_CPUS), 1)
    .option("--policy <name>", "a pin policy", nonEmpty, "adaptive")
    .option("--profile <name>", "a cost profile", nonEmpty, "thread-normal")
    .option("--timeout <seconds>", "stop the machine after this time", positive("--timeout"))
    .option("--seed <n>", "seed of everything that is drawn", whole("--seed", 0, 2 ** 32 - 1), 1)
    .option("--json <file>", 'write what the run came to as JSON; "-" for standard output', nonEmpty)
    .addHelpText(
      "after",
      `
The guest's serial console is the terminal; Ctrl-A x ends the machine. What the run came to goes to standard error.
Exit codes: 0 when the guest powers off, 2 for an error before it starts, 124 when --timeout is over, 125 when its
kernel panics, reboots or hangs.

Examples:
  $ spevisor run --kernel vmlinuz --initrd initrd.cpio
  $ spevisor run --kernel Image.gz --initrd initrd.cpio --cpus 4 --memory 1G --append "nokaslr"
  $ spevisor run --kernel vmlinuz --timeout 60 --json run.json`,
    )
    .action((flags: Flags) => runCommand(flags, world));
}
