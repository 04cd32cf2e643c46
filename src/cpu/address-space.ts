/**
 * The core's view of memory: translation through both stages into soft TLBs and code maps, and accesses that cannot be one
 * load or store of the host (devices, page crossings).
 */
import { ACCESS, STATE } from "../a64/state.ts";
import { encodeFaultStatus } from "../arm/fault-status.ts";
import { SCTLR_EL1, TCR_EL1 } from "../arm/registers.ts";
import { type Ipn, PAGE_BYTES, vpnOf } from "../common/address.ts";
import type { Access } from "../mmu/access.ts";
import { halfOf, type Stage1Regime, stage1Regime } from "../mmu/config.ts";
import { type Fault, faultStatusCode, isFault } from "../mmu/fault.ts";
import type { MmuFeatures } from "../mmu/implementation.ts";
import { effectiveShareability } from "../mmu/memory-type.ts";
import { type CombinedTranslation, translate, translateBoth } from "../mmu/translate.ts";
import { WalkCache } from "../mmu/walk-cache.ts";
import type { Debug } from "./debug.ts";
import { CACHE_LINE_BYTES } from "./implementation.ts";
import type { CpuMemory } from "./memory.ts";
import type { CorePlatform, TlbiTarget } from "./platform.ts";
import { SoftTlbs, type TlbEntry } from "./soft-tlbs.ts";
import type { VcpuState } from "./vcpu-state.ts";

/** DFSC and IFSC beyond the walk's. */
const ALIGNMENT_FAULT = encodeFaultStatus({ kind: "alignment" });
const EXTERNAL_ABORT = encodeFaultStatus({ kind: "external" });

/** What keeps an access from happening now. */
export type AccessProblem =
  /** Stage 2 has no translation that allows it: KVM's business, then it is tried again. */
  | { readonly kind: "stage2"; readonly ipa: number; readonly write: boolean }
  | {
      readonly kind: "mmio";
      readonly ipa: number;
      readonly bytes: number;
      readonly write: boolean;
      readonly data: bigint;
    }
  | {
      readonly kind: "data";
      readonly va: bigint;
      readonly status: number;
      readonly write: boolean;
      readonly cache: boolean;
    }
  | { readonly kind: "fetch"; readonly va: bigint; readonly status: number }
  | { readonly kind: "pc-alignment" }
  /** A device, while others are behind. */
  | { readonly kind: "ahead" }
  | { readonly kind: "watchpoint"; readonly va: bigint; readonly write: boolean };

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

/** Whether a translation is the same in every context: of TTBR1_EL1's half, and not marked nG. */
const isGlobal = (va: bigint, { stage1 }: CombinedTranslation): boolean =>
  ((va >> 55n) & 1n) === 1n && stage1.attributes.global;

/** Whether an access is aligned to its elements. */
const isAligned = (va: bigint, flags: number): boolean =>
  (va & ((1n << BigInt(flags >> ACCESS.ELEMENT_SHIFT)) - 1n)) === 0n;

const isDeviceMemory = (memory: number): boolean => (memory & 0xf0) === 0;

/** How many contexts' regimes are kept. */
const KEPT_REGIMES = 16;
/** ASIDs lie in bits 63:48 of a TTBR, and of what TLBI ASIDE1 names. */
const ASID_SHIFT = 48n;

export class AddressSpace {
  readonly #memory: CpuMemory;
  readonly #state: VcpuState;
  readonly #platform: CorePlatform;
  readonly #debug: Debug;
  readonly #features: MmuFeatures;
  /** An entry of a soft TLB that is for the next instruction only: its page is watched; and the store that it is for. */
  #entryForOne: TlbEntry | undefined;
  #storeOfOne: { readonly at: number; readonly bytes: number } | undefined;
  readonly tlbs: SoftTlbs;
  readonly #tables: WalkCache;
  #regime!: Stage1Regime;
  /** Regimes that differ in the TTBRs only, by these: programs take turns. */
  readonly #regimes = new Map<string, Stage1Regime>();
  /** Where the bytes of a prepared store go, once its instruction has happened. */
  #store: { readonly places: readonly Place[]; readonly split: number; readonly bytes: number } | undefined;

  constructor(
    memory: CpuMemory,
    state: VcpuState,
    platform: CorePlatform,
    debug: Debug,
    features: MmuFeatures,
  ) {
    this.#memory = memory;
    this.#state = state;
    this.#platform = platform;
    this.#debug = debug;
    this.#features = features;
    this.tlbs = new SoftTlbs(memory, state);
    this.#tables = new WalkCache(platform.stage2, platform.physical);
  }

  get regime(): Stage1Regime {
    return this.#regime;
  }

  /** A register that selects stage 1 was written: nothing of what is cached is good any more. */
  registersChanged(): void {
    this.#regimes.clear();
    this.flush();
    this.#contextChanged();
  }

  /** TTBR0_EL1 or TTBR1_EL1 was written. */
  tableRegisterChanged(field: "TTBR0_EL1" | "TTBR1_EL1", before: bigint): void {
    const changed = before ^ this.#state.get64(field);
    if (field === "TTBR0_EL1" || BigInt.asUintN(Number(ASID_SHIFT), changed) === 0n) this.#contextChanged();
    else this.registersChanged();
  }

  #contextChanged(): void {
    const state = this.#state;
    const [ttbr0, ttbr1] = [state.get64("TTBR0_EL1"), state.get64("TTBR1_EL1")];
    const key = `${ttbr0} ${ttbr1}`;
    let regime = this.#regimes.get(key);
    if (regime === undefined) {
      const registers = {
        TCR_EL1: state.get64("TCR_EL1"),
        TTBR0_EL1: ttbr0,
        TTBR1_EL1: ttbr1,
        SCTLR_EL1: state.get64("SCTLR_EL1"),
        MAIR_EL1: state.get64("MAIR_EL1"),
      };
      regime = stage1Regime(registers, this.#features);
      if (this.#regimes.size === KEPT_REGIMES) this.#regimes.clear();
      this.#regimes.set(key, regime);
    }
    this.#regime = regime;
    this.tlbs.contextChanged();
  }

  /** The exception level, PAN or UAO changed: other soft TLBs count. */
  select(): void {
    this.dropAccessForOne();
    this.tlbs.select();
  }

  /** Forgets every translation. */
  flush(): void {
    this.#entryForOne = undefined;
    this.#storeOfOne = undefined;
    this.tlbs.flush();
    this.#tables.flush();
  }

  /** TLBI by IPA, from the hypervisor: what leads to guest pages [first, first + pages). */
  forgetIpns(first: Ipn, pages: number): void {
    this.dropAccessForOne();
    this.tlbs.forgetIpns(first, pages);
    this.#tables.forget(first, pages);
  }

  /** TLBI: forgets what it names. */
  forget(what: TlbiTarget): void {
    switch (what.kind) {
      case "all":
        this.flush();
        return;
      case "page":
        this.tlbs.forgetPage(what.page);
        return;
      case "asid": {
        const tcr = this.#state.get64("TCR_EL1");
        const asidOf = (value: bigint): bigint =>
          (value >> ASID_SHIFT) & (TCR_EL1.is(tcr, "AS") ? 0xffffn : 0xffn);
        this.tlbs.forgetContexts(
          (ttbr0, ttbr1) => asidOf(TCR_EL1.is(tcr, "A1") ? ttbr1 : ttbr0) === asidOf(what.register),
        );
        return;
      }
    }
  }

  /** Bits that TBI has ignored come back as the sign (AArch64.BranchAddr). */
  canonicalPc(pc: bigint): bigint {
    const upper = (pc >> 55n) & 1n;
    const half = halfOf(this.#regime, vpnOf(pc));
    if (!half.topByteIgnoredOnFetch) return pc;
    return upper === 1n ? pc | (0xffn << 56n) : pc & ~(0xffn << 56n);
  }

  /** Maps the page that PC lies in for execution. */
  mapCode(): AccessProblem | undefined {
    const state = this.#state;
    const pc = this.canonicalPc(state.pc);
    state.pc = pc;
    if ((pc & 3n) !== 0n) return { kind: "pc-alignment" };
    const found = this.#translate(pc, { by: "fetch", el: state.el, write: false });
    if (isFault(found)) return this.#faultOf(found, pc, true, false, false);
    if (!this.#platform.isMemory(found.stage1.outputPage))
      return { kind: "fetch", va: pc, status: EXTERNAL_ABORT };
    const page = this.#platform.contentOf(found.outputPage).byteOffset;
    this.tlbs.fillCode(pc, this.#memory.code.decodedOf(page), found.stage1.outputPage, isGlobal(pc, found));
    return undefined;
  }

  #translate(va: bigint, access: Access): CombinedTranslation | Fault {
    const page = vpnOf(va);
    const found = translateBoth(
      halfOf(this.#regime, page),
      this.#platform.stage2,
      page,
      access,
      this.#platform.physical,
      this.#tables,
    );
    if (!isFault(found) && found.stage1.leafPages > 1) this.tlbs.foundBlock(page, found.stage1.leafPages);
    return found;
  }

  /** A fault as the guest, or KVM, gets it. */
  #faultOf(fault: Fault, va: bigint, fetch: boolean, write: boolean, cache: boolean): AccessProblem {
    if (fault.stage === 2) {
      const page = fault.ipn as Ipn;
      if (this.#platform.isMemory(page) || fault.onWalk) {
        if (!this.#platform.isMemory(page)) {
          // A table in a place without memory: an external abort on the walk.
          const status = faultStatusCode({ kind: "external", level: fault.level });
          return fetch ? { kind: "fetch", va, status } : { kind: "data", va, status, write, cache };
        }
        return { kind: "stage2", ipa: page * PAGE_BYTES, write: fault.onWalk ? fault.write : write };
      }
      if (fetch) return { kind: "fetch", va, status: EXTERNAL_ABORT };
      return { kind: "mmio", ipa: page * PAGE_BYTES + Number(va & 0xfffn), bytes: 0, write, data: 0n };
    }
    const status = faultStatusCode(fault);
    return fetch ? { kind: "fetch", va, status } : { kind: "data", va, status, write, cache };
  }

  /** How an access of these kinds is checked. */
  #accessOf(flags: number): Access {
    const state = this.#state;
    const write = (flags & ACCESS.WRITE) !== 0;
    const unprivileged = (flags & ACCESS.UNPRIVILEGED) !== 0 && !(state.el === 1 && state.get32("UAO") === 1);
    const el = unprivileged ? 0 : state.el;
    return {
      by: write ? "store" : "load",
      el,
      write,
      pan: el === 1 && state.get32("PAN") === 1,
    };
  }

  /** Answers the access in SLOW_*: fills the soft TLB, or prepares SCRATCH, or says what is in the way. */
  prepare(): AccessProblem | undefined {
    const state = this.#state;
    const va = state.get64("SLOW_VA");
    const bytes = state.get32("SLOW_BYTES");
    const flags = state.get32("SLOW_ACCESS");
    const write = (flags & ACCESS.WRITE) !== 0;
    const access = this.#accessOf(flags);
    // SCTLR_EL1.A has all be aligned, element by element; DC ZVA always is.
    const checked = SCTLR_EL1.is(state.get64("SCTLR_EL1"), "A");
    const strict = checked && (flags & ACCESS.ZVA) === 0;
    const aligned = isAligned(va, flags);
    if (((flags & ACCESS.ALIGNED) !== 0 && (va & BigInt(bytes - 1)) !== 0n) || (strict && !aligned))
      return { kind: "data", va, status: ALIGNMENT_FAULT, write, cache: false };
    const inPage = PAGE_BYTES - Number(va & 0xfffn);
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
      if (hit !== undefined) return { kind: "watchpoint", ...hit };
    }
    // DC ZVA where SCTLR_EL1.A counts is the one access of its page that need not be aligned: it gets no entry.
    if (bytes <= inPage && first.place.kind === "ram" && strict === checked) {
      const { at, ipn, device, global } = first.place;
      const page = at - Number(va & 0xfffn);
      const unprivileged = (flags & ACCESS.UNPRIVILEGED) !== 0;
      const entry = this.tlbs.fill(va, page, { ipn, write, unprivileged, global, strict: strict || device });
      const isWatched = write && this.#platform.isWatched(page);
      if (isWatched || this.#debug.guardsData(va, access.el === 0 ? 0 : 1)) this.#entryForOne = entry;
      this.#storeOfOne = isWatched ? { at, bytes } : undefined;
      return undefined;
    }
    if (first.place.kind === "device" && this.#platform.isAhead()) return { kind: "ahead" };
    const split = Math.min(inPage, bytes);
    if (write) {
      this.#store = { places, split, bytes };
      if (first.place.kind === "ram") this.#copyIn(places, split, bytes);
      state.preparedInScratch();
      return undefined;
    }
    if (first.place.kind === "device")
      return { kind: "mmio", ipa: first.place.ipa, bytes, write: false, data: 0n };
    this.#copyIn(places, split, bytes);
    state.preparedInScratch();
    return undefined;
  }

  /** Where the part of an access goes that lies at `va` and behind it in its page. */
  #place(
    va: bigint,
    access: Access,
    flags: number,
    aligned: boolean,
  ): { readonly place: Place } | { readonly problem: AccessProblem } {
    const found = this.#translate(va, access);
    const { write } = access;
    const fault = (status: number) => ({
      problem: { kind: "data", va, status, write, cache: false } as const,
    });
    let ipa: number;
    if (isFault(found)) {
      if (found.kind === "permission" && !aligned && this.#isDeviceAt(va, access))
        return fault(ALIGNMENT_FAULT);
      const problem = this.#faultOf(found, va, false, write, false);
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

  /** Whether stage 1 has Device memory somewhere, permissions aside: they come later (AArch64.S1Translate). */
  #isDeviceAt(va: bigint, access: Access): boolean {
    const found = this.#translate(va, { ...access, by: "inspect" });
    return !isFault(found) && isDeviceMemory(found.stage1.attributes.memory);
  }

  /** Puts what lies at `places` into SCRATCH. */
  #copyIn(places: readonly Place[], split: number, bytes: number): void {
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

  /** Whether the next instruction has an access to a watched page, which was checked and is for it alone. */
  get hasAccessForOne(): boolean {
    return this.#entryForOne !== undefined;
  }

  /** @param isDone whether the instruction that it was for has happened */
  dropAccessForOne(isDone = false): void {
    if (this.#entryForOne === undefined) return;
    this.tlbs.empty(this.#entryForOne);
    this.#entryForOne = undefined;
    const store = this.#storeOfOne;
    this.#storeOfOne = undefined;
    if (isDone && store !== undefined) this.#platform.stored(store.at, store.bytes);
  }

  /** AT S1E*: PAR_EL1 of stage 1, whatever is behind its output. A table that is not there is no result but a fault. */
  translateForAt(va: bigint, el: 0 | 1, write: boolean, pan: boolean): bigint | AccessProblem {
    const page = vpnOf(va);
    const access: Access = { by: "at", el, write, pan };
    const found = translate(halfOf(this.#regime, page), page, access, this.#tables);
    if (isFault(found)) {
      if (found.stage === 2 || found.kind === "external") return this.#faultOf(found, va, false, write, true);
      return BigInt(1 | (faultStatusCode(found) << 1) | (1 << 11));
    }
    const { memory, shareability } = found.attributes;
    return (
      (BigInt(found.outputPage) * 4096n) |
      (BigInt(memory) << 56n) |
      (1n << 11n) |
      (BigInt(effectiveShareability(memory, shareability)) << 7n)
    );
  }

  /** IC IVAU of a line. */
  forgetLine(va: bigint): AccessProblem | undefined {
    const line = va & ~BigInt(CACHE_LINE_BYTES - 1);
    const found = this.#translate(line, {
      by: "load",
      el: this.#state.el,
      write: false,
      pan: false,
    });
    if (isFault(found)) {
      const problem = this.#faultOf(found, va, false, false, true);
      // Of a place without memory KVM skips it (kvm_handle_guest_abort).
      return problem.kind === "mmio" ? undefined : problem;
    }
    if (!this.#platform.isMemory(found.stage1.outputPage)) return undefined;
    const content = this.#platform.contentOf(found.outputPage);
    this.#memory.code.forget(content.byteOffset + Number(line & 0xfffn), CACHE_LINE_BYTES);
    return undefined;
  }
}
