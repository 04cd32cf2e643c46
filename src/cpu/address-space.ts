/** The core's view of memory: which tables its registers select, translation through both stages, code maps and maintenance. */
import { TCR_EL1 } from "../arm/registers.ts";
import { type Ipn, PAGE_BYTES, vpnOf } from "../common/address.ts";
import type { Access } from "../mmu/access.ts";
import { halfOf, type Stage1Regime, type Stage1Registers, stage1Regime, withTables } from "../mmu/config.ts";
import { type Fault, faultStatusCode, isFault } from "../mmu/fault.ts";
import type { MmuFeatures } from "../mmu/implementation.ts";
import { effectiveShareability } from "../mmu/memory-type.ts";
import { type CombinedTranslation, translate, translateBoth } from "../mmu/translate.ts";
import { WalkCache } from "../mmu/walk-cache.ts";
import { type AccessProblem, type Attempt, EXTERNAL_ABORT, isGlobal, problemOf } from "./access-problem.ts";
import type { Debug } from "./debug.ts";
import { CACHE_LINE_BYTES } from "./implementation.ts";
import type { CpuMemory } from "./memory.ts";
import type { CorePlatform, TlbiTarget } from "./platform.ts";
import { SlowAccesses } from "./slow-accesses.ts";
import { SoftTlbs } from "./soft-tlbs.ts";
import type { VcpuState } from "./vcpu-state.ts";

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
  readonly tlbs: SoftTlbs;
  readonly accesses: SlowAccesses;
  readonly #tables: WalkCache;
  #regime!: Stage1Regime;
  /** Regimes that differ in the TTBRs only, by these: programs take turns. */
  readonly #regimes = new Map<string, Stage1Regime>();

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
    this.accesses = new SlowAccesses(memory, state, platform, debug, this.tlbs, (va, access) =>
      this.#translate(va, access),
    );
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
      const tables = { TTBR0_EL1: ttbr0, TTBR1_EL1: ttbr1 };
      const [known] = this.#regimes.values();
      regime = known === undefined ? this.#regimeOf(tables) : withTables(known, tables);
      if (this.#regimes.size === KEPT_REGIMES) this.#regimes.clear();
      this.#regimes.set(key, regime);
    }
    this.#regime = regime;
    this.tlbs.contextChanged();
  }

  #regimeOf(tables: Pick<Stage1Registers, "TTBR0_EL1" | "TTBR1_EL1">): Stage1Regime {
    const state = this.#state;
    const registers = {
      ...tables,
      TCR_EL1: state.get64("TCR_EL1"),
      SCTLR_EL1: state.get64("SCTLR_EL1"),
      MAIR_EL1: state.get64("MAIR_EL1"),
    };
    return stage1Regime(registers, this.#features);
  }

  /** The exception level, PAN or UAO changed: other soft TLBs count. */
  select(): void {
    this.accesses.dropOneForNext();
    this.tlbs.select();
  }

  /** Forgets every translation. */
  flush(): void {
    this.accesses.dropOneForNext();
    this.tlbs.flush();
    this.#tables.flush();
  }

  /** TLBI by IPA, from the hypervisor: what leads to guest pages [first, first + pages). */
  forgetIpns(first: Ipn, pages: number): void {
    this.accesses.dropOneForNext();
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
    if (isFault(found)) return this.#problemOf(found, pc, { by: "fetch", write: false });
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

  /** The physical address behind a VA, where a load has one now. */
  physicalOf(va: bigint): number | undefined {
    const found = this.#translate(va, { by: "inspect", el: this.#state.el, write: false });
    return isFault(found) ? undefined : found.outputPage * PAGE_BYTES + Number(va & BigInt(PAGE_BYTES - 1));
  }

  #problemOf(fault: Fault, va: bigint, attempt: Attempt): AccessProblem {
    return problemOf(fault, va, attempt, this.#platform.isMemory);
  }

  /** AT S1E*: PAR_EL1 of stage 1, whatever is behind its output. A table that is not there is no result but a fault. */
  translateForAt(va: bigint, el: 0 | 1, write: boolean, pan: boolean): bigint | AccessProblem {
    const page = vpnOf(va);
    const access: Access = { by: "at", el, write, pan };
    const found = translate(halfOf(this.#regime, page), page, access, this.#tables);
    if (isFault(found)) {
      if (found.stage === 2 || found.kind === "external")
        return this.#problemOf(found, va, { by: "maintenance", write });
      return BigInt(1 | (faultStatusCode(found) << 1) | (1 << 11));
    }
    const { memory, shareability } = found.attributes;
    return (
      (BigInt(found.outputPage) * BigInt(PAGE_BYTES)) |
      (BigInt(memory) << 56n) |
      (1n << 11n) |
      (BigInt(effectiveShareability(memory, shareability)) << 7n)
    );
  }

  /**
   * Translates for IC and DC by VA (AArch64.IC, AArch64.DC): at EL0 they must be allowed to read, and at EL1 DC IVAC to write.
   * PAN does not count. That the page was not accessed is a fault, which is IMPLEMENTATION DEFINED.
   */
  #translateLine(va: bigint, write: boolean): CombinedTranslation | AccessProblem | undefined {
    const found = this.#translate(va, { by: "maintenance", el: this.#state.el, write, pan: false });
    if (!isFault(found)) return found;
    // ESR_ELx.WnR of maintenance is always 1, at EL2 as well.
    const problem = this.#problemOf(found, va, { by: "maintenance", write: true });
    // Of a place without memory KVM skips it (kvm_handle_guest_abort).
    return problem.kind === "mmio" ? undefined : problem;
  }

  /** DC CVAC, CVAU, CVAP and CIVAC of a line: data caches are coherent, so all there is to it are its faults. */
  cleanLine(va: bigint): AccessProblem | undefined {
    const found = this.#translateLine(va, false);
    if (found !== undefined && !("stage1" in found)) return found;
    if (found !== undefined) this.accesses.cacheForLoads(va);
    return undefined;
  }

  /** DC IVAC of a line, which under a hypervisor cleans as well (HCR_EL2.VM): nothing is lost. It is watched as a store is. */
  invalidateLine(va: bigint): AccessProblem | undefined {
    const found = this.#translateLine(va, true);
    if (found !== undefined && !("stage1" in found)) return found;
    const line = va & ~BigInt(CACHE_LINE_BYTES - 1);
    const access = { va: line, bytes: CACHE_LINE_BYTES, write: true, atomic: false, el: this.#state.el };
    const hit = this.#debug.active ? this.#debug.watchpointAt(access) : undefined;
    return hit === undefined ? undefined : { kind: "watchpoint", va, write: true, cache: true };
  }

  /** IC IVAU of a line. */
  forgetLine(va: bigint): AccessProblem | undefined {
    const found = this.#translateLine(va, false);
    if (found === undefined) return undefined;
    if (!("stage1" in found)) return found;
    const line = va & ~BigInt(CACHE_LINE_BYTES - 1);
    if (!this.#platform.isMemory(found.stage1.outputPage)) return undefined;
    const content = this.#platform.contentOf(found.outputPage);
    this.#memory.code.forget(content.byteOffset + Number(line & 0xfffn), CACHE_LINE_BYTES);
    this.accesses.cacheForLoads(va);
    return undefined;
  }
}
