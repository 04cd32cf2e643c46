/** A machine's schedule as an experiment of the model's: what the machine was made with is what the model is made with. */
import { PMSCR_EL1, PMSFCR_EL1, PMSIRR_EL1 } from "../../arm/registers.ts";
import { PAGE_BYTES, vpnOf } from "../../common/address.ts";
import { counted } from "../../common/counts.ts";
import { UserError } from "../../common/errors.ts";
import { type PlacedBuffer, pageBehind, pagesOf } from "../../guest/buffers.ts";
import { RAM_FIRST_IPN } from "../../guest/memory.ts";
import { DEFAULT_EVENT, type SpeEvent } from "../../guest/spe-event.ts";
import { HUGE_PAGES } from "../../host/frames.ts";
import type { PressureEvent } from "../../host/pressure.ts";
import { factsOf, type ImplementationFacts, implementationOf } from "../../spe/implementation.ts";
import type { Setting } from "../experiment.ts";
import { buffersOf, type ScheduledBuffer } from "./buffers.ts";
import type { MachineSchedule, ScheduleLine } from "./file.ts";
import { type Readings, readingsOf } from "./reader.ts";
import { cutSchedule } from "./segments.ts";

type Line<Kind extends ScheduleLine[0]> = Extract<ScheduleLine, readonly [Kind, ...unknown[]]>;

/** The event that the driver has written into the unit's registers. */
function eventOf([, , pmscr, pmsfcr, pmsevfr, pmslatfr, pmsirr]: Line<"event">): SpeEvent {
  const filters = BigInt(pmsfcr);
  const byType = PMSFCR_EL1.is(filters, "FT");
  return {
    ...DEFAULT_EVENT,
    period: PMSIRR_EL1.num(BigInt(pmsirr), "INTERVAL") * 256,
    jitter: PMSIRR_EL1.is(BigInt(pmsirr), "RND"),
    tsEnable: PMSCR_EL1.is(BigInt(pmscr), "TS"),
    minLatency: PMSFCR_EL1.is(filters, "FL") ? Number(BigInt(pmslatfr)) : 0,
    eventFilter: PMSFCR_EL1.is(filters, "FE") ? Number(BigInt(pmsevfr) & 0xffff_ffffn) : 0,
    branchFilter: byType && PMSFCR_EL1.is(filters, "B"),
    loadFilter: byType && PMSFCR_EL1.is(filters, "LD"),
    storeFilter: byType && PMSFCR_EL1.is(filters, "ST"),
    // Which instructions are profiled has been counted: the model's all run at EL0.
    excludeUser: false,
    excludeKernel: !PMSCR_EL1.is(BigInt(pmscr), "E1SPE"),
  };
}

/** PMSICR_EL1 as the driver wrote it at each enable, where that was seen. */
function startCountsOf(lines: readonly ScheduleLine[]): readonly (bigint | undefined)[] {
  const counts: (bigint | undefined)[] = [];
  for (const line of lines) {
    if (line[0] === "on") counts.push(undefined);
    else if (line[0] === "event" && line[7] !== null) counts[counts.length - 1] = BigInt(line[7]);
  }
  return counts;
}

/** Whether the driver wrote PMBLIMITR_EL1 a second time where it had no space for a full buffer's records, if that was seen. */
function haltsOf(lines: readonly ScheduleLine[]): Pick<PlacedBuffer, "haltsTwice"> {
  let halts = false;
  let haltsTwice = false;
  let state: "on" | "stopped" | "halting" = "on";
  for (const [kind] of lines) {
    if (kind === "stopped") state = "stopped";
    else if (kind === "off" && state === "stopped") {
      state = "halting";
      halts = true;
    } else if (kind === "limit" && state === "halting") haltsTwice = true;
    else if (kind === "resumed") state = "on";
  }
  return halts ? { haltsTwice } : {};
}

/**
 * A buffer as the model has it. Whether perf lets it be overwritten (-S) is told by the driver's windows: its rules for the one
 * explain them, or those for the other.
 */
function placed(
  { mapped, event, lines }: ScheduledBuffer,
  usual: SpeEvent,
  facts: ImplementationFacts,
): { readonly buffer: PlacedBuffer; readonly unexplained: number } {
  const [, , base, pages, tables] = mapped;
  const place = { first: vpnOf(BigInt(base)), pages, tables };
  const [read, overwritten] = [false, true].map((snapshot) =>
    readingsOf(lines, { base: BigInt(base), bytes: pagesOf(place) * PAGE_BYTES, ...facts, snapshot }),
  ) as [Readings, Readings];
  const of = {
    ...place,
    ...haltsOf(lines),
    event: event === undefined ? usual : eventOf(event),
    startCounts: startCountsOf(lines),
  };
  return overwritten.unexplained < read.unexplained
    ? { buffer: { ...of, snapshot: true }, unexplained: overwritten.unexplained }
    : { buffer: { ...of, snapshot: false, readings: read.windows }, unexplained: read.unexplained };
}

/** Guest pages that a line names, as [first, pages]. */
function pagesIn(line: ScheduleLine): readonly (readonly [first: number, pages: number])[] {
  switch (line[0]) {
    case "mapped":
      return line[2];
    case "fault":
      return [[line[7], 1]];
    case "buffer":
      return [...line[3], ...line[4].map((page) => [page, 1] as const)];
    case "host":
      return [[RAM_FIRST_IPN + line[4], line[5]]];
    default:
      return [];
  }
}

/** What a schedule names is the guest's memory. @throws UserError where it is not */
function checkPages(name: string, { header, lines }: MachineSchedule): void {
  const end = RAM_FIRST_IPN + Math.ceil(header.memoryBytes / PAGE_BYTES);
  for (const line of lines)
    for (const [first, pages] of pagesIn(line))
      if (first < RAM_FIRST_IPN || first + pages > end)
        throw new UserError(
          `${name}: guest page ${first} of a "${line[0]}" line is not in the guest's memory: the file was edited`,
          `Record it again: spevisor run --schedule ${name} -- COMMAND`,
        );
}

/**
 * @param name what the schedule was read from
 * @param seed of what the model draws
 * @throws UserError where the buffer was never on
 */
export function machineSetting(name: string, schedule: MachineSchedule, seed: number): Setting {
  const { header } = schedule;
  checkPages(name, schedule);
  const buffers = buffersOf(schedule.lines, header.cpus);
  const first = schedule.lines.find((line): line is Line<"event"> => line[0] === "event");
  const [any] = buffers.flat();
  if (first === undefined || any === undefined)
    throw new UserError(
      `${name}: its command did not profile with SPE: there is nothing to replay`,
      "Record one that does: spevisor run --schedule FILE -- perf record -e arm_spe// -- COMMAND",
    );
  const event = eventOf(first);
  const spe = implementationOf(header.spe);
  const known = buffers.map((ofVcpu) => ofVcpu.map((buffer) => placed(buffer, event, factsOf(spe))));
  const unexplained = known.flat().reduce((sum, each) => sum + each.unexplained, 0);
  const cut = cutSchedule(schedule, [
    `Replayed as the machine ran it (${header.policy === "none" ? "on bare metal" : `under ${header.policy}`}): every enable, disable, wait and the instructions between them are exact.`,
    ...(unexplained > 0
      ? [
          `${counted(unexplained, "window")} of the buffer ${unexplained === 1 ? "is" : "are"} none that the driver's rules give: the replay's may be others.`,
        ]
      : []),
  ]);
  const stopsNs = cut.stoppedNs.flat().flatMap((ofBuffer) => ofBuffer ?? []);
  const meanStopNs = stopsNs.length === 0 ? 0 : stopsNs.reduce((a, b) => a + b) / stopsNs.length;
  // A vCPU that never had a buffer has another's, and does not use it.
  const anywhere = known.flat()[0]!.buffer;
  const all = known.map((ofVcpu, vcpu) =>
    ofVcpu.length > 0
      ? ofVcpu.map(({ buffer }, i) => ({ ...buffer, interruptNs: cut.stoppedNs[vcpu]?.[i] ?? [] }))
      : [anywhere],
  );
  const largest = Math.max(...all.flat().map(pagesOf));
  const pressure = schedule.lines.flatMap((line): PressureEvent[] => {
    if (line[0] !== "host") return [];
    const [, , atNs, kind, first, pages] = line;
    return [{ atNs, kind, first, pages }];
  });
  const mapped = schedule.lines.find((line): line is Line<"mapped"> => line[0] === "mapped");
  const memlock = header.memlockBytes ?? Number.POSITIVE_INFINITY;
  const memoryPages = Math.ceil(header.memoryBytes / PAGE_BYTES / HUGE_PAGES) * HUGE_PAGES;
  const used = Math.max(memoryPages, pageBehind(all) - RAM_FIRST_IPN);
  // The model's tables lie behind the buffers.
  const tables = Math.ceil((used / 256 + 64) / HUGE_PAGES + 1) * HUGE_PAGES;
  return {
    scenario: header.command,
    schedule: cut.schedule,
    event,
    bufferBytes: largest * PAGE_BYTES,
    snapshot: false,
    pageBytes: 4096,
    backing: header.backing,
    memoryBytes: (used + tables) * PAGE_BYTES,
    memlockBytes: memlock,
    memlockMaxBytes: Math.max(memlock, header.memlockMaxBytes ?? Number.POSITIVE_INFINITY),
    maxBufferBytes: header.maxBufferBytes,
    irqLatencyNs: header.irqLatencyNs,
    clockGHz: header.clockGHz,
    ipc: header.ipc,
    seed,
    ...(pressure.length === 0 ? {} : { pressure: () => pressure.values() }),
    // The guest has zeroed its buffer just before: stage 2 still has it.
    stage2AtStart: "mapped",
    recordedUnder: header.policy,
    ...(mapped === undefined ? {} : { mappedAtStart: mapped[2] }),
    placed: all,
    spe,
    // What the driver executes is in the segments; only a full buffer's interrupt is not.
    guestCosts: { sysreg: 0, drain: 0, driverStart: 0, driverStop: 0, driverIrq: Math.round(meanStopNs) },
  };
}
