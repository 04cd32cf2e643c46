import { describe, expect, it } from "vitest";
import { maxBufferBytes } from "../../arm/max-buffer-size.ts";
import { PMBIDR_EL1, PMBLIMITR_EL1, PMBPTR_EL1, PMBSR_EL1, PMSIDR_EL1 } from "../../arm/registers.ts";
import { type Ipn, ipn, PAGE_BYTES } from "../../common/address.ts";
import { Timeline } from "../../common/timeline.ts";
import { GuestMemory, RAM_FIRST_IPN } from "../../guest/memory.ts";
import { costTable } from "../../host/costs.ts";
import { Memlock, UNLIMITED } from "../../host/memlock.ts";
import { HostMm } from "../../host/mm.ts";
import { applyPressure, type PressureKind } from "../../host/pressure.ts";
import { PROFILES } from "../../host/profiles.ts";
import { Spu } from "../../spe/spu.ts";
import type { GuestCore } from "../guest-core.ts";
import { Vcpu } from "../vcpu.ts";
import { Vm } from "../vm.ts";
import { fault } from "./policies/fault.ts";
import { pinOnEnable } from "./policies/pin-on-enable.ts";
import type { PinPolicy } from "./policy.ts";

const COSTS = costTable(PROFILES[0] as (typeof PROFILES)[number]);
const PAGES = 2048;
const BUFFER_PAGES = 8;
const PMBIRQ = 21;
/** PMBSR_EL1 as hardware reports a full buffer, and a record that stage 2 did not translate (level 3). */
const FULL = PMBSR_EL1.with(0n, { S: 1, EC: 0, MSS: 1 });
const STAGE2 = PMBSR_EL1.with(0n, { S: 1, EC: 0x25, MSS: 7 });

interface Options {
  readonly memlockBytes?: number;
  readonly maxBufferBytes?: number;
}

/** A policy that does what another does, and tells what it was asked. */
function overheard(policy: PinPolicy, events: string[]): PinPolicy {
  return {
    ...policy,
    create: () => {
      const handlers = policy.create();
      return {
        ...handlers,
        onBufferEnabled: (buffer, ctx) => {
          events.push(`enabled ${buffer.pages}`);
          return handlers.onBufferEnabled?.(buffer, ctx) ?? { kind: "done" };
        },
        onBufferDisabled: (buffer, ctx) => {
          events.push(`disabled ${buffer.pages}`);
          handlers.onBufferDisabled?.(buffer, ctx);
        },
        onBufferFull: () => events.push("full"),
        onStage2Fault: (at, ctx) => {
          events.push(`stage2 ${at.onWalk ? "table" : "page"}`);
          return handlers.onStage2Fault?.(at, ctx) ?? ctx.mapFault(at);
        },
        onInvalidated: (_first, pages, event) => events.push(`${event} ${pages}`),
      };
    },
  };
}

/** A VM with one vCPU whose core is only registers: the tests do what the guest and the hardware would. */
function machine(policy: PinPolicy, options: Options = {}) {
  const mm = new HostMm(COSTS);
  const memlock = new Memlock(options.memlockBytes ?? UNLIMITED);
  const events: string[] = [];
  const vm = new Vm({ mm, memlock, policy: overheard(policy, events) });
  const hostPage = mm.mmap(PAGES, "base");
  vm.addMemslot({ firstIpn: RAM_FIRST_IPN, pages: PAGES, hostPage });
  const memory = new GuestMemory({
    memory: vm.guestMemory(new Timeline("before")),
    pages: PAGES,
    pageBytes: 4096,
    seed: 1,
  });
  const buffer = memory.mapBuffer(BUFFER_PAGES);
  const spu = new Spu({ memory: { write: () => undefined }, random: () => 0, counter: () => 0 });
  const core: GuestCore = {
    run: () => ({ kind: "deadline" }),
    regs: { read: () => 0n, write: () => undefined, skipInstruction: () => undefined },
    spu,
    stage1: () => memory.regime,
    setVirq: () => undefined,
    invalidateTlb: () => undefined,
    counters: () => ({ instructions: 0, cycles: 0, taskCycles: 0, taskNs: 0, contextSwitches: 0 }),
  };
  const { spe, gic, timeline } = new Vcpu(vm, {
    core: () => core,
    attributes: { irq: PMBIRQ, spu: 0, maxBufferBytes: options.maxBufferBytes },
    irqLatencyNs: 0,
    seed: 1,
    kick: () => undefined,
  });
  const limit = (pages: number, on = true): bigint =>
    buffer.base + BigInt(pages * PAGE_BYTES) + (on ? 1n : 0n);
  /** The guest turns its buffer on: [first page, + pages). */
  const enable = (pages = BUFFER_PAGES) => {
    spe.write("PMBPTR_EL1", buffer.base);
    return spe.write("PMBLIMITR_EL1", limit(pages));
  };
  /** The guest runs, and the hardware reports an event meanwhile. */
  const runWith = (event: bigint, pointer: bigint = buffer.base) => {
    spe.enter();
    spu.write("PMBPTR_EL1", pointer);
    spu.write("PMBSR_EL1", event);
    spe.leave();
    return spe.handleMaintenance();
  };
  const press = (kind: PressureKind, page: Ipn): void =>
    applyPressure(
      mm,
      { atNs: 0, kind, first: page - RAM_FIRST_IPN, pages: 1 },
      hostPage,
      new Timeline("host"),
    );
  const line = (): boolean => gic.level(PMBIRQ);
  return { mm, vm, memlock, memory, buffer, spu, spe, timeline, events, limit, enable, runWith, press, line };
}

describe("the guest's registers", () => {
  it("are the copies in memory: hardware sees nothing of them while the buffer is off", () => {
    const m = machine(fault);
    m.spe.write("PMBPTR_EL1", m.buffer.base);
    m.spe.write("PMBLIMITR_EL1", m.limit(4, false));
    m.spe.enter();
    expect(m.spu.read("PMBPTR_EL1")).toBe(0n);
    expect(m.spu.read("PMBLIMITR_EL1")).toBe(0n);
    m.spe.leave();
    expect(m.spe.read("PMBPTR_EL1")).toBe(m.buffer.base);
    expect(m.spe.read("PMBLIMITR_EL1")).toBe(m.limit(4, false));
    expect(m.events).toEqual([]);
  });

  it("are in hardware only while the guest runs with its buffer on", () => {
    const m = machine(fault);
    m.enable();
    expect(PMBLIMITR_EL1.is(m.spu.read("PMBLIMITR_EL1"), "E")).toBe(false);
    m.spe.enter();
    expect(m.spu.read("PMBLIMITR_EL1")).toBe(m.limit(BUFFER_PAGES));
    expect(m.spu.read("PMBPTR_EL1")).toBe(m.buffer.base);
    m.spu.write("PMBPTR_EL1", m.buffer.base + 640n);
    m.spe.leave();
    expect(m.spu.read("PMBLIMITR_EL1")).toBe(0n);
    // The pointer comes back with what the SPU wrote; the limit is the guest's own.
    expect(m.spe.read("PMBPTR_EL1")).toBe(m.buffer.base + 640n);
    expect(m.spe.read("PMBLIMITR_EL1")).toBe(m.limit(BUFFER_PAGES));
  });

  it("drop RES0 bits, and the pointer its bits below the alignment", () => {
    const m = machine(fault);
    const ones = (1n << 64n) - 1n;
    m.spe.write("PMBPTR_EL1", ones);
    expect(m.spe.read("PMBPTR_EL1")).toBe(PMBPTR_EL1.mask & ~63n);
    m.spe.write("PMBLIMITR_EL1", ones & ~1n);
    expect(m.spe.read("PMBLIMITR_EL1")).toBe(PMBLIMITR_EL1.mask & ~1n);
    m.spe.write("PMBSR_EL1", ones);
    expect(m.spe.read("PMBSR_EL1")).toBe(PMBSR_EL1.mask);
  });

  it("include an ID register with the maximum buffer, and not those that do not trap", () => {
    const m = machine(fault, { maxBufferBytes: 1024 ** 2 });
    const pmbidr = m.spe.read("PMBIDR_EL1") as bigint;
    expect(maxBufferBytes(pmbidr)).toBe(1024 ** 2);
    expect(PMBIDR_EL1.num(pmbidr, "Align")).toBe(6);
    expect(PMBIDR_EL1.is(pmbidr, "P")).toBe(false);
    expect(maxBufferBytes(machine(fault).spe.read("PMBIDR_EL1") as bigint)).toBeUndefined();
    expect(PMSIDR_EL1.num(m.spe.read("PMSIDR_EL1") as bigint, "MaxSize")).toBe(6);
    expect(m.spe.read("PMSCR_EL1")).toBeUndefined();
    expect(m.spe.write("PMSFCR_EL1", 1n)).toEqual({ kind: "undefined" });
  });

  it("count each change of E once", () => {
    const m = machine(fault);
    m.enable(4);
    m.spe.write("PMBLIMITR_EL1", m.limit(8));
    m.spe.write("PMBLIMITR_EL1", 0n);
    m.spe.write("PMBLIMITR_EL1", 0n);
    m.enable(4);
    expect(m.vm.statistics.bufferEnables).toBe(2);
    expect(m.vm.statistics.bufferDisables).toBe(1);
    expect(m.events).toEqual(["enabled 4", "enabled 8", "disabled 8", "enabled 4"]);
  });

  it("hand S over to the line, and the buffer waits while it is set", () => {
    const m = machine(fault);
    m.enable();
    m.events.length = 0;
    const before = m.timeline.spentNs("irq");
    m.spe.write("PMBSR_EL1", FULL);
    m.spe.write("PMBSR_EL1", FULL);
    expect(m.line()).toBe(true);
    expect(m.timeline.spentNs("irq") - before).toBe(COSTS.injectIrq);
    expect(m.spe.guestView()).toBe("full");
    m.spe.enter();
    expect(m.spu.read("PMBLIMITR_EL1")).toBe(0n);
    m.spe.leave();
    m.spe.write("PMBSR_EL1", 0n);
    expect(m.line()).toBe(false);
    expect(m.events).toEqual(["enabled 8"]);
    m.spe.enter();
    expect(m.spu.read("PMBLIMITR_EL1")).toBe(m.limit(BUFFER_PAGES));
  });
});

describe("an enable that cannot be", () => {
  /** Nothing of the buffer reaches the hardware, and the guest's E stays 1. */
  function expectRefused(m: ReturnType<typeof machine>): bigint {
    expect(m.line()).toBe(true);
    expect(m.spe.held.set.isEmpty).toBe(true);
    expect(PMBLIMITR_EL1.is(m.spe.read("PMBLIMITR_EL1") as bigint, "E")).toBe(true);
    m.spe.enter();
    expect(m.spu.read("PMBLIMITR_EL1")).toBe(0n);
    m.spe.leave();
    expect(m.spe.guestView()).toBe("full");
    return m.spe.read("PMBSR_EL1") as bigint;
  }

  it("over a stage-1 hole: EC 0x24 with the fault status, and the line rises", () => {
    const m = machine(pinOnEnable);
    // One page too many: vmap leaves a guard page.
    expect(m.enable(BUFFER_PAGES + 1)).toEqual({ kind: "done" });
    expect(expectRefused(m)).toBe(PMBSR_EL1.with(0n, { S: 1, EC: 0x24, MSS: 0b000111 }));
  });

  it("beyond the memslots: an external abort", () => {
    const m = machine(pinOnEnable);
    const first = m.buffer.firstPage;
    m.memory.unmap(first, 1);
    m.memory.map(first, ipn(RAM_FIRST_IPN + PAGES), 1);
    m.enable();
    const pmbsr = expectRefused(m);
    expect(PMBSR_EL1.num(pmbsr, "EC")).toBe(0x24);
    expect(PMBSR_EL1.is(pmbsr, "EA")).toBe(true);
  });

  it("larger than the maximum: buffer status 4, and no policy is asked", () => {
    const m = machine(pinOnEnable, { maxBufferBytes: 4 * PAGE_BYTES });
    m.enable(5);
    expect(expectRefused(m)).toBe(PMBSR_EL1.with(0n, { S: 1, EC: 0, MSS: 4 }));
    expect(m.events).toEqual([]);
    m.spe.write("PMBLIMITR_EL1", 0n);
    m.spe.write("PMBSR_EL1", 0n);
    m.enable(4);
    expect(m.spe.read("PMBSR_EL1")).toBe(0n);
    expect(m.line()).toBe(false);
  });

  it("with the limit not above the pointer: full at once", () => {
    const m = machine(pinOnEnable);
    m.enable(0);
    expect(expectRefused(m)).toBe(FULL);
    expect(m.events).toEqual([]);
  });

  it("beyond RLIMIT_MEMLOCK: nothing changes, and the same write succeeds once the limit is raised", () => {
    const m = machine(pinOnEnable, { memlockBytes: 5 * PAGE_BYTES });
    m.spe.write("PMBPTR_EL1", m.buffer.base);
    const write = () => m.spe.write("PMBLIMITR_EL1", m.limit(BUFFER_PAGES));
    // Eight pages and the four tables from level 0 to level 3.
    expect(write()).toEqual({ kind: "rlimit", byBytes: (BUFFER_PAGES + 4 - 5) * PAGE_BYTES });
    expect(m.spe.read("PMBLIMITR_EL1")).toBe(0n);
    expect(m.spe.read("PMBSR_EL1")).toBe(0n);
    expect(m.line()).toBe(false);
    expect(m.memlock.currentBytes).toBe(0);
    expect(m.mm.pins.pages).toBe(0);
    expect(m.vm.statistics.bufferEnables).toBe(0);
    expect(m.vm.statistics.pins).toBe(0);
    m.memlock.limitBytes += (BUFFER_PAGES + 4 - 5) * PAGE_BYTES;
    expect(write()).toEqual({ kind: "done" });
    expect(m.mm.pins.pages).toBe(BUFFER_PAGES + 4);
    expect(m.memlock.currentBytes).toBe(m.memlock.limitBytes);
    expect(m.vm.statistics.bufferEnables).toBe(1);
  });
});

describe("what the hardware reports", () => {
  it("a full buffer: the guest gets the status and the line, and no enabled hardware", () => {
    const m = machine(fault);
    m.enable();
    expect(m.runWith(FULL, m.buffer.base + 64n)).toEqual({ kind: "done" });
    expect(m.spe.read("PMBSR_EL1")).toBe(FULL);
    expect(m.spe.read("PMBPTR_EL1")).toBe(m.buffer.base + 64n);
    expect(m.spu.read("PMBSR_EL1")).toBe(0n);
    expect(m.line()).toBe(true);
    expect(m.events).toEqual(["enabled 8", "full"]);
    m.spe.enter();
    expect(m.spu.read("PMBLIMITR_EL1")).toBe(0n);
  });

  it("a stage-2 fault: mapped behind the guest's back, tables first, then the page", () => {
    const m = machine(fault);
    m.enable();
    const pages = [...new Set([...m.memory.tablePages, m.buffer.ipns[0] as number])];
    expect(pages.filter((page) => m.vm.stage2.allows(ipn(page), true))).toEqual([]);
    for (let i = 0; i < 5; i++) m.runWith(STAGE2);
    expect(m.events.slice(1)).toEqual([
      "stage2 table",
      "stage2 table",
      "stage2 table",
      "stage2 table",
      "stage2 page",
    ]);
    expect(m.vm.stage2.allows(ipn(m.buffer.ipns[0] as number), true)).toBe(true);
    expect(m.vm.statistics.stage2Faults).toBe(5);
    expect(m.spe.read("PMBSR_EL1")).toBe(0n);
    expect(m.line()).toBe(false);
    m.spe.enter();
    expect(m.spu.read("PMBLIMITR_EL1")).toBe(m.limit(BUFFER_PAGES));
  });

  it("a fault of the guest's own stage 1: passed on as it is", () => {
    const m = machine(fault);
    m.enable();
    const stage1 = PMBSR_EL1.with(0n, { S: 1, EC: 0x24, MSS: 7 });
    m.runWith(stage1);
    expect(m.spe.read("PMBSR_EL1")).toBe(stage1);
    expect(m.line()).toBe(true);
  });
});

describe("what the host does to held pages", () => {
  const held = () => {
    const m = machine(pinOnEnable);
    m.enable();
    m.events.length = 0;
    const page = ipn(m.buffer.ipns[3] as number);
    return { ...m, page, frame: m.vm.stage2.lookup(page)?.frame };
  };

  it.each(["migrate", "ksm"] as const)("%s leaves them mapped and reported, and tells the policy", (kind) => {
    const m = held();
    m.press(kind, m.page);
    expect(m.vm.stage2.lookup(m.page)).toEqual({ frame: m.frame, writable: true });
    expect(m.spe.reported?.pages.pages).toBe(BUFFER_PAGES);
    expect(m.spe.held.has(m.page)).toBe(true);
    expect(m.events).toEqual(["CLEAR 1"]);
  });

  it("MADV_DONTNEED takes one: it is unmapped, unpinned and no longer reported", () => {
    const m = held();
    m.press("dontneed", m.page);
    expect(m.vm.stage2.lookup(m.page)).toBeUndefined();
    expect(m.spe.held.has(m.page)).toBe(false);
    expect(m.spe.reported).toBeUndefined();
    expect(m.memlock.currentBytes).toBe((BUFFER_PAGES + 4 - 1) * PAGE_BYTES);
    expect(m.mm.pins.pages).toBe(BUFFER_PAGES + 4 - 1);
    const other = ipn(m.buffer.ipns[4] as number);
    expect(m.vm.stage2.allows(other, true)).toBe(true);
  });

  it("unmaps a page that nobody holds", () => {
    const m = held();
    m.spe.write("PMBLIMITR_EL1", 0n);
    m.events.length = 0;
    m.press("migrate", m.page);
    expect(m.vm.stage2.lookup(m.page)).toBeUndefined();
    expect(m.events).toEqual([]);
  });

  it("gives every pin back at the VM's end, and keeps memlock's mark", () => {
    const m = held();
    m.vm.destroy(new Timeline("host"));
    expect(m.mm.pins.pages).toBe(0);
    expect(m.memlock.currentBytes).toBe(0);
    expect(m.memlock.markBytes).toBe((BUFFER_PAGES + 4) * PAGE_BYTES);
    expect(m.vm.statistics.pagesUnpinned).toBe(m.vm.statistics.pagesPinned);
  });
});
