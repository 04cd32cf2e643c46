/**
 * A machine's own schedule: what a run of real code did that its profiling unit has to do with, exactly. Lines of JSON: a header,
 * then what happened on each vCPU in order. `npx spevisor run --schedule` writes it, `npx spevisor predict` replays it.
 *
 * Every line about an instant has the vCPU's counters there, from the command's start: its clock, the part of it that was the
 * guest's or other exits' (the rest is idle, or the hypervisor's for SPE), and instructions. So whatever lies between two lines
 * is a difference. What other exits took lies at the beginning of it: there is a line wherever the guest is left for one.
 */
import * as z from "zod";
import { UserError } from "../../common/errors.ts";
import { BACKINGS } from "../../host/mm.ts";
import { PRESSURE_KINDS } from "../../host/pressure.ts";
import { SPE_VERSIONS, type SpeVersion } from "../../spe/implementation.ts";

export const SCHEDULE_SCHEMA = "spevisor.schedule/3";

const count = z.int().nonnegative();
const hex = z.string().regex(/^0x[0-9a-f]{1,16}$/);

/** The machine, as far as a replay must have it alike. */
const Header = z.strictObject({
  schema: z.literal(SCHEDULE_SCHEMA),
  version: z.string().min(1),
  command: z.string().min(1),
  /** "none" on bare metal. */
  policy: z.string().min(1),
  profile: z.string().min(1),
  seed: z.int(),
  cpus: z.int().positive(),
  /** Cycles a nanosecond, and instructions a cycle while none takes an exception. */
  clockGHz: z.number().positive(),
  ipc: z.number().positive(),
  memoryBytes: z.int().positive(),
  backing: z.enum(BACKINGS),
  /** RLIMIT_MEMLOCK, and how far it is raised; null: unlimited. */
  memlockBytes: count.nullable(),
  memlockMaxBytes: count.nullable(),
  /** The largest buffer that KVM allows; null: any. */
  maxBufferBytes: count.nullable(),
  irqLatencyNs: count,
  /** The profiling unit: FEAT_SPE of this version, and PMSIDR_EL1.Interval. */
  spe: z.strictObject({
    version: z.enum(Object.keys(SPE_VERSIONS) as [SpeVersion, ...SpeVersion[]]),
    intervalOps: z.int().positive(),
  }),
});
export type ScheduleHeader = z.infer<typeof Header>;

/** A vCPU and its counters at an instant. */
const at = [
  /** vCPU. */
  count,
  /** Its clock. */
  count,
  /** Of that: the guest executing. */
  count,
  /** Of that: the hypervisor, for exits that SPE has nothing to do with. */
  count,
  /** Instructions. */
  count,
  /** What there is to sample from: operations that the unit counts, and instructions in blackouts. */
  count,
] as const;

/**
 * The buffer that a vCPU is about to enable for the first time: its VA, the guest pages behind it as [first, pages], and those of
 * the tables that map it, in the order of a walk.
 */
const Buffer = z.tuple([
  z.literal("buffer"),
  count,
  hex,
  z.array(z.tuple([count, z.int().positive()])).min(1),
  z.array(count).min(1),
]);
/**
 * The event's registers, once they are all written: PMSCR, PMSFCR, PMSEVFR, PMSLATFR, PMSIRR and PMSICR (_EL1). Each task has an
 * event of its own, which goes on counting where its last turn ended. PMSICR is null where operations were counted before it was seen.
 */
const Event = z.tuple([z.literal("event"), count, hex, hex, hex, hex, hex, hex.nullable()]);
/** E from 0 to 1, with PMBPTR_EL1 and LIMIT. */
const On = z.tuple([z.literal("on"), ...at, hex, hex]);
/** E from 1 to 0, with PMBPTR_EL1. */
const Off = z.tuple([z.literal("off"), ...at, hex]);
/** A write that traps leaves E at 0: the driver starts an event for whose records there is no space, or stops one. */
const Limit = z.tuple([z.literal("limit"), ...at]);
/** The guest's PMBIRQ rises: its buffer is full, or has a fault; with PMBPTR_EL1. */
const Stopped = z.tuple([z.literal("stopped"), ...at, hex]);
/** And falls, with PMBPTR_EL1 and LIMIT. */
const Resumed = z.tuple([z.literal("resumed"), ...at, hex, hex]);
/**
 * How far it has come: where it leaves the guest for an exit that SPE has nothing to do with, and while E is 1 for anything, or its
 * exception level changes.
 */
const Ran = z.tuple([z.literal("ran"), ...at]);
/** It waits, until this instant; what for: its own timer, or anything else. */
const Idle = z.tuple([z.literal("idle"), ...at, count, z.enum(["timer", "other"])]);
/** It goes on at EL0 in another thread than before, or after it was idle: CONTEXTIDR_EL1 with the ASID, and TPIDR_EL0. */
const Task = z.tuple([z.literal("task"), ...at, hex, hex]);
/**
 * The host changes guest memory by itself (--pressure): when, how, the first page, counted from the guest's first, and how many.
 * No vCPU has to do with it.
 */
const Host = z.tuple([
  z.literal("host"),
  z.literal(-1),
  count,
  z.enum(PRESSURE_KINDS),
  count,
  z.int().positive(),
]);
/** Guest pages that stage 2 let the guest write to when the command began, as [first, pages]: not of bare metal. */
const Mapped = z.tuple([z.literal("mapped"), z.literal(-1), z.array(z.tuple([count, z.int().positive()]))]);
/** Stage 2 does not allow an access of the vCPU's to this guest page, and is mended. */
const Fault = z.tuple([z.literal("fault"), ...at, count, z.enum(["read", "write"])]);
/** The command has ended. */
const End = z.tuple([z.literal("end"), ...at]);

const Line = z.union([
  Idle,
  Task,
  Ran,
  Fault,
  On,
  Off,
  Limit,
  Stopped,
  Resumed,
  End,
  Event,
  Buffer,
  Host,
  Mapped,
]);
export type ScheduleLine = z.infer<typeof Line>;
/** A line about an instant. */
export type InstantLine = Exclude<
  ScheduleLine,
  z.infer<typeof Buffer> | z.infer<typeof Event> | z.infer<typeof Host> | z.infer<typeof Mapped>
>;

export interface MachineSchedule {
  readonly header: ScheduleHeader;
  readonly lines: readonly ScheduleLine[];
}

/** The counters of a line about an instant. */
export interface Counters {
  readonly vcpu: number;
  readonly atNs: number;
  readonly guestNs: number;
  readonly otherNs: number;
  readonly instructions: number;
  readonly profiled: number;
}

export function countersOf(line: InstantLine): Counters {
  const [, vcpu, atNs, guestNs, otherNs, instructions, profiled] = line;
  return { vcpu, atNs, guestNs, otherNs, instructions, profiled };
}

/** Whether a line is about an instant of a vCPU's. */
export const isOfInstant = (line: ScheduleLine): line is InstantLine =>
  line[0] !== "buffer" && line[0] !== "event" && line[0] !== "host" && line[0] !== "mapped";

/** Whether bytes begin as such a file does: its first line is the header. */
export const isMachineSchedule = (start: string): boolean => /^\{"schema":"spevisor\.schedule\//.test(start);

/** The file's first line. */
export const headerLine = (header: ScheduleHeader): string => `${JSON.stringify(Header.parse(header))}\n`;

/** A line of the file, checked. */
export const lineOf = (line: ScheduleLine): string => `${JSON.stringify(Line.parse(line))}\n`;

/**
 * Reads such a file.
 * @param name what to call it
 * @throws UserError where it is none, or damaged
 */
export function readMachineSchedule(name: string, text: string): MachineSchedule {
  const [first = "", ...rest] = text.split("\n");
  const refuse = (number: number, why: string): never => {
    throw new UserError(
      `${name}: line ${number}: ${why}`,
      `Record it again: spevisor run --schedule ${name} -- COMMAND`,
    );
  };
  const parsed = <T>(schema: z.ZodType<T>, line: string, number: number): T => {
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      return refuse(number, "no JSON: the file is cut, or was edited");
    }
    const result = schema.safeParse(value);
    return result.success ? result.data : refuse(number, z.prettifyError(result.error));
  };
  const schema = /"schema":"([^"]*)"/.exec(first)?.[1];
  if (schema !== undefined && schema !== SCHEDULE_SCHEMA)
    throw new UserError(`${name}: a schedule of another version (${schema}): this is ${SCHEDULE_SCHEMA}`);
  const header = parsed(Header, first, 1);
  const lines = rest.flatMap((line, i) => (line === "" ? [] : [parsed(Line, line, i + 2)]));
  checkOrder(lines, header.cpus, refuse);
  return { header, lines };
}

/** Counters only grow, on vCPUs that there are, up to an end on each. */
function checkOrder(
  lines: readonly ScheduleLine[],
  cpus: number,
  refuse: (number: number, why: string) => never,
): void {
  const last = new Map<number, Counters>();
  const ended = new Set<number>();
  for (const [i, line] of lines.entries()) {
    const [kind, vcpu] = line;
    if (vcpu >= cpus) refuse(i + 2, `vCPU ${vcpu} of ${cpus}`);
    if (!isOfInstant(line)) continue;
    const now = countersOf(line);
    const before = last.get(vcpu);
    const names = ["atNs", "guestNs", "otherNs", "instructions", "profiled"] as const;
    const shrunk = names.find((name) => before !== undefined && now[name] < before[name]);
    if (shrunk !== undefined) refuse(i + 2, `${shrunk} of vCPU ${vcpu} is less than before`);
    last.set(vcpu, now);
    if (kind === "end") ended.add(vcpu);
  }
  if (ended.size !== cpus) refuse(lines.length + 1, "the run has no end: it was cut");
}
