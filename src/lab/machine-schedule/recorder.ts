/** Writes down what a machine that executes code does with its profiling buffers, while it does: see file.ts. */
import { TCR_EL1 } from "../../arm/registers.ts";
import { hex, type Ipn, type Vpn, vpn, vpnOf } from "../../common/address.ts";
import { PMBIRQ_INTID } from "../../kvm/wires.ts";
import type { VirtualMachine } from "../../vmm/virtual-machine.ts";
import type { Counters, ScheduleLine } from "./file.ts";

/** A buffer has no more pages than this: 16 GiB. */
const MOST_PAGES = 4 * 1024 ** 2;

/** How many of a buffer's pages are looked at to know it again. */
const PROBES = 16;

/** A buffer that has been told of. */
interface ToldBuffer {
  readonly first: Vpn;
  readonly pages: number;
  /** Some of the guest pages behind it; where it was freed and another lies there, they are others. */
  readonly probed: readonly (number | undefined)[];
}

/** Pages of a buffer that differ where it does, and the one behind it, which is free. */
const probesOf = ({ first, pages }: Pick<ToldBuffer, "first" | "pages">): readonly number[] => [
  ...Array.from({ length: PROBES }, (_, i) => first + Math.floor((i * (pages - 1)) / (PROBES - 1))),
  first + pages,
];

/** A vCPU's counters as a line has them, from the command's start. */
type Told = readonly [
  vcpu: number,
  atNs: number,
  guestNs: number,
  otherNs: number,
  instructions: number,
  profiled: number,
];

/** What is followed of a vCPU. */
export interface Watched {
  readonly start: Counters;
  on: boolean;
  /** The event's registers have been told since E rose. */
  eventTold: string | undefined;
  /** What there was to sample from when E rose. */
  profiledAtOn: number;
  /** Where it has left the guest last, and whether that is told: it is where an exit follows that SPE has nothing to do with. */
  ran: Told;
  isRanTold: boolean;
  /** The thread that it was in, at EL0; undefined: after it was idle. */
  thread: string | undefined;
  /** Buffers that have been told, the latest first. */
  readonly buffers: ToldBuffer[];
}

export class ScheduleRecorder {
  readonly #vm: VirtualMachine;
  readonly #tell: (line: ScheduleLine) => void;
  #watched: readonly Watched[] = [];

  /** @param tell told of each line as it happens */
  constructor(vm: VirtualMachine, tell: (line: ScheduleLine) => void) {
    this.#vm = vm;
    this.#tell = tell;
  }

  /**
   * The command begins: everything is counted from here. The machine does what it would do unwatched.
   * @param before where it has begun in another machine, whose state this one has: what that one's recorder came to (`pause`)
   */
  begin(before?: readonly Watched[]): void {
    const { machine, cores, devices } = this.#vm;
    this.#watched =
      before === undefined
        ? machine.vcpus.map((_, vcpu) => ({
            start: this.#raw(vcpu),
            on: false,
            eventTold: undefined,
            profiledAtOn: 0,
            ran: [vcpu, 0, 0, 0, 0, 0] as const,
            isRanTold: false,
            thread: undefined,
            buffers: [],
          }))
        : structuredClone(before);
    machine.onBuffer = (vcpu, on) => this.#buffer(vcpu, on);
    const mapped = before === undefined ? this.#vm.pagesMapped() : undefined;
    if (mapped !== undefined) this.#tell(["mapped", -1, mapped.map(([first, pages]) => [first, pages])]);
    machine.onLimitWhileOff = (vcpu) => this.#tell(["limit", ...this.#counters(vcpu)]);
    machine.onFault = (vcpu, page, write) => this.#fault(vcpu, page, write);
    const startNs = this.#watched[0]!.start.atNs;
    machine.onPressure = ({ atNs, kind, first, pages }) =>
      this.#tell(["host", -1, Math.max(0, atNs - startNs), kind, first, pages]);
    machine.vcpus.forEach(({ timeline }, vcpu) => {
      const also = timeline.onCharge;
      timeline.onCharge = (kind, startNs, endNs) => {
        also?.(kind, startNs, endNs);
        if (kind === "idle") this.#idle(vcpu, startNs, endNs);
        else if (kind === "guestRun") this.#event(vcpu);
      };
    });
    cores.forEach((code, vcpu) => {
      code.core.onLevelChange = (from) => {
        if (from === 1) this.#toEl0(vcpu);
        // One of the levels may be profiled, and the other not.
        if (this.#watched[vcpu]!.on) this.#ran(vcpu);
      };
      code.onRan = () => this.#ran(vcpu);
    });
    devices.wires.forEach((wires, vcpu) => {
      wires.onLevel = (intid, high) => {
        if (intid !== PMBIRQ_INTID) return;
        const { pointer, limit } = this.#vm.bufferOf(vcpu);
        const counters = this.#counters(vcpu);
        if (high) this.#tell(["stopped", ...counters, hex(pointer)]);
        else this.#tell(["resumed", ...counters, hex(pointer), hex(limit)]);
      };
    });
  }

  /** The command has ended. */
  end(): void {
    for (const vcpu of this.#watched.keys()) this.#tell(["end", ...this.#counters(vcpu)]);
    this.pause();
  }

  /** Watches no longer. @returns what `begin` takes where the command goes on */
  pause(): readonly Watched[] {
    const { machine, cores, devices } = this.#vm;
    const watched = this.#watched;
    if (watched.length === 0) return watched;
    for (const { timeline } of machine.vcpus) timeline.onCharge = undefined;
    machine.onBuffer = undefined;
    machine.onLimitWhileOff = undefined;
    machine.onFault = undefined;
    machine.onPressure = undefined;
    for (const code of cores) {
      code.core.onLevelChange = undefined;
      code.onRan = undefined;
    }
    for (const wires of devices.wires) wires.onLevel = undefined;
    this.#watched = [];
    return watched;
  }

  #raw(vcpu: number): Counters {
    const { timeline, nowNs, otherNs, truth } = this.#vm.machine.vcpus[vcpu]!;
    return {
      vcpu,
      atNs: nowNs,
      guestNs: timeline.spentNs("guestRun") + nowNs - timeline.nowNs,
      otherNs,
      instructions: this.#vm.cores[vcpu]!.core.executed,
      // What the unit counts: an instruction that faults or exits is among it, though it has not retired.
      profiled: this.#vm.cores[vcpu]!.spu.counters.population + truth.blackoutInstructions,
    };
  }

  /** Its counters now, for a line. */
  #counters(vcpu: number): Told {
    const watched = this.#watched[vcpu]!;
    const { start, ran } = watched;
    const now = this.#raw(vcpu);
    const otherNs = now.otherNs - start.otherNs;
    if (otherNs !== ran[3] && !watched.isRanTold) {
      watched.isRanTold = true;
      this.#tell(["ran", ...ran]);
    }
    return [
      vcpu,
      now.atNs - start.atNs,
      now.guestNs - start.guestNs,
      otherNs,
      now.instructions - start.instructions,
      now.profiled - start.profiled,
    ];
  }

  #buffer(vcpu: number, on: boolean): void {
    const watched = this.#watched[vcpu]!;
    watched.on = on;
    watched.eventTold = undefined;
    const buffer = this.#vm.bufferOf(vcpu);
    if (!on) {
      this.#tell(["off", ...this.#counters(vcpu), hex(buffer.pointer)]);
      return;
    }
    this.#geometry(vcpu, vpnOf(buffer.pointer));
    const counters = this.#counters(vcpu);
    watched.profiledAtOn = counters[5];
    this.#tell(["on", ...counters, hex(buffer.pointer), hex(buffer.limit)]);
  }

  /** The whole buffer, unless it is known: vmap leaves a page free before it and behind it. */
  #geometry(vcpu: number, inside: Vpn): void {
    const pageAt = (page: number) => this.#vm.guestPageAt(vcpu, vpn(page));
    const { buffers } = this.#watched[vcpu]!;
    const isThere = (told: ToldBuffer): boolean =>
      probesOf(told).every((page, i) => pageAt(page) === told.probed[i]);
    const latest = buffers.find(({ first, pages }) => inside >= first && inside <= first + pages);
    if (latest !== undefined && isThere(latest)) return;
    let first: number = inside;
    while (inside - first < MOST_PAGES && pageAt(first - 1) !== undefined) first -= 1;
    const pages: [number, number][] = [];
    for (let page = first; page - first < MOST_PAGES; page++) {
      const at = pageAt(page);
      if (at === undefined) break;
      const last = pages.at(-1);
      if (last !== undefined && last[0] + last[1] === at) last[1] += 1;
      else pages.push([at, 1]);
    }
    if (pages.length === 0) return;
    const place = { first: vpn(first), pages: pages.reduce((sum, [, count]) => sum + count, 0) };
    buffers.unshift({ ...place, probed: probesOf(place).map(pageAt) });
    const tables = this.#vm.guestTablesAt(vcpu, place.first, place.pages);
    this.#tell(["buffer", vcpu, hex(BigInt(first) << 12n), pages, [...tables]]);
  }

  /** It has executed something. */
  #ran(vcpu: number): void {
    const watched = this.#watched[vcpu]!;
    const counters = this.#counters(vcpu);
    watched.isRanTold = watched.on && counters[5] !== watched.ran[5];
    watched.ran = counters;
    if (watched.isRanTold) this.#tell(["ran", ...counters]);
  }

  /** It has left the guest for it just now. */
  #fault(vcpu: number, page: Ipn, write: boolean): void {
    this.#watched[vcpu]!.isRanTold = true;
    this.#tell(["fault", ...this.#counters(vcpu), page, write ? "write" : "read"]);
  }

  /** The event's registers are written after the buffer is enabled, PMSCR_EL1 as the last of them. */
  #event(vcpu: number): void {
    const watched = this.#watched[vcpu]!;
    if (!watched.on || watched.eventTold !== undefined) return;
    const { spu } = this.#vm.cores[vcpu]!;
    const pmscr = spu.read("PMSCR_EL1");
    if (pmscr === 0n) return;
    const registers = ["PMSFCR_EL1", "PMSEVFR_EL1", "PMSLATFR_EL1", "PMSIRR_EL1"] as const;
    const [pmsfcr, pmsevfr, pmslatfr, pmsirr] = registers.map((name) => hex(spu.read(name)));
    watched.eventTold = hex(pmscr);
    const counters = this.#counters(vcpu);
    const pmsicr = counters[5] === watched.profiledAtOn ? hex(spu.read("PMSICR_EL1")) : null;
    this.#tell(["event", vcpu, hex(pmscr), pmsfcr!, pmsevfr!, pmslatfr!, pmsirr!, pmsicr]);
    // What comes before it is not sampled from.
    this.#tell(["ran", ...counters]);
  }

  #idle(vcpu: number, startNs: number, endNs: number): void {
    const watched = this.#watched[vcpu]!;
    const [, , ...rest] = this.#counters(vcpu);
    const { virtual, physical } = this.#vm.devices.timers[vcpu]!.lines(endNs);
    const from = watched.start.atNs;
    watched.thread = undefined;
    this.#tell([
      "idle",
      vcpu,
      startNs - from,
      ...rest,
      endNs - from,
      virtual || physical ? "timer" : "other",
    ]);
  }

  #toEl0(vcpu: number): void {
    const watched = this.#watched[vcpu]!;
    const { state } = this.#vm.cores[vcpu]!.core;
    const isOfTtbr1 = TCR_EL1.is(state.get64("TCR_EL1"), "A1");
    const asid = state.get64(isOfTtbr1 ? "TTBR1_EL1" : "TTBR0_EL1") >> 48n;
    const context = ((state.get64("CONTEXTIDR_EL1") & 0xffff_ffffn) << 16n) | asid;
    const pointer = state.get64("TPIDR_EL0");
    const thread = `${context} ${pointer}`;
    if (thread === watched.thread) return;
    watched.thread = thread;
    this.#tell(["task", ...this.#counters(vcpu), hex(context), hex(pointer)]);
  }
}
