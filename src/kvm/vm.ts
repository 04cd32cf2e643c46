/**
 * A VM: memslots, stage 2, vCPUs, the pin policy, and what happens when the host changes memory under it.
 *
 * Notifiers: pin_user_pages keeps a page in place but does not stop invalidations, so pages that some vCPU's policy
 * holds keep their stage-2 mapping through every event but UNMAP (v6 30/35 and 31/35 pass the event type down). The
 * type alone is not enough: MADV_DONTNEED comes as CLEAR and does take a pinned page away. So at the end of an
 * invalidation each kept page is compared with what the host has now, and dropped if it is another frame.
 */
import { type Ipn, ipn, PAGE_BYTES } from "../common/address.ts";
import { UserError } from "../common/errors.ts";
import { Timeline, TimelineLock } from "../common/timeline.ts";
import type { CostTable } from "../host/costs.ts";
import type { Memlock } from "../host/memlock.ts";
import type { HostMm, MmuNotifier, NotifierEvent } from "../host/mm.ts";
import type { TableMemory } from "../mmu/table-memory.ts";
import type { Journal } from "./journal.ts";
import { type Memslot, Memslots } from "./memslots.ts";
import type { PinPolicy, PolicyHandlers } from "./spe/policy.ts";
import { PolicyEvents } from "./spe/policy-events.ts";
import { Stage2 } from "./stage2.ts";
import { Statistics } from "./statistics.ts";
import type { Tracer } from "./trace.ts";
import type { Vcpu } from "./vcpu.ts";

export interface VmOptions {
  readonly mm: HostMm;
  readonly memlock: Memlock;
  readonly policy: PinPolicy;
  readonly trace?: Tracer;
}

/** Told of each change of what is pinned: pages held by all policies, and the instant on the changer's timeline. */
export type OnPinned = (pages: number, atNs: number) => void;

export class Vm {
  readonly mm: HostMm;
  readonly memlock: Memlock;
  readonly costs: CostTable;
  readonly policy: PinPolicy;
  readonly handlers: PolicyHandlers;
  readonly events = new PolicyEvents();
  readonly memslots = new Memslots();
  readonly stage2: Stage2;
  readonly statistics = new Statistics();
  readonly vcpus: Vcpu[] = [];
  readonly trace: Tracer;
  /** Background work of policies: one host worker, its time is not any vCPU's. */
  readonly worker = new Timeline("policy worker");
  readonly workerLock = new TimelineLock("policy worker");
  /** Pages made unreclaimable without a pin (guest_memfd, prefaulted). */
  prefaultedPages = 0;
  /** The guest may have run: what user space decides about pinning it has decided. */
  started = false;
  /** When what is pinned last changed. */
  pinnedChangedAtNs = 0;
  onPinned: OnPinned | undefined;
  /** Kept for machines that can be saved. */
  journal: Journal | undefined;
  /** Told of each guest page that KVM is about to copy records to. */
  onBounced: ((page: Ipn, frame: number) => void) | undefined;
  /** Told of each change of a guest's PMBLIMITR_EL1.E. */
  onBuffer: ((vcpu: number, on: boolean, atNs: number) => void) | undefined;
  readonly #notifier: MmuNotifier;
  #pinnedPages = 0;
  #pinnedPeakPages = 0;
  #kept: { readonly vcpu: Vcpu; readonly page: Ipn }[] = [];

  constructor(options: VmOptions) {
    this.mm = options.mm;
    this.memlock = options.memlock;
    this.costs = options.mm.costs;
    this.policy = options.policy;
    this.handlers = options.policy.create();
    this.trace = options.trace;
    this.stage2 = new Stage2(this.mm, this.memslots, (first, pages) => {
      for (const vcpu of this.vcpus) vcpu.core.invalidateTlb(first, pages);
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

  /** Guest memory as KVM reads it; pages that are not present are faulted in on `timeline`. */
  guestMemory(timeline: Timeline): TableMemory<Ipn> {
    const { frames } = this.mm;
    return {
      page: (page, access) => {
        const host = this.memslots.hostPageOf(page);
        if (host >= 0 && !this.mm.accessible(host, access.write)) this.journal?.touched(page, access.write);
        if (host < 0 || !this.mm.faultIn(host, access.write, timeline)) return undefined;
        const frame = this.mm.frameOf(host);
        return access.write ? frames.writable(frame) : frames.read(frame);
      },
      wrote: () => frames.wrote(),
    };
  }

  /** Pages pinned for policies now, their bounce buffers and what prefault made unreclaimable with them. */
  get pinnedPages(): number {
    return this.#pinnedPages + this.prefaultedPages;
  }

  get pinnedPeakBytes(): number {
    return Math.max(this.#pinnedPeakPages, this.prefaultedPages) * PAGE_BYTES;
  }

  /** A policy's pins changed by `pages`. */
  pinnedChanged(pages: number, atNs: number): void {
    this.#pinnedPages += pages;
    if (pages !== 0) this.pinnedChangedAtNs = Math.max(this.pinnedChangedAtNs, atNs);
    this.#pinnedPeakPages = Math.max(this.#pinnedPeakPages, this.pinnedPages);
    this.onPinned?.(this.pinnedPages, atNs);
  }

  /** KVM_PRE_FAULT_MEMORY over every memslot. */
  prefault(timeline: Timeline): void {
    const unfit = this.memslots.all.find((slot) => this.mm.backingOf(slot.hostPage) !== "guest-memfd");
    if (unfit !== undefined)
      throw new UserError(
        `policy ${this.policy.name}: only guest_memfd can be prefaulted and held`,
        "Set the policy's `backing` to guest-memfd",
      );
    this.stage2.prefault(timeline);
    this.prefaultedPages = this.memslots.pages;
    this.pinnedChanged(0, timeline.nowNs);
  }

  /** Destroys the VM: buffers off, every pin given back, the notifier gone. */
  destroy(timeline: Timeline): void {
    for (const vcpu of this.vcpus) vcpu.spe.teardown(timeline);
    this.mm.unregister(this.#notifier);
    this.prefaultedPages = 0;
    this.pinnedChanged(0, timeline.nowNs);
  }

  #eachSlotRange(first: number, pages: number, visit: (first: Ipn, pages: number) => void): void {
    for (const slot of this.memslots.all) {
      const from = Math.max(first, slot.hostPage);
      const to = Math.min(first + pages, slot.hostPage + slot.pages);
      if (from < to) visit(ipn(slot.firstIpn + from - slot.hostPage), to - from);
    }
  }

  #holders(page: Ipn): Vcpu[] {
    return this.vcpus.filter((vcpu) => vcpu.spe.holdings.pins.has(page));
  }

  #invalidateStart(first: Ipn, pages: number, event: NotifierEvent, timeline: Timeline): void {
    const { invalidations } = this.statistics;
    invalidations.set(event, (invalidations.get(event) ?? 0) + 1);
    if (this.mm.backingOf(this.memslots.hostPageOf(first)) === "guest-memfd") return;
    const anyHeld = this.vcpus.some((vcpu) => !vcpu.spe.holdings.pins.set.isEmpty);
    if (!anyHeld) {
      this.stage2.unmap(first, pages, timeline);
      return;
    }
    let from = 0;
    for (let at = 0; at < pages; at++) {
      const page = ipn(first + at);
      const holders = this.#holders(page);
      if (holders.length === 0) continue;
      for (const vcpu of holders) this.#kept.push({ vcpu, page });
      if (event === "UNMAP") continue;
      if (at > from) this.stage2.unmap(ipn(first + from), at - from, timeline);
      from = at + 1;
    }
    if (pages > from) this.stage2.unmap(ipn(first + from), pages - from, timeline);
  }

  #invalidateEnd(first: Ipn, pages: number, event: NotifierEvent, timeline: Timeline): void {
    const kept = this.#kept.filter(({ page }) => page >= first && page < first + pages);
    this.#kept = this.#kept.filter(({ page }) => page < first || page >= first + pages);
    const told = new Set<Vcpu>();
    for (const { vcpu, page } of kept) {
      told.add(vcpu);
      const host = this.memslots.hostPageOf(page);
      if (this.mm.frameOf(host) === vcpu.spe.holdings.pins.frameOf(page) && this.mm.accessible(host, true))
        continue;
      this.stage2.unmap(page, 1, timeline);
      vcpu.spe.holdings.dropStale(page, timeline);
    }
    for (const vcpu of told) vcpu.spe.invalidated(first, pages, event, timeline);
  }
}
