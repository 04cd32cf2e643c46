/**
 * The core's view of memory: translation through both stages into soft TLBs and code maps, and accesses that cannot be one
 * load or store of the host (devices, page crossings).
 */
import { ACCESS, CTLB, DTLB, EMPTY_BYTE, EMPTY_INDEX, EMPTY_OTHER, STATE } from "../a64/state.ts";
import { type Ipn, PAGE_BYTES, vpnOf } from "../common/address.ts";
import type { Access } from "../mmu/access.ts";
import { halfOf, type Stage1Regime, stage1Regime } from "../mmu/config.ts";
import { type Fault, faultStatusCode, isFault } from "../mmu/fault.ts";
import { type CombinedTranslation, translateBoth } from "../mmu/translate.ts";
import { type CpuMemory, REGIMES, VCPU_AREA } from "./memory.ts";
import type { CorePlatform } from "./platform.ts";
import type { VcpuState } from "./vcpu-state.ts";

/** DFSC and IFSC beyond the walk's. */
const ALIGNMENT_FAULT = 0x21;
const EXTERNAL_ABORT = 0x10;

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
  | { readonly kind: "pc-alignment" };

/** Where a part of an access goes: content in the linear memory, or a device. */
type Place =
  | { readonly kind: "ram"; readonly at: number; readonly device: boolean }
  | { readonly kind: "device"; readonly ipa: number };

const isDeviceMemory = (memory: number): boolean => (memory & 0xf0) === 0;

/** The soft TLBs and code maps of a core: place, tags, frame. */
export interface Translations {
  readonly data: readonly (readonly [place: number, readTag: string, writeTag: string, frame: number])[];
  readonly code: readonly (readonly [place: number, tag: string, frame: number])[];
}

const EMPTY = BigInt(`0x${EMPTY_BYTE.toString(16).repeat(8)}`);
const isEmptyTag = (tag: bigint, index: number): boolean =>
  tag === (index === EMPTY_INDEX ? EMPTY_OTHER : EMPTY);

export class AddressSpace {
  readonly #memory: CpuMemory;
  readonly #state: VcpuState;
  readonly #platform: CorePlatform;
  #regime!: Stage1Regime;
  /** Where the bytes of a prepared store go, once its instruction has happened. */
  #store: { readonly places: readonly Place[]; readonly split: number; readonly bytes: number } | undefined;

  constructor(memory: CpuMemory, state: VcpuState, platform: CorePlatform) {
    this.#memory = memory;
    this.#state = state;
    this.#platform = platform;
    memory.onRecordsDropped.push(() => this.#flushCode());
  }

  get regime(): Stage1Regime {
    return this.#regime;
  }

  /** A register that selects stage 1 was written. */
  registersChanged(): void {
    this.#regime = stage1Regime({
      TCR_EL1: this.#state.get64("TCR_EL1"),
      TTBR0_EL1: this.#state.get64("TTBR0_EL1"),
      TTBR1_EL1: this.#state.get64("TTBR1_EL1"),
      SCTLR_EL1: this.#state.get64("SCTLR_EL1"),
      MAIR_EL1: this.#state.get64("MAIR_EL1"),
    });
  }

  /** The exception level, PAN or UAO changed: other soft TLBs count. */
  select(): void {
    const state = this.#state;
    const { base } = state;
    const dtlb = (regime: number): number => base + VCPU_AREA.DTLB + regime * DTLB.BYTES;
    const el = state.el;
    const current = dtlb(el === 0 ? 0 : state.get32("PAN") === 1 ? 1 : 2);
    state.set32("DTLB", current);
    state.set32("DTLB_EL0", el === 1 && state.get32("UAO") === 1 ? current : dtlb(0));
    state.set32("CTLB", base + VCPU_AREA.CTLB + el * CTLB.BYTES);
  }

  /** Forgets every translation. */
  flush(): void {
    const { base } = this.#state;
    for (let i = 0; i < REGIMES; i++) this.#memory.emptyDtlb(base + VCPU_AREA.DTLB + i * DTLB.BYTES);
    this.#flushCode();
  }

  #flushCode(): void {
    const { base } = this.#state;
    for (let i = 0; i < 2; i++) this.#memory.emptyCtlb(base + VCPU_AREA.CTLB + i * CTLB.BYTES);
  }

  /** Every cached translation, with pages by frame: they may hold what tables do not say any more. */
  saveTranslations(frameAt: (hostPage: number) => number): Translations {
    const { view } = this.#memory;
    const { base } = this.#state;
    const data: (readonly [number, string, string, number])[] = [];
    for (let i = 0; i < REGIMES * DTLB.ENTRIES; i++) {
      const entry = base + VCPU_AREA.DTLB + i * DTLB.ENTRY_BYTES;
      const read = view.getBigUint64(entry + DTLB.RTAG, true);
      const write = view.getBigUint64(entry + DTLB.WTAG, true);
      if (isEmptyTag(read, i % DTLB.ENTRIES) && isEmptyTag(write, i % DTLB.ENTRIES)) continue;
      data.push([i, String(read), String(write), frameAt(view.getUint32(entry + DTLB.ADDRESS, true))]);
    }
    const code: (readonly [number, string, number])[] = [];
    for (let i = 0; i < 2 * CTLB.ENTRIES; i++) {
      const entry = base + VCPU_AREA.CTLB + i * CTLB.ENTRY_BYTES;
      const tag = view.getBigUint64(entry + CTLB.TAG, true);
      if (isEmptyTag(tag, i % CTLB.ENTRIES)) continue;
      const page = this.#memory.pageOf(view.getUint32(entry + CTLB.RECORDS, true));
      if (page !== undefined) code.push([i, String(tag), frameAt(page)]);
    }
    return { data, code };
  }

  restoreTranslations({ data, code }: Translations, pageOf: (frame: number) => number): void {
    const { view } = this.#memory;
    const { base } = this.#state;
    for (const [i, read, write, frame] of data) {
      const entry = base + VCPU_AREA.DTLB + i * DTLB.ENTRY_BYTES;
      view.setBigUint64(entry + DTLB.RTAG, BigInt(read), true);
      view.setBigUint64(entry + DTLB.WTAG, BigInt(write), true);
      view.setUint32(entry + DTLB.ADDRESS, pageOf(frame), true);
    }
    for (const [i, tag, frame] of code) {
      const records = this.#memory.recordsOf(pageOf(frame));
      const entry = base + VCPU_AREA.CTLB + i * CTLB.ENTRY_BYTES;
      view.setBigUint64(entry + CTLB.TAG, BigInt(tag), true);
      view.setUint32(entry + CTLB.RECORDS, records, true);
    }
  }

  /** Bits that TBI has ignored come back as the sign (AArch64.BranchAddr). */
  canonicalPc(pc: bigint): bigint {
    const upper = (pc >> 55n) & 1n;
    const half = halfOf(this.#regime, vpnOf(pc));
    if (!half.topByteIgnoredOnFetch) return pc;
    return upper === 1n ? pc | (0xffn << 56n) : pc & ~(0xffn << 56n);
  }

  /** The host address of the page that an address is fetched from. */
  fetchPage(pc: bigint): number | AccessProblem {
    const el = this.#state.el;
    const found = this.#translate(pc, { by: "fetch", el, write: false });
    if (isFault(found)) return this.#faultOf(found, pc, true, false, false);
    if (!this.#platform.isMemory(found.stage1.outputPage))
      return { kind: "fetch", va: pc, status: EXTERNAL_ABORT };
    return this.#platform.contentOf(found.outputPage).byteOffset;
  }

  #translate(va: bigint, access: Access): CombinedTranslation | Fault {
    const page = vpnOf(va);
    return translateBoth(
      halfOf(this.#regime, page),
      this.#platform.stage2,
      page,
      access,
      this.#platform.physical,
    );
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
    if ((flags & ACCESS.ALIGNED) !== 0 && (va & BigInt(bytes - 1)) !== 0n)
      return { kind: "data", va, status: ALIGNMENT_FAULT, write, cache: false };
    const inPage = PAGE_BYTES - Number(va & 0xfffn);
    const first = this.#place(va, access, flags, bytes);
    if ("problem" in first) return first.problem;
    if (bytes <= inPage && first.place.kind === "ram") {
      this.#fill(va, first.place.at - Number(va & 0xfffn), flags);
      return undefined;
    }
    const places = [first.place];
    if (bytes > inPage) {
      const second = this.#place(BigInt.asUintN(64, va + BigInt(inPage)), access, flags, bytes);
      if ("problem" in second) return second.problem;
      places.push(second.place);
    }
    const split = Math.min(inPage, bytes);
    if (write) {
      this.#store = { places, split, bytes };
      if (first.place.kind === "ram") this.#copyIn(places, split, bytes);
      state.set32("SLOW_READY", 1);
      return undefined;
    }
    if (first.place.kind === "device")
      return { kind: "mmio", ipa: first.place.ipa, bytes, write: false, data: 0n };
    this.#copyIn(places, split, bytes);
    state.set32("SLOW_READY", 1);
    return undefined;
  }

  #place(
    va: bigint,
    access: Access,
    flags: number,
    bytes: number,
  ): { readonly place: Place } | { readonly problem: AccessProblem } {
    const found = this.#translate(va, access);
    const { write } = access;
    const fault = (status: number) => ({
      problem: { kind: "data", va, status, write, cache: false } as const,
    });
    let ipa: number;
    if (isFault(found)) {
      const problem = this.#faultOf(found, va, false, write, false);
      if (problem.kind !== "mmio") return { problem };
      ({ ipa } = problem);
    } else if (this.#platform.isMemory(found.stage1.outputPage)) {
      const content = this.#platform.contentOf(found.outputPage);
      const at = content.byteOffset + Number(va & 0xfffn);
      return { place: { kind: "ram", at, device: isDeviceMemory(found.memory) } };
    } else ipa = found.stage1.outputPage * PAGE_BYTES + Number(va & 0xfffn);
    // A device: one aligned load or store of at most 16 bytes.
    if ((flags & ACCESS.ZVA) !== 0) return fault(ALIGNMENT_FAULT);
    if ((flags & ACCESS.ATOMIC) !== 0) return fault(EXTERNAL_ABORT);
    if ((va & BigInt(Math.min(bytes, 8) - 1)) !== 0n) return fault(ALIGNMENT_FAULT);
    return { place: { kind: "device", ipa } };
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
    if (first?.kind !== "device") return undefined;
    const data =
      store.bytes === 8
        ? view.getBigUint64(scratch, true)
        : store.bytes === 16
          ? view.getBigUint64(scratch, true) | (view.getBigUint64(scratch + 8, true) << 64n)
          : BigInt(
              store.bytes === 4
                ? view.getUint32(scratch, true)
                : store.bytes === 2
                  ? view.getUint16(scratch, true)
                  : view.getUint8(scratch),
            );
    return { kind: "mmio", ipa: first.ipa, bytes: store.bytes, write: true, data };
  }

  #fill(va: bigint, page: number, flags: number): void {
    const state = this.#state;
    const { view } = this.#memory;
    const table = state.get32((flags & ACCESS.UNPRIVILEGED) !== 0 ? "DTLB_EL0" : "DTLB");
    const index = Number((va >> 12n) & BigInt(DTLB.ENTRIES - 1));
    const entry = table + index * DTLB.ENTRY_BYTES;
    const tag = va & ~0xfffn;
    const [own, other] = (flags & ACCESS.WRITE) !== 0 ? [DTLB.WTAG, DTLB.RTAG] : [DTLB.RTAG, DTLB.WTAG];
    if (view.getBigUint64(entry + other, true) !== tag || view.getUint32(entry + DTLB.ADDRESS, true) !== page)
      view.setBigUint64(entry + other, index === EMPTY_INDEX ? 0n : 0x5555_5555_5555_5555n, true);
    view.setBigUint64(entry + own, tag, true);
    view.setUint32(entry + DTLB.ADDRESS, page, true);
  }

  /** AT S1E*: PAR_EL1. Undefined where stage 2 needs KVM first. */
  translateForAt(va: bigint, el: 0 | 1, write: boolean, pan: boolean): bigint | AccessProblem {
    const found = this.#translate(va, { by: "at", el, write, pan });
    if (isFault(found)) {
      if (found.stage === 2) {
        const problem = this.#faultOf(found, va, false, write, false);
        if (problem.kind === "stage2") return problem;
        return BigInt(1 | (faultStatusCode(found) << 1) | (1 << 11));
      }
      return BigInt(1 | (faultStatusCode(found) << 1) | (1 << 11));
    }
    return (
      (BigInt(found.stage1.outputPage) * 4096n) |
      (BigInt(found.stage1.attributes.memory) << 56n) |
      (1n << 11n) |
      (BigInt(found.stage1.attributes.shareability) << 7n)
    );
  }

  /** IC IVAU of a line. */
  forgetLine(va: bigint): AccessProblem | undefined {
    const line = va & ~63n;
    const found = this.#translate(line, {
      by: "load",
      el: this.#state.el,
      write: false,
      pan: false,
    });
    if (isFault(found)) return this.#faultOf(found, va, false, false, true);
    const content = this.#platform.contentOf(found.outputPage);
    this.#memory.forgetRecords(content.byteOffset + Number(line & 0xfffn), 64);
    return undefined;
  }
}
