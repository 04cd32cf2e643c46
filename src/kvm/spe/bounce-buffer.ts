/**
 * A profiling buffer of KVM's own: the SPU writes to host kernel memory through EL2's translation (MDCR_EL2.E2PB = 0),
 * and KVM copies to the guest's buffer what was written, through guest stage 1 and the host's page tables. Nothing of
 * the guest's is pinned, and stage 2 is not involved.
 *
 * The stretch that has not been copied begins at the same offset in its page as the guest's pointer, because
 * PMBLIMITR_EL1 can end the buffer at a page only: so the guest's own limit can be the hardware's.
 */
import { type Ipn, PAGE_BYTES, type Pfn, pfn, type Vpn, vaOf, vpn, vpnOf } from "../../common/address.ts";
import { BrokenInvariant } from "../../common/errors.ts";
import type { Timeline } from "../../common/timeline.ts";
import type { Stage1Regime } from "../../mmu/config.ts";
import type { BufferWalker } from "./buffer-walk.ts";
import type { OverMemlock, Unbacked, WalkFault } from "./policy.ts";
import type { VmSpe } from "./vm-spe.ts";

/** Where EL2 maps it: any kernel address with room below and above. */
const FIRST_PAGE = vpn(0xf_ffff_0000_0000);
const FIRST_BYTE = vaOf(FIRST_PAGE);

/** What a copy came to. */
export interface Copied {
  readonly bytes: number;
  /** Bytes that are lost, since the guest's buffer has no place for them. */
  readonly lostBytes: number;
  /** Why. */
  readonly failure: WalkFault | Unbacked | undefined;
}

export interface BounceBufferState {
  readonly frames: readonly number[];
  readonly from: number;
  readonly to: number;
}

export class BounceBuffer {
  readonly #spe: VmSpe;
  readonly #frames: readonly Pfn[];
  /** Offsets of the first byte that has not been copied, and of the byte that the SPU writes next. */
  #from = 0;
  #to = 0;

  private constructor(spe: VmSpe, frames: readonly Pfn[]) {
    this.#spe = spe;
    this.#frames = frames;
  }

  /**
   * Takes `pages` zeroed pages of kernel memory, accounted to RLIMIT_MEMLOCK as pins are. A page costs what a host fault
   * costs, which allocates and zeroes one, too; the exception that a kernel allocation does not have makes it a
   * little too much.
   */
  static allocate(spe: VmSpe, pages: number, timeline: Timeline): BounceBuffer | OverMemlock {
    const locked = spe.memlock.lock(pages * PAGE_BYTES);
    if (locked.kind === "over") return { kind: "over-memlock", byBytes: locked.byBytes };
    timeline.charge("stage2", pages * spe.vm.costs.faultInPage);
    return new BounceBuffer(
      spe,
      Array.from({ length: pages }, () => pfn(spe.vm.mm.frames.allocate())),
    );
  }

  /** What `restored` takes, but for the content of its frames. */
  save(): BounceBufferState {
    return { frames: [...this.#frames], from: this.#from, to: this.#to };
  }

  /** As it was saved: its frames are allocated and accounted for. */
  static restored(spe: VmSpe, { frames, from, to }: BounceBufferState): BounceBuffer {
    const buffer = new BounceBuffer(spe, frames.map(pfn));
    buffer.#from = from;
    buffer.#to = to;
    return buffer;
  }

  /** Gives the memory back; what has not been copied is gone. */
  free(timeline: Timeline): void {
    timeline.charge("stage2", this.pages * this.#spe.vm.costs.hostPageWork);
    for (const frame of this.#frames) this.#spe.vm.mm.frames.drop(frame);
    this.#spe.memlock.unlock(this.pages * PAGE_BYTES);
  }

  get pages(): number {
    return this.#frames.length;
  }

  /** Whether the SPU has written something that the guest does not have yet. */
  get isPending(): boolean {
    return this.#to > this.#from;
  }

  /** EL2's translation of a page that the SPU writes to. */
  frameAt(page: Vpn): Pfn {
    const frame = this.#frames[page - FIRST_PAGE];
    if (frame === undefined)
      throw new BrokenInvariant(`the SPU writes to EL2's page ${page}, not its buffer's`);
    return frame;
  }

  /**
   * The hardware's PMBPTR_EL1 and PMBLIMITR_EL1.LIMIT for the guest's.
   * @returns `ends`: this buffer ends before the guest's limit
   */
  place(pointer: bigint, limit: bigint): { pointer: bigint; limit: bigint; ends: boolean } {
    if (!this.isPending) {
      this.#from = Number(pointer & 0xfffn);
      this.#to = this.#from;
    }
    const end = FIRST_BYTE + BigInt(this.pages * PAGE_BYTES);
    const wanted = FIRST_BYTE + BigInt(this.#from) + limit - pointer;
    // A policy's limit may lie anywhere; before the pointer, there is no room.
    const reachable = wanted < FIRST_BYTE ? FIRST_BYTE : wanted;
    return {
      pointer: FIRST_BYTE + BigInt(this.#to),
      limit: reachable < end ? reachable : end,
      ends: end < reachable,
    };
  }

  /** The SPU stopped with PMBPTR_EL1 here. */
  stoppedAt(pointer: bigint): void {
    this.#to = Number(pointer - FIRST_BYTE);
  }

  /**
   * Copies what is pending to the guest's buffer from `pointer` on, up to the first page that it does not have. A page
   * that is begun costs a memslot look-up and an access to user memory (walkTable is mostly that); the bytes cost their
   * share of copyPage, since most copies are of a few records.
   */
  copyOut(pointer: bigint, walker: BufferWalker, regime: Stage1Regime, timeline: Timeline): Copied {
    const { mm, costs } = this.#spe.vm;
    const first = vpnOf(pointer);
    const firstOwn = Math.floor(this.#from / PAGE_BYTES);
    const pages = Math.ceil(this.#to / PAGE_BYTES) - firstOwn;
    const found = walker.outputs(vpn(first), pages, regime, timeline);
    let at = this.#from;
    let failure: WalkFault | Unbacked | undefined;
    for (const page of found.pages) {
      const host = this.#spe.vm.memslots.hostPageOf(page);
      if (host < 0 || !mm.faultIn(host, true, timeline)) {
        failure = { kind: "unbacked", page };
        break;
      }
      const end = Math.min(this.#to, at - (at % PAGE_BYTES) + PAGE_BYTES);
      this.#copy(page, pfn(mm.frameOf(host)), at, end);
      at = end;
    }
    timeline.charge("walk", found.pages.length * costs.walkTable);
    const bytes = at - this.#from;
    timeline.charge("stage2", Math.ceil((bytes * costs.copyPage) / PAGE_BYTES));
    const lostBytes = this.#to - at;
    this.#from = 0;
    this.#to = 0;
    return { bytes, lostBytes, failure: failure ?? found.fault };
  }

  /** Copies [from, to), which lies in one page, to the same place in a guest page. */
  #copy(page: Ipn, frame: Pfn, from: number, to: number): void {
    const { frames } = this.#spe.vm.mm;
    this.#spe.onBounced?.(page, frame);
    const own = this.#frames[Math.floor(from / PAGE_BYTES)] as Pfn;
    // The SPU may be one that counts its records and does not store them.
    if (!frames.hasContent(own)) return;
    const offset = from % PAGE_BYTES;
    const written = bytesOf(frames.read(own)).subarray(offset, offset + to - from);
    bytesOf(frames.writable(frame)).set(written, offset);
    frames.wrote(frame);
  }
}

const bytesOf = (words: Uint32Array): Uint8Array =>
  new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
