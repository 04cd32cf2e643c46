import { beforeEach, describe, expect, it } from "vitest";
import { DTLB, dtlbIndexOf } from "../a64/state.ts";
import { type Ipn, ipn } from "../common/address.ts";
import { CpuMemory, EL0_CONTEXTS } from "./memory.ts";
import { SoftTlbs } from "./soft-tlbs.ts";
import { VcpuState } from "./vcpu-state.ts";

const KERNEL = 0xffff_8000_0012_3000n;
const USER = 0x40_0000n;
const SIZE_2M = 512;
const IPN = ipn(0x40123);

let memory: CpuMemory;
let state: VcpuState;
let tlbs: SoftTlbs;
let page: number;

beforeEach(() => {
  memory = new CpuMemory(1, 4);
  state = new VcpuState(memory.view, memory.vcpuBase(0));
  state.set32("EL", 1);
  tlbs = new SoftTlbs(memory, state);
  tlbs.flush();
  page = memory.pages.allocatePage().byteOffset;
  enter(1n);
});

function enter(ttbr0: bigint, ttbr1 = 0n): void {
  state.set64("TTBR0_EL1", ttbr0);
  state.set64("TTBR1_EL1", ttbr1);
  tlbs.contextChanged();
}

function level(el: 0 | 1): void {
  state.set32("EL", el);
  tlbs.select();
}

/** Whether a load from a VA hits, as WebAssembly looks it up. */
function hits(va: bigint): boolean {
  const entry = state.get32("DTLB") + dtlbIndexOf(va) * DTLB.ENTRY_BYTES;
  return memory.view.getBigUint64(entry + DTLB.RTAG, true) === (va & ~0xfffn);
}

const load = (va: bigint, global = false): void => {
  tlbs.fill(va, page, { write: false, unprivileged: false, global, strict: false, ipn: IPN });
};

describe("soft TLBs", () => {
  it("EL1's keep what is global when the context changes, and nothing else", () => {
    level(1);
    load(KERNEL, true);
    load(USER);
    load(KERNEL + 0x1000n);
    expect([hits(KERNEL), hits(USER), hits(KERNEL + 0x1000n)]).toEqual([true, true, true]);
    enter(2n);
    expect([hits(KERNEL), hits(USER), hits(KERNEL + 0x1000n)]).toEqual([true, false, false]);
    enter(1n);
    expect(hits(USER)).toBe(false);
  });

  it("hold a page of the linear map beside one of the vmalloc area that differs in high bits only", () => {
    level(1);
    const [linear, vmalloc] = [0xffff_0000_0a3b_b000n, 0xffff_8000_083b_b000n];
    load(linear, true);
    load(vmalloc, true);
    expect([hits(linear), hits(vmalloc)]).toEqual([true, true]);
    // A TLBI finds both, though it names no tag.
    for (const va of [linear, vmalloc]) tlbs.forgetPage(Number((va >> 12n) & (2n ** 44n - 1n)));
    expect([hits(linear), hits(vmalloc)]).toEqual([false, false]);
  });

  it("hold the code of a kernel's text at once, 16 MiB, and pages of a program that are some MiB apart", () => {
    level(1);
    const text = Array.from({ length: 16 }, (_, i) => 0xffff_c8c4_eae1_0000n + BigInt(i) * 0x10_0000n);
    for (const va of text) tlbs.fillCode(va, memory.code.decodedOf(page), IPN, true);
    expect(text.filter((va) => !tlbs.isCodeMapped(va))).toEqual([]);
    level(0);
    const data = [0xffff_afdf_f000n, 0xffff_b05f_f000n, 0xffff_b15f_f000n, 0xffff_b25f_f000n];
    for (const va of data) load(va);
    expect(data.filter((va) => !hits(va))).toEqual([]);
  });

  it("LDTR at EL0 has EL0's, though EL1 with PSTATE.UAO has had its own", () => {
    level(0);
    level(1);
    state.set32("UAO", 1);
    tlbs.select();
    state.set32("UAO", 0);
    level(0);
    expect(state.get32("DTLB_EL0")).toBe(state.get32("DTLB"));
  });

  it("EL0's are found again with the context", () => {
    level(0);
    load(USER);
    level(1);
    enter(2n);
    level(0);
    expect(hits(USER)).toBe(false);
    level(1);
    enter(1n, 7n);
    level(0);
    expect(hits(USER)).toBe(false);
    level(1);
    enter(1n);
    level(0);
    expect(hits(USER)).toBe(true);
  });

  it("the context that was left longest ago makes room", () => {
    const visit = (ttbr0: bigint): boolean => {
      level(1);
      enter(ttbr0);
      level(0);
      const hit = hits(USER);
      load(USER);
      return hit;
    };
    for (let i = 1n; i <= EL0_CONTEXTS; i++) visit(i);
    expect(visit(1n)).toBe(true);
    visit(100n);
    expect(visit(1n)).toBe(true);
    expect(visit(2n)).toBe(false);
  });

  it("a context that nobody runs in takes no room", () => {
    level(0);
    load(USER);
    level(1);
    for (let i = 2n; i < 100n; i++) enter(i);
    enter(1n);
    level(0);
    expect(hits(USER)).toBe(true);
  });

  it("a page is forgotten in every context, and others are not", () => {
    level(0);
    load(USER);
    load(USER + 0x1000n);
    level(1);
    enter(2n);
    level(0);
    tlbs.forgetPage(Number(USER >> 12n));
    level(1);
    enter(1n);
    level(0);
    expect([hits(USER), hits(USER + 0x1000n)]).toEqual([false, true]);
  });

  it("a page of a block takes the block along", () => {
    level(1);
    load(KERNEL, true);
    load(KERNEL + 0x1000n, true);
    tlbs.foundBlock(Number(BigInt.asUintN(64, KERNEL) >> 12n), SIZE_2M);
    tlbs.forgetPage(Number((KERNEL >> 12n) & 0xfff_ffff_ffffn) - 0x100);
    expect([hits(KERNEL), hits(KERNEL + 0x1000n)]).toEqual([false, false]);
    // Now that it is gone, its pages are like others.
    load(KERNEL, true);
    tlbs.forgetPage(Number((KERNEL >> 12n) & 0xfff_ffff_ffffn) + 1);
    expect(hits(KERNEL)).toBe(true);
  });

  it("an ASID's contexts are forgotten, the current one among them", () => {
    level(0);
    load(USER);
    tlbs.forgetContexts((ttbr0) => ttbr0 === 2n);
    expect(hits(USER)).toBe(true);
    tlbs.forgetContexts((ttbr0) => ttbr0 === 1n);
    expect(hits(USER)).toBe(false);
  });

  it("lose what leads to the guest pages that a TLBI by IPA names, at every level and in every context, and no more", () => {
    const other = ipn(IPN + 8);
    const fill = (va: bigint, to: Ipn, strict = false): void => {
      tlbs.fill(va, page, { write: false, unprivileged: false, global: false, strict, ipn: to });
    };
    level(0);
    fill(USER, IPN);
    fill(USER + 0x1000n, other);
    tlbs.fillCode(USER, memory.code.decodedOf(page), IPN, false);
    tlbs.fillCode(USER + 0x1000n, memory.code.decodedOf(page), other, false);
    level(1);
    fill(KERNEL, IPN);
    fill(KERNEL + 0x1000n, ipn(IPN - 1));
    fill(KERNEL + 0x2000n, IPN, true);
    enter(2n);
    tlbs.forgetIpns(IPN, 8);
    expect([hits(KERNEL), hits(KERNEL + 0x1000n)]).toEqual([false, false]);
    enter(1n);
    level(0);
    expect([hits(USER), hits(USER + 0x1000n)]).toEqual([false, true]);
    expect([tlbs.isCodeMapped(USER), tlbs.isCodeMapped(USER + 0x1000n)]).toEqual([false, true]);
  });

  it("keep the strict entries that a TLBI by IPA does not name", () => {
    const strictTag = (va: bigint): bigint =>
      memory.view.getBigUint64(
        state.get32("DTLB") + dtlbIndexOf(va) * DTLB.ENTRY_BYTES + DTLB.STRICT_TAG,
        true,
      );
    level(1);
    const fill = (va: bigint, to: Ipn): void => {
      tlbs.fill(va, page, { write: true, unprivileged: false, global: true, strict: true, ipn: to });
    };
    fill(KERNEL, IPN);
    fill(KERNEL + 0x1000n, ipn(IPN + 1));
    expect([hits(KERNEL), strictTag(KERNEL)]).toEqual([false, KERNEL]);
    tlbs.forgetIpns(ipn(IPN + 1), 1);
    expect([strictTag(KERNEL), strictTag(KERNEL + 0x1000n) === KERNEL + 0x1000n]).toEqual([KERNEL, false]);
    // An access that need not be aligned takes its place.
    load(KERNEL, true);
    expect([hits(KERNEL), strictTag(KERNEL) === KERNEL]).toEqual([true, false]);
  });

  it("ask before a store to a page that somebody waits for", () => {
    level(1);
    tlbs.fill(KERNEL, page, { write: true, unprivileged: false, global: true, strict: false, ipn: IPN });
    load(KERNEL, true);
    const entry = state.get32("DTLB") + dtlbIndexOf(KERNEL) * DTLB.ENTRY_BYTES;
    const writes = (): boolean => memory.view.getBigUint64(entry + DTLB.WTAG, true) === KERNEL;
    expect([hits(KERNEL), writes()]).toEqual([true, true]);
    tlbs.forgetStores(page + 4096);
    expect([hits(KERNEL), writes()]).toEqual([true, true]);
    tlbs.forgetStores(page);
    expect([hits(KERNEL), writes()]).toEqual([true, false]);
  });

  it("come back from what was saved", () => {
    level(1);
    tlbs.fill(KERNEL, page, { write: true, unprivileged: false, global: true, strict: false, ipn: IPN });
    load(KERNEL, true);
    load(USER);
    tlbs.fillCode(USER, memory.code.decodedOf(page), IPN, false);
    level(0);
    load(USER);
    tlbs.foundBlock(0x1234, SIZE_2M);
    level(1);
    enter(2n);
    level(0);
    load(USER + 0x2000n);
    const saved = tlbs.save((host) => host - page);
    const other = new SoftTlbs(memory, state);
    other.flush();
    other.restore(JSON.parse(JSON.stringify(saved)), (frame) => page + frame);
    expect(other.save((host) => host - page)).toEqual(saved);
    const stores = (): number =>
      other.save((host) => host - page).data.filter(([, , write]) => write === String(KERNEL)).length;
    expect(stores()).toBe(1);
    other.forgetStores(page);
    expect(stores()).toBe(0);
    expect([hits(USER), hits(USER + 0x2000n)]).toEqual([false, true]);
    expect(saved.data.length).toBe(3);
  });
});
