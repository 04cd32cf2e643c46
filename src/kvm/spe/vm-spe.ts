/**
 * A VM's SPE: the pin policy with its handlers and its worker, what all vCPUs' policies hold together, and what is counted.
 */
import { type Ipn, PAGE_BYTES } from "../../common/address.ts";
import { counted } from "../../common/counts.ts";
import { BrokenInvariant, UserError } from "../../common/errors.ts";
import type { Timeline } from "../../common/timeline.ts";
import type { Memlock, MemlockState } from "../../host/memlock.ts";
import { Statistics, type StatisticsState } from "../statistics.ts";
import type { Vm } from "../vm.ts";
import { HostWorkers, type HostWorkersState } from "./host-workers.ts";
import {
  type PinOutcome,
  type PinPolicy,
  type PolicyContext,
  type PolicyHandlers,
  PolicyRefused,
} from "./policy.ts";
import { PolicyEvents } from "./policy-events.ts";

export interface VmSpeOptions {
  readonly memlock: Memlock;
  readonly policy: PinPolicy;
  /** Whether records may have physical addresses, the host's (PMSCR_EL2.PA). Default: no. */
  readonly physicalAddresses?: boolean | undefined;
  /** How many CPUs the host has beside those that the vCPUs are on: without, its workers take theirs. Default: enough. */
  readonly spareCpus?: number | undefined;
}

export interface VmSpeState {
  /** Undefined where none has acted: the guest has not used SPE, and nobody was asked at its start. */
  readonly policy: { readonly name: string; readonly state: unknown } | undefined;
  readonly statistics: StatisticsState;
  readonly workers: HostWorkersState;
  readonly prefaultedPages: number;
  readonly pinnedChangedAtNs: number;
  readonly pinnedPages: number;
  readonly pinnedPeakPages: number;
  readonly unreclaimablePeakPages: number;
  readonly memlock: MemlockState;
  readonly refusal: string | undefined;
}

/** Told of each change of what is pinned: pages held by all policies, and the instant on the changer's timeline. */
export type OnPinned = (pages: number, atNs: number) => void;

export class VmSpe {
  readonly vm: Vm;
  readonly memlock: Memlock;
  readonly policy: PinPolicy;
  readonly physicalAddresses: boolean;
  readonly handlers: PolicyHandlers;
  readonly events = new PolicyEvents();
  readonly statistics = new Statistics();
  /** Background work of policies. */
  readonly workers: HostWorkers;
  /** Pages made unreclaimable without a pin (guest_memfd, prefaulted). */
  prefaultedPages = 0;
  /** The guest may have run: what user space decides about pinning it has decided. */
  started = false;
  /** A handler of the policy's was called: what the machine is by now depends on it. */
  hasActed = false;
  /** When what is pinned last changed. */
  pinnedChangedAtNs = 0;
  onPinned: OnPinned | undefined;
  /** The first call of the policy's that was refused, in words. */
  #refusal: string | undefined;
  /** Told of each guest page that KVM is about to copy records to. */
  onBounced: ((page: Ipn, frame: number) => void) | undefined;
  /** Told of each change of a guest's PMBLIMITR_EL1.E. */
  onBuffer: ((vcpu: number, on: boolean, atNs: number) => void) | undefined;
  /** Told of each write of a guest's that leaves PMBLIMITR_EL1.E at 0. */
  onLimitWhileOff: ((vcpu: number) => void) | undefined;
  /** Told of each access of a vCPU's that stage 2 does not allow, before that is mended. */
  onFault: ((vcpu: number, page: Ipn, write: boolean) => void) | undefined;
  /** The policy is told of a guest that does not use SPE, too. */
  readonly #actsUnasked: boolean;
  readonly #actsAtStart: boolean;
  #pinnedPages = 0;
  #pinnedPeakPages = 0;
  #unreclaimablePeakPages = 0;

  constructor(vm: Vm, { memlock, policy, physicalAddresses, spareCpus }: VmSpeOptions) {
    this.physicalAddresses = physicalAddresses ?? false;
    this.workers = new HostWorkers(vm.costs.workerWake, spareCpus ?? Number.POSITIVE_INFINITY);
    this.vm = vm;
    this.memlock = memlock;
    this.policy = policy;
    this.handlers = policy.create();
    const { onVmStart, onVcpuLoad, onVcpuPut, onGuestExit } = this.handlers;
    this.#actsUnasked = [onVcpuLoad, onVcpuPut, onGuestExit].some((handler) => handler !== undefined);
    this.#actsAtStart = onVmStart !== undefined;
  }

  /** Pages pinned for policies now, their bounce buffers and what prefault made unreclaimable with them. */
  get pinnedPages(): number {
    return this.#pinnedPages + this.prefaultedPages;
  }

  get pinnedPeakBytes(): number {
    return Math.max(this.#pinnedPeakPages, this.prefaultedPages) * PAGE_BYTES;
  }

  /** The most that the host could not reclaim at once: as what is pinned, with the whole huge page that a pinned page keeps. */
  get unreclaimablePeakBytes(): number {
    return Math.max(this.#unreclaimablePeakPages, this.prefaultedPages) * PAGE_BYTES;
  }

  get #unreclaimablePages(): number {
    const { pins, folios } = this.vm.mm;
    const bouncePages = this.#pinnedPages - pins.pages;
    // What is prefaulted is all of guest memory, whatever is pinned of it.
    return bouncePages + Math.max(this.prefaultedPages, folios.unreclaimablePages);
  }

  /** A policy's pins changed by `pages`. */
  pinnedChanged(pages: number, atNs: number): void {
    this.#pinnedPages += pages;
    if (pages !== 0) this.pinnedChangedAtNs = Math.max(this.pinnedChangedAtNs, atNs);
    this.#pinnedPeakPages = Math.max(this.#pinnedPeakPages, this.pinnedPages);
    this.#unreclaimablePeakPages = Math.max(this.#unreclaimablePeakPages, this.#unreclaimablePages);
    this.onPinned?.(this.pinnedPages, atNs);
  }

  /**
   * Calls a handler of the policy's. One of whose calls is refused ends there: whatever it was for does not happen, which is counted and
   * said once (`warnings`); the guest and the host go on.
   * @param refused what it comes to then
   */
  ask<T>(handler: () => T, refused: T): T {
    this.events.enter();
    try {
      return handler();
    } catch (error) {
      if (!(error instanceof PolicyRefused)) throw error;
      this.statistics.refusedCalls += 1;
      this.#refusal ??= error.message;
      return refused;
    } finally {
      this.events.leave();
    }
  }

  /** What a report has to say of it, beside its numbers. */
  get warnings(): readonly string[] {
    const { refusedCalls } = this.statistics;
    if (this.#refusal === undefined) return [];
    const times = counted(refusedCalls, "call was", "calls were");
    return [`${this.#refusal}. Profiling was withheld there (${times} refused).`];
  }

  /** Before the first guest run: what `onVmStart` does, and whether the policy has acted from here on. */
  start(context: PolicyContext): PinOutcome | undefined {
    this.hasActed ||= this.#actsAtStart || this.#actsUnasked;
    return this.ask(() => this.handlers.onVmStart?.(context), undefined);
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

  /** What `restore` takes: of the policy, what it says itself. */
  save(): VmSpeState {
    return {
      policy: this.hasActed ? { name: this.policy.name, state: this.handlers.save?.() } : undefined,
      statistics: this.statistics.save(),
      workers: this.workers.save(),
      prefaultedPages: this.prefaultedPages,
      pinnedChangedAtNs: this.pinnedChangedAtNs,
      pinnedPages: this.#pinnedPages,
      pinnedPeakPages: this.#pinnedPeakPages,
      unreclaimablePeakPages: this.#unreclaimablePeakPages,
      memlock: this.memlock.save(),
      refusal: this.#refusal,
    };
  }

  /** @param state of a VM with the same policy, or one in which none has acted: then this one has yet to start */
  restore(state: VmSpeState): void {
    const { policy } = state;
    if (policy !== undefined && policy.name !== this.policy.name)
      throw new BrokenInvariant(
        `what policy ${policy.name} has begun cannot go on under ${this.policy.name}`,
      );
    if (policy !== undefined) this.handlers.restore?.(policy.state);
    this.hasActed = policy !== undefined;
    this.started = this.hasActed;
    this.statistics.restore(state.statistics);
    this.workers.restore(state.workers);
    this.prefaultedPages = state.prefaultedPages;
    this.pinnedChangedAtNs = state.pinnedChangedAtNs;
    this.#pinnedPages = state.pinnedPages;
    this.#pinnedPeakPages = state.pinnedPeakPages;
    this.#unreclaimablePeakPages = state.unreclaimablePeakPages;
    this.#refusal = state.refusal;
    // What user space allows a policy that has not started is this VM's own.
    if (this.started) this.memlock.restore(state.memlock);
  }

  /** The VM is gone: what was held without a pin goes with it. The vCPUs have given their pins back before. */
  destroy(timeline: Timeline): void {
    this.prefaultedPages = 0;
    this.pinnedChanged(0, timeline.nowNs);
  }
}
