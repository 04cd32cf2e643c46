import { describe, expect, it } from "vitest";
import { ENCODINGS, PMBLIMITR_EL1, PMBSR_EL1 } from "../arm/registers.ts";
import { PAGE_BYTES } from "../common/address.ts";
import { Timeline } from "../common/timeline.ts";
import { ModelMemory, RAM_FIRST_IPN } from "../guest/memory.ts";
import { costTable } from "../host/costs.ts";
import { Memlock, UNLIMITED } from "../host/memlock.ts";
import { HostMm } from "../host/mm.ts";
import { PROFILES } from "../host/profiles.ts";
import { Spu } from "../spe/spu.ts";
import { VmDevices } from "./devices.ts";
import { aloneTurn, type CodeCore, type Exit, type GuestCore } from "./guest-core.ts";
import { fault } from "./spe/policies/fault.ts";
import { VmSpe } from "./spe/vm-spe.ts";
import { Vcpu } from "./vcpu.ts";
import { Vm } from "./vm.ts";

const PMBIRQ = 21;
const BUFFER_PAGES = 4;
const FULL = PMBSR_EL1.with(0n, { S: 1, EC: 0, MSS: 1 });

/**
 * A vCPU with its buffer on, whose core does what `runs` say, one after the other.
 * @param isOff it executes code, but has not been switched on
 */
function machine(runs: ((spu: Spu) => Exit)[], isOff = false) {
  const mm = new HostMm(costTable(PROFILES[0] as (typeof PROFILES)[number]));
  const vm = new Vm({ mm });
  const vmSpe = new VmSpe(vm, { memlock: new Memlock(UNLIMITED), policy: fault });
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
  const core: GuestCore = {
    run: () => runs.shift()?.(spu) ?? { kind: "shutdown" },
    regs: { read: () => 0n, write: () => undefined, skipInstruction: () => undefined },
    spu,
    stage1: () => memory.regime,
    invalidateTlb: () => undefined,
    counters: () => ({ instructions: 0, cycles: 0, taskCycles: 0, taskNs: 0, contextSwitches: 0 }),
  };
  const code: CodeCore = {
    ...core,
    nowNs: 0,
    level: () => 1,
    injectUndefined: () => undefined,
    completeRead: () => undefined,
    powerOn: () => undefined,
  };
  const devices = (): VmDevices =>
    new VmDevices({
      vcpus: 1,
      spis: 32,
      frames: { distributor: 0, redistributors: 0x1_0000 },
      onLineChange: () => undefined,
    });
  const vcpu = new Vcpu(vmSpe, {
    index: 0,
    all: [],
    ...(isOff ? { core: () => code, devices: devices(), startsOff: true } : { core: () => core }),
    turn: aloneTurn(),
    attributes: { irq: PMBIRQ, spu: 0, maxBufferBytes: undefined },
    irqLatencyNs: 0,
    seed: 1,
    kick: () => undefined,
  });
  vcpu.spe.write("PMBPTR_EL1", buffer.base);
  vcpu.spe.write("PMBLIMITR_EL1", buffer.base + BigInt(BUFFER_PAGES * PAGE_BYTES) + 1n);
  return { vcpu, spu };
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
