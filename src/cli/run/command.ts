/** `spevisor run`: a command, or a console, in an arm64 Linux guest under the hypervisor. */
import { type Command, Option } from "commander";
import { CLOCKS, type CyclesPerNs, DEFAULT_CLOCK } from "../../a64/state.ts";
import { UserError } from "../../common/errors.ts";
import { formatBytes } from "../../common/sizes.ts";
import { COMMAND_LINE, DEFAULT_COMMAND_LINE } from "../../guest/debian/command-line.ts";
import { SUITES } from "../../guest/debian/recipe.ts";
import { BACKINGS } from "../../host/mm.ts";
import { PRESSURE_KINDS, type PressureKind } from "../../host/pressure.ts";
import type { PressureRate } from "../../host/random-pressure.ts";
import { writeReport } from "../../lab/report/report-file.ts";
import { REPORT_SCHEMA } from "../../lab/report/run.ts";
import { DEFAULT_SPE, INTERVALS, SPE_VERSIONS } from "../../spe/implementation.ts";
import type { Stopped } from "../../vmm/guest-session.ts";
import { beginFile } from "../files.ts";
import { duration, knownName, nonEmpty, positive, positiveSize, sizeOrUnlimited, whole } from "../options.ts";
import { STDOUT } from "../output.ts";
import { VERSION } from "../version.ts";
import type { World } from "../world.ts";
import { DEFAULT_RTC_SECONDS, type MachineFlags } from "./flags.ts";
import { runJob } from "./machine-job.ts";
import { shareFlags } from "./shares.ts";
import { summaryOf } from "./summary.ts";
import { checkTraceFlags } from "./trace-file.ts";
import { traceRange } from "./trace-range.ts";

const MIB = 1024 ** 2;
const DEFAULT_MEMORY = 512 * MIB;
const MOST_CPUS = 16;
const MOST_MEMORY = 64 * 1024 * MIB;

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

const ENDINGS: Readonly<Record<Stopped, { readonly exitCode: number; readonly words: string | undefined }>> =
  {
    done: { exitCode: 0, words: undefined },
    off: { exitCode: 0, words: "the guest has powered off" },
    quit: { exitCode: 0, words: "ended from the keyboard" },
    reset: {
      exitCode: EXIT_GUEST,
      words: "the guest asked for a reset: its kernel has panicked, or rebooted",
    },
    asleep: { exitCode: EXIT_GUEST, words: "every vCPU sleeps, and nothing will wake it" },
    idle: {
      exitCode: EXIT_GUEST,
      words: "standard input has ended, and the guest has done nothing for an hour of its time",
    },
    timeout: { exitCode: EXIT_TIMEOUT, words: "--timeout is over" },
    memory: {
      exitCode: EXIT_GUEST,
      words:
        "the guest has touched all memory that there is room for, nearly 4 GiB (WebAssembly's addresses have 32 bits); " +
        "with a smaller --memory its kernel would reclaim some instead",
    },
  };

async function runCommand(flags: MachineFlags, command: readonly string[], world: World): Promise<void> {
  const json = flags.json === undefined || flags.json === STDOUT ? undefined : beginFile(flags.json);
  try {
    const outcome = await runJob(flags, command, world);
    const { run, host, stopped, status, lost, tail, unfit } = outcome;
    const text = writeReport({ schema: REPORT_SCHEMA, version: VERSION, host, runs: [run] });
    if (flags.json === STDOUT) world.stdout.write(text);
    else {
      json?.write(text);
      json?.commit();
    }
    const { exitCode, words } = ENDINGS[stopped];
    if (unfit !== undefined) {
      world.stderr.write(`spevisor: ${unfit.what}\n${unfit.remedy}\n`);
      throw new MachineEnded(EXIT_GUEST);
    }
    // A command that ends speaks for itself.
    const quiet = status !== undefined && flags.verbose !== true;
    if (exitCode !== 0 && tail !== undefined) world.stderr.write(`${tail}\n`);
    if (!quiet && words !== undefined) world.stderr.write(`spevisor: ${words}\n`);
    if (!quiet && host.machine !== null) world.stderr.write(summaryOf(run, host.machine));
    for (const line of lost) world.stderr.write(`spevisor: --out ${flags.out}: ${line}\n`);
    const code = (status ?? exitCode) || (lost.length > 0 ? EXIT_GUEST : 0);
    if (code !== 0) throw new MachineEnded(code);
  } finally {
    json?.discard();
  }
}

/** The guest's memory. Its kernel's page structures alone would fill what there is room for, if it had much more. */
function memory(text: string): number {
  const bytes = positiveSize("--memory")(text);
  if (bytes > MOST_MEMORY) throw new UserError(`--memory: ${formatBytes(bytes)} is more than 64 GiB`);
  return bytes;
}

/** What only a hypervisor and its host have, by commander's names. */
const HYPERVISORS = [
  "policy",
  "profile",
  "speMaxBuffer",
  "spePa",
  "backing",
  "memlock",
  "memlockMax",
  "pressure",
] as const;

/** Events a second of --pressure. */
const DEFAULT_PRESSURE = 100;

/** An option as it is typed, by commander's name of it. */
const flagOf = (name: string): string =>
  name === "defaultAppend"
    ? "no-default-append"
    : name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** An option that may be given more than once. */
const several = (text: string, before: readonly string[] | undefined): readonly string[] => [
  ...(before ?? []),
  nonEmpty(text),
];

/** "reclaim,migrate:500". */
function pressure(text: string): PressureRate {
  const [list = "", rate] = text.split(":");
  const kinds = list.split(",").map((name) => knownName("--pressure", name, PRESSURE_KINDS) as PressureKind);
  return { kinds, perSecond: rate === undefined ? DEFAULT_PRESSURE : positive("--pressure")(rate) };
}

/** One of the clocks that a core may have. */
function clock(text: string): CyclesPerNs {
  const found = CLOCKS.find((each) => String(each) === text);
  if (found !== undefined) return found;
  throw new UserError(
    `--freq: the machine has no clock of "${text}" GHz`,
    `Give one of ${CLOCKS.join(", ")}`,
  );
}

/** One of the intervals that PMSIDR_EL1 can tell. */
function speInterval(text: string): number {
  const found = INTERVALS.find((ops) => String(ops) === text);
  if (found !== undefined) return found;
  throw new UserError(
    `--spe-interval: "${text}" is no interval that PMSIDR_EL1 can tell`,
    `Give one of ${INTERVALS.join(", ")}`,
  );
}

/** "0,1". */
function traceLevel(text: string): readonly (0 | 1)[] {
  return text.split(",").map((level) => {
    if (level !== "0" && level !== "1")
      throw new UserError(`--trace-level: the guest has no level "${level}"`, "Give 0, 1 or 0,1");
    return Number(level) as 0 | 1;
  });
}

/** A date for the guest's clock: ISO 8601, as QEMU's -rtc base. */
function rtc(text: string): number | "now" {
  if (text === "now") return "now";
  const ms = Date.parse(/[Zz]|[+-]\d\d:?\d\d$/.test(text) || !text.includes("T") ? text : `${text}Z`);
  if (Number.isNaN(ms) || ms < 0)
    throw new UserError(`--rtc: "${text}" is no date`, "Give one such as 2026-01-01T00:00:00, or now");
  return Math.floor(ms / 1000);
}

/** What is booted. */
const withBoot = (command: Command): Command =>
  command
    .option(
      "--kernel <file>",
      "instead of Debian's: an arm64 Image, plain or packed (gzip, zstd, xz, EFI zboot), ELF, or a raw binary",
      nonEmpty,
    )
    .option("--initrd <file>", "an initial RAM disk instead of spevisor's own", nonEmpty)
    .option(
      "--modules <dir>",
      "the modules of --kernel for spevisor's own RAM disk: lib/modules/RELEASE, or a folder with it in it",
      nonEmpty,
    )
    .option("--dtb <file>", "a device tree instead of the machine's own", nonEmpty)
    .option(
      "--append <text>",
      `more for the kernel's command line (it starts with "${DEFAULT_COMMAND_LINE}", for --kernel with "${COMMAND_LINE}")`,
    )
    .option("--no-default-append", "--append is the whole command line");

/** What of this computer the guest sees, and leaves here. */
const withFiles = (command: Command): Command =>
  command
    .option(
      "--disk <file[,mode]>",
      "a raw image as the guest's /dev/vda, which it writes to; a second one is /dev/vdb; with ,readonly it cannot, " +
        "with ,snapshot what it writes is gone when it ends",
      several,
    )
    .option(
      "--share <dir[:path][:ro]>",
      "a directory of this computer as the guest's /share, or as PATH; may be given again (takes Debian's generic kernel)",
      shareFlags,
    )
    .option(
      "--out <dir>",
      "bring what the command leaves in the guest's /out into this directory, which is made if it is not there; with a recording of perf's, also what perf needs to read it here",
      nonEmpty,
    );

/** The machine. */
const withMachine = (command: Command): Command =>
  command
    .addOption(
      new Option(
        "--memory <size>",
        "the guest's memory, 64G at most; of more than 3.9G a part must stay untouched",
      )
        .argParser(memory)
        .default(DEFAULT_MEMORY, formatBytes(DEFAULT_MEMORY)),
    )
    .option("--cpus <n>", "vCPUs", whole("--cpus", 1, MOST_CPUS), 1)
    .addOption(
      new Option(
        "--freq <GHz>",
        `the clock of the CPUs, which execute an instruction a cycle: ${CLOCKS.join(", ")}`,
      )
        .argParser(clock)
        .default(DEFAULT_CLOCK),
    )
    .addOption(
      new Option("--suite <name>", "the Debian release of the default guest")
        .choices(SUITES)
        .default("bookworm"),
    );

/** The CPUs' profiling unit. */
const withSpe = (command: Command): Command =>
  command
    .addOption(
      new Option("--spe-version <version>", "the CPUs' profiling unit: FEAT_SPE of this version")
        .choices(Object.keys(SPE_VERSIONS))
        .default(DEFAULT_SPE.version),
    )
    .addOption(
      new Option(
        "--spe-interval <n>",
        `instructions between samples at least, and perf's default period: ${INTERVALS.join(", ")}`,
      )
        .argParser(speInterval)
        .default(DEFAULT_SPE.intervalOps),
    )
    .addOption(
      new Option(
        "--spe-models <kind>",
        "what the models of caches, TLB and prediction in records follow: some instructions before each sample, or all, which is slow",
      )
        .choices(["sampled", "exact"])
        .default("sampled"),
    )
    .option(
      "--spe-max-buffer <size>",
      "the largest buffer that KVM lets the guest profile into (PMBIDR_EL1.MaxBuffSize; Linux up to 7.2 does not look)",
      positiveSize("--spe-max-buffer"),
    )
    .option(
      "--spe-pa",
      "records may have physical addresses: in a VM the host's, which perf takes for the guest's",
    );

/** The hypervisor and its host. */
const withHypervisor = (command: Command): Command =>
  command
    .option("--policy <name>", "a pin policy", nonEmpty, "adaptive")
    .option("--profile <name>", "a cost profile", nonEmpty, "thread-normal")
    .addOption(
      new Option("--backing <kind>", "what backs guest memory in the host").choices(BACKINGS).default("thp"),
    )
    .addOption(
      new Option("--memlock <size>", "RLIMIT_MEMLOCK of user space, which what is pinned counts against")
        .argParser(sizeOrUnlimited("--memlock"))
        .default(null, "unlimited"),
    )
    .addOption(
      new Option("--memlock-max <size>", "how far user space raises it when KVM asks (KVM_EXIT_RLIMIT)")
        .argParser(sizeOrUnlimited("--memlock-max"))
        .default(null, "unlimited"),
    )
    .option(
      "--irq-latency <time>",
      "from PMBIRQ asserted to the hypervisor's exit, or the exception on bare metal",
      duration("--irq-latency"),
      0,
    )
    .option(
      "--pressure <kind[,kind][:rate]>",
      `what the host does to guest memory by itself, at random, RATE times a second (100): ${PRESSURE_KINDS.join(", ")}`,
      pressure,
    );

/** What of its instructions is written down. */
const withTrace = (command: Command): Command =>
  command
    .option(
      "--trace-instructions <file>",
      'write each instruction that the command executes, with the kernel\'s symbols and disassembly; slower, and the same run; "-" for standard output',
      nonEmpty,
    )
    .option(
      "--trace-range <range>",
      "only those there: SYMBOL of the kernel's, SYMBOL+0xOFFSET, 0xSTART-0xEND (END is behind the last); may be given again",
      traceRange,
    )
    .option("--trace-level <n[,n]>", "only those of these exception levels: 0, 1", traceLevel)
    .option("--trace-skip <n>", "pass over the first N of those", whole("--trace-skip", 0))
    .option("--trace-count <n>", "N of those, and then no more", whole("--trace-count", 1));

/** How it is run, and what is kept and told of it. */
const withRun = (command: Command): Command =>
  command
    .option(
      "--bare-metal",
      "no hypervisor: the same machine and guest with nothing trapped, mapped at stage 2 or charged",
    )
    .option(
      "--timeout <seconds>",
      "stop the machine after so much of this computer's time (the guest's own runs ahead where it idles)",
      positive("--timeout"),
    )
    .option("--seed <n>", "seed of everything that is drawn", whole("--seed", 0, 2 ** 32 - 1), 1)
    .addOption(
      new Option("--rtc <date>", 'the guest\'s clock at the start, or "now"')
        .argParser(rtc)
        .default(DEFAULT_RTC_SECONDS, new Date(DEFAULT_RTC_SECONDS * 1000).toISOString().slice(0, 10)),
    )
    .option("--snapshot <file>", "start from a saved machine", nonEmpty)
    .option(
      "--save-snapshot <file>",
      "save the machine: when its command has ended, or it is ready for one, or it is stopped",
      nonEmpty,
    )
    .option("--no-cache", "boot anew instead of starting from a guest that has booted before")
    .option("--json <file>", 'write what the run came to as JSON; "-" for standard output', nonEmpty)
    .option(
      "--schedule <file>",
      "write what the machine did with its profiling buffers, exactly, for spevisor predict",
      nonEmpty,
    )
    .option(
      "--exact-profile <file>",
      "count every instruction that the guest believes to be profiled, and hold the samples against that; several times slower, and the same run",
      nonEmpty,
    )
    .option(
      "--host-profile <file>",
      "write where this computer's time goes while the command runs, by the guest's code (the kernel's symbols; of programs the page) and by part of the machine, for speedscope.app; WebAssembly's time is read at least every 8,191 instructions, and is the code's at which it then stands",
      nonEmpty,
    )
    .option("--verbose", "the guest's kernel log and what the run came to, on standard error");

const HELP = `
Without --kernel the guest is Debian's cloud kernel with busybox and perf, fetched once (see spevisor guest); with --share
it is Debian's generic kernel, which has 9p and is a larger download: what is fetched, and how much, is said before. The
console is the terminal if there is no command; Ctrl-A x ends the machine.

Writing: what the guest writes to a disk is in its file, unless it is FILE,readonly or FILE,snapshot; what it writes to a
share is in that directory, unless it is DIR:ro; --out copies its /out. Everything else is gone when it ends.
A disk is a raw image: a whole file system, or partitioned. ext4, XFS, Btrfs, FAT, exFAT, SquashFS, EROFS, ISO 9660 and UDF
can be mounted. Images in other formats are refused by name; FILE,format=raw takes them as they are.
Another kernel needs a driver for virtio consoles to run a command, built in or from --modules.

A line of --trace-instructions: [vCPU] seconds of the machine's time: number of the instruction on its vCPU, exception level,
address, symbol: word, disassembly. Without a command it begins with the machine. An instruction for which the hypervisor
was asked (a stage-2 fault, a trap) is there each time that it is executed.

Exit codes: the command's own; 0 when the guest powers off; 2 for an error before it starts, 124 when --timeout is
over, 125 when its kernel panics, reboots or hangs, takes no commands, or uses more memory than there is, when it waits for
input and there will be none, or when --out cannot bring back all that there is.

Environment: SPEVISOR_MIRROR is the Debian mirror that guests are fetched from (otherwise apt's); guests and boots are kept in
spevisor in XDG_CACHE_HOME, or in ~/.cache; NO_COLOR, if it is set, keeps messages without colours.

Examples:
  $ spevisor run -- uname -a
  $ spevisor run --cpus 2 -- perf stat -e cycles,instructions true
  $ spevisor run --out results -- perf record -o /out/perf.data -- ls -lR /
  $ spevisor run --share . -- sh -c 'ls /share'
  $ spevisor run --share src:/src:ro --share build:/build -- sh /src/test.sh
  $ spevisor run
  $ spevisor run --disk root.img,snapshot -- sh -c 'mount /dev/vda /mnt && ls /mnt'
  $ spevisor run --kernel vmlinuz --modules lib/modules/6.18.1 -- uname -r
  $ spevisor run --kernel vmlinuz --initrd initrd.cpio --cpus 4 --memory 1G --append "nokaslr"
  $ spevisor run --save-snapshot warm.snapshot -- sh -c 'echo prepared >/tmp/state'
  $ spevisor run --schedule true.schedule -- perf record -e arm_spe// -- true
  $ spevisor run --exact-profile exact.json --out results -- perf record -o /out/perf.data -e arm_spe// -- ls -R /sys
  $ spevisor run --trace-instructions - --trace-range vfs_read --trace-count 100 -- true
  $ spevisor run --host-profile host.speedscope.json -- sha256sum /bin/busybox
  $ spevisor run --snapshot warm.snapshot --json run.json -- cat /tmp/state`;

/** What only a hypervisor has is nothing for bare metal, and what a snapshot was made with is not made again. */
function checkFlags(flags: MachineFlags, self: Command): void {
  checkTraceFlags(flags);
  if (flags.bareMetal === true && flags.saveSnapshot !== undefined)
    throw new UserError(
      `--save-snapshot ${flags.saveSnapshot}: a machine on bare metal cannot be saved`,
      "Leave --bare-metal away: a snapshot of a VM starts on bare metal, too",
    );
  if (flags.bareMetal === true)
    for (const option of HYPERVISORS)
      if (self.getOptionValueSource(option) === "cli")
        throw new UserError(`--${flagOf(option)}: on bare metal there is no hypervisor to have one`);
  if (flags.snapshot !== undefined)
    for (const option of [
      "kernel",
      "initrd",
      "modules",
      "dtb",
      "append",
      "defaultAppend",
      "memory",
      "cpus",
      "freq",
      "suite",
      "policy",
      "profile",
      "seed",
      "speVersion",
      "speInterval",
      "speModels",
      "speMaxBuffer",
      "spePa",
      "backing",
      "memlock",
      "memlockMax",
      "irqLatency",
      "pressure",
      "rtc",
    ])
      if (self.getOptionValueSource(option) === "cli")
        throw new UserError(
          `--${flagOf(option)}: the machine of --snapshot ${flags.snapshot} has been made`,
          `Leave --${flagOf(option)} away, or save another snapshot with it`,
        );
}

export function addRun(program: Command, world: World): void {
  const run = program
    .command("run")
    .description("run a command, or a console, in an arm64 Linux guest under the hypervisor")
    .argument("[command...]", "what the guest runs, after --; without one, its console is the terminal");
  for (const more of [withBoot, withFiles, withMachine, withSpe, withHypervisor, withRun, withTrace])
    more(run);
  run.addHelpText("after", HELP).action((command: string[], flags: MachineFlags, self: Command) => {
    checkFlags(flags, self);
    return runCommand(flags, command, world);
  });
}
