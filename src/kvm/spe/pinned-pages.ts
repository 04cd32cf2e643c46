/**
 * The pages that one vCPU's policy holds pinned: each run of guest pages beside the GUP pin that holds it, with
 * memlock accounted for all of them.
 */
import { type Ipn, PAGE_BYTES } from "../../common/address.ts";
import { BrokenInvariant } from "../../common/errors.ts";
import type { Timeline } from "../../common/timeline.ts";
import type { Memlock } from "../../host/memlock.ts";
import type { HostMm } from "../../host/mm.ts";
import type { PinnedRun } from "../../host/pins.ts";
import { type PageRun, PageSet } from "../guest-pages.ts";
import type { PinOutcome } from "./policy.ts";

interface Held {
  readonly run: PageRun;
  readonly pin: PinnedRun;
}

/** By run of guest pages: the frames that are pinned. */
export type PinnedPagesState = readonly { readonly pages: PageSet; readonly frames: readonly number[] }[];

/** Told whenever the number of pinned pages changes. */
export type OnPinnedChange = (pages: number, atNs: number) => void;

export class PinnedPages {
  readonly #mm: HostMm;
  readonly #memlock: Memlock;
  readonly #onChange: OnPinnedChange;
  #held: Held[] = [];
  #set = PageSet.empty;

  constructor(mm: HostMm, memlock: Memlock, onChange: OnPinnedChange) {
    this.#mm = mm;
    this.#memlock = memlock;
    this.#onChange = onChange;
  }

  get set(): PageSet {
    return this.#set;
  }

  /** Pins pages that are not held yet, all or none; memlock is accounted before GUP touches anything. */
  pin(pages: PageSet, timeline: Timeline): PinOutcome {
    const locked = this.#memlock.lock(pages.pages * PAGE_BYTES);
    if (locked.kind === "over") return { kind: "over-memlock", byBytes: locked.byBytes };
    const result = this.#mm.gup.pinAll(
      pages.runs.map(({ list, from, to }) => ({ list: list.host, from, to })),
      timeline,
    );
    if (result.kind === "efault") {
      this.#memlock.unlock(pages.pages * PAGE_BYTES);
      return { kind: "unbacked", page: pageBehind(pages, result.page) };
    }
    const taken = pages.runs.map((run, i): Held => ({ run, pin: result.runs[i] as PinnedRun }));
    this.#replace([...this.#held, ...taken], timeline.nowNs);
    return { kind: "done" };
  }

  /** Unpins those of the pages that are held; returns them. */
  unpin(pages: PageSet, timeline: Timeline): PageSet {
    const gone = pages === this.#set ? pages : this.#set.minus(this.#set.minus(pages));
    if (gone.isEmpty) return gone;
    const left: Held[] = [];
    const given: PinnedRun[] = [];
    for (const held of this.#held) {
      const cuts = gone.runs
        .filter((run) => run.list === held.run.list && run.from < held.run.to && run.to > held.run.from)
        .sort((a, b) => a.from - b.from);
      let at = held.run.from;
      for (const cut of cuts) {
        const from = Math.max(cut.from, held.run.from);
        const to = Math.min(cut.to, held.run.to);
        if (from > at) left.push(part(held, at, from));
        given.push({ snapshot: held.pin.snapshot, from, to });
        at = to;
      }
      if (at < held.run.to) left.push(part(held, at, held.run.to));
    }
    this.#mm.gup.unpinAll(given, timeline);
    this.#memlock.unlock(gone.pages * PAGE_BYTES);
    this.#replace(left, timeline.nowNs);
    return gone;
  }

  has(page: Ipn): boolean {
    return this.#set.has(page);
  }

  /** The frame that was pinned for a held page, or -1. */
  frameOf(page: Ipn): number {
    for (const { run, pin } of this.#held) {
      const index = run.list.indexOf(page);
      if (index >= run.from && index < run.to) return pin.snapshot.frames[index] as number;
    }
    return -1;
  }

  /** What `restore` takes. */
  save(): PinnedPagesState {
    return this.#held.map(({ run, pin }) => ({
      pages: PageSet.of([run]),
      frames: [...pin.snapshot.frames.subarray(run.from, run.to)],
    }));
  }

  /** Into a holder of nothing; what is counted of it elsewhere is restored there. */
  restore(state: PinnedPagesState): void {
    this.#held = state.map(({ pages, frames }) => {
      const run = pages.runs[0] as PageRun;
      return { run, pin: this.#mm.gup.repin(run.list.host, run.from, frames) };
    });
    this.#set = PageSet.of(this.#held.map(({ run }) => run));
  }

  #replace(held: Held[], atNs: number): void {
    this.#held = held;
    this.#set = PageSet.of(held.map(({ run }) => run));
    this.#onChange(this.#set.pages, atNs);
  }
}

/** The guest page whose host page GUP failed at. */
function pageBehind(pages: PageSet, host: number): Ipn {
  for (const { list, from, to } of pages.runs) {
    const index = list.host.indexOf(host);
    if (index >= from && index < to) return list.at(index);
  }
  throw new BrokenInvariant(`GUP failed at host page ${host}, which nobody asked for`);
}

const part = (held: Held, from: number, to: number): Held => ({
  run: { list: held.run.list, from, to },
  pin: { snapshot: held.pin.snapshot, from, to },
});
