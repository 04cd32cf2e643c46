/**
 * One vCPU's profiling buffer in hardware: whose it is, what traps therefore, and how it is handed to the SPU when the
 * guest is entered and taken back when it is left.
 *
 * While the buffer registers trap, the hardware's have values only between the two, and only while
 * ProfilingBufferEnabled() holds for the guest's copies and the policy said go: on every exit the hardware's buffer is
 * disabled before stage 2 would go off, and PMBSR_EL1 is never written with the guest's. With a bounce buffer they point
 * to that, and the guest's pointer moves when records are copied; disabling the buffer on an exit drains it, so the copy
 * charges no drain of its own. Without traps the hardware's registers are the guest's.
 */
import { PMBLIMITR_EL1, PMBSR_EL1, PMSCR_EL1, PMSCR_EL2 } from "../../arm/registers.ts";
import type { CompiledSpeTraps } from "../../arm/spe-traps.ts";
import { PMBSR_BSC, PMBSR_EC } from "../../arm/syndromes.ts";
import type { Pfn, Vpn } from "../../common/address.ts";
import { BrokenInvariant } from "../../common/errors.ts";
import type { Timeline } from "../../common/timeline.ts";
import type { Stage1Regime } from "../../mmu/config.ts";
import { ProfilingBufferEnabled } from "../../spe/enables.ts";
import { BounceBuffer, type BounceBufferState, type Copied } from "./bounce-buffer.ts";
import type { BufferWalker } from "./buffer-walk.ts";
import type { GuestView } from "./ground-truth.ts";
import {
  type BufferRegisters,
  bufferOf,
  collision,
  enableBit,
  type GuestCopies,
  isBufferFull,
  isStage2Abort,
  limitOf,
} from "./guest-copies.ts";
import type { SpeOwner } from "./owner.ts";
import type { Done, OverMemlock, SpeBuffer } from "./policy.ts";
import { type BufferOwner, compileTraps, E2PB } from "./trap-controls.ts";
import type { VmSpe } from "./vm-spe.ts";

const LIMIT_MASK = PMBLIMITR_EL1.fields.LIMIT.mask;

/** Whose limit the hardware has. */
type BufferEnd = "guest" | "policy" | "bounce";

/** A profiling buffer management event that the hardware reported, by whose business it is. */
export type BufferEvent =
  /** The SPU could not translate a record at stage 2. */
  | { readonly kind: "stage2-fault" }
  /** KVM's own buffer has ended: what is in it has been copied. */
  | { readonly kind: "bounce-end" }
  /** The limit that the policy had put below the guest's. */
  | { readonly kind: "policy-limit" }
  /** The guest's: its buffer is full, or it has made a mistake. */
  | { readonly kind: "guest"; readonly status: bigint; readonly isFull: boolean };

export interface HardwareBufferState {
  readonly trapping: boolean;
  readonly active: boolean;
  readonly withheld: boolean;
  readonly hardwareLimit: bigint | undefined;
  readonly bounce: BounceBufferState | undefined;
  readonly end: BufferEnd;
  readonly found: bigint | undefined;
}

export class HardwareBuffer {
  readonly #vmSpe: VmSpe;
  readonly #owner: SpeOwner;
  readonly #copies: GuestCopies;
  #traps: CompiledSpeTraps;
  #trapping: boolean;
  /** The policy let the enabled buffer go on: the hardware runs it while the guest runs. */
  #active = false;
  /** The policy did not let the enabled buffer go on: the hardware is off, and the guest does not know. */
  #withheld = false;
  /** The limit that the policy has put below the guest's (page-aligned). */
  limit: bigint | undefined;
  #bounce: BounceBuffer | undefined;
  /** Whose limit the hardware had in the last run: what it means that it was reached, whatever a policy changes since. */
  #end: BufferEnd = "guest";
  /** Hardware PMBSR_EL1 as found at the last exit, while it has not been dealt with. */
  #found: bigint | undefined;

  constructor(vmSpe: VmSpe, owner: SpeOwner, copies: GuestCopies, trapping: boolean) {
    this.#vmSpe = vmSpe;
    this.#owner = owner;
    this.#copies = copies;
    this.#trapping = trapping;
    this.#traps = this.#setOwner();
  }

  // ---- Whose it is ----

  /** Whether the guest's accesses to the buffer registers go to KVM. */
  get trapping(): boolean {
    return this.#trapping;
  }

  /** What of SPE's registers traps now. */
  get traps(): CompiledSpeTraps {
    return this.#traps;
  }

  /** The hardware runs the buffer while the guest runs. */
  get active(): boolean {
    return this.#active;
  }

  /** Tells the SPU whose buffer it writes to. What of its registers traps follows from that. */
  #setOwner(): CompiledSpeTraps {
    const { spu } = this.#owner.core;
    const owner = this.#bufferOwner;
    spu.pe.e2pb = E2PB[owner];
    // Which of the two decides depends on the owner; the guest's own choice is what counts.
    const timestamps = owner === "kvm" && PMSCR_EL1.is(spu.read("PMSCR_EL1"), "TS");
    const { physicalAddresses } = this.#vmSpe;
    spu.write("PMSCR_EL2", PMSCR_EL2.with(0n, { TS: timestamps, PA: physicalAddresses }));
    return compileTraps(owner);
  }

  /** A trapped write of PMSCR_EL1: it is the hardware's, but for what the buffer's owner decides. */
  writePmscr(value: bigint): void {
    this.#owner.core.spu.write("PMSCR_EL1", value);
    // It trapped when it was executed; a policy may have given the bounce buffer up since.
    this.#traps = this.#setOwner();
  }

  get #bufferOwner(): BufferOwner {
    if (!this.#trapping) return "guest";
    return this.#bounce === undefined ? "trapped" : "kvm";
  }

  /** Has the guest's accesses trap, or not. Nothing may be left to copy. */
  trap(on: boolean): void {
    const { spu } = this.#owner.core;
    this.#trapping = on;
    this.#withheld = false;
    this.#traps = this.#setOwner();
    this.limit = undefined;
    if (on) {
      const registers = this.#registers();
      const status = registers.PMBSR_EL1;
      // A stage-2 fault is not the guest's: its record is lost, and the next one faults again.
      this.#copies.set({ ...registers, PMBSR_EL1: isStage2Abort(status) ? collision(status) : status });
      this.#active = ProfilingBufferEnabled(this.#copies.values);
      spu.write("PMBLIMITR_EL1", 0n);
      spu.write("PMBSR_EL1", 0n);
    } else {
      const found = this.#found;
      // What the hardware reported and nobody has dealt with yet is the guest's to find.
      if (found !== undefined && !isStage2Abort(found) && this.#end === "guest")
        this.#copies.setStatus(found);
      this.#active = false;
      this.#giveToGuest();
    }
  }

  /** Without traps the hardware's registers are the guest's. */
  #giveToGuest(): void {
    const { spu } = this.#owner.core;
    const { values } = this.#copies;
    spu.write("PMBPTR_EL1", values.PMBPTR_EL1);
    spu.write("PMBSR_EL1", values.PMBSR_EL1);
    spu.write("PMBLIMITR_EL1", values.PMBLIMITR_EL1);
    this.#owner.line(spu.pmbirq);
  }

  /** The buffer that the guest has enabled, as its registers have it; undefined while E is 0. */
  get enabledBuffer(): SpeBuffer | undefined {
    const registers = this.#guests();
    return enableBit(registers) ? bufferOf(registers) : undefined;
  }

  /** The buffer that the guest's registers describe, on or off. */
  get guestBuffer(): SpeBuffer {
    return bufferOf(this.#guests());
  }

  #guests(): BufferRegisters {
    return this.#trapping ? this.#copies.values : this.#registers();
  }

  #registers(): BufferRegisters {
    const { spu } = this.#owner.core;
    return {
      PMBLIMITR_EL1: spu.read("PMBLIMITR_EL1"),
      PMBPTR_EL1: spu.read("PMBPTR_EL1"),
      PMBSR_EL1: spu.read("PMBSR_EL1"),
    };
  }

  /** What the guest believes, for the ground truth: its own E and S, or the hardware's where it reads those. */
  guestView(): GuestView {
    const { spu } = this.#owner.core;
    if (!this.#trapping) {
      if (!spu.bufferEnable) return "off";
      return spu.pmbirq && !isStage2Abort(spu.read("PMBSR_EL1")) ? "full" : "on";
    }
    const { values } = this.#copies;
    if (!enableBit(values)) return "off";
    if (PMBSR_EL1.is(values.PMBSR_EL1, "S")) return "full";
    if (!this.#active || !spu.pmbirq) return "on";
    return isStage2Abort(spu.read("PMBSR_EL1")) || this.#end !== "guest" ? "on" : "full";
  }

  // ---- Whether it may go on ----

  /** The guest has written its registers, which are `registers` now. Nothing that it asked for before is withheld. */
  written(registers: BufferRegisters): void {
    this.#withheld = false;
    this.#copies.set(registers);
    // A policy may have stopped trapping while it was told of this very write.
    if (!this.#trapping) this.#giveToGuest();
  }

  /** The policy lets the enabled buffer go on. */
  start(): void {
    this.#active = this.#trapping;
  }

  stop(): void {
    this.#active = false;
  }

  /** The buffer cannot go on: the guest is told in PMBSR_EL1, as the SPU would. */
  stopWith(status: bigint): void {
    this.#active = false;
    if (this.#trapping) this.#copies.setStatus(status);
    else {
      this.#owner.core.spu.write("PMBSR_EL1", status);
      this.#owner.line(true);
    }
  }

  /** The hardware stays off, and the guest believes that it is on. Without traps it has the buffer already. */
  withhold(): void {
    this.#active = false;
    this.#withheld = this.#trapping;
  }

  /** Lets a withheld buffer go on; false where there is none. */
  resume(): boolean {
    if (!this.#withheld) return false;
    this.#withheld = false;
    this.#active = true;
    return true;
  }

  /** The policy's limit was reached, and it could not move it: the next run ends there at once and tells so again. */
  stayAtLimit(pointer: bigint): void {
    this.#found = PMBSR_EL1.with(0n, { S: 1, EC: PMBSR_EC.buffer, MSS: PMBSR_BSC.filled });
    this.limit = pointer & ~0xfffn;
  }

  // ---- Around a guest run ----

  /** Hands the buffer to the hardware, if it is on. */
  enter(): void {
    if (!this.#trapping || !this.#active) return;
    const { spu } = this.#owner.core;
    const { PMBPTR_EL1: pointer, PMBLIMITR_EL1: guests } = this.#copies.values;
    const guestLimit = limitOf(guests);
    const policyLimit = this.limit;
    const isShort = policyLimit !== undefined && policyLimit < guestLimit;
    const limit = isShort ? policyLimit : guestLimit;
    const hardware = this.#bounce?.place(pointer, limit) ?? { pointer, limit, ends: false };
    this.#end = hardware.ends ? "bounce" : isShort ? "policy" : "guest";
    spu.write("PMBPTR_EL1", hardware.pointer);
    spu.write(
      "PMBLIMITR_EL1",
      hardware.limit === guestLimit ? guests : (guests & ~LIMIT_MASK) | (hardware.limit & LIMIT_MASK),
    );
  }

  /** Takes it back: the pointer and the status as they are now, and E off. */
  leave(): void {
    const { spu } = this.#owner.core;
    if (!this.#trapping) {
      this.#found = spu.pmbirq ? spu.read("PMBSR_EL1") : undefined;
      return;
    }
    if (!this.#active) return;
    if (this.#bounce === undefined) this.#copies.setPointer(spu.read("PMBPTR_EL1"));
    else this.#bounce.stoppedAt(spu.read("PMBPTR_EL1"));
    const status = spu.read("PMBSR_EL1");
    if (spu.pmbirq) this.#found = status;
    if (status !== 0n) {
      this.#copies.addCollision(status);
      spu.write("PMBSR_EL1", 0n);
    }
    spu.write("PMBLIMITR_EL1", 0n);
  }

  /** The hardware has reported an event that nobody has dealt with. */
  get hasEvent(): boolean {
    return this.#found !== undefined;
  }

  /** That event, once; what the hardware still says of a stage-2 fault is cleared. */
  takeEvent(): BufferEvent | undefined {
    const status = this.#found;
    this.#found = undefined;
    if (status === undefined) return undefined;
    if (isStage2Abort(status)) {
      if (!this.#trapping) this.#owner.core.spu.write("PMBSR_EL1", collision(status));
      return { kind: "stage2-fault" };
    }
    const isFull = isBufferFull(status);
    if (isFull && this.#trapping && this.#end === "bounce") return { kind: "bounce-end" };
    if (isFull && this.#trapping && this.#end === "policy") return { kind: "policy-limit" };
    return { kind: "guest", status, isFull };
  }

  /** The guest is told of something else in the place of what the hardware reported. */
  dropEvent(): void {
    this.#found = undefined;
  }

  // ---- A buffer of KVM's own ----

  /** The pages of the bounce buffer; 0 where there is none. */
  get bouncePages(): number {
    return this.#bounce?.pages ?? 0;
  }

  /** There are records in the bounce buffer that the guest does not have. */
  get hasCopies(): boolean {
    return this.#bounce?.isPending === true;
  }

  /** EL2's translation of a page of the bounce buffer. */
  ownFrame(page: Vpn): Pfn {
    if (this.#bounce === undefined)
      throw new BrokenInvariant("the SPU writes through EL2 without a buffer there");
    return this.#bounce.frameAt(page);
  }

  /** Copies what is in the bounce buffer to the guest's, whose pointer moves; on `timeline`. */
  copyOut(walker: BufferWalker, regime: Stage1Regime, timeline: Timeline): Copied {
    if (this.#bounce === undefined) throw new BrokenInvariant("there is no bounce buffer to copy from");
    const pointer = this.#copies.values.PMBPTR_EL1;
    const copied = this.#bounce.copyOut(pointer, walker, regime, timeline);
    this.#copies.setPointer(pointer + BigInt(copied.bytes));
    return copied;
  }

  /** Sets up a bounce buffer in the place of the one there is, of which nothing is left to copy, or (undefined) none. */
  bounce(pages: number | undefined, timeline: Timeline): Done | OverMemlock {
    this.#bounce?.free(timeline);
    this.#bounce = undefined;
    const made = pages === undefined ? undefined : BounceBuffer.allocate(this.#vmSpe, pages, timeline);
    if (made instanceof BounceBuffer) this.#bounce = made;
    this.#traps = this.#setOwner();
    return made === undefined || made instanceof BounceBuffer ? { kind: "done" } : made;
  }

  // ---- Whole state ----

  /** What `restore` takes. The hardware's registers are the core's. */
  save(): HardwareBufferState {
    return {
      trapping: this.#trapping,
      active: this.#active,
      withheld: this.#withheld,
      hardwareLimit: this.limit,
      bounce: this.#bounce?.save(),
      end: this.#end,
      found: this.#found,
    };
  }

  restore(state: HardwareBufferState): void {
    this.#trapping = state.trapping;
    this.#active = state.active;
    this.#withheld = state.withheld;
    this.limit = state.hardwareLimit;
    this.#bounce = state.bounce === undefined ? undefined : BounceBuffer.restored(this.#vmSpe, state.bounce);
    this.#end = state.end;
    this.#found = state.found;
    // The SPU's own registers come with its core.
    this.#owner.core.spu.pe.e2pb = E2PB[this.#bufferOwner];
    this.#traps = compileTraps(this.#bufferOwner);
  }
}
