/**
 * Who runs next, and for how long: vCPUs, the CPUs of bare metal and what the host does take turns on one thread, each with a
 * timeline of its own, and the one furthest behind goes on.
 *
 * A runner may get ahead of the others by a quantum, since most of what it does there nobody can see. What others could tell
 * it from (a counter, a timer, an interrupt to them, a device) it may do only where nobody is behind it: at its horizon at
 * the latest. So instants that are seen never go back, on whichever timeline (Arm ARM D12.1.2: the system counter is one for
 * all PEs). A runner that waits is not behind: it comes back at an instant of its own, or at that of a kick.
 */
import { BrokenInvariant } from "../common/errors.ts";
import type { Turn } from "../kvm/guest-core.ts";

/**
 * How a turn ended: it goes on when it is behind again, at an instant (Infinity: when it is kicked), or never. "again": it has
 * not ended, and the next step goes on with it; the host may look at something else in between.
 */
export type TurnEnd =
  | { readonly kind: "runs" }
  | { readonly kind: "again" }
  | { readonly kind: "waits"; readonly untilNs: number }
  | { readonly kind: "over" };

export const RUNS: TurnEnd = { kind: "runs" };
export const AGAIN: TurnEnd = { kind: "again" };
export const OVER: TurnEnd = { kind: "over" };

export interface Runner {
  /** The instant that its timeline has reached, in whole ns; of one that does something now and then, when that is next. */
  readonly nowNs: number;
  /** How far others may get ahead of it. */
  readonly quantumNs: number;
  /** Whether it has a timeline of its own, for whose sake the machine goes on: without such runners it is over. */
  readonly isGuest: boolean;
  /** Time passes without it until this instant. */
  waitUntil(atNs: number): void;
  /** Goes on until the turn is over, or it would do something that its horizon forbids. `turn` changes when it kicks. */
  run(turn: Turn): TurnEnd;
}

/** A runner's place among the others. */
interface Entry {
  readonly runner: Runner;
  readonly turn: Turn;
  /** When it goes on that waits; Infinity: when it is kicked. Undefined: it does not wait. */
  wakeAtNs: number | undefined;
  over: boolean;
}

/** What must survive in a snapshot of a runner's place: "never" is Infinity, null that it does not wait. */
export interface PlaceState {
  readonly wakeAtNs: number | "never" | null;
  readonly over: boolean;
}

export interface SchedulerOptions {
  /** A turn is no longer than this, even if everyone else waits. */
  readonly longestTurnNs: number;
}

const goesOnAt = ({ wakeAtNs, runner }: Entry): number => wakeAtNs ?? runner.nowNs;

export class Scheduler {
  readonly #entries: Entry[] = [];
  readonly #longestTurnNs: number;
  #running: Entry | undefined;
  /** Whose turn has not ended. */
  #unfinished: Entry | undefined;
  #seenNs = 0;

  constructor({ longestTurnNs }: SchedulerOptions) {
    this.#longestTurnNs = longestTurnNs;
  }

  /** Takes a runner in, with its turn: `kick` knows it by its place. Of two that are equally far behind the first goes on. */
  add(runner: Runner, turn: Turn): void {
    this.#entries.push({ runner, turn, wakeAtNs: undefined, over: false });
  }

  /** How many runners there are: the place of the next. */
  get count(): number {
    return this.#entries.length;
  }

  /** The instant of what happens now: the running one's; between turns the last one that anybody may have seen. */
  get nowNs(): number {
    return this.#running?.runner.nowNs ?? this.#seenNs;
  }

  /** The instant at which somebody goes on; Infinity: never, unless kicked. */
  get nextNs(): number {
    const next = this.#furthestBehind();
    return next === undefined ? Number.POSITIVE_INFINITY : goesOnAt(next);
  }

  /**
   * Where everybody waits, time may pass with nothing done in it: what comes from outside comes later then.
   * @param atNs of any clock: parts of a nanosecond do not count
   */
  idleTo(atNs: number): void {
    this.#seenNs = Math.max(this.#seenNs, Math.min(Math.floor(atNs), this.nextNs));
  }

  /** Whether a turn is under way: nobody else may run, and nothing be saved, before it has ended. */
  get isMidTurn(): boolean {
    return this.#unfinished !== undefined;
  }

  /** One turn of whoever is furthest behind, or a part of it ("again"). */
  step(): "ran" | "again" | "asleep" | "over" {
    const entry = this.#unfinished ?? this.#furthestBehind();
    if (entry === undefined) return "over";
    if (this.#unfinished === undefined) {
      if (goesOnAt(entry) === Number.POSITIVE_INFINITY) return "asleep";
      this.#begin(entry);
    }
    this.#unfinished = undefined;
    const { runner, turn } = entry;
    const startNs = runner.nowNs;
    this.#running = entry;
    const end = runner.run(turn);
    this.#running = undefined;
    const reachedNs = runner.isGuest ? runner.nowNs : startNs;
    this.#seenNs = Math.max(this.#seenNs, Math.min(reachedNs, turn.horizonNs));
    switch (end.kind) {
      case "again":
        this.#unfinished = entry;
        return "again";
      case "runs":
        break;
      case "waits":
        entry.wakeAtNs = Math.max(Math.ceil(end.untilNs), runner.nowNs);
        break;
      case "over":
        entry.over = true;
        break;
    }
    return "ran";
  }

  isWaiting(index: number): boolean {
    return this.#entries[index]?.wakeAtNs !== undefined;
  }

  /** Wakes a runner that waits, at an instant (or at its own where that is later). */
  kick(index: number, atNs: number): void {
    const entry = this.#entries[index];
    if (entry?.wakeAtNs === undefined) return;
    entry.wakeAtNs = Math.min(entry.wakeAtNs, Math.max(atNs, entry.runner.nowNs));
    // Whoever has kicked it is not alone any more.
    if (this.#running !== undefined && this.#running !== entry) this.#limit(this.#running.turn, entry);
  }

  save(): readonly PlaceState[] {
    return this.#entries.map(({ wakeAtNs, over }) => ({
      wakeAtNs: wakeAtNs === Number.POSITIVE_INFINITY ? "never" : (wakeAtNs ?? null),
      over,
    }));
  }

  /** @param seenNs what `nowNs` was */
  restore(state: readonly PlaceState[], seenNs: number): void {
    if (state.length !== this.#entries.length)
      throw new BrokenInvariant(`places of ${state.length} runners for ${this.#entries.length}`);
    state.forEach(({ wakeAtNs, over }, i) => {
      const entry = this.#entries[i] as Entry;
      entry.wakeAtNs = wakeAtNs === "never" ? Number.POSITIVE_INFINITY : (wakeAtNs ?? undefined);
      entry.over = over;
    });
    this.#seenNs = seenNs;
  }

  #furthestBehind(): Entry | undefined {
    let least: Entry | undefined;
    let guests = false;
    for (const entry of this.#entries) {
      if (entry.over) continue;
      guests ||= entry.runner.isGuest;
      if (least === undefined || goesOnAt(entry) < goesOnAt(least)) least = entry;
    }
    return guests ? least : undefined;
  }

  #begin(entry: Entry): void {
    const { runner, turn } = entry;
    if (entry.wakeAtNs !== undefined) {
      runner.waitUntil(entry.wakeAtNs);
      entry.wakeAtNs = undefined;
    }
    turn.horizonNs = Number.POSITIVE_INFINITY;
    turn.untilNs = runner.nowNs + this.#longestTurnNs;
    for (const other of this.#entries) if (other !== entry && !other.over) this.#limit(turn, other);
    // Whoever is furthest behind gets on, if only by a nanosecond.
    turn.untilNs = Math.max(turn.untilNs, runner.nowNs + 1);
  }

  #limit(turn: Turn, other: Entry): void {
    const atNs = goesOnAt(other);
    turn.horizonNs = Math.min(turn.horizonNs, atNs);
    turn.untilNs = Math.min(turn.untilNs, atNs + other.runner.quantumNs);
  }
}
