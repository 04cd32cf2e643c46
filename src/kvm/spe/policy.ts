/**
 * What a pin policy is: events in, calls on a context out. A policy decides which host pages to hold for a guest's
 * profiling buffer, and when; KVM calls it, charges what it asks for, and refuses what would break an invariant.
 *
 * A policy is one file in policies/ and one line in policies/index.ts, or a file named on the command line.
 */
import type { Ipn } from "../../common/address.ts";
import type { NotifierEvent } from "../../host/mm.ts";
import type { Fault } from "../../mmu/fault.ts";
import type { PageSet } from "../guest-pages.ts";

/** The guest's buffer as its registers have it at an enable: [PMBPTR_EL1, PMBLIMITR_EL1.LIMIT). */
export interface SpeBuffer {
  /** PMBPTR_EL1. */
  readonly pointer: bigint;
  /** PMBLIMITR_EL1.LIMIT: the first byte after the buffer. */
  readonly limit: bigint;
  /** The first page of the buffer: VA[63:12] of the pointer. */
  readonly firstPage: number;
  /** Pages from there to the limit. */
  readonly pages: number;
}

/** What a walk of guest stage 1 over a buffer found. */
export interface BufferWalk {
  readonly kind: "walked";
  readonly buffer: SpeBuffer;
  /** The guest pages behind the buffer. */
  readonly pages: PageSet;
  /** The guest's stage-1 table pages that map it, every level. */
  readonly tables: PageSet;
  /** Both. */
  readonly all: PageSet;
}

/** Stage 1 does not map the buffer (or not writable): the guest's mistake, reported to it as the SPU would. */
export interface WalkFault {
  readonly kind: "stage1-fault";
  readonly fault: Fault;
  readonly firstPage: number;
}

/** The pages would take RLIMIT_MEMLOCK over its limit: KVM_RUN returns with KVM_EXIT_RLIMIT and the guest's write
 *  is tried again when user space comes back. */
export interface OverMemlock {
  readonly kind: "over-memlock";
  readonly byBytes: number;
}

/** A page lies in no memslot, or the host cannot give it: the SPU's buffer is refused (an external abort). */
export interface Unbacked {
  readonly kind: "unbacked";
  readonly page: Ipn;
}

export interface Done {
  readonly kind: "done";
}

export const DONE: Done = { kind: "done" };

export type PinOutcome = Done | OverMemlock | Unbacked;
export type MapOutcome = Done | Unbacked;

/** The hardware buffer stays off, and the guest is not told: a blackout until its next enable or ctx.resume(). */
export interface Withheld {
  readonly kind: "withheld";
}

/** How an enable ends. "done": the hardware buffer goes on. */
export type EnableOutcome = Done | Withheld | WalkFault | OverMemlock | Unbacked;

/** The SPU could not translate a record at stage 2. */
export interface SpuStage2Fault {
  /** Where PMBPTR_EL1 stands. */
  readonly pointer: bigint;
  /** The page whose stage-2 translation is missing or read-only: of the buffer, or of the stage-1 tables. */
  readonly page: Ipn;
  /** Whether it is a stage-1 table page. */
  readonly onWalk: boolean;
}

/**
 * A policy asked for something that would break an invariant. The handler that did ends there: an enable is withheld, and everything
 * else does not happen (VmSpe.ask).
 */
export class PolicyRefused extends Error {
  override readonly name = "PolicyRefused";
  constructor(policy: string, call: string, why: string) {
    super(`policy ${policy}: ${call} refused: ${why}`);
  }
}

/** Everything that a policy can ask of KVM. Every call charges what it costs to the vCPU it runs on. */
export interface PolicyContext {
  /** The vCPU whose event this is, from 0. */
  readonly vcpu: number;
  /** This vCPU's instant. */
  readonly nowNs: number;
  /** What this vCPU's policy holds pinned. Pages that the host has taken away since are no longer in it. */
  readonly pinned: PageSet;
  /** The buffer that the guest has enabled, its pointer as of this vCPU's last exit; undefined while E is 0. */
  readonly buffer: SpeBuffer | undefined;
  /** KVM_ARM_VCPU_SPE_MAX_BUFFER_SIZE in pages; without a maximum, all of the guest's memory. */
  readonly maxBufferPages: number;
  /** RLIMIT_MEMLOCK: the limit, what is accounted now, and the high-water mark that counts against it. */
  readonly memlock: {
    readonly limitBytes: number;
    readonly currentBytes: number;
    readonly markBytes: number;
  };
  /** Walks guest stage 1 in software over a buffer. */
  walk(buffer: SpeBuffer): BufferWalk | WalkFault;
  /** Pins those of the pages that are not pinned yet: GUP and memlock. All or nothing. */
  pin(pages: PageSet): PinOutcome;
  /** Unpins those of the pages that are pinned. */
  unpin(pages: PageSet): void;
  /** Maps the pages at stage 2, writable, as a CPU's faults would; those mapped already are only checked. */
  map(pages: PageSet): MapOutcome;
  /** Says that a walked range is pinned and mapped from now on. Refused (PolicyRefused) unless it is. */
  report(walk: BufferWalk): void;
  /** Maps the page that the SPU faulted on, without pinning it. */
  mapFault(fault: SpuStage2Fault): MapOutcome;
  /** Sets the hardware's limit below the guest's (a page-aligned VA), or back to the guest's. */
  setHardwareLimit(limit: bigint | undefined): void;
  /**
   * Has the SPU write to a buffer of KVM's own, in host kernel memory, in the guest's place; undefined: to the guest's
   * again. Another number of pages replaces it. While there is one and the buffer registers trap, nothing of the
   * guest's need be pinned or mapped: at each exit KVM copies what was written to the guest's buffer, and tells the
   * guest where stage 1 does not map it. An exit comes too late if the guest's stretch is longer: the SPU stops at the
   * end of KVM's buffer until KVM has copied it, which is a blackout. It counts as pinned, and against memlock.
   * @param pages at least 2
   */
  bounce(pages: number | undefined): Done | OverMemlock;
  /** The hardware goes on with an enabled buffer that was withheld. */
  resume(): void;
  /** Whether the guest's accesses to PMBLIMITR, PMBPTR and PMBSR trap; without, their events do not come. */
  trapBuffer(on: boolean): void;
  /**
   * Calls onTimer with `tag` at an instant, on this vCPU; a timer of the same tag is moved there. One that goes off
   * while the guest runs costs an exit.
   */
  armTimer(atNs: number, tag: string): void;
  /**
   * Queues work for this vCPU's host worker, which calls onBackground with `tag` when it is awake and done with what it had to do
   * before; what is queued already is done once. What is charged there does not stop the vCPU, unless the host has no other CPU.
   */
  background(tag: string): void;
  /**
   * Pins and maps all of the guest's memory, its tables with it (v4 and v5's lock operation): user space's choice, so
   * no maximum but memlock's. For onVmStart.
   */
  pinMemslots(): PinOutcome;
  /** KVM_PRE_FAULT_MEMORY over every memslot. Refused unless guest memory is guest_memfd. */
  prefault(): void;
  /** A line for `--trace`. */
  note(text: string): void;
}

/** The events. Each is called with the context of the vCPU it happens on; leave out what does not matter. */
export interface PolicyHandlers {
  /**
   * Once, before the first guest run, on vCPU 0. Its time is the run's setupNs. Where it returns that memlock is
   * exhausted, user space raises the limit and it is called again.
   */
  onVmStart?(ctx: PolicyContext): PinOutcome | undefined;
  /** ProfilingBufferEnabled() is about to become true: the guest's write is trapped, the hardware still off. */
  onBufferEnabled?(buffer: SpeBuffer, ctx: PolicyContext): EnableOutcome;
  /** The guest wrote E = 0. */
  onBufferDisabled?(buffer: SpeBuffer, ctx: PolicyContext): void;
  /** The hardware reported the buffer full; the guest is about to be told. */
  onBufferFull?(buffer: SpeBuffer, ctx: PolicyContext): void;
  /** The hardware reached a limit that setHardwareLimit put below the guest's. Left out: the guest's limit is set. */
  onHardwareLimit?(buffer: SpeBuffer, ctx: PolicyContext): EnableOutcome;
  /** Left out: ctx.mapFault(fault). */
  onStage2Fault?(fault: SpuStage2Fault, ctx: PolicyContext): MapOutcome;
  /**
   * The host invalidated pages this vCPU's policy held; those zapped have left ctx.pinned. Told when whatever KVM or a
   * policy was doing then is over: handlers never nest.
   */
  onInvalidated?(first: Ipn, pages: number, event: NotifierEvent, ctx: PolicyContext): void;
  onVcpuLoad?(ctx: PolicyContext): void;
  onVcpuPut?(ctx: PolicyContext): void;
  onGuestExit?(reason: string, ctx: PolicyContext): void;
  onTimer?(tag: string, ctx: PolicyContext): void;
  /**
   * On the vCPU's host worker: the context holds the same pages as the vCPU's, and its `nowNs` is the worker's. What was done
   * counts from that instant at the end: until then the hardware must not depend on it (setHardwareLimit).
   */
  onBackground?(tag: string, ctx: PolicyContext): void;
  /**
   * What the policy knows beside what the context tells, for a snapshot: objects without methods, arrays, maps, numbers, bigints,
   * strings, page sets and walks. Left out: nothing.
   */
  save?(): unknown;
  /** Takes over what `save` has returned, in handlers that were just made. */
  restore?(state: unknown): void;
}

export interface PinPolicy {
  /** As on the command line: lower case with dashes. */
  readonly name: string;
  /** One sentence: what it does. */
  readonly summary: string;
  /** Who proposed it, where and when. */
  readonly origin: string;
  /** What one gets and what one pays. */
  readonly tradeOff: string;
  /** Whether the buffer registers trap from the start. */
  readonly trapsBuffer: boolean;
  /** A reference that never lets the hardware profile: it has no samples to offer. */
  readonly neverProfiles?: true;
  /** The only backing it works with, if it is not free to choose. */
  readonly backing?: "guest-memfd";
  /** Made once for a VM. State for each vCPU is the policy's own (a Map by ctx.vcpu). */
  create(): PolicyHandlers;
}
