/**
 * A VM's SPE: the pin policy with its handlers and its worker, what all vCPUs' policies hold together, and what is counted.
 */
import { type Ipn, PAGE_BYTES } from "../../common/address.ts";
import { UserError } from "../../common/errors.ts";
import { Timeline, TimelineLock } from "../../common/timeline.ts";
import type { Memlock } from "../../host/memlock.ts";
import { Statistics } from "../statistics.ts";
import type { Vm } from "../vm.ts";
import type { PinPolicy, PolicyHandlers } from "./policy.ts";
import { PolicyEvents } from "./policy-events.ts";

export interface VmSpeOptions {
  readonly memlock: Memlock;
  readonly policy: PinPolicy;
}

/** Told of each change of what is pinned: pages held by all policies, and the instant on the changer's timeline. */
export type OnPinned = (pages: number, atNs: number) => void;

export class VmSpe {
  readonly vm: Vm;
  readonly memlock: Memlock;
  readonly policy: PinPolicy;
  readonly handlers: PolicyHandlers;
  readonly events = new PolicyEvents();
  readonly statistics = new Statistics();
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
  /** Told of each guest page that KVM is about to copy records to. */
  onBounced: ((page: Ipn, frame: number) => void) | undefined;
  /** Told of each change of a guest's PMBLIMITR_EL1.E. */
  onBuffer: ((vcpu: number, on: boolean, atNs: number) => void) | undefined;
  #pinnedPages = 0;
  #pinnedPeakPages = 0;

  constructor(vm: Vm, { memlock, policy }: VmSpeOptions) {
    this.vm = vm;
    this.memlock = memlock;
    this.policy = policy;
    this.handlers = policy.create();
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
    const { memslots, mm, stage2 } = this.vm;
    const unfit = memslots.all.find((slot) => mm.backingOf(slot.hostPage) !== "guest-memfd");
    if (unfit !== undefined)
      throw new UserError(
        `policy ${this.policy.name}: only guest_memfd can be prefaulted and held`,
        "Set the policy's `backing` to guest-memfd",
      );
    stage2.prefault(timeline);
    this.prefaultedPages = memslots.pages;
    this.pinnedChanged(0, timeline.nowNs);
  }

  /** The VM is gone: what was held without a pin goes with it. The vCPUs have given their pins back before. */
  destroy(timeline: Timeline): void {
    this.prefaultedPages = 0;
    this.pinnedChanged(0, timeline.nowNs);
  }
}
