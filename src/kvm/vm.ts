/**
 * A VM's memory: memslots, stage 2, and what happens when the host changes memory under it. It knows neither vCPUs nor
 * what they do: cores register for TLB invalidations, and whoever holds pages as a `PageKeeper`.
 *
 * Notifiers: pin_user_pages keeps a page in place but does not stop invalidations, so pages that a keeper holds keep
 * their stage-2 mapping through every event but UNMAP (v6 30/35 and 31/35 pass the event type down). The type alone is
 * not enough: MADV_DONTNEED comes as CLEAR and does take a pinned page away. So at the end of an invalidation each kept
 * page is compared with what the host has now, and dropped if it is another frame.
 */
import { type Ipn, ipn } from "../common/address.ts";
import type { Timeline } from "../common/timeline.ts";
import type { CostTable } from "../host/costs.ts";
import type { HostMm, HostMmState, MmuNotifier, NotifierEvent } from "../host/mm.ts";
import type { TableMemory } from "../mmu/table-memory.ts";
import { type Memslot, Memslots } from "./memslots.ts";
import { type InvalidateTlb, Stage2, type Stage2State } from "./stage2.ts";
import type { Tracer } from "./trace.ts";

export interface VmOptions {
  readonly mm: HostMm;
  readonly trace?: Tracer;
}

/** Holds guest pages in the host, so that their mappings outlast invalidations. */
export interface PageKeeper {
  /** Whether it holds no page at all. */
  readonly keepsNone: boolean;
  keeps(page: Ipn): boolean;
  /** The frame that it holds for a page, or -1. */
  keptFrame(page: Ipn): number;
  /** The host has taken a held page away: what is held for it no longer backs the guest. */
  dropStale(page: Ipn, timeline: Timeline): void;
  /** An invalidation of [first, first + pages), in which there were pages that it held, is over. */
  invalidated(first: Ipn, pages: number, event: NotifierEvent, timeline: Timeline): void;
}

export interface VmState {
  readonly mm: HostMmState;
  readonly stage2: Stage2State;
  readonly invalidations: ReadonlyMap<string, number>;
}

export class Vm {
  readonly mm: HostMm;
  readonly costs: CostTable;
  readonly memslots = new Memslots();
  readonly stage2: Stage2;
  readonly trace: Tracer;
  /** Invalidations by the host so far, by event. */
  readonly invalidations = new Map<string, number>();
  readonly #notifier: MmuNotifier;
  readonly #keepers: PageKeeper[] = [];
  readonly #tlbs: InvalidateTlb[] = [];
  #kept: { readonly keeper: PageKeeper; readonly page: Ipn }[] = [];

  constructor(options: VmOptions) {
    this.mm = options.mm;
    this.costs = options.mm.costs;
    this.trace = options.trace;
    this.stage2 = new Stage2(this.mm, this.memslots, (first, pages) => {
      for (const invalidate of this.#tlbs) invalidate(first, pages);
    });
    this.#notifier = {
      invalidateRangeStart: (first, pages, event, timeline) =>
        this.#eachSlotRange(first, pages, (start, count) =>
          this.#invalidateStart(start, count, event, timeline),
        ),
      invalidateRangeEnd: (first, pages, event, timeline) =>
        this.#eachSlotRange(first, pages, (start, count) =>
          this.#invalidateEnd(start, count, event, timeline),
        ),
    };
    this.mm.register(this.#notifier);
  }

  addMemslot(slot: Memslot): void {
    this.memslots.add(slot);
  }

  /** Has a core told which IPAs lost their translation. */
  onTlbi(invalidate: InvalidateTlb): void {
    this.#tlbs.push(invalidate);
  }

  addKeeper(keeper: PageKeeper): void {
    this.#keepers.push(keeper);
  }

  /** Guest memory as KVM reads it; pages that are not present are faulted in on `timeline`. */
  guestMemory(timeline: Timeline): TableMemory<Ipn> {
    const { frames } = this.mm;
    return {
      page: (page, access) => {
        const host = this.memslots.hostPageOf(page);
        if (host < 0 || !this.mm.faultIn(host, access.write, timeline)) return undefined;
        const frame = this.mm.frameOf(host);
        return access.write ? frames.writable(frame) : frames.read(frame);
      },
      wrote: (page) => frames.wrote(this.mm.frameOf(this.memslots.hostPageOf(page))),
    };
  }

  /** What `restore` takes: memory behind the guest, but for its content. */
  save(): VmState {
    return {
      mm: this.mm.save(),
      stage2: this.stage2.save(),
      invalidations: new Map(this.invalidations),
    };
  }

  /** Into a VM with the same memslots, in which nobody keeps a page. Content comes afterwards. */
  restore({ mm, stage2, invalidations }: VmState): void {
    this.mm.restore(mm);
    this.stage2.restore(stage2);
    for (const [event, count] of invalidations) this.invalidations.set(event, count);
  }

  /** The VM is gone: the host tells it of no change any more. */
  destroy(): void {
    this.mm.unregister(this.#notifier);
  }

  #eachSlotRange(first: number, pages: number, visit: (first: Ipn, pages: number) => void): void {
    for (const slot of this.memslots.all) {
      const from = Math.max(first, slot.hostPage);
      const to = Math.min(first + pages, slot.hostPage + slot.pages);
      if (from < to) visit(ipn(slot.firstIpn + from - slot.hostPage), to - from);
    }
  }

  #invalidateStart(first: Ipn, pages: number, event: NotifierEvent, timeline: Timeline): void {
    this.invalidations.set(event, (this.invalidations.get(event) ?? 0) + 1);
    if (this.mm.backingOf(this.memslots.hostPageOf(first)) === "guest-memfd") return;
    if (this.#keepers.every(({ keepsNone }) => keepsNone)) {
      this.stage2.unmap(first, pages, timeline);
      return;
    }
    let from = 0;
    for (let at = 0; at < pages; at++) {
      const page = ipn(first + at);
      const keepers = this.#keepers.filter((keeper) => keeper.keeps(page));
      if (keepers.length === 0) continue;
      for (const keeper of keepers) this.#kept.push({ keeper, page });
      if (event === "UNMAP") continue;
      if (at > from) this.stage2.unmap(ipn(first + from), at - from, timeline);
      from = at + 1;
    }
    if (pages > from) this.stage2.unmap(ipn(first + from), pages - from, timeline);
  }

  #invalidateEnd(first: Ipn, pages: number, event: NotifierEvent, timeline: Timeline): void {
    const kept = this.#kept.filter(({ page }) => page >= first && page < first + pages);
    this.#kept = this.#kept.filter(({ page }) => page < first || page >= first + pages);
    const told = new Set<PageKeeper>();
    for (const { keeper, page } of kept) {
      told.add(keeper);
      const host = this.memslots.hostPageOf(page);
      if (this.mm.frameOf(host) === keeper.keptFrame(page) && this.mm.accessible(host, true)) continue;
      this.stage2.unmap(page, 1, timeline);
      keeper.dropStale(page, timeline);
    }
    for (const keeper of told) keeper.invalidated(first, pages, event, timeline);
  }
}
