/** What one vCPU's policy holds for a buffer: pins, what it reported as held, and how much it may hold at all. */
import { type Ipn, PAGE_BYTES } from "../../common/address.ts";
import type { Timeline } from "../../common/timeline.ts";
import type { PageSet } from "../guest-pages.ts";
import type { BufferAccounts } from "./buffer-accounts.ts";
import { PinnedPages, type PinnedPagesState } from "./pinned-pages.ts";
import type { BufferWalk } from "./policy.ts";
import type { VmSpe } from "./vm-spe.ts";

/** Table pages that a buffer may need besides one for each 512 pages: upper levels, alignment, 64 KiB granules. */
const SPARE_TABLE_PAGES = 80;

export interface HoldingsState {
  readonly pins: PinnedPagesState;
  readonly bouncePages: number;
  readonly reported: BufferWalk | undefined;
}

export class Holdings {
  readonly pins: PinnedPages;
  readonly #spe: VmSpe;
  readonly #accounts: BufferAccounts;
  readonly #maxBufferBytes: number | undefined;
  #bouncePages = 0;
  #reported: BufferWalk | undefined;

  constructor(spe: VmSpe, accounts: BufferAccounts, maxBufferBytes: number | undefined) {
    this.#spe = spe;
    this.#accounts = accounts;
    this.#maxBufferBytes = maxBufferBytes;
    this.pins = new PinnedPages(spe.vm.mm, spe.memlock, (pages, atNs) =>
      accounts.pinned(pages + this.#bouncePages, atNs),
    );
  }

  /** KVM_ARM_VCPU_SPE_MAX_BUFFER_SIZE in pages; without one, all of the guest's memory. */
  get maxBufferPages(): number {
    return this.#maxBufferBytes === undefined
      ? this.#spe.vm.memslots.pages
      : Math.ceil(this.#maxBufferBytes / PAGE_BYTES);
  }

  /** Whether so many pages, pinned or of a bounce buffer, are not more than the maximum buffer and its tables. */
  mayHold(pages: number): boolean {
    const slots = this.#spe.vm.memslots.pages;
    const most = this.#maxBufferBytes === undefined ? slots : this.maxBufferPages + 1;
    return pages <= Math.min(slots, most + Math.ceil(most / 512) + SPARE_TABLE_PAGES);
  }

  /** What the policy reported as pinned and mapped, while that report stands. */
  get reported(): BufferWalk | undefined {
    return this.#reported;
  }

  report(walk: BufferWalk): void {
    this.#reported = walk;
    this.#accounts.hadFirstPin = true;
  }

  /** Pages are no longer pinned: a report that needs them no longer stands. */
  withdrawReports(gone: PageSet): void {
    const reported = this.#reported;
    if (reported !== undefined && !gone.isEmpty && !this.pins.set.covers(reported.all))
      this.#reported = undefined;
  }

  /** The bounce buffer has `pages` now. */
  bounces(pages: number, atNs: number): void {
    this.#bouncePages = pages;
    this.#accounts.pinned(this.pins.set.pages + pages, atNs);
  }

  /** The host took a held page away: its pin is on a frame that no longer backs the guest. */
  dropStale(page: Ipn, timeline: Timeline): void {
    this.withdrawReports(this.#unpin(this.pins.set.only(page), timeline));
  }

  /** Gives every pin back. */
  release(timeline: Timeline): void {
    this.#reported = undefined;
    if (!this.pins.set.isEmpty) this.#unpin(this.pins.set, timeline);
  }

  save(): HoldingsState {
    return { pins: this.pins.save(), bouncePages: this.#bouncePages, reported: this.#reported };
  }

  restore({ pins, bouncePages, reported }: HoldingsState): void {
    this.pins.restore(pins);
    this.#bouncePages = bouncePages;
    this.#reported = reported;
  }

  #unpin(pages: PageSet, timeline: Timeline): PageSet {
    const gone = this.pins.unpin(pages, timeline);
    this.#spe.statistics.unpins += 1;
    this.#spe.statistics.pagesUnpinned += gone.pages;
    return gone;
  }
}
