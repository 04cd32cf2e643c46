import { expect, it } from "vitest";
import { ENCODINGS, PMBSR_EL1 } from "../../arm/registers.ts";
import { costTable } from "../../host/costs.ts";
import { Memlock, UNLIMITED } from "../../host/memlock.ts";
import { HostMm } from "../../host/mm.ts";
import { PROFILES } from "../../host/profiles.ts";
import { stage1Regime } from "../../mmu/config.ts";
import { Spu } from "../../spe/spu.ts";
import { VmDevices } from "../devices.ts";
import { aloneTurn, type CodeCore } from "../guest-core.ts";
import { Vcpu } from "../vcpu.ts";
import { Vm } from "../vm.ts";
import { fault } from "./policies/fault.ts";
import { VmSpe } from "./vm-spe.ts";

const PMBIRQ = 21;
const FRAMES = { distributor: 0x800_0000, redistributors: 0x80a_0000 };
const GICD_CTLR = FRAMES.distributor;
/** Of the second vCPU's redistributor. */
const SGI_BASE = FRAMES.redistributors + 0x2_0000 + 0x1_0000;
const GICR_ISENABLER0 = SGI_BASE + 0x100;
const GICR_ISPENDR0 = SGI_BASE + 0x200;
const IRQ = 0x80;
const FULL = PMBSR_EL1.with(0n, { S: 1, EC: 0, MSS: 1 });

const regime = stage1Regime({
  SCTLR_EL1: 0n,
  TCR_EL1: 0n,
  TTBR0_EL1: 0n,
  TTBR1_EL1: 0n,
  MAIR_EL1: 0n,
});

/** A VM of two vCPUs with a GIC that a kernel has set up for PMBIRQ of the second. */
function machine() {
  const mm = new HostMm(costTable(PROFILES[0] as (typeof PROFILES)[number]));
  const vmSpe = new VmSpe(new Vm({ mm }), { memlock: new Memlock(UNLIMITED), policy: fault });
  const woken: number[] = [];
  const devices = new VmDevices({
    vcpus: 2,
    spis: 32,
    frames: FRAMES,
    onLineChange: (vcpu) => woken.push(vcpu),
  });
  const core = (): CodeCore => ({
    nowNs: 0,
    level: () => 1,
    injectUndefined: () => undefined,
    completeRead: () => undefined,
    powerOn: () => undefined,
    run: () => ({ kind: "deadline" }),
    regs: { read: () => 0n, write: () => undefined, skipInstruction: () => undefined },
    spu: new Spu({ memory: { write: () => undefined }, random: () => 0, counter: () => 0 }),
    stage1: () => regime,
    invalidateTlb: () => undefined,
    counters: () => ({ instructions: 0, cycles: 0, taskCycles: 0, taskNs: 0, contextSwitches: 0 }),
  });
  const all: Vcpu[] = [];
  for (const index of [0, 1])
    all.push(
      new Vcpu(vmSpe, {
        index,
        all,
        core,
        turn: aloneTurn(),
        attributes: { irq: PMBIRQ, spu: 0, maxBufferBytes: undefined },
        irqLatencyNs: 0,
        seed: 1,
        kick: () => undefined,
        devices,
        startsOff: false,
      }),
    );
  devices.write(GICD_CTLR, 4, 2n);
  devices.write(GICR_ISENABLER0, 4, 1n << BigInt(PMBIRQ));
  devices.writeRegister(1, ENCODINGS.ICC_PMR_EL1, 0xf8n, 0);
  devices.writeRegister(1, ENCODINGS.ICC_IGRPEN1_EL1, 1n, 0);
  woken.length = 0;
  const isPending = (): boolean => ((devices.read(GICR_ISPENDR0, 4) >> BigInt(PMBIRQ)) & 1n) === 1n;
  return { devices, woken, vcpu: all[1] as Vcpu, isPending };
}

it("reaches the GIC that the guest sees: pending while PMBSR_EL1.S is set, and not afterwards", () => {
  const { devices, woken, vcpu, isPending } = machine();
  expect(isPending()).toBe(false);
  const before = vcpu.timeline.spentNs("irq");
  vcpu.spe.write("PMBSR_EL1", FULL);
  expect(isPending()).toBe(true);
  expect(woken).toContain(1);
  expect([devices.lines(0), devices.lines(1)]).toEqual([0, IRQ]);
  expect(vcpu.wires.isSignalled).toBe(true);
  expect(vcpu.timeline.spentNs("irq")).toBeGreaterThan(before);
  vcpu.spe.write("PMBSR_EL1", 0n);
  expect(isPending()).toBe(false);
  expect(devices.lines(1)).toBe(0);
});

it("is a level: pending again after the handler, until its cause is gone", () => {
  const { devices, vcpu, isPending } = machine();
  vcpu.spe.write("PMBSR_EL1", FULL);
  expect(devices.readRegister(1, ENCODINGS.ICC_IAR1_EL1, 0)).toBe(BigInt(PMBIRQ));
  expect(devices.lines(1)).toBe(0);
  devices.writeRegister(1, ENCODINGS.ICC_EOIR1_EL1, BigInt(PMBIRQ), 0);
  expect(devices.lines(1)).toBe(IRQ);
  expect(devices.readRegister(1, ENCODINGS.ICC_IAR1_EL1, 0)).toBe(BigInt(PMBIRQ));
  vcpu.spe.write("PMBSR_EL1", 0n);
  devices.writeRegister(1, ENCODINGS.ICC_EOIR1_EL1, BigInt(PMBIRQ), 0);
  expect([isPending(), devices.lines(1)]).toEqual([false, 0]);
});
