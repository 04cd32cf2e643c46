/**
 * The invariants of a machine, checked from outside: against the host's page tables, pins and memlock, not against
 * what KVM keeps of them.
 */
import { type Ipn, ipn, PAGE_BYTES, vpn } from "../../common/address.ts";
import { HOST_PAGE } from "../../host/host-page.ts";
import type { HostMm } from "../../host/mm.ts";
import type { PageSet } from "../../kvm/guest-pages.ts";
import type { BufferWalk } from "../../kvm/spe/policy.ts";
import type { Vcpu } from "../../kvm/vcpu.ts";
import { INSPECT } from "../../mmu/access.ts";
import { halfOf } from "../../mmu/config.ts";
import { isFault } from "../../mmu/fault.ts";
import { translate } from "../../mmu/translate.ts";
import { visitRange } from "../../mmu/visit.ts";
import type { Machine } from "../../vmm/machine.ts";
import { InvariantBroken } from "./broken.ts";

/** Table pages beside a buffer: one for each 512 pages and these, as KVM documents its bound. */
const SPARE_TABLE_PAGES = 80;

/** What a run came across; the property test asks for enough of each. */
export interface Reached {
  notifierOnPinned: boolean;
  sharedPage: boolean;
  bounced: boolean;
}

export class InvariantChecker {
  readonly reached: Reached = { notifierOnPinned: false, sharedPage: false, bounced: false };
  readonly #machine: Machine;
  readonly #mm: HostMm;
  readonly #mostHeldPages: number;

  constructor(machine: Machine, maxBufferBytes: number | undefined) {
    this.#machine = machine;
    this.#mm = machine.mm;
    const { pages } = machine.vm.memslots;
    const buffer = maxBufferBytes === undefined ? pages : Math.ceil(maxBufferBytes / PAGE_BYTES) + 1;
    this.#mostHeldPages = Math.min(pages, buffer + Math.ceil(buffer / 512) + SPARE_TABLE_PAGES);
    const { memlock, spe, vm } = machine;
    spe.onBounced = (page, frame) => this.#bouncedPage(page, frame);
    const lock = memlock.lock.bind(memlock);
    memlock.lock = (bytes) => {
      const result = lock(bytes);
      this.#memlock();
      return result;
    };
    this.#mm.register({
      invalidateRangeStart: (first, count) => {
        if (this.reached.notifierOnPinned) return;
        for (let host = first; host < first + count && !this.reached.notifierOnPinned; host++)
          this.reached.notifierOnPinned = machine.vcpus.some(({ spe }) =>
            vm.memslots.all.some(
              (slot) =>
                host >= slot.hostPage &&
                host < slot.hostPage + slot.pages &&
                spe.holdings.pins.has(ipn(slot.firstIpn + host - slot.hostPage)),
            ),
          );
      },
      invalidateRangeEnd: () => undefined,
    });
  }

  /** From now on, every walk of a vCPU's is repeated page by page, and must have found the same. */
  watchWalks(vcpu: Vcpu): void {
    const { walker } = vcpu.spe;
    const walk = walker.walk.bind(walker);
    walker.walk = (buffer, regime, timeline) => {
      const found = walk(buffer, regime, timeline);
      if (found.kind === "walked") this.#walked(vcpu, found);
      return found;
    };
  }

  #walked(vcpu: Vcpu, { buffer, pages, tables }: BufferWalk): void {
    const { memslots } = this.#machine.vm;
    const { frames } = this.#mm;
    const config = halfOf(vcpu.spe.regime(), vpn(buffer.firstPage));
    const expected = { pages: new Set<number>(), tables: new Set<number>() };
    for (let page = buffer.firstPage; page < buffer.firstPage + buffer.pages; page++) {
      const leaf = translate(config, vpn(page), INSPECT, {
        page: (table) => {
          expected.tables.add(table);
          return frames.read(this.#mm.frameOf(memslots.hostPageOf(table)));
        },
        wrote: () => undefined,
      });
      if (!isFault(leaf)) expected.pages.add(leaf.outputPage);
    }
    const same = (set: PageSet, wanted: ReadonlySet<number>): boolean =>
      set.pages === wanted.size && [...wanted].every((page) => set.has(ipn(page)));
    if (!same(pages, expected.pages) || !same(tables, expected.tables))
      throw new InvariantBroken(
        1,
        `vCPU ${vcpu.index} walked to ${pages.pages} pages and ${tables.pages} tables; page by page they are ${expected.pages.size} and ${expected.tables.size}, or others`,
      );
  }

  /** Before a vCPU runs its guest: what its hardware is about to rely on. */
  beforeGuestRuns(vcpu: Vcpu): void {
    this.#reported(vcpu);
    this.#pins();
  }

  /** After each step of the machine. */
  afterStep(): void {
    const { vcpus } = this.#machine;
    for (const vcpu of vcpus) this.#reported(vcpu);
    this.#pins();
    this.#stage2();
    for (const a of this.reached.sharedPage ? [] : vcpus)
      for (const b of vcpus)
        if (a.index < b.index && firstShared(a.spe.holdings.pins.set, b.spe.holdings.pins.set))
          this.reached.sharedPage = true;
  }

  /** The SPU is about to write to a page. */
  recordPage(page: Ipn, frame: number): void {
    const { memslots, stage2 } = this.#machine.vm;
    const host = memslots.hostPageOf(page);
    const backing = host < 0 ? -1 : this.#mm.frameOf(host);
    if (backing !== frame)
      throw new InvariantBroken(
        2,
        `a record goes to frame ${frame} for guest page ${page}, behind which the host has ${backing < 0 ? "nothing" : `frame ${backing}`}`,
      );
    if (!this.#mm.accessible(host, true))
      throw new InvariantBroken(2, `a record goes to guest page ${page}, to which the host allows no write`);
    const mapped = stage2.lookup(page);
    if (mapped?.frame !== frame || !mapped.writable)
      throw new InvariantBroken(
        2,
        `a record goes to frame ${frame} for guest page ${page}, which stage 2 ${mapped === undefined ? "does not map" : `maps to frame ${mapped.frame}${mapped.writable ? "" : " read-only"}`}`,
      );
  }

  /** KVM is about to copy records to a page: the guest's memory, as the host has it now. */
  #bouncedPage(page: Ipn, frame: number): void {
    this.reached.bounced = true;
    const host = this.#machine.vm.memslots.hostPageOf(page);
    if (host < 0) throw new InvariantBroken(5, `records are copied to page ${page} outside of every memslot`);
    if (this.#mm.frameOf(host) !== frame || !this.#mm.accessible(host, true))
      throw new InvariantBroken(
        2,
        `records are copied to frame ${frame}, which guest page ${page} may not have`,
      );
  }

  /** When the VM is gone. */
  afterDestroy(): void {
    const { memlock, spe } = this.#machine;
    if (spe.pinnedPages !== 0)
      throw new InvariantBroken(3, `${spe.pinnedPages} pages are counted as pinned after the VM is gone`);
    if (this.#mm.pins.pages !== 0)
      throw new InvariantBroken(3, `${this.#mm.pins.pages} pages are pinned after the VM is gone`);
    if (memlock.currentBytes !== 0)
      throw new InvariantBroken(3, `${memlock.currentBytes} bytes are locked after the VM is gone`);
  }

  /** Invariant 1: what is reported is pinned, present and mapped. */
  #reported(vcpu: Vcpu): void {
    const walk = vcpu.spe.holdings.reported;
    if (walk === undefined) return;
    walk.pages.each((page) => this.#backed(vcpu, page, true));
    walk.tables.each((page) => this.#backed(vcpu, page, false));
  }

  #backed(vcpu: Vcpu, page: Ipn, ofBuffer: boolean): void {
    const { memslots, stage2 } = this.#machine.vm;
    const broken = (what: string): never => {
      throw new InvariantBroken(
        1,
        `vCPU ${vcpu.index} reports ${ofBuffer ? "buffer" : "table"} page ${page}, and ${what}`,
      );
    };
    const host = memslots.hostPageOf(page);
    const pinned = vcpu.spe.holdings.pins.frameOf(page);
    if (host < 0) broken("no memslot has it");
    if (pinned < 0 || this.#mm.pins.countOf(host, pinned) < 1) broken("it is not pinned");
    if (this.#mm.frameOf(host) !== pinned) broken("another frame is pinned than the host has there");
    const mapped = stage2.lookup(page);
    if (mapped === undefined) broken("stage 2 does not map it");
    if (mapped?.frame !== pinned) broken("stage 2 maps another frame than is pinned");
    if (ofBuffer && mapped?.writable !== true) broken("stage 2 maps it read-only");
  }

  /** Invariants 3 and 5: what is held is accounted for, and no more than may be held. */
  #pins(): void {
    const { vm, spe: vmSpe, vcpus, memlock } = this.#machine;
    let held = 0;
    let bounce = 0;
    for (const { index, spe } of vcpus) {
      const { set } = spe.holdings.pins;
      held += set.pages;
      bounce += spe.bouncePages;
      if (set.pages + spe.bouncePages > this.#mostHeldPages)
        throw new InvariantBroken(
          5,
          `${set.pages} pages are pinned for vCPU ${index} and ${spe.bouncePages} bounce, of at most ${this.#mostHeldPages}`,
        );
      const seen = new Set<number>();
      set.each((page) => {
        seen.add(page);
        if (vm.memslots.hostPageOf(page) < 0)
          throw new InvariantBroken(5, `page ${page} is pinned for vCPU ${index} outside of every memslot`);
      });
      if (seen.size !== set.pages)
        throw new InvariantBroken(3, `vCPU ${index} holds a page twice in its set of ${set.pages}`);
    }
    if (this.#mm.pins.pages !== held)
      throw new InvariantBroken(3, `${this.#mm.pins.pages} pages are pinned, ${held} are held`);
    if (memlock.currentBytes !== (held + bounce) * PAGE_BYTES)
      throw new InvariantBroken(
        3,
        `${held} pages are held and ${bounce} bounce, ${memlock.currentBytes} bytes accounted`,
      );
    if (vmSpe.pinnedPages !== held + bounce + vmSpe.prefaultedPages)
      throw new InvariantBroken(
        3,
        `${held} pages are held and ${bounce} bounce, ${vmSpe.pinnedPages} are counted`,
      );
    this.#memlock();
  }

  #memlock(): void {
    const { currentBytes, markBytes, limitBytes } = this.#machine.memlock;
    if (currentBytes > limitBytes || markBytes > limitBytes)
      throw new InvariantBroken(
        3,
        `${currentBytes} bytes are locked (mark ${markBytes}) against a limit of ${limitBytes}`,
      );
  }

  /** Invariant 2, for writes to come: stage 2 maps nothing that the host does not have there. */
  #stage2(): void {
    const { stage2, memslots } = this.#machine.vm;
    const mm = this.#mm;
    const { frames } = mm;
    const memory = { page: (page: number) => frames.read(page), wrote: () => undefined };
    for (const { firstIpn, pages, hostPage } of memslots.all)
      visitRange(stage2.config, firstIpn, pages, INSPECT, memory, {
        leaf: (first, output, count, { writable }) => {
          for (let i = 0; i < count; i++) {
            const host = hostPage + first - firstIpn + i;
            if (mm.frameOf(host) !== output + i)
              throw new InvariantBroken(
                2,
                `stage 2 maps guest page ${first + i} to frame ${output + i}, the host has ${mm.frameOf(host)}`,
              );
            if (!mm.accessible(host, writable))
              throw new InvariantBroken(
                2,
                `stage 2 maps guest page ${first + i} ${writable ? "writable" : "read-only"}, but the host's flags are ${flagNames(mm.flags(host))}`,
              );
          }
        },
      });
  }
}

const flagNames = (flags: number): string =>
  Object.entries(HOST_PAGE)
    .filter(([, bit]) => (flags & bit) !== 0)
    .map(([name]) => name)
    .join("+");

function firstShared(a: PageSet, b: PageSet): boolean {
  let shared = false;
  a.each((page) => {
    shared ||= b.has(page);
  });
  return shared;
}
