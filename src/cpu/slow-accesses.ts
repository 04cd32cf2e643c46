/**
 * Accesses that WebAssembly could not make by itself: the soft TLB is filled for them, or what cannot be one load or store of
 * the host (devices, page crossings) is prepared in SCRATCH and carried out when its instruction has happened.
 */
import { ACCESS, STATE } from "../a64/state.ts";
import { SCTLR_EL1 } from "../arm/registers.ts";
import { type Ipn, PAGE_BYTES } from "../common/address.ts";
import type { Access } from "../mmu/access.ts";
import { type Fault, isFault } from "../mmu/fault.ts";
import type { CombinedTranslation } from "../mmu/translate.ts";
import {
  type AccessProblem,
  ALIGNMENT_FAULT,
  EXTERNAL_ABORT,
  isGlobal,
  problemOf,
} from "./access-problem.ts";
import type { Debug } from "./debug.ts";
import type { CpuMemory } from "./memory.ts";
import type { CorePlatform } from "./platform.ts";
import type { SoftTlbs, TlbEntry } from "./soft-tlbs.ts";
import type { VcpuState } from "./vcpu-state.ts";

/** Where a part of an access goes: content in the linear memory (which may have Device attributes), or a device. */
type Place =
  | {
      readonly kind: "ram";
      readonly at: number;
      readonly ipn: Ipn;
      readonly device: boolean;
      readonly global: boolean;
    }
  | { readonly kind: "device"; readonly ipa: number };

/** Where the bytes of a part of an access go. */
type Part = Pick<Extract<Place, { kind: "ram" }>, "kind" | "at"> | Extract<Place, { kind: "device" }>;

/** Whether an access is aligned to its elements. */
const isAligned = (va: bigint, flags: number): boolean =>
  (va & ((1n << BigInt(flags >> ACCESS.ELEMENT_SHIFT)) - 1n)) === 0n;

/** Whether a fault of an access is that of a write (AArch64.FaultSyndrome): of an atomic one it is the read's, unless it is allowed. */
const onlyWrites = (flags: number): boolean => (flags & ACCESS.WRITE) !== 0 && (flags & ACCESS.ATOMIC) === 0;

const isDeviceMemory = (memory: number): boolean => (memory & 0xf0) === 0;

export class SlowAccesses {
  readonly #memory: CpuMemory;
  readonly #state: VcpuState;
  readonly #platform: CorePlatform;
  readonly #debug: Debug;
  readonly #tlbs: SoftTlbs;
  readonly #translate: (va: bigint, access: Access) => CombinedTranslation | Fault;
  /** An entry of a soft TLB that is for the next instruction only: its page is watched; and the store that it is for. */
  #entryForOne: TlbEntry | undefined;
  #storeOfOne: { readonly at: number; readonly bytes: number } | undefined;
  /** Where the bytes of a prepared store go, once its instruction has happened. */
  #store: { readonly places: readonly Part[]; readonly split: number; readonly bytes: number } | undefined;

  /** @param translate both stages, as the core's registers select them */
  constructor(
    memory: CpuMemory,
    state: VcpuState,
    platform: CorePlatform,
    debug: Debug,
    tlbs: SoftTlbs,
    translate: (va: bigint, access: Access) => CombinedTranslation | Fault,
  ) {
    this.#memory = memory;
    this.#state = state;
    this.#platform = platform;
    this.#debug = debug;
    this.#tlbs = tlbs;
    this.#translate = translate;
  }

  /** How an access of these kinds is checked. */
  #accessOf(flags: number): Access {
    const { el: current, words, at } = this.#state;
    const write = (flags & ACCESS.WRITE) !== 0;
    const unprivileged = (flags & ACCESS.UNPRIVILEGED) !== 0 && !(current === 1 && words[at.UAO] === 1);
    const el = unprivileged ? 0 : current;
    return {
      by: write ? "store" : "load",
      el,
      write,
      pan: el === 1 && words[at.PAN] === 1,
    };
  }

  /** SCTLR_EL1.A. */
  get #checksAlignment(): boolean {
    const { words, at } = this.#state;
    return ((words[at.SCTLR_EL1] as number) & SCTLR_EL1.fields.A.mask32) !== 0;
  }

  /** Answers the access in SLOW_*: fills the soft TLB, or prepares SCRATCH, or says what is in the way. */
  prepare(): AccessProblem | undefined {
    const state = this.#state;
    const va = state.get64("SLOW_VA");
    const bytes = state.words[state.at.SLOW_BYTES] as number;
    const flags = state.words[state.at.SLOW_ACCESS] as number;
    const write = (flags & ACCESS.WRITE) !== 0;
    const access = this.#accessOf(flags);
    // SCTLR_EL1.A has all be aligned, element by element; DC ZVA always is.
    const checked = this.#checksAlignment;
    const strict = checked && (flags & ACCESS.ZVA) === 0;
    const aligned = isAligned(va, flags);
    if (((flags & ACCESS.ALIGNED) !== 0 && (va & BigInt(bytes - 1)) !== 0n) || (strict && !aligned))
      return { kind: "data", va, status: ALIGNMENT_FAULT, write: onlyWrites(flags), cache: false };
    const inPage = PAGE_BYTES - Number(va & 0xfffn);
    if (bytes > inPage && !strict) {
      const known = this.#knownAcross(va, flags, inPage);
      if (known !== undefined) {
        this.#prepareInScratch(known, inPage, bytes, write);
        return undefined;
      }
    }
    const first = this.#place(va, access, flags, aligned);
    if ("problem" in first) return first.problem;
    const places = [first.place];
    if (bytes > inPage) {
      const second = this.#place(BigInt.asUintN(64, va + BigInt(inPage)), access, flags, aligned);
      if ("problem" in second) return second.problem;
      places.push(second.place);
    }
    if (this.#debug.active) {
      // Faults of the MMU come first.
      const atomic = (flags & ACCESS.ATOMIC) !== 0;
      const hit = this.#debug.watchpointAt({ va, bytes, write, atomic, el: access.el === 0 ? 0 : 1 });
      if (hit !== undefined) return { kind: "watchpoint", ...hit, cache: false };
    }
    // DC ZVA where SCTLR_EL1.A counts is the one access of its page that need not be aligned: it gets no entry.
    if (bytes <= inPage && first.place.kind === "ram" && strict === checked) {
      const { at, ipn, device, global } = first.place;
      const page = at - Number(va & 0xfffn);
      const unprivileged = (flags & ACCESS.UNPRIVILEGED) !== 0;
      const entry = this.#tlbs.fill(va, page, { ipn, write, unprivileged, global, strict: strict || device });
      const isWatched = write && this.#platform.isWatched(page);
      if (isWatched || this.#debug.guardsData(va, access.el === 0 ? 0 : 1)) this.#entryForOne = entry;
      this.#storeOfOne = isWatched ? { at, bytes } : undefined;
      return undefined;
    }
    if (first.place.kind === "device" && this.#platform.isAhead()) return { kind: "ahead" };
    const split = Math.min(inPage, bytes);
    if (!write && first.place.kind === "device")
      return { kind: "mmio", ipa: first.place.ipa, bytes, write: false, data: 0n };
    this.#prepareInScratch(places, split, bytes, write);
    return undefined;
  }

  /** The instruction at PC finds what lies at `places` in SCRATCH; what it stores there is carried out when it has happened. */
  #prepareInScratch(places: readonly Part[], split: number, bytes: number, write: boolean): void {
    if (write) this.#store = { places, split, bytes };
    if (places[0]?.kind === "ram") this.#copyIn(places, split, bytes);
    this.#state.preparedInScratch();
  }

  /**
   * Where an access goes that crosses into another page, if the soft TLB has both: a stack may lie so that a hot function's does,
   * each time.
   */
  #knownAcross(va: bigint, flags: number, inPage: number): readonly Part[] | undefined {
    if (this.#debug.active) return undefined;
    const write = (flags & ACCESS.WRITE) !== 0;
    const unprivileged = (flags & ACCESS.UNPRIVILEGED) !== 0;
    const next = BigInt.asUintN(64, va + BigInt(inPage));
    const first = this.#tlbs.hostAddressOf(va, write, unprivileged);
    const second = this.#tlbs.hostAddressOf(next, write, unprivileged);
    if (first === undefined || second === undefined) return undefined;
    return [
      { kind: "ram", at: first },
      { kind: "ram", at: second },
    ];
  }

  /**
   * Fills the soft TLB for loads from a page, as far as they are allowed. Maintenance by VA, which comes line by line, is
   * WebAssembly's then.
   */
  cacheForLoads(va: bigint): void {
    if (this.#debug.active) return;
    const found = this.#place(va, this.#accessOf(0), 0, true);
    if ("problem" in found || found.place.kind !== "ram") return;
    const { at, ipn, device, global } = found.place;
    const strict = device || this.#checksAlignment;
    const kind = { ipn, write: false, unprivileged: false, global, strict };
    this.#tlbs.fill(va, at - Number(va & 0xfffn), kind);
  }

  /** Where the part of an access goes that lies at `va` and behind it in its page. */
  #place(
    va: bigint,
    access: Access,
    flags: number,
    aligned: boolean,
  ): { readonly place: Place } | { readonly problem: AccessProblem } {
    const found = this.#translate(va, access);
    const write = onlyWrites(flags) || (isFault(found) && this.#onlyWriteFaults(va, access));
    const fault = (status: number) => ({
      problem: { kind: "data", va, status, write, cache: false } as const,
    });
    let ipa: number;
    if (isFault(found)) {
      if (found.kind === "permission" && !aligned && this.#isDeviceAt(va, access))
        return fault(ALIGNMENT_FAULT);
      const problem = problemOf(found, va, { by: "data", write }, this.#platform.isMemory);
      if (problem.kind !== "mmio") return { problem };
      ({ ipa } = problem);
    } else if (this.#platform.isMemory(found.stage1.outputPage)) {
      const device = isDeviceMemory(found.memory);
      if (device && (!aligned || (flags & ACCESS.ZVA) !== 0)) return fault(ALIGNMENT_FAULT);
      const content = this.#platform.contentOf(found.outputPage);
      const at = content.byteOffset + Number(va & 0xfffn);
      const ipn = found.stage1.outputPage;
      return { place: { kind: "ram", at, ipn, device, global: isGlobal(va, found) } };
    } else ipa = found.stage1.outputPage * PAGE_BYTES + Number(va & 0xfffn);
    // A device. What has no syndrome a hypervisor cannot carry out: user space that is asked instead injects an external
    // abort (KVM_CAP_ARM_NISV_TO_USER, as QEMU answers it).
    if (!aligned || (flags & ACCESS.ZVA) !== 0) return fault(ALIGNMENT_FAULT);
    if ((flags & ACCESS.SYNDROME) === 0) return fault(EXTERNAL_ABORT);
    return { place: { kind: "device", ipa } };
  }

  /** Whether a store faults here where a load would not. An atomic access reads first (ESR_ELx.WnR). */
  #onlyWriteFaults(va: bigint, access: Access): boolean {
    return access.write && !isFault(this.#translate(va, { ...access, by: "load", write: false }));
  }

  /** Whether stage 1 has Device memory somewhere, permissions aside: they come later (AArch64.S1Translate). */
  #isDeviceAt(va: bigint, access: Access): boolean {
    const found = this.#translate(va, { ...access, by: "inspect" });
    return !isFault(found) && isDeviceMemory(found.stage1.attributes.memory);
  }

  /** Puts what lies at `places` into SCRATCH. */
  #copyIn(places: readonly Part[], split: number, bytes: number): void {
    const scratch = this.#state.base + STATE.SCRATCH;
    const [first, second] = places;
    if (first?.kind === "ram") this.#memory.bytes.copyWithin(scratch, first.at, first.at + split);
    if (second?.kind === "ram")
      this.#memory.bytes.copyWithin(scratch + split, second.at, second.at + bytes - split);
  }

  /** The instruction of a prepared store has happened: carries out the store. */
  commit(): AccessProblem | undefined {
    const store = this.#store;
    this.#store = undefined;
    if (store === undefined) return undefined;
    const scratch = this.#state.base + STATE.SCRATCH;
    const { bytes, view } = this.#memory;
    const [first, second] = store.places;
    if (first?.kind === "ram") bytes.copyWithin(first.at, scratch, scratch + store.split);
    if (second?.kind === "ram") bytes.copyWithin(second.at, scratch + store.split, scratch + store.bytes);
    for (const place of store.places)
      if (place.kind === "ram" && this.#platform.isWatched(place.at - (place.at % PAGE_BYTES)))
        this.#platform.stored(place.at, place === first ? store.split : store.bytes - store.split);
    if (first?.kind !== "device") return undefined;
    const data = BigInt.asUintN(8 * store.bytes, view.getBigUint64(scratch, true));
    return { kind: "mmio", ipa: first.ipa, bytes: store.bytes, write: true, data };
  }

  /** Whether the next instruction has an access for it alone: to a watched page, or a store that follows it. */
  get hasOneForNext(): boolean {
    return this.#entryForOne !== undefined || this.#store !== undefined;
  }

  /** @param isDone whether the instruction that it was for has happened */
  dropOneForNext(isDone = false): void {
    if (!isDone && this.#store !== undefined) {
      this.#store = undefined;
      this.#state.set32("SLOW_AT", 0);
    }
    if (this.#entryForOne === undefined) return;
    this.#tlbs.empty(this.#entryForOne);
    this.#entryForOne = undefined;
    const store = this.#storeOfOne;
    this.#storeOfOne = undefined;
    if (isDone && store !== undefined) this.#platform.stored(store.at, store.bytes);
  }
}
