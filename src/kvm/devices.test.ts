import { expect, it } from "vitest";
import type { Encoding } from "../arm/registers.ts";
import { mpidrOf, VmDevices } from "./devices.ts";

const DISTRIBUTOR = 0x0800_0000;
const REDISTRIBUTORS = 0x080a_0000;
const SGI_BASE = 0x1_0000;
const CNTV_CTL: Encoding = [3, 3, 14, 3, 1];
const CNTV_CVAL: Encoding = [3, 3, 14, 3, 2];
const PMR: Encoding = [3, 0, 4, 6, 0];
const IGRPEN1: Encoding = [3, 0, 12, 12, 7];
const IAR1: Encoding = [3, 0, 12, 12, 0];
const IRQ = 0x80;
const FIQ = 0x40;

function machine(vcpus = 2) {
  const told = new Set<number>();
  const devices = new VmDevices({
    vcpus,
    spis: 64,
    frames: { distributor: DISTRIBUTOR, redistributors: REDISTRIBUTORS },
    onLineChange: (vcpu) => told.add(vcpu),
  });
  devices.write(DISTRIBUTOR, 4, 2n);
  for (let vcpu = 0; vcpu < vcpus; vcpu++) {
    devices.write(REDISTRIBUTORS + vcpu * 0x2_0000 + SGI_BASE + 0x100, 4, 0xffff_ffffn);
    devices.writeRegister(vcpu, PMR, 0xf8n, 0);
    devices.writeRegister(vcpu, IGRPEN1, 1n, 0);
  }
  told.clear();
  return { devices, told };
}

it("holds the GIC's frames and nothing beside them", () => {
  const { devices } = machine(2);
  for (const [ipa, held] of [
    [DISTRIBUTOR - 1, false],
    [DISTRIBUTOR, true],
    [DISTRIBUTOR + 0xffff, true],
    [DISTRIBUTOR + 0x1_0000, false],
    [REDISTRIBUTORS - 1, false],
    [REDISTRIBUTORS, true],
    [REDISTRIBUTORS + 0x3_ffff, true],
    [REDISTRIBUTORS + 0x4_0000, false],
  ] as const)
    expect(devices.holds(ipa)).toBe(held);
});

it("has a redistributor for each vCPU, in a row", () => {
  const { devices } = machine(3);
  const typer = (vcpu: number) => devices.read(REDISTRIBUTORS + vcpu * 0x2_0000 + 8, 8);
  expect([0, 1, 2].map(typer)).toEqual([0n, (1n << 32n) | 0x100n, (2n << 32n) | 0x210n]);
  expect(devices.read(DISTRIBUTOR, 4)).toBe(0x52n);
});

it("names vCPUs as their redistributors do", () => {
  expect([0, 15, 16, 33].map(mpidrOf)).toEqual([0x8000_0000n, 0x8000_000fn, 0x8000_0100n, 0x8000_0201n]);
});

it("brings a timer to its vCPU's IRQ, when it is due", () => {
  const { devices, told } = machine();
  devices.writeRegister(1, CNTV_CVAL, 10n, 0);
  devices.writeRegister(1, CNTV_CTL, 1n, 0);
  expect([devices.nextEventNs(0, 0), devices.nextEventNs(1, 0)]).toEqual([Number.POSITIVE_INFINITY, 160]);
  devices.update(1, 159);
  expect([devices.lines(1), told.size]).toEqual([0, 0]);
  devices.update(1, 160);
  expect([devices.lines(0), devices.lines(1), told.has(1)]).toEqual([0, IRQ, true]);
  expect(devices.readRegister(1, IAR1, 160)).toBe(27n);
});

it("takes a timer's line back with the write that moves it", () => {
  const { devices } = machine();
  devices.writeRegister(0, CNTV_CTL, 1n, 0);
  expect(devices.lines(0)).toBe(IRQ);
  devices.writeRegister(0, CNTV_CVAL, 1000n, 0);
  expect(devices.lines(0)).toBe(0);
});

it("brings the PMU's overflow to its vCPU, and group 0 to FIQ", () => {
  const { devices } = machine();
  devices.writeRegister(0, [3, 0, 12, 12, 6], 1n, 0);
  devices.write(REDISTRIBUTORS + SGI_BASE + 0x80, 4, BigInt(0xffff_ffff & ~(1 << 23)) & 0xffff_ffffn);
  const pmu = devices.pmus[0]!;
  pmu.write([3, 0, 9, 14, 1], 1n, 1);
  pmu.write([3, 3, 9, 14, 3], 1n, 1);
  pmu.write([3, 3, 9, 12, 0], 1n, 1);
  devices.update(0, 0);
  expect(devices.lines(0)).toBe(FIQ);
});

it("leaves other registers to others", () => {
  const { devices } = machine();
  expect(devices.readRegister(0, [3, 0, 1, 0, 0], 0)).toBeUndefined();
  expect(devices.writeRegister(0, [3, 0, 1, 0, 0], 0n, 0)).toBe(false);
});

it("goes on from a saved state as if nothing had been", () => {
  const { devices } = machine();
  devices.writeRegister(0, CNTV_CTL, 1n, 0);
  devices.gic.setLine(40, true);
  devices.pmus[1]!.write([3, 3, 9, 12, 1], 1n, 1);
  const copy = machine().devices;
  copy.restore(JSON.parse(JSON.stringify(devices.save())));
  expect(copy.save()).toEqual(devices.save());
  expect(copy.lines(0)).toBe(IRQ);
});

it("has timers and PMU of a vCPU that is switched on as at reset, and leaves the GIC and other vCPUs alone", () => {
  const PMCR: Encoding = [3, 3, 9, 12, 0];
  const CNTENSET: Encoding = [3, 3, 9, 12, 1];
  const CCNTR: Encoding = [3, 3, 9, 13, 0];
  const { devices } = machine(2);
  let executed = 100;
  for (const [vcpu, pmu] of devices.pmus.entries()) {
    devices.writeRegister(vcpu, CNTV_CVAL, 10n, 0);
    devices.writeRegister(vcpu, CNTV_CTL, 1n, 0);
    pmu.attach(() => ({
      instructions: [0, executed],
      cycles: [0, executed],
      exceptionsTaken: 0,
      exceptionReturns: 0,
    }));
    pmu.write(CNTENSET, 1n << 31n, 1);
    pmu.write(PMCR, 1n, 1);
  }
  executed = 150;
  devices.reset(1);
  executed = 170;
  // PMCR_EL0.LC is RES1.
  const LC = 1n << 6n;
  expect([0, 1].map((vcpu) => devices.readRegister(vcpu, CNTV_CTL, 0))).toEqual([1n, 0n]);
  expect([0, 1].map((vcpu) => devices.nextEventNs(vcpu, 0))).toEqual([160, Number.POSITIVE_INFINITY]);
  expect(devices.pmus.map((pmu) => pmu.read(CCNTR, 1))).toEqual([70n, 0n]);
  expect(devices.pmus.map((pmu) => pmu.read(PMCR, 1))).toEqual([(6n << 11n) | LC | 1n, (6n << 11n) | LC]);
  // It counts from there on.
  devices.pmus[1]!.write(CNTENSET, 1n << 31n, 1);
  devices.pmus[1]!.write(PMCR, 1n, 1);
  executed = 175;
  expect(devices.pmus[1]!.read(CCNTR, 1)).toBe(5n);
  expect([0, 1].map((vcpu) => devices.readRegister(vcpu, PMR, 0))).toEqual([0xf8n, 0xf8n]);
});
