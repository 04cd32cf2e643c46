/**
 * The report: what every run says about itself. One run is one record, whether its guest is the model or real code; it is
 * checked against this schema when it is written and again when it is read, and for the sums that must hold. Names carry
 * units.
 *
 * Every key is always there; what does not apply is `null`, never absent.
 */
import * as z from "zod";
import { EXIT_REASONS } from "../../kvm/exit-reasons.ts";

export const RUN_SCHEMA = "spevisor.run/3";
export const REPORT_SCHEMA = "spevisor.report/1";
export const COMPARE_SCHEMA = "spevisor.compare/1";

/** A duration or a charge in nanoseconds. */
const ns = z.number().nonnegative();
const bytes = z.int().nonnegative();
const count = z.int().nonnegative();

/**
 * Where a vCPU's time may go. These are exclusive: together they are its elapsed time.
 * `guestRun`: the guest executes; `idle`: it waits in WFI; `walk`: the hypervisor walks guest stage 1; `pin` and
 * `unpin`: host pages are taken and given back; `stage2`: stage-2 tables are changed; `exit`: the world switch and
 * the handling around it; `irq`: PMBIRQ handling and injection; `lockWait`: waiting for the mmap or MMU lock;
 * `steal`: other host work has its CPU, since none is to spare.
 */
export const TIME_PARTS = [
  "guestRunNs",
  "idleNs",
  "walkNs",
  "pinNs",
  "unpinNs",
  "stage2Ns",
  "exitNs",
  "irqNs",
  "lockWaitNs",
  "stealNs",
] as const;
export type TimePart = (typeof TIME_PARTS)[number];

/** The parts that are the hypervisor's doing, in the order in which charts stack them. */
const HYPERVISOR_PARTS = TIME_PARTS.filter((part) => part !== "guestRunNs" && part !== "idleNs");

const timeParts = {
  guestRunNs: ns,
  idleNs: ns,
  walkNs: ns,
  pinNs: ns,
  unpinNs: ns,
  stage2Ns: ns,
  exitNs: ns,
  irqNs: ns,
  lockWaitNs: ns,
  stealNs: ns,
} satisfies Record<TimePart, typeof ns>;

const VcpuTime = z.strictObject({ vcpu: count, elapsedNs: ns, ...timeParts });

/**
 * Samples by fate: `selected` is the sum of all the others (architecture invariant 4). `filtered` has those that discard mode has
 * thrown away.
 */
const Samples = z.strictObject({
  selected: count,
  written: count,
  filtered: count,
  collided: count,
  lostInBlackout: count,
  lostWhileFull: count,
  truncated: count,
});

const Blackouts = z.strictObject({ count, totalNs: ns, longestNs: ns, instructions: count });

const AtCosts = z.strictObject({ slowdown: z.number().nonnegative() });

/** Bare metal's run of the same work, beside `bareMetalWallNs` and `slowdown`. */
const Baseline = z.strictObject({
  /** Samples that it selected, and those of them that were lost to a full buffer: what no hypervisor is to blame for. */
  selected: count,
  lostWhileFull: count,
});

/** What only the model has: a guest whose every step is known, run again under other assumptions. */
const Model = z.strictObject({
  /**
   * An open-loop replay's two readings of a wait for something unseen: `kept` waits as long as recorded,
   * `absorbing` lets hypervisor time eat into the wait. Null where nothing was replayed.
   */
  slowdownRange: z
    .strictObject({ kept: z.number().nonnegative(), absorbing: z.number().nonnegative() })
    .nullable(),
  /** The same run with every cost at the low end of its range. Null where it was not evaluated. */
  atLowCosts: AtCosts.nullable(),
  atHighCosts: AtCosts.nullable(),
  /** Names of the costs whose range alone changes the slowdown verdict. */
  flips: z.array(z.string()),
  /**
   * The same run if no switch were direct (`bufferEnablesWithoutDirectSwitchRule`). Null where the recording tells which
   * are, or little depends on it.
   */
  withoutDirectSwitches: z
    .strictObject({ slowdown: z.number().nonnegative(), guestWallNs: ns, bufferEnables: count })
    .nullable(),
  /** Enables if every switch-in of a target task counted, direct switches between cloned contexts too. */
  bufferEnablesWithoutDirectSwitchRule: count.nullable(),
  /** The enables and disables by cause (`switch-in`, `overflow`, ...); empty, or they add up. */
  enableReasons: z.record(z.string(), count),
  disableReasons: z.record(z.string(), count),
  /** From the last disable until nothing was pinned any more; null: something still was 2 s after the end. */
  releasedAfterNs: ns.nullable(),
  /** Somebody's own figure for this run. `wallNs` is what they saw; `bareMetalBelowNs` what they saw on bare metal. */
  reference: z
    .strictObject({ wallNs: ns, bareMetalBelowNs: ns.nullable(), source: z.string().min(1) })
    .nullable(),
});
export type Model = z.infer<typeof Model>;

/** What every run has. */
const common = {
  schema: z.literal(RUN_SCHEMA),

  // What ran.
  scenario: z.string().min(1),
  policy: z.string().min(1),
  /** The cost profile's name. */
  profile: z.string().min(1),
  seed: z.int(),
  /** Every option and guess that a recording or a message cannot tell, one sentence each. */
  assumptions: z.array(z.string()),
  /** What went wrong without ending the run: a truncated recording, lost records. */
  warnings: z.array(z.string()),
  /** What backs guest memory in the host: `base`, `thp`, `hugetlb-2M`, ... */
  backing: z.string().min(1),

  // How long it took.
  /** Prefault and pinning before the first guest run: outside slowdown, always shown. */
  setupNs: ns,
  /** The command's wall time in the guest; of a replay's two readings, the worse. */
  guestWallNs: ns,

  // Where the time went.
  /** Each vCPU's own split; the parts add up to its elapsed time. */
  vcpus: z.array(VcpuTime).min(1),
  /** Totals over the vCPUs. */
  ...timeParts,
  /** Host work on other timelines than the vCPUs'. */
  backgroundNs: ns,
  /** All CPU time that the host spent on the VM, on the vCPUs' timelines and on others. Waiting for a lock takes none. */
  hostCpuNs: ns,
  /** Of the hypervisor's time: the first pin, walks and pins after it, and traps. Null where not split. */
  excess: z.strictObject({ firstPinNs: ns, rewalkNs: ns, trapNs: ns }).nullable(),
  /** Longest stretch of host work that stopped a vCPU: the first enable after `over`, and any later one. */
  longestStopNs: z.strictObject({ cold: ns, warm: ns }),

  // How often.
  /** PMBLIMITR_EL1.E from 0 to 1, and from 1 to 0. */
  bufferEnables: count,
  bufferDisables: count,
  pins: count,
  unpins: count,
  pagesPinned: count,
  pagesUnpinned: count,
  tablePagesPinned: count,

  // What it cost the host.
  pinnedPeakBytes: bytes,
  /** The same with the whole huge page that a pinned page keeps from reclaim, which is counted once. */
  unreclaimablePeakBytes: bytes,
  pinnedByteSeconds: z.number().nonnegative(),
  /** Summed over the stretches in which memory was pinned while E was 0. */
  heldAfterOffNs: ns,
  memlockPeakBytes: bytes,
  /** Null: unlimited. */
  memlockLimitBytes: bytes.nullable(),

  // What the profile lost.
  /** Faults of the SPU's writes, and of the CPU's own accesses. */
  recordStage2Faults: count,
  cpuStage2Faults: count,
  blackouts: Blackouts,
  samples: Samples,
  /** Distance of the sampled profile from the exact one; null without ground truth. */
  fidelity: z.strictObject({ totalVariation: z.number(), topSymbolError: z.number() }).nullable(),

  // What the guest saw.
  /** Warnings of the guest's kernel with their text; null for `model`. */
  guestComplaints: z.array(z.string()).nullable(),
  /** KVM exits by reason, KVM_EXIT_RLIMIT among them. */
  exitReasons: z.partialRecord(z.enum(EXIT_REASONS), count),
};

/** A run of the model: always beside bare metal. */
export const ModelRun = z.strictObject({
  ...common,
  guest: z.literal("model"),
  bufferBytes: bytes,
  /** The guest's granule. */
  pageBytes: bytes,
  baseline: Baseline,
  bareMetalWallNs: ns,
  /** guestWallNs / bareMetalWallNs; the worse end where a replay gives a range. */
  slowdown: z.number().nonnegative(),
  machine: z.null(),
  model: Model,
  contextSwitches: count,
  /** Cycles over task time, as `perf stat` in the guest would print it; null where no task was measured. */
  guestClockGHz: z.number().nonnegative().nullable(),
});
export type ModelRun = z.infer<typeof ModelRun>;

/** What the cores of a machine that executes code did, from the work's start on. */
const counted = {
  instructions: count,
  el0: count,
  el1: count,
  exceptions: count,
};

/** What only real code has. */
const RealMachine = z.strictObject({
  /** What it was made with, beside `policy`, `profile` and `seed`. */
  cpus: count,
  memoryBytes: bytes,
  /** Seconds since 1970 at the guest's time 0. */
  startSeconds: z.number(),
  shares: z.array(z.string()),
  disks: z.array(z.strictObject({ id: z.string(), mode: z.enum(["writable", "readonly", "snapshot"]) })),
  /** Why it stopped; "done": what it was run for was done. */
  ended: z.enum(["off", "reset", "asleep", "idle", "timeout", "quit", "done", "memory"]),
  /** The command's, as a shell has it; null where none has ended. */
  status: count.nullable(),
  ...counted,
  vcpus: z
    .array(
      z.strictObject({
        ...counted,
        /** Where it stopped. */
        pc: z.string(),
        el: count,
        /** The storm of exceptions that it is in, with the last one's registers; null where it is in none. */
        storm: z
          .strictObject({
            kind: z.enum(["nested", "repeated"]),
            exceptions: count,
            esr: z.string(),
            elr: z.string(),
            far: z.string(),
            vbar: z.string(),
          })
          .nullable(),
      }),
    )
    .min(1),
  /** Encodings that the core does not have, by word in hexadecimal: how often each was met. */
  undefined: z.record(z.string(), count),
  /** The last lines on the serial console, 30 at most. */
  console: z.array(z.string()),
  /**
   * What came before the work that is recorded: the machine's boot, and whatever else a snapshot has behind it. Null where the
   * machine was new. It is in no other figure but peaks of memory.
   */
  boot: z
    .strictObject({
      wallNs: ns,
      ...counted,
      cpuStage2Faults: count,
      exitReasons: common.exitReasons,
    })
    .nullable(),
});
export type RealMachine = z.infer<typeof RealMachine>;

/** Bare metal's run of the same command, and the VM's with SPE that costs nothing (lab/linux/free-spe.ts). */
const LinuxBaseline = Baseline.extend({
  /** What a policy's slowdown counts against; null: nobody ran it. */
  freeSpeWallNs: ns.nullable(),
});

/** A run of real code, from its command's start on. */
export const LinuxRun = z.strictObject({
  ...common,
  guest: z.literal("linux"),
  /** Null where the guest has no SPE, or never turned it on. */
  bufferBytes: bytes.nullable(),
  /** The guest's granule; null where nobody looked. */
  pageBytes: bytes.nullable(),
  baseline: LinuxBaseline.nullable(),
  bareMetalWallNs: ns.nullable(),
  slowdown: z.number().nonnegative().nullable(),
  machine: RealMachine,
  model: z.null(),
  /** Of tasks, on all vCPUs; null where the kernel does not tell (it is built without PID_IN_CONTEXTIDR). */
  contextSwitches: count.nullable(),
  /** As the guest's own `perf stat` has printed it; null where none did. */
  guestClockGHz: z.number().nonnegative().nullable(),
});
export type LinuxRun = z.infer<typeof LinuxRun>;

/** The schema of one run. */
export const Run = z.discriminatedUnion("guest", [ModelRun, LinuxRun]);
/** One run's record. */
export type Run = z.infer<typeof Run>;

const Host = z.strictObject({
  platform: z.string(),
  arch: z.string(),
  node: z.string(),
  cpus: count,
  /** How long the whole command took here. */
  wallNs: ns,
  /** What executing real code took here; null where none was. */
  machine: z
    .strictObject({
      /** Until the machine stood: files read, interpreter made, memory filled. */
      startNs: ns,
      runNs: ns,
      /** Instructions that were executed here, not before the snapshot. */
      instructions: count,
      /** Millions of instructions in a second. */
      mips: z.number().nonnegative(),
      /** Whether a snapshot was there to start from, or was made at the end. */
      snapshot: z.enum(["none", "restored", "saved"]),
    })
    .nullable(),
});
/** The machine that computed a report: the only part that may differ between two reports of the same runs. */
export type Host = z.infer<typeof Host>;

/** A run of the model beside the machine's that it replays (lab/agreement.ts). */
const Agreement = z.strictObject({
  scenario: z.string().min(1).optional(),
  policy: z.string().min(1),
  profile: z.string().min(1),
  rows: z.array(
    z.strictObject({
      what: z.string(),
      machine: z.number(),
      model: z.number(),
      rule: z.enum(["equal", "near"]),
      agrees: z.boolean(),
    }),
  ),
  agrees: z.boolean(),
});
export type Agreement = z.infer<typeof Agreement>;

/** The schema of a report file. */
export const Report = z.strictObject({
  schema: z.literal(REPORT_SCHEMA),
  version: z.string().min(1),
  host: Host,
  runs: z.array(Run),
  /** Of `compare`: where its two runs part, and what each costs from there (lab/compare.ts). Other reports have none. */
  comparison: z.looseObject({ schema: z.literal(COMPARE_SCHEMA), sentences: z.array(z.string()) }).optional(),
  /** Of `predict --against` and `thread --guest linux`: each run of the model beside the machine's own. Other reports have none. */
  agreement: z.array(Agreement).optional(),
});
export type Report = z.infer<typeof Report>;

/** Everything the hypervisor took from the vCPUs. */
export const hypervisorNs = (run: Pick<Run, TimePart>): number =>
  HYPERVISOR_PARTS.reduce((sum, part) => sum + run[part], 0);
