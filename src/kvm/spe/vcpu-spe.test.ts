import { describe, expect, it } from "vitest";
import { maxBufferBytes } from "../../arm/max-buffer-size.ts";
import {
  PMBIDR_EL1,
  PMBLIMITR_EL1,
  PMBPTR_EL1,
  PMBSR_EL1,
  PMSCR_EL1,
  PMSCR_EL2,
  PMSIDR_EL1,
} from "../../arm/registers.ts";
import { type Ipn, ipn, PAGE_BYTES, vpn, vpnOf } from "../../common/address.ts";
import { Timeline } from "../../common/timeline.ts";
import { ModelMemory, RAM_FIRST_IPN } from "../../guest/memory.ts";
import { costTable } from "../../host/costs.ts";
import { Memlock, UNLIMITED } from "../../host/memlock.ts";
import { HostMm } from "../../host/mm.ts";
import { applyPressure, type PressureKind } from "../../host/pressure.ts";
import { PROFILES } from "../../host/profiles.ts";
import { Spu } from "../../spe/spu.ts";
import { aloneTurn, type GuestCore } from "../guest-core.ts";
import { Vcpu } from "../vcpu.ts";
import { Vm } from "../vm.ts";
import { bounceOf } from "./policies/bounce.ts";
import { fault } from "./policies/fault.ts";
import { pinOnEnable } from "./policies/pin-on-enable.ts";
import { type PinPolicy, PolicyRefused } from "./policy.ts";

import { VmSpe } from "./vm-spe.ts";

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
  const vm = new Vm({ mm });
  const vmSpe = new VmSpe(vm, { memlock, policy: overheard(policy, events) });
  const hostPage = mm.mmap(PAGES, "base");
  vm.addMemslot({ firstIpn: RAM_FIRST_IPN, pages: PAGES, hostPage });
  const memory = new ModelMemory({
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
    invalidateTlb: () => undefined,
    counters: () => ({ instructions: 0, cycles: 0, taskCycles: 0, taskNs: 0, contextSwitches: 0 }),
  };
  const { spe, wires, timeline } = new Vcpu(vmSpe, {
    index: 0,
    all: [],
    core: () => core,
    turn: aloneTurn(),
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
    return spe.handleManagementEvent();
  };
  const press = (kind: PressureKind, page: Ipn): void =>
    applyPressure(
      mm,
      { atNs: 0, kind, first: page - RAM_FIRST_IPN, pages: 1 },
      hostPage,
      new Timeline("host"),
    );
  const line = (): boolean => wires.level(PMBIRQ);
  return {
    mm,
    vm,
    vmSpe,
    memlock,
    memory,
    buffer,
    spu,
    spe,
    timeline,
    events,
    limit,
    enable,
    runWith,
    press,
    line,
  };
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
    expect(m.vmSpe.statistics.bufferEnables).toBe(2);
    expect(m.vmSpe.statistics.bufferDisables).toBe(1);
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

it("a vCPU that is switched on has its buffer off, and its interrupt low", () => {
  const m = machine(fault);
  m.enable();
  m.spe.write("PMBSR_EL1", FULL);
  m.events.length = 0;
  m.spe.reset();
  expect([m.spe.read("PMBLIMITR_EL1"), m.spe.read("PMBSR_EL1")]).toEqual([0n, 0n]);
  expect([m.line(), m.spe.guestView()]).toEqual([false, "off"]);
  expect(m.events).toEqual(["disabled 8"]);
  expect(m.vmSpe.statistics.bufferDisables).toBe(1);
});

describe("an enable that cannot be", () => {
  /** Nothing of the buffer reaches the hardware, and the guest's E stays 1. */
  function expectRefused(m: ReturnType<typeof machine>): bigint {
    expect(m.line()).toBe(true);
    expect(m.spe.holdings.pins.set.isEmpty).toBe(true);
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
    expect(m.vmSpe.statistics.bufferEnables).toBe(0);
    expect(m.vmSpe.statistics.pins).toBe(0);
    m.memlock.limitBytes += (BUFFER_PAGES + 4 - 5) * PAGE_BYTES;
    expect(write()).toEqual({ kind: "done" });
    expect(m.mm.pins.pages).toBe(BUFFER_PAGES + 4);
    expect(m.memlock.currentBytes).toBe(m.memlock.limitBytes);
    expect(m.vmSpe.statistics.bufferEnables).toBe(1);
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

  it("the end of what the policy let it have: the guest is not told, even if the policy has changed its mind", () => {
    const m = machine(fault);
    m.enable();
    m.spe.policy.context.setHardwareLimit(m.buffer.base + BigInt(PAGE_BYTES));
    m.spe.enter();
    m.spu.write("PMBPTR_EL1", m.buffer.base + BigInt(PAGE_BYTES));
    m.spu.write("PMBSR_EL1", FULL);
    m.spe.leave();
    for (const wrong of [m.buffer.base + 64n, BigInt(-PAGE_BYTES)])
      expect(() => m.spe.policy.context.setHardwareLimit(wrong)).toThrow(PolicyRefused);
    m.spe.policy.context.setHardwareLimit(undefined);
    expect(m.spe.handleManagementEvent()).toEqual({ kind: "done" });
    expect(m.line()).toBe(false);
    m.spe.enter();
    expect(m.spu.read("PMBLIMITR_EL1")).toBe(m.limit(BUFFER_PAGES));
  });

  describe("a collision", () => {
    const COLL = PMBSR_EL1.with(0n, { COLL: 1 });

    it.each([
      ["beside no event at all", COLL],
      ["beside a stage-2 fault, which the guest is not told of", STAGE2 | COLL],
    ])("%s: the guest reads it, without PMBIRQ, until it clears it", (_, status) => {
      const m = machine(fault);
      m.enable();
      m.runWith(status);
      expect(m.spe.read("PMBSR_EL1")).toBe(COLL);
      expect(m.line()).toBe(false);
      m.spe.write("PMBSR_EL1", 0n);
      m.spe.enter();
      m.spe.leave();
      expect(m.spe.read("PMBSR_EL1")).toBe(0n);
    });

    it("at a limit of the policy's, which the guest is not told of: it is in the next event that it is", () => {
      const m = machine(fault);
      m.enable();
      m.spe.policy.context.setHardwareLimit(m.buffer.base + BigInt(PAGE_BYTES));
      m.runWith(FULL | COLL, m.buffer.base + BigInt(PAGE_BYTES));
      expect(m.spe.read("PMBSR_EL1")).toBe(COLL);
      expect(m.line()).toBe(false);
      m.runWith(FULL, m.buffer.base + BigInt(BUFFER_PAGES * PAGE_BYTES));
      expect(m.spe.read("PMBSR_EL1")).toBe(FULL | COLL);
      expect(m.line()).toBe(true);
    });

    it("survives a policy that stops trapping and traps again", () => {
      const m = machine(fault);
      m.enable();
      const { context } = m.spe.policy;
      context.trapBuffer(false);
      m.runWith(STAGE2 | COLL);
      expect(m.spu.read("PMBSR_EL1")).toBe(COLL);
      context.trapBuffer(true);
      expect(m.spe.read("PMBSR_EL1")).toBe(COLL);
    });
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
    expect(m.vmSpe.statistics.recordStage2Faults).toBe(5);
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

describe("a bounce buffer", () => {
  const PAGES_OF_OWN = 2;
  /** The guest's buffer is on, and its memory has been written to; its pointer is at an offset in a page. */
  const bouncing = (options: Options = {}, offset = 640n) => {
    const m = machine(bounceOf({ pages: PAGES_OF_OWN }), options);
    const before = m.vm.guestMemory(new Timeline("before"));
    for (const page of m.buffer.ipns) before.page(ipn(page), { by: "store", el: 1, write: true });
    m.spe.write("PMBPTR_EL1", m.buffer.base + offset);
    const outcome = m.spe.write("PMBLIMITR_EL1", m.limit(BUFFER_PAGES));
    /** The SPU writes so many bytes, each of them `value`, and may report an event. */
    const spuWrites = (bytes: number, value: number, event?: bigint): void => {
      m.spe.enter();
      let at = m.spu.read("PMBPTR_EL1");
      for (let left = bytes; left > 0; ) {
        const inPage = Math.min(left, PAGE_BYTES - Number(at & 0xfffn));
        const words = m.mm.frames.writable(m.spe.ownFrame(vpnOf(at)));
        new Uint8Array(words.buffer).fill(value, Number(at & 0xfffn), Number(at & 0xfffn) + inPage);
        at += BigInt(inPage);
        left -= inPage;
      }
      m.spu.write("PMBPTR_EL1", at);
      if (event !== undefined) m.spu.write("PMBSR_EL1", event);
      m.spe.leave();
    };
    /** The bytes of a page of the guest's buffer. */
    const bytesOf = (page: number): Uint8Array => {
      const words = before.page(ipn(m.buffer.ipns[page] as number), { by: "load", el: 1, write: false });
      if (!(words instanceof Uint32Array)) throw new Error(`page ${page} is not there`);
      return new Uint8Array(words.buffer);
    };
    const stop = (): void => {
      m.spe.copyOut(m.timeline);
      m.spe.handleManagementEvent();
    };
    return { ...m, outcome, spuWrites, bytesOf, stop };
  };

  it("belongs to EL2, begins at the guest's offset in a page, and ends with the guest's limit or before", () => {
    const m = bouncing();
    m.spe.enter();
    expect(m.spu.pe.e2pb).toBe(0);
    const pointer = m.spu.read("PMBPTR_EL1");
    expect(pointer & 0xfffn).toBe(640n);
    expect(pointer).not.toBe(m.buffer.base + 640n);
    const start = pointer - 640n;
    expect(m.spu.read("PMBLIMITR_EL1")).toBe(start + BigInt(PAGES_OF_OWN * PAGE_BYTES) + 1n);
    m.spe.leave();
    m.spe.write("PMBLIMITR_EL1", m.limit(1));
    m.spe.enter();
    expect(m.spu.read("PMBLIMITR_EL1")).toBe(start + BigInt(PAGE_BYTES) + 1n);
    m.spe.leave();
    expect(m.spe.read("PMBLIMITR_EL1")).toBe(m.limit(1));
  });

  it("gives the guest its timestamps, whichever of PMSCR_EL1 and PMSCR_EL2 has them", () => {
    const m = bouncing();
    const ts = () => PMSCR_EL2.is(m.spu.read("PMSCR_EL2"), "TS");
    expect(m.spe.traps.traps("PMSCR_EL1", true)).toBe(true);
    expect(ts()).toBe(false);
    m.spe.write("PMSCR_EL1", PMSCR_EL1.with(0n, { TS: 1, E1SPE: 1 }));
    expect(ts()).toBe(true);
    expect(PMSCR_EL1.is(m.spu.read("PMSCR_EL1"), "E1SPE")).toBe(true);
    m.spe.policy.context.bounce(undefined);
    expect(ts()).toBe(false);
    expect(m.spe.traps.traps("PMSCR_EL1", true)).toBe(false);
    expect(m.spu.pe.e2pb).toBe(2);
  });

  it("is copied at an exit: the bytes, the pointer, and a cost for the walk, each page and each byte", () => {
    const m = bouncing();
    const before = { walk: m.timeline.spentNs("walk"), stage2: m.timeline.spentNs("stage2") };
    m.spuWrites(4096, 7);
    // Not an exit yet: nothing has moved.
    expect(m.spe.read("PMBPTR_EL1")).toBe(m.buffer.base + 640n);
    m.spuWrites(64, 9);
    m.stop();
    expect(m.spe.read("PMBPTR_EL1")).toBe(m.buffer.base + 640n + 4096n + 64n);
    expect([...m.bytesOf(0)]).toEqual([...new Array(640).fill(0), ...new Array(4096 - 640).fill(7)]);
    expect([...m.bytesOf(1).subarray(0, 768)]).toEqual([
      ...new Array(640).fill(7),
      ...new Array(64).fill(9),
      ...new Array(64).fill(0),
    ]);
    // Four levels of tables and two leaves; two pages that are begun; 4160 bytes.
    expect(m.timeline.spentNs("walk") - before.walk).toBe(
      4 * COSTS.walkTable + 2 * COSTS.walkDescriptor + 2 * COSTS.walkTable,
    );
    expect(m.timeline.spentNs("stage2") - before.stage2).toBe(Math.ceil((4160 / 4096) * COSTS.copyPage));
    m.stop();
    expect(m.spe.read("PMBPTR_EL1")).toBe(m.buffer.base + 640n + 4096n + 64n);
    expect(m.mm.pins.pages).toBe(0);
    expect(m.vm.stage2.lookup(ipn(m.buffer.ipns[0] as number))).toBeUndefined();
  });

  it("goes on from its start when the SPU has reached its end, and the guest is not told", () => {
    const m = bouncing({}, 0n);
    for (let round = 1; round <= BUFFER_PAGES / PAGES_OF_OWN; round++) {
      expect(m.line()).toBe(false);
      m.spuWrites(PAGES_OF_OWN * PAGE_BYTES, round, FULL);
      const last = round === BUFFER_PAGES / PAGES_OF_OWN;
      expect(m.spe.guestView()).toBe("on");
      m.stop();
      expect(m.spe.read("PMBPTR_EL1")).toBe(m.buffer.base + BigInt(round * PAGES_OF_OWN * PAGE_BYTES));
      expect(m.line()).toBe(last);
    }
    // The guest's own limit.
    expect(m.spe.read("PMBSR_EL1")).toBe(FULL);
    expect(m.spe.guestView()).toBe("full");
    expect(m.events).toEqual([`enabled ${BUFFER_PAGES}`, "full"]);
    expect([...m.bytesOf(BUFFER_PAGES - 1)]).toEqual(new Array(PAGE_BYTES).fill(BUFFER_PAGES / 2));
  });

  it("that is given up when it has just been full leaves the guest's as it is", () => {
    const m = bouncing({}, 0n);
    m.spuWrites(PAGES_OF_OWN * PAGE_BYTES, 7, FULL);
    m.spe.policy.context.bounce(undefined);
    m.spe.handleManagementEvent();
    expect(m.line()).toBe(false);
    m.spe.enter();
    expect(m.spu.read("PMBPTR_EL1")).toBe(m.buffer.base + BigInt(PAGES_OF_OWN * PAGE_BYTES));
    expect(m.spu.read("PMBLIMITR_EL1")).toBe(m.limit(BUFFER_PAGES));
    expect(m.bytesOf(PAGES_OF_OWN - 1)[0]).toBe(7);
  });

  it("loses what comes after a page that stage 1 does not map, and tells the guest as the SPU would", () => {
    const m = bouncing();
    m.spuWrites(4096, 7);
    m.memory.unmap(vpn(m.buffer.firstPage + 1), 1);
    m.stop();
    expect(m.spe.read("PMBPTR_EL1")).toBe(m.buffer.base + 4096n);
    expect(m.spe.read("PMBSR_EL1")).toBe(PMBSR_EL1.with(0n, { S: 1, EC: 0x24, MSS: 0b000111 }));
    expect(m.line()).toBe(true);
    expect(m.vmSpe.statistics.recordsLostInCopy).toBe(640 / 64);
    m.spe.enter();
    expect(m.spu.read("PMBLIMITR_EL1")).toBe(0n);
  });

  it("is never copied to a page outside of the memslots: an external abort", () => {
    const m = bouncing();
    m.spuWrites(64, 7);
    m.memory.unmap(m.buffer.firstPage, 1);
    m.memory.map(m.buffer.firstPage, ipn(RAM_FIRST_IPN + PAGES), 1);
    m.stop();
    expect(m.spe.read("PMBPTR_EL1")).toBe(m.buffer.base + 640n);
    expect(PMBSR_EL1.is(m.spe.read("PMBSR_EL1") as bigint, "EA")).toBe(true);
    expect(m.vmSpe.statistics.recordsLostInCopy).toBe(1);
  });

  it("counts as pinned and against memlock, until it is given back", () => {
    const bytes = PAGES_OF_OWN * PAGE_BYTES;
    const m = bouncing({ memlockBytes: bytes - 1 });
    expect(m.outcome).toEqual({ kind: "rlimit", byBytes: 1 });
    expect(m.vmSpe.pinnedPages).toBe(0);
    m.memlock.limitBytes = bytes;
    expect(m.spe.write("PMBLIMITR_EL1", m.limit(BUFFER_PAGES))).toEqual({ kind: "done" });
    expect(m.memlock.currentBytes).toBe(bytes);
    expect(m.vmSpe.pinnedPages).toBe(PAGES_OF_OWN);
    m.spuWrites(64, 7);
    const frame = m.spe.ownFrame(vpnOf(m.spu.read("PMBPTR_EL1")));
    expect(m.mm.frames.hasContent(frame)).toBe(true);
    m.spe.teardown(new Timeline("host"));
    expect(m.mm.frames.hasContent(frame)).toBe(false);
    expect(m.memlock.currentBytes).toBe(0);
    expect(m.vmSpe.pinnedPages).toBe(0);
  });

  it("has two pages at least and, with what is pinned, no more than a buffer may", () => {
    const { context } = machine(fault, { maxBufferBytes: 4 * PAGE_BYTES }).spe.policy;
    for (const pages of [1, 0, 2.5, 100]) expect(() => context.bounce(pages)).toThrow(PolicyRefused);
    expect(context.bounce(80)).toEqual({ kind: "done" });
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
    expect(m.spe.holdings.reported?.pages.pages).toBe(BUFFER_PAGES);
    expect(m.spe.holdings.pins.has(m.page)).toBe(true);
    expect(m.events).toEqual(["CLEAR 1"]);
  });

  it("MADV_DONTNEED takes one: it is unmapped, unpinned and no longer reported", () => {
    const m = held();
    m.press("dontneed", m.page);
    expect(m.vm.stage2.lookup(m.page)).toBeUndefined();
    expect(m.spe.holdings.pins.has(m.page)).toBe(false);
    expect(m.spe.holdings.reported).toBeUndefined();
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
    m.spe.teardown(new Timeline("host"));
    expect(m.mm.pins.pages).toBe(0);
    expect(m.memlock.currentBytes).toBe(0);
    expect(m.memlock.markBytes).toBe((BUFFER_PAGES + 4) * PAGE_BYTES);
    expect(m.vmSpe.statistics.pagesUnpinned).toBe(m.vmSpe.statistics.pagesPinned);
  });
});
