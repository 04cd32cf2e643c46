import { describe, expect, it } from "vitest";
import { ENCODINGS, PMBLIMITR_EL1, PMBSR_EL1 } from "../arm/registers.ts";
import { type Ipn, PAGE_BYTES } from "../common/address.ts";
import { Timeline } from "../common/timeline.ts";
import { ModelMemory, RAM_FIRST_IPN } from "../guest/memory.ts";
import { costTable } from "../host/costs.ts";
import { Memlock, UNLIMITED } from "../host/memlock.ts";
import { HostMm } from "../host/mm.ts";
import { PROFILES } from "../host/profiles.ts";
import { Spu } from "../spe/spu.ts";
import { aloneTurn, type Exit, type GuestCore } from "./guest-core.ts";
import type { KvmExit } from "./kvm-exit.ts";
import { fault } from "./spe/policies/fault.ts";
import { DONE, type PinPolicy } from "./spe/policy.ts";
import { VmSpe } from "./spe/vm-spe.ts";
import { Vcpu } from "./vcpu.ts";
import { Vm } from "./vm.ts";

const PMBIRQ = 21;
const BUFFER_PAGES = 4;
const FULL = PMBSR_EL1.with(0n, { S: 1, EC: 0, MSS: 1 });

const COSTS = costTable(PROFILES[0]!);

/**
 * A vCPU with its buffer on, whose core does what `runs` say, one after the other.
 * @param policy what its VM's policy does
 */
function machine(runs: ((spu: Spu) => Exit)[], policy: PinPolicy = fault) {
  const mm = new HostMm(COSTS);
  const vm = new Vm({ mm });
  const vmSpe = new VmSpe(vm, { memlock: new Memlock(UNLIMITED), policy });
  const pages = 2048;
  vm.addMemslot({ firstIpn: RAM_FIRST_IPN, pages, hostPage: mm.mmap(pages, "base") });
  const memory = new ModelMemory({
    memory: vm.guestMemory(new Timeline("before")),
    pages,
    pageBytes: PAGE_BYTES,
    seed: 1,
  });
  const buffer = memory.mapBuffer(BUFFER_PAGES);
  const spu = new Spu({ memory: { write: () => undefined }, random: () => 0, counter: () => 0 });
  const until: number[] = [];
  const did: string[] = [];
  const core: GuestCore = {
    run: (untilNs) => {
      until.push(untilNs);
      return runs.shift()?.(spu) ?? { kind: "shutdown" };
    },
    regs: {
      read: () => 0n,
      write: (rt, value) => did.push(`x${rt} = ${value.toString(16)}`),
      skipInstruction: () => did.push("skip"),
    },
    spu,
    stage1: () => memory.regime,
    invalidateTlb: () => undefined,
    counters: () => ({ instructions: 0, cycles: 0, taskCycles: 0, taskNs: 0, contextSwitches: 0 }),
  };
  const turn = { ...aloneTurn() };
  const vcpu = new Vcpu(vmSpe, {
    index: 0,
    all: [],
    core: () => core,
    turn,
    attributes: { irq: PMBIRQ, spu: 0, maxBufferBytes: undefined },
    irqLatencyNs: 0,
    seed: 1,
    kick: () => undefined,
  });
  vcpu.spe.write("PMBPTR_EL1", buffer.base);
  vcpu.spe.write("PMBLIMITR_EL1", buffer.base + BigInt(BUFFER_PAGES * PAGE_BYTES) + 1n);
  const { timeline } = vcpu;
  return { vcpu, spu, vm, turn, until, did, timeline, statistics: vmSpe.statistics };
}

const EXITS: readonly Exit[] = [
  { kind: "deadline" },
  { kind: "yield" },
  { kind: "wfe", untilNs: 1 },
  { kind: "wfi", untilNs: 1 },
  { kind: "pmbirq" },
  { kind: "hvc", imm: 0 },
  { kind: "sysreg", encoding: ENCODINGS.PMBIDR_EL1, isRead: true, rt: 0 },
  { kind: "stage2-fault", ipn: RAM_FIRST_IPN, write: false },
];

describe("a profiling buffer management event", () => {
  it.each(EXITS)("of a run is dealt with whatever ended the run: $kind", (exit) => {
    const { vcpu } = machine([
      (spu) => {
        spu.write("PMBSR_EL1", FULL);
        return exit;
      },
    ]);
    vcpu.run();
    expect(vcpu.wires.level(PMBIRQ)).toBe(true);
    expect(vcpu.spe.read("PMBSR_EL1")).toBe(FULL);
  });

  it("waits while the core has not left the guest: the buffer stays the hardware's", () => {
    const seen: boolean[] = [];
    const { vcpu, spu } = machine([
      (spu) => {
        spu.write("PMBSR_EL1", FULL);
        return { kind: "busy" };
      },
      (spu) => {
        seen.push(PMBLIMITR_EL1.is(spu.read("PMBLIMITR_EL1"), "E"), spu.pmbirq);
        return { kind: "pmbirq" };
      },
    ]);
    expect(vcpu.run()).toEqual({ kind: "again" });
    expect([vcpu.wires.level(PMBIRQ), spu.pmbirq]).toEqual([false, true]);
    vcpu.run();
    expect(seen).toEqual([true, true]);
    expect([vcpu.wires.level(PMBIRQ), spu.pmbirq]).toEqual([true, false]);
  });
});

it("a vCPU that is off serves the policy's timers, and waits for no other that has been", () => {
  const { vcpu } = machine([]);
  vcpu.armTimer(5000, "give back");
  vcpu.switchOff();
  expect(vcpu.nextTimerNs).toBe(5000);
  vcpu.idleUntil(5000);
  expect(vcpu.run()).toMatchObject({ kind: "idle", untilNs: Number.POSITIVE_INFINITY });
  expect(vcpu.nextTimerNs).toBe(Number.POSITIVE_INFINITY);
});

describe("KVM_RUN", () => {
  it.each<[exit: Exit, returns: KvmExit]>([
    [{ kind: "yield" }, { kind: "quantum" }],
    [{ kind: "busy" }, { kind: "again" }],
    [
      { kind: "wfe", untilNs: 77 },
      { kind: "idle", untilNs: 77 },
    ],
    [
      { kind: "wfi", untilNs: 77 },
      { kind: "idle", untilNs: 77 },
    ],
    [{ kind: "shutdown" }, { kind: "shutdown" }],
  ])("returns where %j needs user space: %j, and nothing is charged for it", (exit, returns) => {
    const { vcpu, until, timeline } = machine([() => exit]);
    expect(vcpu.run()).toEqual(returns);
    expect([until.length, timeline.nowNs]).toEqual([1, 0]);
  });

  it.each<[exit: Exit, reason: string, ns: number]>([
    [{ kind: "hvc", imm: 0 }, "HVC", COSTS.exit],
    [{ kind: "pmbirq" }, "PMBIRQ", COSTS.exit + COSTS.maintenanceIrq],
    [{ kind: "sysreg", encoding: ENCODINGS.PMBIDR_EL1, isRead: true, rt: 5 }, "MRS PMBIDR_EL1", COSTS.exit],
    [
      { kind: "stage2-fault", ipn: (RAM_FIRST_IPN + 1000) as Ipn, write: false },
      "DABT",
      COSTS.exit + COSTS.stage2FaultHandling + COSTS.faultInPage + COSTS.stage2Leaf,
    ],
  ])("goes on by itself after %j, which is an exit and costs what it does", (exit, reason, ns) => {
    const { vcpu, until, timeline, statistics } = machine([() => exit]);
    // The core has nothing more to do then.
    expect(vcpu.run()).toEqual({ kind: "shutdown" });
    expect([until.length, timeline.nowNs]).toEqual([2, ns]);
    expect([...statistics.exitReasons]).toEqual([[reason, 1]]);
  });

  it("emulates a trapped read: the register has its value, and the instruction is over", () => {
    const { vcpu, did } = machine([
      () => ({ kind: "sysreg", encoding: ENCODINGS.PMBLIMITR_EL1, isRead: true, rt: 5 }),
    ]);
    const limit = vcpu.spe.read("PMBLIMITR_EL1");
    vcpu.run();
    expect(did).toEqual([`x5 = ${limit?.toString(16)}`, "skip"]);
  });

  it("passes over a model's HVC", () => {
    const { vcpu, did } = machine([() => ({ kind: "hvc", imm: 0 })]);
    vcpu.run();
    expect(did).toEqual(["skip"]);
  });

  it("does not wait in WFI while an interrupt is signalled, and does in WFE", () => {
    const { vcpu, until } = machine([
      () => ({ kind: "wfi", untilNs: 77 }),
      () => ({ kind: "wfe", untilNs: 88 }),
    ]);
    vcpu.wires.setLevel(PMBIRQ, true);
    expect(vcpu.run()).toEqual({ kind: "idle", untilNs: 88 });
    expect(until).toHaveLength(2);
  });

  it("does not enter the guest once its turn is over", () => {
    const { vcpu, turn, until } = machine([]);
    turn.untilNs = 500;
    vcpu.idleUntil(500);
    expect(vcpu.run()).toEqual({ kind: "quantum" });
    expect(until).toEqual([]);
  });

  it("enters it up to the turn's end, or the next of the policy's timers, which is an exit", () => {
    const { vcpu, turn, until, timeline, statistics } = machine([
      () => {
        timeline.charge("guestRun", 300);
        return { kind: "deadline" };
      },
    ]);
    turn.untilNs = 10_000;
    vcpu.armTimer(300, "give back");
    vcpu.run();
    expect(until).toEqual([300, 10_000]);
    expect([...statistics.exitReasons]).toEqual([["host timer", 1]]);
    expect(timeline.nowNs).toBe(300 + COSTS.exit + COSTS.timerIrq);
  });

  it("returns after many exits, so that the host may look at something else", () => {
    const exits = Array.from({ length: 1000 }, () => (): Exit => ({ kind: "hvc", imm: 0 }));
    const { vcpu, until } = machine(exits);
    expect(vcpu.run()).toEqual({ kind: "again" });
    expect(until).toHaveLength(256);
  });

  it("has no answer for an access to where no memory is, nor for traps that nobody asked for", () => {
    const nowhere = machine([() => ({ kind: "stage2-fault", ipn: 5 as Ipn, write: true })]);
    expect(() => nowhere.vcpu.run()).toThrow("no memory behind it");
    const unknown = machine([() => ({ kind: "sysreg", encoding: ENCODINGS.MIDR_EL1, isRead: true, rt: 0 })]);
    expect(() => unknown.vcpu.run()).toThrow("nobody emulates");
    const smc = machine([() => ({ kind: "smc", imm: 0 })]);
    expect(() => smc.vcpu.run()).toThrow("a model's smc exit");
  });

  it("loads the vCPU once for its policy, and puts it when it goes to user space for good", () => {
    const heard: string[] = [];
    const listener: PinPolicy = {
      ...fault,
      create: () => ({
        onBufferEnabled: () => DONE,
        onBufferDisabled: () => undefined,
        onVcpuLoad: () => void heard.push("load"),
        onVcpuPut: () => void heard.push("put"),
        onGuestExit: (reason) => void heard.push(reason),
      }),
    };
    const { vcpu } = machine([() => ({ kind: "hvc", imm: 0 }), () => ({ kind: "yield" })], listener);
    vcpu.run();
    vcpu.run();
    expect(heard).toEqual(["load", "HVC", "put"]);
  });
});

it("time in which the guest idles is no exit, and goes no way back", () => {
  const { vcpu, timeline } = machine([]);
  vcpu.idleUntil(100);
  vcpu.idleUntil(50);
  expect(timeline.nowNs).toBe(100);
});

describe("a vCPU that waits", () => {
  it("sleeps on while its host's timers go off, until its instant", () => {
    const { vcpu, until } = machine([() => ({ kind: "wfi", untilNs: 1_000_000 })]);
    const start = vcpu.timeline.nowNs;
    vcpu.armTimer(500_000, "tick");
    expect(vcpu.run()).toEqual({ kind: "idle", untilNs: 1_000_000 });
    vcpu.idleUntil(500_000);
    expect(vcpu.run()).toEqual({ kind: "idle", untilNs: 1_000_000 });
    expect(vcpu.timeline.nowNs).toBeGreaterThan(500_000);
    expect(until).toHaveLength(1);
    vcpu.idleUntil(1_000_000);
    expect(vcpu.run()).toEqual({ kind: "shutdown" });
    expect(start).toBeLessThan(500_000);
  });

  it("goes on when it is woken, or has an interrupt to take", () => {
    const woken = machine([() => ({ kind: "wfi", untilNs: Number.POSITIVE_INFINITY })]);
    woken.vcpu.run();
    woken.vcpu.wake(woken.timeline.nowNs + 100);
    expect(woken.vcpu.run()).toEqual({ kind: "idle", untilNs: woken.timeline.nowNs + 100 });
    woken.vcpu.idleUntil(woken.timeline.nowNs + 100);
    expect(woken.vcpu.run()).toEqual({ kind: "shutdown" });
    const interrupted = machine([() => ({ kind: "wfi", untilNs: Number.POSITIVE_INFINITY })]);
    interrupted.vcpu.run();
    interrupted.vcpu.line(true);
    expect(interrupted.vcpu.run()).toEqual({ kind: "shutdown" });
  });
});
