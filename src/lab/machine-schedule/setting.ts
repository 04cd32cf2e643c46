/** A machine's schedule as an experiment of the model's: what the machine was made with is what the model is made with. */
import { PMSCR_EL1, PMSFCR_EL1, PMSIRR_EL1 } from "../../arm/registers.ts";
import { PAGE_BYTES, vaOf, vpnOf } from "../../common/address.ts";
import { counted } from "../../common/counts.ts";
import { UserError } from "../../common/errors.ts";
import { RAM_FIRST_IPN } from "../../guest/memory.ts";
import { DEFAULT_EVENT, type SpeEvent } from "../../guest/spe-event.ts";
import { HUGE_PAGES } from "../../host/frames.ts";
import { factsOf, implementationOf } from "../../spe/implementation.ts";
import type { BufferLayout, Setting } from "../experiment.ts";
import type { MachineSchedule, ScheduleLine } from "./file.ts";
import { readingsOf } from "./reader.ts";
import { cutSchedule } from "./segments.ts";

type Line<Kind extends ScheduleLine[0]> = Extract<ScheduleLine, readonly [Kind, ...unknown[]]>;

const linesOf = <Kind extends ScheduleLine[0]>(
  { lines }: MachineSchedule,
  kind: Kind,
): readonly Line<Kind>[] => lines.filter((line): line is Line<Kind> => line[0] === kind);

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

/** Each vCPU's first buffer; one that never had any has another's, and does not use it. */
function layoutOf(schedule: MachineSchedule): BufferLayout[] {
  const buffers = linesOf(schedule, "buffer");
  const [any] = buffers;
  return Array.from({ length: schedule.header.cpus }, (_, vcpu) => {
    const [, , base, pages] = buffers.find((line) => line[1] === vcpu) ?? any!;
    return { first: vpnOf(BigInt(base)), pages };
  });
}

const pagesOf = ({ pages }: BufferLayout): number => pages.reduce((sum, [, count]) => sum + count, 0);

/**
 * @param name what the schedule was read from
 * @param seed of what the model draws
 * @throws UserError where the buffer was never on
 */
export function machineSetting(name: string, schedule: MachineSchedule, seed: number): Setting {
  const { header } = schedule;
  const [event] = linesOf(schedule, "event");
  const buffers = linesOf(schedule, "buffer");
  if (event === undefined || buffers.length === 0)
    throw new UserError(
      `${name}: its command did not profile with SPE: there is nothing to replay`,
      "Record one that does: spevisor run --schedule FILE -- perf record -e arm_spe// -- COMMAND",
    );
  const layout = layoutOf(schedule);
  const largest = Math.max(...layout.map(pagesOf));
  const spe = implementationOf(header.spe);
  const readings = layout.map((buffer, vcpu) =>
    readingsOf(schedule.lines, vcpu, {
      base: vaOf(buffer.first),
      bytes: pagesOf(buffer) * PAGE_BYTES,
      ...factsOf(spe),
    }),
  );
  const unexplained = readings.reduce((sum, each) => sum + each.unexplained, 0);
  const cut = cutSchedule(
    schedule,
    readings.map(({ windows }) => windows),
    [
      `Replayed as the machine ran it (${header.policy === "none" ? "on bare metal" : `under ${header.policy}`}): every enable, disable, wait and the instructions between them are exact.`,
      ...(buffers.length > new Set(buffers.map(([, vcpu]) => vcpu)).size
        ? ["The guest has mapped its buffers anew in between: they are replayed where they were first."]
        : []),
      ...(unexplained > 0
        ? [
            `${counted(unexplained, "window")} of the buffer ${unexplained === 1 ? "is" : "are"} none that the driver's rules give: the replay's may be others.`,
          ]
        : []),
    ],
  );
  const memlock = header.memlockBytes ?? Number.POSITIVE_INFINITY;
  const memoryPages = Math.ceil(header.memoryBytes / PAGE_BYTES / HUGE_PAGES) * HUGE_PAGES;
  const used = Math.max(
    memoryPages,
    ...layout.flatMap(({ pages }) => pages.map(([first, count]) => first + count - RAM_FIRST_IPN)),
  );
  // The model's tables lie behind the buffers.
  const tables = Math.ceil((used / 256 + 64) / HUGE_PAGES + 1) * HUGE_PAGES;
  return {
    scenario: header.command,
    schedule: cut.schedule,
    event: eventOf(event),
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
    // The guest has zeroed its buffer just before: stage 2 still has it.
    stage2AtStart: "mapped",
    layout,
    spe,
    // What the driver executes is in the segments; only a full buffer's interrupt is not.
    guestCosts: { sysreg: 0, drain: 0, driverStart: 0, driverStop: 0, driverIrq: cut.meanStopNs },
  };
}
