/** Answers as of Linux arch/arm64/kvm/psci.c, version 1.1. */
import { describe, expect, it } from "vitest";
import { affinityInfo, answerHypercall, hypercall, PSCI_RESULT } from "./psci.ts";

const SHORT = 0x8400_0000n;
const LONG = 0xc400_0000n;
const JUNK = 0xdead_beef_0000_0000n;
const value = (result: bigint) => ({ kind: "return", value: result });
const notSupported = value(PSCI_RESULT.notSupported);
const invalid = value(PSCI_RESULT.invalidParameters);
const call = (fn: bigint, ...args: bigint[]) =>
  hypercall(fn, ...([...args, 0n, 0n, 0n].slice(0, 3) as [bigint, bigint, bigint]));

it("has PSCI 1.1 and SMCCC 1.1", () => {
  expect(call(SHORT)).toEqual(value(0x1_0001n));
  expect(call(0x8000_0000n)).toEqual(value(0x1_0001n));
});

it("reads the function's number from W0", () => {
  expect(call(JUNK | SHORT)).toEqual(value(0x1_0001n));
});

it("offers no workaround, no other service, and no 64-bit kin of what has none", () => {
  for (const fn of [0x8000_0001n, 0x8600_ff01n, 0xc500_0020n, 0x8400_0050n, 0n, LONG, LONG | 8n, SHORT | 5n])
    expect(call(fn, 0x8000_8000n)).toEqual(notSupported);
});

describe("PSCI_FEATURES", () => {
  const has = (fn: bigint) => call(SHORT | 10n, fn);
  it.each([0n, 1n, 2n, 3n, 4n, 6n, 8n, 9n, 10n, 0x12n].map((n) => SHORT | n))("says yes to %d", (fn) => {
    expect(has(fn)).toEqual(value(0n));
  });
  it.each([1n, 3n, 4n, 0x12n].map((n) => LONG | n))("says yes to %d", (fn) => {
    expect(has(fn)).toEqual(value(0n));
  });
  it("says yes to SMCCC_VERSION, and no to all else", () => {
    expect(has(0x8000_0000n)).toEqual(value(0n));
    for (const fn of [SHORT | 5n, SHORT | 7n, SHORT | 14n, SHORT | 19n, LONG, LONG | 9n, 0x8000_0001n, 0n])
      expect(has(fn)).toEqual(notSupported);
  });
});

it("has no trusted OS to migrate", () => {
  expect(call(SHORT | 6n)).toEqual(value(2n));
});

describe("CPU_ON", () => {
  it("takes a vCPU, where it starts and what it gets in X0", () => {
    expect(call(LONG | 3n, 0x1_0000_0101n, 0x4_0000_0000n, JUNK)).toEqual({
      kind: "cpu-on",
      mpidr: 0x1_0000_0101n,
      entry: 0x4_0000_0000n,
      contextId: JUNK,
    });
  });

  it("takes 32 bits of each in its short form", () => {
    expect(call(SHORT | 3n, JUNK | 1n, JUNK | 0x4000_0000n, JUNK | 7n)).toEqual({
      kind: "cpu-on",
      mpidr: 1n,
      entry: 0x4000_0000n,
      contextId: 7n,
    });
  });

  it("refuses what is no affinity: other bits of MPIDR_EL1 among them", () => {
    for (const bit of [24n, 30n, 31n, 40n, 63n]) expect(call(LONG | 3n, 1n << bit)).toEqual(invalid);
  });
});

describe("AFFINITY_INFO", () => {
  it("takes an affinity and a level of 0 to 3", () => {
    for (const level of [0, 3])
      expect(call(LONG | 4n, 2n, BigInt(level))).toEqual({ kind: "affinity-info", mpidr: 2n, level });
    expect(call(SHORT | 4n, JUNK | 2n, JUNK)).toMatchObject({ kind: "affinity-info", mpidr: 2n });
    expect(call(LONG | 4n, 2n, 4n)).toEqual(invalid);
    expect(call(LONG | 4n, 1n << 31n)).toEqual(invalid);
  });

  const vcpu = (affinity: bigint, off: boolean) => ({ mpidr: 0x8000_0000n | affinity, off });
  // Two clusters, one of which is off.
  const vcpus = [vcpu(0n, false), vcpu(1n, true), vcpu(0x100n, true), vcpu(0x101n, true)];
  it.each([
    [0x0n, 0, 0n],
    [0x1n, 0, 1n],
    [0x2n, 0, -2n],
    [0x1n, 1, 0n],
    [0xffn, 1, 0n],
    [0x101n, 1, 1n],
    [0x200n, 1, -2n],
    [0x1ffn, 2, 0n],
    [0x1_0000n, 2, -2n],
    [0xff_ffffn, 3, 0n],
    [0x1_0000_0000n, 3, -2n],
  ])("of %d from level %d on is %d", (target, level, info) => {
    expect(affinityInfo(vcpus, target, level)).toBe(info);
  });
});

it("stops a vCPU, or has it stand by", () => {
  expect(call(SHORT | 2n)).toEqual({ kind: "cpu-off" });
  expect(call(SHORT | 1n)).toEqual({ kind: "cpu-suspend" });
  expect(call(LONG | 1n)).toEqual({ kind: "cpu-suspend" });
});

it("turns the machine off, or resets it", () => {
  expect(call(SHORT | 8n)).toEqual({ kind: "system-off" });
  expect(call(SHORT | 9n)).toEqual({ kind: "system-reset" });
});

it("resets warmly or as the vendor likes, and in no other way", () => {
  for (const fn of [SHORT | 0x12n, LONG | 0x12n]) {
    expect(call(fn, 0n)).toEqual({ kind: "system-reset" });
    expect(call(fn, 0x8000_0000n)).toEqual({ kind: "system-reset" });
    expect(call(fn, 1n)).toEqual(invalid);
    expect(call(fn, 0x7fff_ffffn)).toEqual(invalid);
  }
});

describe("a call is carried out", () => {
  /** CPU 0 calls, and CPU 1 is off. */
  function call(...x: readonly bigint[]) {
    const registers = [...x];
    const started: unknown[] = [];
    const regs = {
      read: (rt: number) => registers[rt] ?? 0n,
      write: (rt: number, value: bigint) => {
        registers[rt] = value;
      },
      skipInstruction: () => undefined,
    };
    const cpus = [0, 1].map((index) => ({
      index,
      isOff: index === 1,
      switchOn: (...how: unknown[]) => started.push([index, ...how]),
    }));
    return { outcome: answerHypercall(regs, cpus, 77), x0: registers[0], started };
  }

  it("switches a CPU on that is off, and no other", () => {
    expect(call(0xc400_0003n, 1n, 0x4000_0000n, 5n)).toEqual({
      outcome: "returns",
      x0: PSCI_RESULT.success,
      started: [[1, 0x4000_0000n, 5n, 77]],
    });
    expect(call(0xc400_0003n, 0n, 0n, 0n)).toMatchObject({ x0: PSCI_RESULT.alreadyOn, started: [] });
    expect(call(0xc400_0003n, 2n, 0n, 0n)).toMatchObject({ x0: PSCI_RESULT.invalidParameters, started: [] });
  });

  it("says what ends the caller's run", () => {
    expect(call(0x8400_0002n).outcome).toBe("cpu-off");
    expect(call(0xc400_0001n)).toMatchObject({ outcome: "cpu-suspend", x0: PSCI_RESULT.success });
    expect(call(0x8400_0008n).outcome).toBe("system-off");
    expect(call(0x8400_0009n).outcome).toBe("system-reset");
  });
});
