/** Memslots: which guest pages there are, and the host pages behind them (struct kvm_memory_slot). */
import { hex, type Ipn, ipaOf } from "../common/address.ts";
import { UserError } from "../common/errors.ts";
import { GuestPages, PageSet } from "./guest-pages.ts";

/** Pages of a list of guest pages: well below what one may hold. */
const LIST_PAGES = 2 ** 20;

export interface Memslot {
  readonly firstIpn: Ipn;
  readonly pages: number;
  /** The first host virtual page. */
  readonly hostPage: number;
}

export class Memslots {
  readonly #slots: Memslot[] = [];
  #allPages: PageSet | undefined;

  get all(): readonly Memslot[] {
    return this.#slots;
  }

  /** KVM_SET_USER_MEMORY_REGION: adds a slot; one that overlaps another is refused. */
  add(slot: Memslot): void {
    const overlap = this.#slots.find(
      (s) => slot.firstIpn < s.firstIpn + s.pages && s.firstIpn < slot.firstIpn + slot.pages,
    );
    if (overlap !== undefined)
      throw new UserError(
        `the memslot at ${hex(ipaOf(slot.firstIpn))} overlaps the one at ${hex(ipaOf(overlap.firstIpn))}`,
      );
    this.#slots.push(slot);
    this.#allPages = undefined;
    this.#slots.sort((a, b) => a.firstIpn - b.firstIpn);
  }

  find(page: Ipn): Memslot | undefined {
    for (const slot of this.#slots)
      if (page >= slot.firstIpn && page < slot.firstIpn + slot.pages) return slot;
    return undefined;
  }

  /** The host page behind a guest page, or -1 where no slot has it. */
  hostPageOf(page: Ipn): number {
    const slot = this.find(page);
    return slot === undefined ? -1 : slot.hostPage + (page - slot.firstIpn);
  }

  /** Every page of every slot: the same value until a slot is added. */
  allPages(): PageSet {
    this.#allPages ??= PageSet.of(
      this.#slots.flatMap(({ firstIpn, pages, hostPage }) => {
        const runs = [];
        for (let at = 0; at < pages; at += LIST_PAGES) {
          const count = Math.min(LIST_PAGES, pages - at);
          const ipns = Int32Array.from({ length: count }, (_, i) => firstIpn + at + i);
          const host = Int32Array.from({ length: count }, (_, i) => hostPage + at + i);
          runs.push({ list: new GuestPages(ipns, host), from: 0, to: count });
        }
        return runs;
      }),
    );
    return this.#allPages;
  }

  get pages(): number {
    return this.#slots.reduce((sum, slot) => sum + slot.pages, 0);
  }
}
