/** What is counted of one vCPU's buffer for the report: toggles, stops, and what was held for how long. */
import { PAGE_BYTES } from "../../common/address.ts";
import type { SpeOwner } from "./owner.ts";
import type { VmSpe } from "./vm-spe.ts";

/** "Profiling is over" for a policy after E was 0 for this long: the next enable is cold again. */
export const OVER_NS = 1_000_000_000;

export interface BufferAccountsState {
  readonly enableBit: boolean;
  readonly offSinceNs: number;
  readonly runsOff: boolean;
  readonly heldAtNs: number;
  readonly heldPages: number;
  readonly coldStop: boolean;
  readonly hadFirstPin: boolean;
}

export class BufferAccounts {
  readonly #spe: VmSpe;
  readonly #owner: SpeOwner;
  /** PMBLIMITR_EL1.E as the guest last wrote it. */
  #enableBit = false;
  #offSinceNs = -OVER_NS;
  /** The guest runs with E = 0: what is pinned then is held after off. While KVM pins or unpins it is neither. */
  #runsOff = true;
  #heldAtNs = 0;
  #heldPages = 0;
  /** The stop that is going on began with a cold enable. */
  coldStop = false;
  /** The policy has reported a range as pinned, or has a bounce buffer: what it does from now on is not its first pin. */
  hadFirstPin = false;

  constructor(spe: VmSpe, owner: SpeOwner) {
    this.#spe = spe;
    this.#owner = owner;
  }

  /** The guest is about to run again. */
  guestResumes(): void {
    if (this.#runsOff !== this.#enableBit) return;
    this.settle(this.#owner.timeline.nowNs);
    this.#runsOff = !this.#enableBit;
  }

  /** The guest's write is about to enable the buffer. */
  enabling(): void {
    this.#spe.hasActed = true;
    if (!this.#enableBit && this.#owner.timeline.nowNs - this.#offSinceNs >= OVER_NS) this.coldStop = true;
  }

  /** The guest's E is now `on`. */
  enable(on: boolean): void {
    if (on === this.#enableBit) return;
    const { timeline, index } = this.#owner;
    const { statistics } = this.#spe;
    this.#enableBit = on;
    this.#spe.hasActed = true;
    if (on) statistics.bufferEnables += 1;
    else {
      statistics.bufferDisables += 1;
      this.#offSinceNs = timeline.nowNs;
    }
    this.#spe.onBuffer?.(index, on, timeline.nowNs);
  }

  /** When the guest last turned the buffer off; undefined if it never did. */
  get lastDisableNs(): number | undefined {
    return this.#offSinceNs < 0 ? undefined : this.#offSinceNs;
  }

  /** The policy now holds `pages`. */
  pinned(pages: number, atNs: number): void {
    this.settle(atNs);
    const change = pages - this.#heldPages;
    this.#heldPages = pages;
    this.#spe.pinnedChanged(change, atNs);
  }

  /** The guest is about to run for the first time under its policy: what is held by now is held from here. */
  restart(): void {
    this.#heldAtNs = this.#owner.timeline.nowNs;
    this.#spe.statistics.pinnedByteNs = 0;
    this.#spe.statistics.heldAfterOffNs = 0;
  }

  save(): BufferAccountsState {
    return {
      enableBit: this.#enableBit,
      offSinceNs: this.#offSinceNs,
      runsOff: this.#runsOff,
      heldAtNs: this.#heldAtNs,
      heldPages: this.#heldPages,
      coldStop: this.coldStop,
      hadFirstPin: this.hadFirstPin,
    };
  }

  restore(state: BufferAccountsState): void {
    this.#enableBit = state.enableBit;
    this.#offSinceNs = state.offSinceNs;
    this.#runsOff = state.runsOff;
    this.#heldAtNs = state.heldAtNs;
    this.#heldPages = state.heldPages;
    this.coldStop = state.coldStop;
    this.hadFirstPin = state.hadFirstPin;
  }

  /** The policy had `ns` spent on walking, pinning, mapping, unpinning or copying. */
  spent(ns: number): void {
    const { statistics } = this.#spe;
    if (this.hadFirstPin) statistics.rewalkNs += ns;
    else statistics.firstPinNs += ns;
  }

  /** Brings the sums over time (byte-seconds, held after off) up to an instant. */
  settle(atNs: number): void {
    const { statistics } = this.#spe;
    const passedNs = Math.max(0, atNs - this.#heldAtNs);
    statistics.pinnedByteNs += this.#heldPages * PAGE_BYTES * passedNs;
    if (this.#heldPages > 0 && this.#runsOff) statistics.heldAfterOffNs += passedNs;
    this.#heldAtNs = Math.max(this.#heldAtNs, atNs);
  }
}
