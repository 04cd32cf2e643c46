/**
 * SPE of one vCPU: the guest's trapped accesses, and the events that the hardware reports. The guest's values are in
 * `guest-copies.ts`, the hardware's buffer in `hardware-buffer.ts`, what the policy is told in `vcpu-policy.ts`, and what it
 * holds in `holdings.ts`.
 */
import { withMaxBufferBytes } from "../../arm/max-buffer-size.ts";
import { PMBIDR_EL1, PMBLIMITR_EL1, PMBPTR_EL1, PMBSR_EL1, type RegisterName } from "../../arm/registers.ts";
import type { CompiledSpeTraps } from "../../arm/spe-traps.ts";
import { type Ipn, PAGE_BYTES, type Pfn, type Vpn, vpn, vpnOf } from "../../common/address.ts";
import type { Timeline } from "../../common/timeline.ts";
import type { NotifierEvent } from "../../host/mm.ts";
import type { Stage1Regime } from "../../mmu/config.ts";
import { ProfilingBufferEnabled } from "../../spe/enables.ts";
import type { SpeRegisters, TrapOutcome } from "../sys-regs.ts";
import type { PageKeeper } from "../vm.ts";
import { BufferAccounts, type BufferAccountsState } from "./buffer-accounts.ts";
import { BufferWalker } from "./buffer-walk.ts";
import type { GuestView } from "./ground-truth.ts";
import { type BufferRegisters, bufferOf, enableBit, GuestCopies, sameRange } from "./guest-copies.ts";
import { HardwareBuffer, type HardwareBufferState } from "./hardware-buffer.ts";
import { Holdings, type HoldingsState } from "./holdings.ts";
import type { SpeOwner } from "./owner.ts";
import type { Done, EnableOutcome, OverMemlock, SpeBuffer } from "./policy.ts";
import type { PolicySubject } from "./policy-context.ts";
import { type OwnRefusal, type RefusedEnable, refusal } from "./refusal.ts";
import { VcpuPolicy } from "./vcpu-policy.ts";
import type { VmSpe } from "./vm-spe.ts";

const DONE: TrapOutcome = { kind: "done" };

export interface VcpuSpeState {
  readonly copies: BufferRegisters;
  readonly hardware: HardwareBufferState;
  readonly accounts: BufferAccountsState;
  readonly holdings: HoldingsState;
}

export class VcpuSpe implements PolicySubject, PageKeeper, SpeRegisters {
  readonly vmSpe: VmSpe;
  readonly owner: SpeOwner;
  readonly policy: VcpuPolicy;
  readonly holdings: Holdings;
  readonly accounts: BufferAccounts;
  readonly walker: BufferWalker;
  readonly #copies: GuestCopies;
  readonly #hardware: HardwareBuffer;
  readonly #pmbidr: bigint;
  readonly #maxBufferBytes: number | undefined;

  constructor(
    vmSpe: VmSpe,
    owner: SpeOwner,
    options: {
      readonly maxBufferBytes: number | undefined;
      readonly traps: boolean;
      /** Whether the guest executes code: nobody is told what it stores. */
      readonly executesCode: boolean;
    },
  ) {
    this.vmSpe = vmSpe;
    this.owner = owner;
    const { vm } = vmSpe;
    this.#maxBufferBytes = options.maxBufferBytes;
    this.#pmbidr = withMaxBufferBytes(owner.core.spu.implementation.pmbidr, options.maxBufferBytes);
    this.#copies = new GuestCopies(owner);
    this.#hardware = new HardwareBuffer(vmSpe, owner, this.#copies, options.traps);
    this.accounts = new BufferAccounts(vmSpe, owner);
    this.holdings = new Holdings(vmSpe, this.accounts, options.maxBufferBytes);
    this.walker = new BufferWalker({
      memslots: vm.memslots,
      costs: vm.costs,
      guestMemory: (timeline) => vm.guestMemory(timeline),
      contentGeneration: () => vm.mm.frames.contentGeneration,
      readable: (page) => vm.mm.accessible(vm.memslots.hostPageOf(page), false),
      wordsOf: options.executesCode
        ? (page) => vm.mm.frames.read(vm.mm.frameOf(vm.memslots.hostPageOf(page)))
        : undefined,
      extents: vm.mm.extents,
    });
    this.policy = new VcpuPolicy(this);
    vm.addKeeper(this);
  }

  // ---- Around a guest run ----

  get traps(): CompiledSpeTraps {
    return this.#hardware.traps;
  }

  /** The guest's belief, for the ground truth. */
  guestView(): GuestView {
    return this.#hardware.guestView();
  }

  /** Hands the buffer to the hardware, if it is on. */
  enter(): void {
    this.accounts.guestResumes();
    this.#hardware.enter();
  }

  /** Takes it back. */
  leave(): void {
    this.#hardware.leave();
  }

  /** EL2's translation of a page of the bounce buffer. */
  ownFrame(page: Vpn): Pfn {
    return this.#hardware.ownFrame(page);
  }

  /** An untrapped write of PMBLIMITR_EL1: seen by the statistics only. */
  untrappedEnable(on: boolean): void {
    this.accounts.enable(on);
  }

  /**
   * An untrapped write of PMBSR_EL1. The guest's interrupt is mapped to the hardware's then (kvm_vgic_map_phys_irq): it falls with
   * that one's line, without an exit.
   */
  untrappedStatus(): void {
    if (!this.#hardware.trapping && !this.owner.core.spu.pmbirq) this.owner.line(false);
  }

  /** The vCPU is switched on (kvm_reset_vcpu): E is 0, and with it the buffer goes off where it was on. */
  reset(): void {
    if (this.#hardware.trapping) {
      this.#change({ ...this.#copies.values, PMBLIMITR_EL1: 0n });
      this.#change({ ...this.#copies.values, PMBSR_EL1: 0n });
      return;
    }
    this.accounts.enable(false);
    this.owner.line(false);
  }

  // ---- Trapped accesses ----

  /** Emulates a trapped MRS; undefined where the register is not ours. */
  read(register: RegisterName): bigint | undefined {
    switch (register) {
      case "PMBLIMITR_EL1":
      case "PMBPTR_EL1":
      case "PMBSR_EL1":
        return this.#copies.values[register];
      case "PMBIDR_EL1":
        return PMBIDR_EL1.with(this.#pmbidr, { P: 0 });
      case "PMSIDR_EL1":
        return this.owner.core.spu.implementation.pmsidr;
      default:
        return undefined;
    }
  }

  /** Emulates a trapped MSR. "rlimit": nothing has changed, and the same write will come again. */
  write(register: RegisterName, value: bigint): TrapOutcome {
    const { values } = this.#copies;
    // Its fields one by one: a spread of objects takes several times as long, and drivers write these at every switch.
    const { PMBLIMITR_EL1: limitr, PMBPTR_EL1: pointer, PMBSR_EL1: status } = values;
    switch (register) {
      case "PMBLIMITR_EL1":
        if (!enableBit(values) && !PMBLIMITR_EL1.is(value, "E"))
          this.vmSpe.onLimitWhileOff?.(this.owner.index);
        return this.#change({
          PMBLIMITR_EL1: BigInt.asUintN(64, value & PMBLIMITR_EL1.mask),
          PMBPTR_EL1: pointer,
          PMBSR_EL1: status,
        });
      case "PMBPTR_EL1":
        return this.#change({
          PMBLIMITR_EL1: limitr,
          PMBPTR_EL1: BigInt.asUintN(64, value & POINTER_MASK),
          PMBSR_EL1: status,
        });
      case "PMBSR_EL1":
        return this.#change({
          PMBLIMITR_EL1: limitr,
          PMBPTR_EL1: pointer,
          PMBSR_EL1: BigInt.asUintN(64, value & PMBSR_EL1.mask),
        });
      case "PMSCR_EL1":
        this.#hardware.writePmscr(value);
        return DONE;
      default:
        return { kind: "undefined" };
    }
  }

  /** The guest's write makes the copies `next`: what that means for the buffer. */
  #change(next: BufferRegisters): TrapOutcome {
    const hardware = this.#hardware;
    const before = this.#copies.values;
    const was = ProfilingBufferEnabled(before);
    const will = ProfilingBufferEnabled(next);
    if (will && (!was || !hardware.active || !sameRange(before, next))) {
      const outcome = this.#enable(next);
      if (outcome.kind === "over-memlock") return { kind: "rlimit", byBytes: outcome.byBytes };
      hardware.written(next);
      this.accounts.enable(enableBit(next));
      this.#enabled(outcome);
      return DONE;
    }
    const switchedOff = enableBit(before) && !enableBit(next);
    hardware.written(next);
    this.accounts.enable(enableBit(next));
    if (!will) hardware.stop();
    if (switchedOff) {
      hardware.limit = undefined;
      this.policy.bufferDisabled(bufferOf(before));
    }
    return DONE;
  }

  #enable(next: BufferRegisters): EnableOutcome | OwnRefusal {
    // Discard mode (FM = 0b10) writes nothing: there is no buffer to hold.
    if (PMBLIMITR_EL1.num(next.PMBLIMITR_EL1, "FM") === 2) return { kind: "done" };
    const buffer = bufferOf(next);
    if (buffer.pages <= 0) return { kind: "full" };
    // Without a limit of user space's, a guest still cannot have a buffer larger than its memory.
    const most = this.#maxBufferBytes ?? this.vmSpe.vm.memslots.pages * PAGE_BYTES;
    if (buffer.limit - buffer.pointer > BigInt(most)) return { kind: "too-large" };
    this.accounts.enabling();
    this.#hardware.limit = undefined;
    return this.policy.bufferEnabled(buffer);
  }

  /** An enable has ended so. */
  #enabled(outcome: Exclude<EnableOutcome, OverMemlock> | OwnRefusal): void {
    if (outcome.kind === "done") this.#hardware.start();
    else if (outcome.kind === "withheld") this.#hardware.withhold();
    else this.#refuse(outcome);
  }

  #refuse(outcome: RefusedEnable): void {
    this.#hardware.stopWith(refusal(outcome));
  }

  // ---- What the hardware reports ----

  /**
   * Deals with the profiling buffer management event that the hardware reported in the last run, if any: a stage-2 fault, a full
   * buffer, a guest's mistake.
   */
  handleManagementEvent(): TrapOutcome {
    const hardware = this.#hardware;
    const { trapping } = hardware;
    if (hardware.hasEvent) this.copyOut(this.owner.timeline);
    const event = hardware.takeEvent();
    if (event?.kind === "stage2-fault") this.#resolveStage2Fault();
    if (!trapping) {
      // Whatever else it is, the guest finds it in the hardware's registers.
      this.owner.line(this.owner.core.spu.pmbirq);
      return DONE;
    }
    if (event?.kind === "policy-limit") return this.#policyLimitReached();
    if (event?.kind !== "guest") return DONE;
    hardware.stopWith(event.status);
    if (event.isFull) this.policy.bufferFull(this.#copies.buffer);
    return DONE;
  }

  #policyLimitReached(): TrapOutcome {
    const hardware = this.#hardware;
    const { buffer } = this.#copies;
    hardware.limit = undefined;
    const outcome = this.policy.limitReached(buffer);
    if (outcome.kind === "over-memlock") {
      // The hardware stays off until the limit is raised: user space comes back and the event is tried again.
      hardware.stayAtLimit(buffer.pointer);
      return { kind: "rlimit", byBytes: outcome.byBytes };
    }
    if (outcome.kind !== "done") this.#enabled(outcome);
    return DONE;
  }

  #resolveStage2Fault(): void {
    const { timeline, core } = this.owner;
    const { vm, statistics } = this.vmSpe;
    statistics.recordStage2Faults += 1;
    const pointer = this.#copies.values.PMBPTR_EL1;
    const page = this.#hardware.trapping ? vpnOf(pointer) : core.spu.pointerPage;
    const startNs = timeline.nowNs;
    const missing = this.walker.missing(
      vpn(page),
      this.regime(),
      (ipage) => vm.stage2.allows(ipage, false) && (vm.stage2.lookup(ipage)?.writable ?? false),
      timeline,
    );
    this.accounts.spent(timeline.nowNs - startNs);
    if (missing === undefined) return;
    if ("kind" in missing) {
      this.#refuse(missing);
      return;
    }
    const outcome = this.policy.stage2Fault({ pointer, page: missing.page, onWalk: missing.onWalk });
    if (outcome.kind === "unbacked") this.#refuse(outcome);
  }

  /**
   * Copies what is in the bounce buffer to the guest's; on `timeline`. Where that has no place for it, the guest is told
   * as the SPU would have told it, and what comes after is lost.
   */
  copyOut(timeline: Timeline): void {
    const hardware = this.#hardware;
    if (!hardware.hasCopies) return;
    const startNs = timeline.nowNs;
    const { bytes, lostBytes, failure } = hardware.copyOut(this.walker, this.regime(), timeline);
    if (timeline === this.owner.timeline) this.accounts.spent(timeline.nowNs - startNs);
    this.policy.event("copied", { bytes, lostBytes });
    if (failure === undefined) return;
    const { fixedRecordBytes, maxRecordBytes } = this.owner.core.spu.facts;
    this.vmSpe.statistics.recordsLostInCopy += Math.ceil(lostBytes / (fixedRecordBytes ?? maxRecordBytes));
    hardware.dropEvent();
    this.#refuse(failure);
  }

  // ---- What the policy's context needs ----

  regime(): Stage1Regime {
    return this.owner.core.stage1();
  }

  get enabledBuffer(): SpeBuffer | undefined {
    return this.#hardware.enabledBuffer;
  }

  /** The buffer that the guest's registers describe, on or off. */
  get guestBuffer(): SpeBuffer {
    return this.#hardware.guestBuffer;
  }

  get bouncePages(): number {
    return this.#hardware.bouncePages;
  }

  setHardwareLimit(limit: bigint | undefined): void {
    this.#hardware.limit = limit;
  }

  resume(): boolean {
    return this.#hardware.resume();
  }

  trapBuffer(on: boolean, timeline: Timeline): void {
    if (on === this.#hardware.trapping) return;
    this.copyOut(timeline);
    this.#hardware.trap(on);
  }

  bounce(pages: number | undefined, timeline: Timeline): Done | OverMemlock {
    this.copyOut(timeline);
    const outcome = this.#hardware.bounce(pages, timeline);
    this.holdings.bounces(this.bouncePages, timeline.nowNs);
    return outcome;
  }

  // ---- What the host does to the pages that are held ----

  get keepsNone(): boolean {
    return this.holdings.pins.set.isEmpty;
  }

  keeps(page: Ipn): boolean {
    return this.holdings.pins.has(page);
  }

  keptFrame(page: Ipn): number {
    return this.holdings.pins.frameOf(page);
  }

  dropStale(page: Ipn, timeline: Timeline): void {
    this.holdings.dropStale(page, timeline);
  }

  invalidated(first: Ipn, pages: number, event: NotifierEvent, timeline: Timeline): void {
    this.policy.invalidated(first, pages, event, timeline);
  }

  // ---- Whole state ----

  /** What `restore` takes. The hardware's registers are the core's. */
  save(): VcpuSpeState {
    return {
      copies: this.#copies.values,
      hardware: this.#hardware.save(),
      accounts: this.accounts.save(),
      holdings: this.holdings.save(),
    };
  }

  /** Into the SPE of a vCPU that has not run. The core's SPU is restored by itself, before or after. */
  restore(state: VcpuSpeState): void {
    this.#copies.restore(state.copies);
    this.#hardware.restore(state.hardware);
    this.accounts.restore(state.accounts);
    this.holdings.restore(state.holdings);
  }

  /** Ends everything: the buffer off, all pins given back. */
  teardown(timeline: Timeline): void {
    this.accounts.settle(this.owner.timeline.nowNs);
    this.#hardware.stop();
    this.bounce(undefined, timeline);
    this.holdings.release(timeline);
  }
}

/** PMBPTR_EL1 below PMBIDR_EL1.Align is RES0: 64-byte records. */
const POINTER_MASK = PMBPTR_EL1.mask & ~63n;
