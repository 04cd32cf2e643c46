/**
 * A VM's stage 2: real tables in host kernel memory, filled by faults and by policies, emptied by MMU notifiers. The
 * tables themselves are KVM's own: never pinned, swapped or moved.
 *
 * Block mappings are made where the host maps a whole 2 MiB by a PMD and guest and host addresses agree in their
 * lower 21 bits (fault_supports_stage2_huge_mapping in arch/arm64/kvm/mmu.c).
 */
import { stage2Leaf } from "../arm/descriptors.ts";
import { VTCR_EL2 } from "../arm/registers-system.ts";
import { type Ipn, ipn, type Pfn, pfn } from "../common/address.ts";
import { type Timeline, TimelineLock, type TimelineLockState } from "../common/timeline.ts";
import { HUGE_PAGES } from "../host/frames.ts";
import { HOST_PAGE } from "../host/host-page.ts";
import type { HostMm } from "../host/mm.ts";
import { INSPECT } from "../mmu/access.ts";
import { mapRange, type TableWriter, unmapRange } from "../mmu/build.ts";
import { type Stage2Config, stage2Config } from "../mmu/config.ts";
import { isFault } from "../mmu/fault.ts";
import type { TableMemory } from "../mmu/table-memory.ts";
import { translate } from "../mmu/translate.ts";
import { visitRange } from "../mmu/visit.ts";
import type { GuestPages, PageSet } from "./guest-pages.ts";
import type { Memslots } from "./memslots.ts";

/** 40-bit IPAs, 4 KiB granule, start at level 1 with concatenated tables: KVM's default (kvm_get_vtcr). */
const IPA_BITS = 40;
const VTCR = VTCR_EL2.with(0n, { T0SZ: 64 - IPA_BITS, SL0: 1, TG0: 0, PS: 5 });
const ROOT_PAGES = 2;
const WRITABLE = stage2Leaf({ read: true, write: true });
const READ_ONLY = stage2Leaf({ read: true, write: false });

/** Told which IPAs lost their translation: every core's TLB must forget them before the host goes on. */
export type InvalidateTlb = (first: Ipn, pages: number) => void;

/** Whether the pages asked for are mapped now; "unbacked": no memslot or no VMA has this one. */
export type Stage2Outcome = { readonly kind: "done" } | { readonly kind: "unbacked"; readonly page: Ipn };

export interface Stage2State {
  readonly freeTables: readonly number[];
  readonly generation: number;
  readonly mmuLock: TimelineLockState;
}

/** What a guest page is mapped to. */
export interface Mapping {
  readonly frame: Pfn;
  readonly writable: boolean;
}

export class Stage2 {
  readonly config: Stage2Config;
  readonly mmuLock = new TimelineLock("mmu_lock");
  readonly #mm: HostMm;
  readonly #memslots: Memslots;
  readonly #invalidateTlb: InvalidateTlb;
  readonly #writer: TableWriter<Pfn>;
  readonly #freeTables: number[] = [];
  #generation = 0;

  constructor(mm: HostMm, memslots: Memslots, invalidateTlb: InvalidateTlb) {
    this.#mm = mm;
    this.#memslots = memslots;
    this.#invalidateTlb = invalidateTlb;
    const { frames } = mm;
    const memory: TableMemory<Pfn> = {
      page: (page) => frames.writable(page),
      wrote: () => undefined,
    };
    this.#writer = {
      memory,
      allocateTablePage: () => pfn(this.#freeTables.pop() ?? frames.allocate()),
    };
    // 512 aligned frames hold the two concatenated root tables; the rest of them serve as tables later.
    const root = frames.allocateHuge();
    for (let i = HUGE_PAGES - 1; i >= ROOT_PAGES; i--) this.#freeTables.push(root + i);
    for (let i = 0; i < ROOT_PAGES; i++) frames.writable(root + i);
    this.config = stage2Config({ VTCR_EL2: VTCR, VTTBR_EL2: BigInt(root) << 12n });
  }

  /** Changes whenever a translation went away or lost a permission. */
  get generation(): number {
    return this.#generation;
  }

  /** What `restore` takes, but for the tables' content. */
  save(): Stage2State {
    return {
      freeTables: [...this.#freeTables],
      generation: this.#generation,
      mmuLock: this.mmuLock.save(),
    };
  }

  restore({ freeTables, generation, mmuLock }: Stage2State): void {
    this.#freeTables.splice(0, this.#freeTables.length, ...freeTables);
    this.#generation = generation;
    this.mmuLock.restore(mmuLock);
  }

  lookup(page: Ipn): Mapping | undefined {
    const found = translate(this.config, page, INSPECT, this.#writer.memory);
    if (isFault(found)) return undefined;
    return { frame: found.outputPage, writable: found.attributes.writable };
  }

  /** Whether a CPU or SPU access to the page goes through. */
  allows(page: Ipn, write: boolean): boolean {
    const found = this.lookup(page);
    return found !== undefined && (!write || found.writable);
  }

  /**
   * user_mem_abort: makes one page accessible, the host page first. Costs go to `timeline`.
   * @returns "unbacked" where no memslot or no VMA has the page
   */
  fault(page: Ipn, write: boolean, timeline: Timeline): Stage2Outcome {
    timeline.charge("stage2", this.#mm.costs.stage2FaultHandling);
    const host = this.#memslots.hostPageOf(page);
    if (host < 0 || !this.#mm.faultIn(host, write, timeline)) return { kind: "unbacked", page };
    this.mmuLock.hold(timeline, "shared", () => this.#install(page, host, timeline));
    return { kind: "done" };
  }

  /**
   * Makes every page of a set accessible for writing; those that are need only be checked.
   * @returns "unbacked" at the first page that the host cannot give
   */
  map(pages: PageSet, timeline: Timeline): Stage2Outcome {
    return this.mmuLock.hold(timeline, "shared", () => {
      timeline.charge("stage2", pages.pages * this.#mm.costs.stage2Check);
      for (const run of pages.runs) {
        const bad = this.#mapRun(run.list, run.from, run.to, timeline);
        if (bad !== undefined) return { kind: "unbacked", page: bad };
      }
      return { kind: "done" };
    });
  }

  /** All guest pages that are mapped for writing, as [first, pages]. */
  writableRuns(): readonly (readonly [first: Ipn, pages: number])[] {
    const found: [first: Ipn, pages: number][] = [];
    for (const { firstIpn, pages } of this.#memslots.all)
      visitRange(this.config, firstIpn, pages, INSPECT, this.#writer.memory, {
        leaf: (first, _output, count, { writable }) => {
          const last = found.at(-1);
          if (!writable) return;
          if (last !== undefined && last[0] + last[1] === first) last[1] += count;
          else found.push([first, count]);
        },
      });
    return found;
  }

  /** Whether every page of a set is mapped for writing, to the frame that the host has there. */
  maps(pages: PageSet): boolean {
    return pages.runs.every(({ list, from, to }) => {
      const known = list.mapped;
      if (this.#mm.extents && known.generation === this.#generation && from >= known.from && to <= known.to)
        return true;
      for (let i = from; i < to; i++) {
        const found = this.lookup(list.at(i));
        if (found?.writable !== true || found.frame !== this.#mm.frameOf(list.host.pages[i] as number))
          return false;
      }
      this.#note(list, from, to);
      return true;
    });
  }

  /**
   * Maps all of the memslots (KVM_PRE_FAULT_MEMORY).
   * @param charge false: as if it had happened before time began
   */
  prefault(timeline: Timeline, charge = true): void {
    for (const { firstIpn, pages, hostPage } of this.#memslots.all) {
      for (let at = 0; at < pages; at++) {
        const host = hostPage + at;
        if (!this.#mm.accessible(host, true)) this.#mm.faultIn(host, true, timeline, charge);
      }
      this.mmuLock.hold(timeline, "shared", () =>
        this.#installRange(firstIpn, hostPage, pages, timeline, charge),
      );
    }
  }

  /** Removes what is mapped in [first, first + pages): leaves, TLB entries. */
  unmap(first: Ipn, pages: number, timeline: Timeline): void {
    let leaves = 0;
    visitRange(this.config, first, pages, INSPECT, this.#writer.memory, {
      leaf: (_first, _output, count, _attributes, level) => {
        leaves += level === 3 ? count : Math.ceil(count / HUGE_PAGES);
      },
    });
    if (leaves === 0) return;
    this.mmuLock.hold(timeline, "exclusive", () => {
      const change = unmapRange(this.config, this.#writer, first, pages);
      this.#freeTables.push(...change.freed);
      this.#generation += 1;
      timeline.charge("stage2", leaves * this.#mm.costs.stage2Unmap + this.#mm.costs.tlbi);
      this.#invalidateTlb(first, pages);
    });
  }

  #mapRun(list: GuestPages, from: number, to: number, timeline: Timeline): Ipn | undefined {
    const known = list.mapped;
    if (this.#mm.extents && known.generation === this.#generation && from >= known.from && to <= known.to)
      return undefined;
    const before = this.#generation;
    for (let i = from; i < to; ) {
      const page = list.at(i);
      const host = list.host.pages[i] as number;
      const found = this.lookup(page);
      if (found?.writable === true && found.frame === this.#mm.frameOf(host)) {
        i += 1;
        continue;
      }
      if (!this.#mm.faultIn(host, true, timeline)) return page;
      let pages = 1;
      while (
        i + pages < to &&
        list.ipns[i + pages] === page + pages &&
        list.host.pages[i + pages] === host + pages &&
        this.#mm.accessible(host + pages, true) &&
        this.lookup(ipn(page + pages)) === undefined
      )
        pages += 1;
      this.#installRange(page, host, pages, timeline, true);
      i += pages;
    }
    if (this.#generation === before) this.#note(list, from, to);
    return undefined;
  }

  /** [from, to) of a list is known to be mapped, as of now. */
  #note(list: GuestPages, from: number, to: number): void {
    const generation = this.#generation;
    const known = list.mapped;
    const joins = known.generation === generation && from <= known.to && to >= known.from;
    list.mapped = joins
      ? { generation, from: Math.min(from, known.from), to: Math.max(to, known.to) }
      : { generation, from, to };
  }

  /** Pages that are accessible in the host, in runs whose frames follow each other. */
  #installRange(first: Ipn, hostFirst: number, pages: number, timeline: Timeline, charge: boolean): void {
    let at = 0;
    while (at < pages) {
      const host = hostFirst + at;
      if (this.#blockAt(ipn(first + at), host)) {
        this.#install(ipn(first + at), host, timeline, charge);
        at += HUGE_PAGES - (host % HUGE_PAGES);
        continue;
      }
      const frame = this.#mm.frameOf(host);
      const writable = this.#mm.has(host, HOST_PAGE.writable);
      let run = 1;
      while (
        at + run < pages &&
        this.#mm.frameOf(host + run) === frame + run &&
        this.#mm.has(host + run, HOST_PAGE.writable) === writable &&
        !this.#blockAt(ipn(first + at + run), host + run)
      )
        run += 1;
      this.#set(ipn(first + at), pfn(frame), run, writable, 3);
      if (charge) timeline.charge("stage2", run * this.#mm.costs.stage2Leaf);
      at += run;
    }
  }

  /** Whether the page may be mapped as part of a 2 MiB block. */
  #blockAt(page: Ipn, host: number): boolean {
    if (!this.#mm.has(host, HOST_PAGE.huge) || page % HUGE_PAGES !== host % HUGE_PAGES) return false;
    const slot = this.#memslots.find(page);
    const block = page - (page % HUGE_PAGES);
    return slot !== undefined && block >= slot.firstIpn && block + HUGE_PAGES <= slot.firstIpn + slot.pages;
  }

  #install(page: Ipn, host: number, timeline: Timeline, charge = true): void {
    const within = page % HUGE_PAGES;
    if (this.#blockAt(page, host))
      this.#set(ipn(page - within), pfn(this.#mm.frameOf(host - within)), HUGE_PAGES, true, 2);
    else this.#set(page, pfn(this.#mm.frameOf(host)), 1, this.#mm.has(host, HOST_PAGE.writable), 3);
    if (charge) timeline.charge("stage2", this.#mm.costs.stage2Leaf);
  }

  #set(first: Ipn, frame: Pfn, pages: number, writable: boolean, level: 2 | 3): void {
    const attributes = writable ? WRITABLE : READ_ONLY;
    const change = mapRange(this.config, this.#writer, first, frame, pages, attributes, {
      maxBlockLevel: level,
    });
    this.#freeTables.push(...change.freed);
    // Break-before-make: whatever was there before may still be in a TLB.
    if (change.pagesChanged > 0) {
      this.#generation += 1;
      this.#invalidateTlb(first, pages);
    }
  }
}
