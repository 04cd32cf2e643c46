/**
 * A machine's schedule as the segments that the driver model replays. A segment is a stretch in which a vCPU executes one thread
 * with its buffer on or off: its length is the guest's own time in it, with exits that SPE has nothing to do with before that. Between
 * segments a vCPU is idle. What the hypervisor took for SPE is left out: the replay puts in its own.
 */
import {
  NO_PAGE,
  NO_SEGMENT,
  type Schedule,
  type ScheduledTask,
  SEGMENT,
  type Segments,
  WAIT,
} from "../../guest/schedule.ts";
import { placesOf } from "./buffers.ts";
import { type Counters, countersOf, type InstantLine, isOfInstant, type MachineSchedule } from "./file.ts";

/** A segment before it has a place among all. */
interface Piece {
  readonly vcpu: number;
  readonly start: Counters;
  end: Counters;
  thread: string | undefined;
  /** Of its time, and of what exits took of that: its guest dealt with a buffer that had stopped, which the replay's driver does itself. */
  stoppedNs: number;
  stoppedOtherNs: number;
  enables: boolean;
  /** Which buffer it enables: its place among its vCPU's. */
  buffer: number;
  disables: boolean;
  /** It begins with a write that leaves E at 0. */
  writesLimit: boolean;
  isOn: boolean;
  /** It begins with an access that stage 2 did not allow. */
  fault: { readonly page: number; readonly write: boolean } | undefined;
  /** It comes after an idle stretch that ended by itself ("timer") or was ended by something else. */
  after: "timer" | "other" | undefined;
}

const workNs = ({ guestNs, otherNs }: Counters): number => guestNs + otherNs;
const lengthNs = (piece: Piece): number => workNs(piece.end) - workNs(piece.start) - piece.stoppedNs;
/** How long it was out of the guest at its start. */
const otherNs = ({ start, end, stoppedOtherNs }: Piece): number =>
  end.otherNs - start.otherNs - stoppedOtherNs;

/** Cuts one vCPU's lines. */
class Cutter {
  readonly pieces: Piece[] = [];
  /** How long its guest dealt with each buffer that had stopped, by buffer. */
  readonly stoppedNs: number[][] = [];
  #isOn = false;
  /** Of what there was to sample from: in no time, half a nanosecond say. It is the next piece's, or none of it would be seen. */
  #timeless = 0;
  #stoppedAt: Counters | undefined;
  /** Its buffer was turned off while it was stopped, and is not cleared yet. */
  #isHalting = false;
  #thread: string | undefined;
  #piece: Piece;

  constructor(vcpu: number) {
    const start = { vcpu, atNs: 0, guestNs: 0, otherNs: 0, instructions: 0, profiled: 0 };
    this.#piece = this.#begin(start, undefined);
  }

  #begin(at: Counters, after: Piece["after"]): Piece {
    const start = { ...at, profiled: at.profiled - this.#timeless };
    this.#piece = {
      vcpu: at.vcpu,
      start,
      end: start,
      thread: this.#thread,
      stoppedNs: 0,
      stoppedOtherNs: 0,
      enables: false,
      buffer: 0,
      disables: false,
      writesLimit: false,
      isOn: this.#isOn,
      fault: undefined,
      after,
    };
    return this.#piece;
  }

  #cut(now: Counters): void {
    const piece = this.#piece;
    piece.end = now;
    const takesTime = lengthNs(piece) > 0;
    this.#timeless = takesTime ? 0 : now.profiled - piece.start.profiled;
    const does = piece.enables || piece.writesLimit || piece.fault !== undefined;
    if (takesTime || does || piece.after !== undefined) this.pieces.push(piece);
  }

  /** @param buffer which one the line is about, where it is about one */
  take(line: InstantLine, buffer: number): void {
    const now = countersOf(line);
    switch (line[0]) {
      case "on":
        this.#cut(now);
        this.#isOn = true;
        Object.assign(this.#begin(now, undefined), { enables: true, buffer });
        return;
      case "off":
        this.#isHalting = this.#stoppedAt !== undefined;
        this.#resumed(now, buffer);
        this.#piece.disables = true;
        this.#cut(now);
        this.#isOn = false;
        this.#begin(now, undefined);
        return;
      case "stopped":
        this.#stoppedAt = now;
        return;
      case "resumed":
        this.#isHalting = false;
        this.#resumed(now, buffer);
        return;
      case "idle": {
        const [, , , , , , , untilNs, cause] = line;
        this.#cut(now);
        this.#thread = undefined;
        this.#begin({ ...now, atNs: untilNs }, cause);
        return;
      }
      case "ran":
        if (this.#stoppedAt !== undefined) return;
        this.#cut(now);
        this.#begin(now, undefined);
        return;
      case "limit":
        // While it deals with a full buffer the replay's driver does it.
        if (this.#stoppedAt !== undefined || this.#isHalting) return;
        this.#cut(now);
        this.#begin(now, undefined).writesLimit = true;
        return;
      case "fault":
        if (this.#stoppedAt !== undefined) return;
        this.#cut(now);
        this.#begin(now, undefined).fault = { page: line[7], write: line[8] === "write" };
        return;
      case "task":
        this.#task(now, `${line[7]} ${line[8]}`);
        return;
      case "end":
        this.#resumed(now, buffer);
        this.#cut(now);
        return;
    }
  }

  #resumed(now: Counters, buffer: number): void {
    const from = this.#stoppedAt;
    if (from === undefined) return;
    const ns = workNs(now) - workNs(from);
    this.#piece.stoppedNs += ns;
    this.#piece.stoppedOtherNs += now.otherNs - from.otherNs;
    this.stoppedNs[buffer] = [...(this.stoppedNs[buffer] ?? []), ns];
    this.#stoppedAt = undefined;
  }

  /** What came since it was idle was for this thread's sake; else another one begins here. */
  #task(now: Counters, thread: string): void {
    if (this.#thread === undefined) {
      for (let i = this.pieces.length - 1; i >= 0 && this.pieces[i]!.thread === undefined; i--) {
        this.pieces[i]!.thread = thread;
        if (this.pieces[i]!.after !== undefined) break;
      }
      this.#piece.thread = thread;
      this.#thread = thread;
      return;
    }
    if (thread === this.#thread) return;
    this.#thread = thread;
    // Its switch-in has enabled the buffer already.
    if (this.#piece.enables) {
      this.#piece.thread = thread;
      return;
    }
    this.#cut(now);
    this.#begin(now, undefined);
  }
}

export interface CutSchedule {
  readonly schedule: Schedule;
  /** How long a guest dealt with each buffer that had stopped while E was 1, by vCPU and buffer. */
  readonly stoppedNs: readonly (readonly (readonly number[] | undefined)[])[];
}

/** @param assumptions what the replay takes for granted, for its record */
export function cutSchedule({ header, lines }: MachineSchedule, assumptions: readonly string[]): CutSchedule {
  const cutters = Array.from({ length: header.cpus }, (_, vcpu) => new Cutter(vcpu));
  const places = placesOf(lines);
  for (const [i, line] of lines.entries()) if (isOfInstant(line)) cutters[line[1]]!.take(line, places[i]!);
  const pieces = cutters
    .flatMap((cutter) => cutter.pieces)
    .sort((a, b) => a.start.atNs - b.start.atNs || a.vcpu - b.vcpu);
  const tasks = new Map<string, number>();
  const targets = new Set<number>();
  const taskOf = ({ thread, vcpu, isOn }: Piece): number => {
    const name = thread ?? `kernel/${vcpu}`;
    const task = tasks.get(name) ?? tasks.size;
    tasks.set(name, task);
    if (isOn) targets.add(task);
    return task;
  };
  const segments = segmentsOf(pieces, taskOf);
  const ends = pieces.map(({ end }) => end.atNs);
  return {
    schedule: {
      vcpus: header.cpus,
      tasks: [...tasks].map(([name, task]): ScheduledTask => {
        const pid = Number(BigInt(/^0x[0-9a-f]+/.exec(name)?.[0] ?? 0n) >> 16n);
        return { pid, tid: pid, comm: name, target: targets.has(task) };
      }),
      segments,
      durationNs: ends.reduce((a, b) => Math.max(a, b), 0),
      assumptions,
    },
    stoppedNs: cutters.map((cutter) => cutter.stoppedNs),
  };
}

function segmentsOf(pieces: readonly Piece[], taskOf: (piece: Piece) => number): Segments {
  const { length: count } = pieces;
  const segments = {
    count,
    vcpu: Uint16Array.from(pieces, ({ vcpu }) => vcpu),
    task: new Uint32Array(count),
    startNs: new Float64Array(count),
    endNs: new Float64Array(count),
    flags: new Uint8Array(count),
    wait: new Uint8Array(count),
    waitNs: new Float64Array(count),
    waker: new Int32Array(count).fill(NO_SEGMENT),
    wakerOffsetNs: new Float64Array(count),
    previousOfTask: new Int32Array(count).fill(NO_SEGMENT),
    ops: Float64Array.from(pieces, (piece) =>
      lengthNs(piece) > 0 ? piece.end.profiled - piece.start.profiled : 0,
    ),
    otherNs: Float64Array.from(pieces, otherNs),
    faultPage: Float64Array.from(pieces, ({ fault }) => fault?.page ?? NO_PAGE),
    buffer: Uint16Array.from(pieces, ({ buffer }) => buffer),
  };
  const lastOfTask = new Map<number, number>();
  const lastOfVcpu = new Map<number, number>();
  /** What each vCPU's instants are with the hypervisor's work for SPE taken out. */
  const undisturbed = (i: number, which: "start" | "end"): number => segments[`${which}Ns`][i]!;
  for (const [i, piece] of pieces.entries()) {
    const task = taskOf(piece);
    const before = lastOfVcpu.get(piece.vcpu) ?? NO_SEGMENT;
    const own = lastOfTask.get(task) ?? before;
    const idleNs = before === NO_SEGMENT ? piece.start.atNs : piece.start.atNs - pieces[before]!.end.atNs;
    const startNs =
      (before === NO_SEGMENT ? 0 : undisturbed(before, "end")) + (piece.after === undefined ? 0 : idleNs);
    segments.task[i] = task;
    segments.startNs[i] = startNs;
    segments.endNs[i] = startNs + lengthNs(piece);
    segments.flags[i] =
      SEGMENT.target |
      (piece.enables ? SEGMENT.enables : 0) |
      (piece.disables ? SEGMENT.disables : 0) |
      (piece.writesLimit ? SEGMENT.writesLimit : 0) |
      (piece.fault?.write === true ? SEGMENT.faultsByWrite : 0);
    segments.previousOfTask[i] = own;
    if (piece.after !== undefined) {
      const waker = piece.after === "other" ? wakerOf(pieces, i) : NO_SEGMENT;
      if (waker === NO_SEGMENT) {
        segments.wait[i] = WAIT.other;
        // As long as it was, whatever the hypervisor did for others meanwhile.
        segments.waitNs[i] = piece.start.atNs - (own === NO_SEGMENT ? 0 : pieces[own]!.end.atNs);
      } else {
        segments.wait[i] = WAIT.woken;
        segments.waker[i] = waker;
        const offsetNs = piece.start.atNs - pieces[waker]!.start.atNs;
        segments.wakerOffsetNs[i] = Math.min(lengthNs(pieces[waker]!), offsetNs);
      }
    }
    if (before !== NO_SEGMENT && segments.task[before] === task) segments.flags[before]! |= SEGMENT.goesOn;
    lastOfTask.set(task, i);
    lastOfVcpu.set(piece.vcpu, i);
  }
  return segments;
}

/** The segment of another vCPU that was under way when this one was woken. */
function wakerOf(pieces: readonly Piece[], woken: number): number {
  const { vcpu, start } = pieces[woken]!;
  const looked = new Set([vcpu]);
  // They are in order of their starts: of each vCPU only the last one before can be under way.
  for (let i = woken - 1; i >= 0; i--) {
    const piece = pieces[i]!;
    if (looked.has(piece.vcpu)) continue;
    looked.add(piece.vcpu);
    if (piece.end.atNs >= start.atNs) return i;
  }
  return NO_SEGMENT;
}
