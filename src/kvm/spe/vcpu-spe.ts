/**
 * SPE as one vCPU sees it: the guest's values of the buffer registers (memory copies), kept apart from the hardware's
 * (the core's Spu), as v6 does.
 *
 * PMBLIMITR: the copy changes only on a guest write; it reaches hardware only while ProfilingBufferEnabled() holds for
 * the copies and the policy said go. PMBSR: the copy changes on a guest write or a hardware event; it is never
 * written to hardware. On every exit the hardware buffer is disabled before stage 2 would go off.
 *
 * With a bounce buffer the hardware's registers point to that, and the guest's pointer moves when records are copied.
 * Disabling the hardware's buffer on an exit drains it, so the copy charges no drain of its own.
 */
import { withMaxBufferBytes } from "../../arm/max-buffer-size.ts";
import {
  PMBIDR_EL1,
  PMBLIMITR_EL1,
  PMBPTR_EL1,
  PMBSR_EL1,
  PMSCR_EL1,
  PMSCR_EL2,
  type RegisterName,
} from "../../arm/registers.ts";
import type { CompiledSpeTraps } from "../../arm/spe-traps.ts";
import { PMBSR_BSC, PMBSR_EC } from "../../arm/syndromes.ts";
import { type Ipn, PAGE_BYTES, type Pfn, type Vpn, vpn, vpnOf } from "../../common/address.ts";
import { BrokenInvariant } from "../../common/errors.ts";
import type { Timeline } from "../../common/timeline.ts";
import type { NotifierEvent } from "../../host/mm.ts";
import type { Stage1Regime } from "../../mmu/config.ts";
import { ProfilingBufferEnabled } from "../../spe/enables.ts";
import type { SpeRegisters, TrapOutcome } from "../sys-regs.ts";
import type { PageKeeper } from "../vm.ts";
import { BounceBuffer, type BounceBufferState } from "./bounce-buffer.ts";
import { BufferAccounts, type BufferAccountsState } from "./buffer-accounts.ts";
import { BufferWalker } from "./buffer-walk.ts";
import type { GuestView } from "./ground-truth.ts";
import { Holdings, type HoldingsState } from "./holdings.ts";
import type { SpeOwner } from "./owner.ts";
import type { Done, EnableOutcome, OverMemlock, SpeBuffer } from "./policy.ts";
import { type PolicySubject, VcpuPolicyContext } from "./policy-context.ts";
import { type OwnRefusal, type RefusedEnable, refusal } from "./refusal.ts";
import { type BufferOwner, compileTraps, E2PB } from "./trap-controls.ts";
import type { VmSpe } from "./vm-spe.ts";

const DONE: TrapOutcome = { kind: "done" };

/** Whose limit the hardware has. */
type BufferEnd = "guest" | "policy" | "bounce";

/** The guest's values of the buffer registers. */
interface Copies {
  PMBLIMITR_EL1: bigint;
  PMBPTR_EL1: bigint;
  PMBSR_EL1: bigint;
}

export interface VcpuSpeState {
  readonly copies: Readonly<Copies>;
  readonly trapping: boolean;
  readonly active: boolean;
  readonly withheld: boolean;
  readonly hardwareLimit: bigint | undefined;
  readonly bounce: BounceBufferState | undefined;
  readonly end: BufferEnd;
  readonly found: bigint | undefined;
  readonly accounts: BufferAccountsState;
  readonly holdings: HoldingsState;
}

export class VcpuSpe implements PolicySubject, PageKeeper, SpeRegisters {
  readonly vmSpe: VmSpe;
  readonly owner: SpeOwner;
  readonly holdings: Holdings;
  readonly accounts: BufferAccounts;
  readonly walker: BufferWalker;
  readonly context: VcpuPolicyContext;
  readonly #pmbidr: bigint;
  readonly #maxBufferBytes: number | undefined;
  readonly #copies: Copies = { PMBLIMITR_EL1: 0n, PMBPTR_EL1: 0n, PMBSR_EL1: 0n };
  #traps: CompiledSpeTraps;
  #trapping: boolean;
  /** The policy let the enabled buffer go on: the hardware runs it while the guest runs. */
  #active = false;
  /** The policy did not let the enabled buffer go on: the hardware is off, and the guest does not know. */
  #withheld = false;
  #hardwareLimit: bigint | undefined;
  #bounce: BounceBuffer | undefined;
  /** Whose limit the hardware had in the last run: what it means that it was reached, whatever a policy changes since. */
  #end: BufferEnd = "guest";
  /** Hardware PMBSR_EL1 as found at the last exit, while it has not been dealt with. */
  #found: bigint | undefined;

  constructor(
    vmSpe: VmSpe,
    owner: SpeOwner,
    options: { readonly maxBufferBytes: number | undefined; readonly traps: boolean },
  ) {
    this.vmSpe = vmSpe;
    this.owner = owner;
    const { vm } = vmSpe;
    this.#maxBufferBytes = options.maxBufferBytes;
    this.#pmbidr = withMaxBufferBytes(owner.core.spu.implementation.pmbidr, options.maxBufferBytes);
    this.#trapping = options.traps;
    this.#traps = this.#setOwner();
    this.accounts = new BufferAccounts(vmSpe, owner);
    this.holdings = new Holdings(vmSpe, this.accounts, options.maxBufferBytes);
    this.walker = new BufferWalker({
      memslots: vm.memslots,
      costs: vm.costs,
      guestMemory: (timeline) => vm.guestMemory(timeline),
      contentGeneration: () => vm.mm.frames.contentGeneration,
      readable: (page) => vm.mm.accessible(vm.memslots.hostPageOf(page), false),
      extents: vm.mm.extents,
    });
    this.context = new VcpuPolicyContext(this, owner.timeline);
    vm.addKeeper(this);
  }

  get traps(): CompiledSpeTraps {
    return this.#traps;
  }

  regime(): Stage1Regime {
    return this.owner.core.stage1();
  }

  /** The guest's belief, for the ground truth: its own E and S, or the hardware's where it reads those. */
  guestView(): GuestView {
    const { spu } = this.owner.core;
    if (!this.#trapping) {
      if (!spu.bufferEnable) return "off";
      return spu.pmbirq && !isStage2Abort(spu.read("PMBSR_EL1")) ? "full" : "on";
    }
    if (!PMBLIMITR_EL1.is(this.#copies.PMBLIMITR_EL1, "E")) return "off";
    if (PMBSR_EL1.is(this.#copies.PMBSR_EL1, "S")) return "full";
    if (!this.#active || !spu.pmbirq) return "on";
    return isStage2Abort(spu.read("PMBSR_EL1")) || this.#end !== "guest" ? "on" : "full";
  }

  // ---- Around a guest run ----

  /** Hands the buffer to the hardware, if it is on. */
  enter(): void {
    this.accounts.guestResumes();
    if (!this.#trapping || !this.#active) return;
    const { spu } = this.owner.core;
    const { PMBPTR_EL1: pointer, PMBLIMITR_EL1: guests } = this.#copies;
    const guestLimit = limitOf(guests);
    const policyLimit = this.#hardwareLimit;
    const isShort = policyLimit !== undefined && policyLimit < guestLimit;
    const limit = isShort ? policyLimit : guestLimit;
    const hardware = this.#bounce?.place(pointer, limit) ?? { pointer, limit, ends: false };
    this.#end = hardware.ends ? "bounce" : isShort ? "policy" : "guest";
    spu.write("PMBPTR_EL1", hardware.pointer);
    spu.write(
      "PMBLIMITR_EL1",
      hardware.limit === guestLimit ? guests : PMBLIMITR_EL1.with(guests, { LIMIT: hardware.limit >> 12n }),
    );
  }

  /** Takes it back: the pointer and the status as they are now, and E off. */
  leave(): void {
    const { spu } = this.owner.core;
    if (!this.#trapping) {
      this.#found = spu.pmbirq ? spu.read("PMBSR_EL1") : undefined;
      return;
    }
    if (!this.#active) return;
    if (this.#bounce === undefined) this.#copies.PMBPTR_EL1 = spu.read("PMBPTR_EL1");
    else this.#bounce.stoppedAt(spu.read("PMBPTR_EL1"));
    if (spu.pmbirq) {
      this.#found = spu.read("PMBSR_EL1");
      spu.write("PMBSR_EL1", 0n);
    }
    spu.write("PMBLIMITR_EL1", 0n);
  }

  /**
   * Copies what is in the bounce buffer to the guest's; on `timeline`. Where that has no place for it, the guest is told
   * as the SPU would have told it, and what comes after is lost.
   */
  copyOut(timeline: Timeline): void {
    const { core } = this.owner;
    if (this.#bounce?.isPending !== true) return;
    const startNs = timeline.nowNs;
    const copied = this.#bounce.copyOut(this.#copies.PMBPTR_EL1, this.walker, this.regime(), timeline);
    this.#copies.PMBPTR_EL1 += BigInt(copied.bytes);
    if (timeline === this.owner.timeline) this.accounts.spent(timeline.nowNs - startNs);
    this.#event("copied", { bytes: copied.bytes, lostBytes: copied.lostBytes });
    if (copied.failure === undefined) return;
    const { fixedRecordBytes, maxRecordBytes } = core.spu.facts;
    this.vmSpe.statistics.recordsLostInCopy += Math.ceil(
      copied.lostBytes / (fixedRecordBytes ?? maxRecordBytes),
    );
    this.#found = undefined;
    this.#refuse(copied.failure);
  }

  /** EL2's translation of a page of the bounce buffer. */
  ownFrame(page: Vpn): Pfn {
    if (this.#bounce === undefined)
      throw new BrokenInvariant("the SPU writes through EL2 without a buffer there");
    return this.#bounce.frameAt(page);
  }

  /**
   * Deals with the profiling buffer management event that the hardware reported in the last run, if any: a stage-2 fault, a full
   * buffer, a guest's mistake.
   */
  handleManagementEvent(): TrapOutcome {
    if (this.#found !== undefined) this.copyOut(this.owner.timeline);
    const found = this.#found;
    this.#found = undefined;
    if (!this.#trapping) {
      if (found !== undefined && isStage2Abort(found)) {
        this.owner.core.spu.write("PMBSR_EL1", 0n);
        this.#resolveStage2Fault();
      }
      this.#setLine(this.owner.core.spu.pmbirq);
      return DONE;
    }
    if (found === undefined) return DONE;
    if (isStage2Abort(found)) {
      this.#resolveStage2Fault();
      return DONE;
    }
    const full = PMBSR_EL1.num(found, "EC") === PMBSR_EC.buffer;
    if (full && this.#end === "bounce") return DONE;
    if (full && this.#end === "policy") return this.#hardwareLimitReached();
    this.#active = false;
    this.#setCopy("PMBSR_EL1", found);
    if (full) {
      this.#event("onBufferFull", {});
      this.vmSpe.handlers.onBufferFull?.(this.#buffer(this.#copies), this.context);
    }
    return DONE;
  }

  // ---- Trapped accesses ----

  /** Emulates a trapped MRS; undefined where the register is not ours. */
  read(register: RegisterName): bigint | undefined {
    switch (register) {
      case "PMBLIMITR_EL1":
      case "PMBPTR_EL1":
      case "PMBSR_EL1":
        return this.#copies[register];
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
    switch (register) {
      case "PMBLIMITR_EL1":
        return this.#change({ ...this.#copies, PMBLIMITR_EL1: value & PMBLIMITR_EL1.mask });
      case "PMBPTR_EL1":
        return this.#change({ ...this.#copies, PMBPTR_EL1: value & PMBPTR_EL1.mask & ALIGN_MASK });
      case "PMBSR_EL1":
        return this.#change({ ...this.#copies, PMBSR_EL1: value & PMBSR_EL1.mask });
      case "PMSCR_EL1":
        // It trapped when it was executed; a policy may have given the bounce buffer up since.
        this.owner.core.spu.write("PMSCR_EL1", value);
        this.#setOwner();
        return DONE;
      default:
        return { kind: "undefined" };
    }
  }

  /** An untrapped write of PMBLIMITR_EL1: seen by the statistics only. */
  untrappedEnable(on: boolean): void {
    this.accounts.enable(on);
  }

  // ---- What the policy context needs ----

  get enabledBuffer(): SpeBuffer | undefined {
    const copies = this.#trapping ? this.#copies : this.#hardwareCopies();
    return PMBLIMITR_EL1.is(copies.PMBLIMITR_EL1, "E") ? this.#buffer(copies) : undefined;
  }

  #hardwareCopies(): Copies {
    const { spu } = this.owner.core;
    return {
      PMBLIMITR_EL1: spu.read("PMBLIMITR_EL1"),
      PMBPTR_EL1: spu.read("PMBPTR_EL1"),
      PMBSR_EL1: spu.read("PMBSR_EL1"),
    };
  }

  setHardwareLimit(limit: bigint | undefined): void {
    this.#hardwareLimit = limit;
  }

  /** Lets a withheld buffer go on; false where there is none. */
  resume(): boolean {
    if (!this.#withheld) return false;
    this.#withheld = false;
    this.#active = true;
    return true;
  }

  /** The pages of the bounce buffer; 0 where there is none. */
  get bouncePages(): number {
    return this.#bounce?.pages ?? 0;
  }

  /** Sets up a bounce buffer in the place of the one there is, or (undefined) none. */
  bounce(pages: number | undefined, timeline: Timeline): Done | OverMemlock {
    this.copyOut(timeline);
    this.#bounce?.free(timeline);
    this.#bounce = undefined;
    const made = pages === undefined ? undefined : BounceBuffer.allocate(this.vmSpe, pages, timeline);
    if (made instanceof BounceBuffer) this.#bounce = made;
    this.#traps = this.#setOwner();
    this.holdings.bounces(this.bouncePages, timeline.nowNs);
    return made === undefined || made instanceof BounceBuffer ? { kind: "done" } : made;
  }

  /** Whose buffer the SPU writes to, and what of its registers traps therefore. */
  #setOwner(): CompiledSpeTraps {
    const { spu } = this.owner.core;
    const owner = this.#bufferOwner;
    spu.pe.e2pb = E2PB[owner];
    // Which of the two decides depends on the owner; the guest's own choice is what counts.
    const timestamps = owner === "kvm" && PMSCR_EL1.is(spu.read("PMSCR_EL1"), "TS");
    spu.write("PMSCR_EL2", PMSCR_EL2.with(0n, { TS: timestamps }));
    return compileTraps(owner);
  }

  get #bufferOwner(): BufferOwner {
    if (!this.#trapping) return "guest";
    return this.#bounce === undefined ? "trapped" : "kvm";
  }

  trapBuffer(on: boolean, timeline: Timeline): void {
    if (on === this.#trapping) return;
    const { spu } = this.owner.core;
    this.copyOut(timeline);
    this.#trapping = on;
    this.#withheld = false;
    this.#traps = this.#setOwner();
    this.#hardwareLimit = undefined;
    if (on) {
      const status = spu.read("PMBSR_EL1");
      this.#copies.PMBLIMITR_EL1 = spu.read("PMBLIMITR_EL1");
      this.#copies.PMBPTR_EL1 = spu.read("PMBPTR_EL1");
      // A stage-2 fault is not the guest's: its record is lost, and the next one faults again.
      this.#setCopy("PMBSR_EL1", isStage2Abort(status) ? 0n : status);
      this.#active = ProfilingBufferEnabled(this.#copies);
      spu.write("PMBLIMITR_EL1", 0n);
      spu.write("PMBSR_EL1", 0n);
    } else {
      const found = this.#found;
      // What the hardware reported and nobody has dealt with yet is the guest's to find.
      if (found !== undefined && !isStage2Abort(found) && this.#end === "guest")
        this.#copies.PMBSR_EL1 = found;
      this.#active = false;
      this.#giveToHardware();
    }
  }

  /** Without traps the hardware's registers are the guest's. */
  #giveToHardware(): void {
    const { spu } = this.owner.core;
    spu.write("PMBPTR_EL1", this.#copies.PMBPTR_EL1);
    spu.write("PMBSR_EL1", this.#copies.PMBSR_EL1);
    spu.write("PMBLIMITR_EL1", this.#copies.PMBLIMITR_EL1);
    this.#setLine(spu.pmbirq);
  }

  // ---- What the vCPU tells the policy of ----

  /** KVM_RUN begins: the vCPU is on this CPU (kvm_arch_vcpu_load). */
  load(): void {
    const { handlers, events } = this.vmSpe;
    events.enter();
    handlers.onVcpuLoad?.(this.context);
    events.leave();
  }

  /** KVM_RUN returns to user space (kvm_arch_vcpu_put). */
  put(): void {
    this.vmSpe.handlers.onVcpuPut?.(this.context);
  }

  /** The guest was left for a reason, by the name that reports have of it. */
  exited(reason: string): void {
    this.vmSpe.handlers.onGuestExit?.(reason, this.context);
  }

  /** A timer that the policy has armed is due. */
  timer(tag: string): void {
    const { handlers, events } = this.vmSpe;
    this.#event("onTimer", { tag });
    events.enter();
    handlers.onTimer?.(tag, this.context);
    events.leave();
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
    const { handlers, events } = this.vmSpe;
    if (handlers.onInvalidated === undefined) return;
    events.tell(() => {
      this.#event("onInvalidated", { first, pages, event });
      handlers.onInvalidated?.(first, pages, event, new VcpuPolicyContext(this, timeline));
    });
  }

  // ---- Whole state ----

  /** What `restore` takes. The hardware's registers are the core's. */
  save(): VcpuSpeState {
    return {
      copies: { ...this.#copies },
      trapping: this.#trapping,
      active: this.#active,
      withheld: this.#withheld,
      hardwareLimit: this.#hardwareLimit,
      bounce: this.#bounce?.save(),
      end: this.#end,
      found: this.#found,
      accounts: this.accounts.save(),
      holdings: this.holdings.save(),
    };
  }

  /** Into the SPE of a vCPU that has not run. The core's SPU is restored by itself, before or after. */
  restore(state: VcpuSpeState): void {
    Object.assign(this.#copies, state.copies);
    this.#trapping = state.trapping;
    this.#active = state.active;
    this.#withheld = state.withheld;
    this.#hardwareLimit = state.hardwareLimit;
    this.#bounce = state.bounce === undefined ? undefined : BounceBuffer.restored(this.vmSpe, state.bounce);
    this.#end = state.end;
    this.#found = state.found;
    this.#traps = compileTraps(this.#bufferOwner);
    this.accounts.restore(state.accounts);
    this.holdings.restore(state.holdings);
  }

  /** Ends everything: the buffer off, all pins given back. */
  teardown(timeline: Timeline): void {
    this.accounts.settle(this.owner.timeline.nowNs);
    this.#active = false;
    this.bounce(undefined, timeline);
    this.holdings.release(timeline);
  }

  // ---- Inside ----

  /** The guest's write makes the copies `next`: what that means for the buffer. */
  #change(next: Copies): TrapOutcome {
    const was = ProfilingBufferEnabled(this.#copies);
    const will = ProfilingBufferEnabled(next);
    const enabledBit = PMBLIMITR_EL1.is(next.PMBLIMITR_EL1, "E");
    if (will && (!was || !this.#active || !sameRange(this.#copies, next))) {
      const outcome = this.#enable(next);
      if (outcome.kind === "over-memlock") return { kind: "rlimit", byBytes: outcome.byBytes };
      this.#commit(next);
      this.accounts.enable(enabledBit);
      if (outcome.kind === "done") this.#active = this.#trapping;
      else if (outcome.kind === "withheld") this.#withhold();
      else this.#refuse(outcome);
      return DONE;
    }
    const switchedOff = PMBLIMITR_EL1.is(this.#copies.PMBLIMITR_EL1, "E") && !enabledBit;
    const buffer = switchedOff ? this.#buffer(this.#copies) : undefined;
    this.#commit(next);
    this.accounts.enable(enabledBit);
    if (!will) this.#active = false;
    if (buffer !== undefined) {
      this.#hardwareLimit = undefined;
      this.#event("onBufferDisabled", { pages: buffer.pages });
      this.vmSpe.handlers.onBufferDisabled?.(buffer, this.context);
    }
    return DONE;
  }

  #enable(next: Copies): EnableOutcome | OwnRefusal {
    // Discard mode (FM = 0b10) writes nothing: there is no buffer to hold.
    if (PMBLIMITR_EL1.num(next.PMBLIMITR_EL1, "FM") === 2) return { kind: "done" };
    const buffer = this.#buffer(next);
    if (buffer.pages <= 0) return { kind: "full" };
    // Without a limit of user space's, a guest still cannot have a buffer larger than its memory.
    const most = this.#maxBufferBytes ?? this.vmSpe.vm.memslots.pages * PAGE_BYTES;
    if (buffer.limit - buffer.pointer > BigInt(most)) return { kind: "too-large" };
    this.accounts.enabling();
    this.#hardwareLimit = undefined;
    this.#event("onBufferEnabled", { pages: buffer.pages });
    return this.vmSpe.handlers.onBufferEnabled?.(buffer, this.context) ?? { kind: "done" };
  }

  /** The buffer cannot go on: the guest is told in PMBSR_EL1, as the SPU would. */
  #refuse(outcome: RefusedEnable): void {
    this.#active = false;
    if (this.#trapping) this.#setCopy("PMBSR_EL1", refusal(outcome));
    else {
      this.owner.core.spu.write("PMBSR_EL1", refusal(outcome));
      this.#setLine(true);
    }
  }

  #commit(next: Copies): void {
    this.#withheld = false;
    this.#copies.PMBLIMITR_EL1 = next.PMBLIMITR_EL1;
    this.#copies.PMBPTR_EL1 = next.PMBPTR_EL1;
    this.#setCopy("PMBSR_EL1", next.PMBSR_EL1);
    // A policy may have stopped trapping while it was told of this very write.
    if (!this.#trapping) this.#giveToHardware();
  }

  #setCopy(register: "PMBSR_EL1", value: bigint): void {
    this.#copies[register] = value;
    this.#setLine(PMBSR_EL1.is(value, "S"));
  }

  #setLine(high: boolean): void {
    const { owner } = this;
    if (owner.line(high)) owner.timeline.charge("irq", this.vmSpe.vm.costs.injectIrq);
  }

  #buffer(copies: Copies): SpeBuffer {
    const pointer = copies.PMBPTR_EL1;
    const limit = limitOf(copies.PMBLIMITR_EL1);
    const firstPage = vpnOf(pointer);
    return { pointer, limit, firstPage, pages: vpnOf(limit) - firstPage };
  }

  #hardwareLimitReached(): TrapOutcome {
    const { handlers } = this.vmSpe;
    this.#hardwareLimit = undefined;
    const buffer = this.#buffer(this.#copies);
    this.#event("onHardwareLimit", { pages: buffer.pages });
    const outcome = handlers.onHardwareLimit?.(buffer, this.context) ?? { kind: "done" };
    if (outcome.kind === "over-memlock") {
      // The hardware stays off until the limit is raised: user space comes back and the event is tried again.
      this.#found = PMBSR_EL1.with(0n, { S: 1, EC: PMBSR_EC.buffer, MSS: PMBSR_BSC.filled });
      this.#hardwareLimit = buffer.pointer & ~0xfffn;
      return { kind: "rlimit", byBytes: outcome.byBytes };
    }
    if (outcome.kind === "withheld") this.#withhold();
    else if (outcome.kind !== "done") this.#refuse(outcome);
    return DONE;
  }

  /** The hardware stays off, and the guest believes that it is on. Without traps it has the buffer already. */
  #withhold(): void {
    this.#active = false;
    this.#withheld = this.#trapping;
  }

  #resolveStage2Fault(): void {
    const { timeline, core } = this.owner;
    const { vm, handlers, statistics } = this.vmSpe;
    statistics.recordStage2Faults += 1;
    const page = this.#trapping ? vpnOf(this.#copies.PMBPTR_EL1) : core.spu.pointerPage;
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
    const fault = { pointer: this.#copies.PMBPTR_EL1, page: missing.page, onWalk: missing.onWalk };
    this.#event("onStage2Fault", { page: missing.page, onWalk: missing.onWalk ? 1 : 0 });
    const outcome = handlers.onStage2Fault?.(fault, this.context) ?? this.context.mapFault(fault);
    if (outcome.kind === "unbacked") this.#refuse(outcome);
  }

  #event(name: string, detail: Record<string, number | string>): void {
    const { timeline, index } = this.owner;
    this.vmSpe.vm.trace?.({ atNs: timeline.nowNs, vcpu: index, what: "event", name, detail });
  }
}

/** PMBPTR_EL1 below PMBIDR_EL1.Align is RES0: 64-byte records. */
const ALIGN_MASK = ~63n;

const limitOf = (pmblimitr: bigint): bigint => pmblimitr & ~0xfffn;

const isStage2Abort = (pmbsr: bigint): boolean => PMBSR_EL1.num(pmbsr, "EC") === PMBSR_EC.stage2Abort;

const sameRange = (a: Copies, b: Copies): boolean =>
  a.PMBPTR_EL1 === b.PMBPTR_EL1 && a.PMBLIMITR_EL1 === b.PMBLIMITR_EL1;
