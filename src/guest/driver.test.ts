import { describe, expect, it } from "vitest";
import {
  ENCODINGS,
  MDCR_EL2,
  PMBLIMITR_EL1,
  PMBSR_EL1,
  PMSCR_EL1,
  PMSFCR_EL1,
  registerByEncoding,
} from "../arm/registers.ts";
import { compileSpeTraps } from "../arm/spe-traps.ts";
import { pfn } from "../common/address.ts";
import { Timeline } from "../common/timeline.ts";
import { costTable } from "../host/costs.ts";
import { Frames } from "../host/frames.ts";
import { PROFILES } from "../host/profiles.ts";
import { aloneTurn } from "../kvm/guest-core.ts";
import { GroundTruth } from "../kvm/spe/ground-truth.ts";
import { VcpuGic } from "../kvm/vgic.ts";
import { stage1Regime, stage2Config } from "../mmu/config.ts";
import { AuxBuffer } from "./aux-buffer.ts";
import { READER, SpeDriver } from "./driver.ts";
import { ModelPe } from "./pe.ts";
import { DEFAULT_EVENT, type SpeEvent } from "./spe-event.ts";

const COSTS = costTable(PROFILES[0] as (typeof PROFILES)[number]);
const BASE = 0xffff_8000_8000_0000n;
const FULL = PMBSR_EL1.with(0n, { S: 1, EC: 0, MSS: 1 });
const FATAL = PMBSR_EL1.with(0n, { S: 1, EC: 0x24, MSS: 7 });

interface Options {
  /** Buffer registers trap, as under KVM. */
  readonly trapped?: boolean;
  readonly event?: Partial<SpeEvent>;
  readonly bytes?: number;
  readonly startCounts?: readonly (bigint | undefined)[];
}

/** A driver on a PE of its own, and every access it makes: "w" and "r" by the guest, "W" and "R" trapped. */
function driver({ trapped = false, event = {}, bytes = 64 * 1024, startCounts }: Options = {}) {
  const frames = new Frames();
  const traps = compileSpeTraps({ MDCR_EL2: MDCR_EL2.with(0n, { E2PB: trapped ? 2 : 3 }), fgt: false });
  const timeline = new Timeline("vcpu");
  const pe = new ModelPe(
    {
      vcpu: 0,
      timeline,
      turn: aloneTurn(),
      costs: COSTS,
      frames,
      stage2: stage2Config({ VTCR_EL2: 0n, VTTBR_EL2: 0n, HCR_EL2: 0n }),
      physical: { page: () => undefined, wrote: () => undefined },
      ownBuffer: () => pfn(0),
      wires: new VcpuGic(),
      traps: () => traps,
      bareMetal: false,
      irqLatencyNs: 0,
      truth: new GroundTruth(1),
      guestView: () => "off",
      untrappedEnable: () => undefined,
      untrappedStatus: () => undefined,
      onRecordPage: undefined,
      kick: () => undefined,
    },
    {
      regime: stage1Regime({ TCR_EL1: 0n, TTBR0_EL1: 0n, TTBR1_EL1: 0n, SCTLR_EL1: 0n, MAIR_EL1: 0n }),
      seed: 1,
      storeRecords: false,
    },
  );
  const log: string[] = [];
  const values: bigint[] = [];
  const note = (kind: string, register: string, value: bigint): void => {
    log.push(`${kind} ${register.replace("_EL1", "")}`);
    values.push(value);
  };
  const { write, read, drain } = ModelPe.prototype;
  pe.write = (register, value) => {
    note("w", register, value);
    write.call(pe, register, value);
  };
  pe.read = (register) => {
    const value = read.call(pe, register);
    note("r", register, value);
    return value;
  };
  pe.drain = () => {
    log.push("drain");
    values.push(0n);
    drain.call(pe);
  };
  const aux = new AuxBuffer({ bytes, snapshot: false, watermarkBytes: 0, maxRecordBytes: 64 });
  const made = new SpeDriver(pe, aux, BASE, { ...DEFAULT_EVENT, ...event }, { startCounts });
  /** Runs the sequence to its end as KVM would let it: what it accessed, in order. */
  const sequence = (begin: () => void): string[] => {
    log.length = 0;
    values.length = 0;
    begin();
    for (let exit = made.pump(); exit !== undefined; exit = made.pump()) {
      if (exit.kind !== "sysreg") throw new Error(exit.kind);
      const register = registerByEncoding(exit.encoding)?.name as "PMBSR_EL1";
      const value = exit.isRead ? pe.spu.read(register) : made.regs.read(exit.rt);
      note(exit.isRead ? "R" : "W", register, value);
      if (exit.isRead) made.regs.write(exit.rt, value);
      else pe.spu.write(register, value);
      made.regs.skipInstruction();
    }
    expect(made.busy).toBe(false);
    return [...log];
  };
  const written = (access: string): bigint | undefined => values[log.indexOf(access)];
  /** The SPU wrote up to an offset of the buffer, and reports an event (or none). */
  const hardware = (offset: number, pmbsr = 0n): void => {
    pe.spu.write("PMBPTR_EL1", BASE + BigInt(offset));
    pe.spu.write("PMBSR_EL1", pmbsr);
  };
  const start = () => sequence(() => made.start());
  const stop = () => sequence(() => made.stop());
  const interrupt = () => sequence(() => made.interrupt());
  return { driver: made, pe, aux, timeline, start, stop, interrupt, sequence, written, hardware };
}

const START = [
  "PMBPTR",
  "PMBLIMITR",
  "PMSFCR",
  "PMSEVFR",
  "PMSNEVFR",
  "PMSLATFR",
  "PMSIRR",
  "PMSICR",
  "PMSCR",
];
const STOP = ["w PMSCR", "drain", "w PMBLIMITR", "drain", "r PMBSR", "r PMBPTR", "r PMSICR"];

describe("arm_spe_pmu's register accesses", () => {
  it("at start: pointer and limit with E = 1 first, PMSCR last", () => {
    const d = driver();
    expect(d.start()).toEqual(START.map((register) => `w ${register}`));
    expect(d.written("w PMBPTR")).toBe(BASE);
    expect(d.written("w PMBLIMITR")).toBe(BASE + 32_768n + 1n);
    const pmscr = d.written("w PMSCR") as bigint;
    for (const field of ["E0SPE", "E1SPE", "CX", "TS"] as const)
      expect(PMSCR_EL1.is(pmscr, field)).toBe(true);
    expect(d.written("w PMSIRR")).toBe(4096n);
    expect(d.written("w PMSICR")).toBe(4096n);
    expect(d.driver.enables["switch-in"]).toBe(1);
  });

  it("at stop: PMSCR, drain, limit, and only then what the hardware has to say", () => {
    const d = driver();
    d.start();
    d.hardware(1280);
    expect(d.stop()).toEqual(STOP);
    expect(d.written("w PMBLIMITR")).toBe(0n);
    expect(d.aux.head).toBe(1280);
    expect(d.driver.disables["switch-out"]).toBe(1);
  });

  it("at stop with an event pending: PMBSR is cleared, too", () => {
    const d = driver();
    d.start();
    d.hardware(32_768, FULL);
    expect(d.stop()).toEqual([...STOP.slice(0, -1), "w PMBSR", "r PMSICR"]);
    expect(d.written("w PMBSR")).toBe(0n);
    expect(d.aux.head).toBe(32_768);
  });

  it("at the next start: goes on where the counter and the buffer stood", () => {
    const d = driver();
    d.start();
    d.hardware(1280);
    d.pe.spu.write("PMSICR_EL1", 777n);
    d.stop();
    d.start();
    expect(d.written("w PMSICR")).toBe(777n);
    expect(d.written("w PMBPTR")).toBe(BASE + 1280n);
    expect(d.written("w PMBLIMITR")).toBe(BASE + 32_768n + 1n);
  });

  it("at a start of another task's event: goes on where that one's counter stood, if that is known", () => {
    const d = driver({ startCounts: [undefined, 99n] });
    d.start();
    expect(d.written("w PMSICR")).toBe(4096n);
    d.stop();
    d.start();
    expect(d.written("w PMSICR")).toBe(99n);
  });

  it("at an overflow interrupt: the next window with E = 1, then PMBSR = 0 lets it run", () => {
    const d = driver();
    d.start();
    d.hardware(32_768, FULL);
    d.aux.consume();
    expect(d.interrupt()).toEqual(["drain", "r PMBSR", "r PMBPTR", "w PMBPTR", "w PMBLIMITR", "w PMBSR"]);
    expect(d.written("w PMBPTR")).toBe(BASE + 32_768n);
    expect(PMBLIMITR_EL1.is(d.written("w PMBLIMITR") as bigint, "E")).toBe(true);
    expect(d.written("w PMBSR")).toBe(0n);
    expect(d.driver.fatalInterrupts).toBe(0);
    expect(Object.values(d.driver.disables)).toEqual([0, 0, 0]);
  });

  it("at an interrupt that is nobody's: looks at PMBSR and leaves", () => {
    const d = driver();
    d.start();
    expect(d.interrupt()).toEqual(["drain", "r PMBSR"]);
  });

  it("at an interrupt without AUX space: no limit, everything off, then PMBSR = 0", () => {
    const d = driver();
    d.start();
    d.hardware(32_768, FULL);
    d.interrupt();
    // The last page before what nobody has read is out of reach.
    d.hardware(61_440, FULL);
    const halt = ["w PMSCR", "drain", "w PMBLIMITR", "w PMBSR"];
    expect(d.interrupt()).toEqual(["drain", "r PMBSR", "r PMBPTR", "w PMBPTR", "w PMBLIMITR", ...halt]);
    expect(d.written("w PMBPTR")).toBe(BASE + 65_535n);
    expect(d.written("w PMBLIMITR")).toBe(BASE);
    expect(d.driver.disables).toEqual({ "switch-out": 0, "no AUX space": 1, "buffer fault": 0 });
    expect(d.pe.noSpace).toBe(true);
    // Nothing runs, so the switch-out has nothing to stop.
    expect(d.stop()).toEqual([]);
    expect(d.pe.noSpace).toBe(false);
  });

  it("at a start without AUX space: the limit, and all of it when the reader has caught up", () => {
    const d = driver();
    d.start();
    d.hardware(32_768, FULL);
    d.interrupt();
    d.hardware(61_440);
    d.stop();
    // perf has 4,095 bytes for its handle, which are no window.
    expect(d.start()).toEqual(["w PMBPTR", "w PMBLIMITR"]);
    expect(d.written("w PMBLIMITR")).toBe(BASE);
    d.stop();
    // And then nothing.
    expect(d.start()).toEqual(["w PMBLIMITR"]);
    expect(d.written("w PMBLIMITR")).toBe(0n);
    expect(d.driver.enables["switch-in"]).toBe(1);
    expect(d.driver.readerAtNs).toBeLessThan(Number.POSITIVE_INFINITY);
    expect(d.sequence(() => d.driver.readerCaughtUp())).toEqual(START.map((register) => `w ${register}`));
    expect(d.driver.enables["reader caught up"]).toBe(1);
    expect(d.aux.tail).toBe(65_535);
  });

  it("at a fault that is no full buffer: everything off until the next start", () => {
    const d = driver();
    d.start();
    d.hardware(640, FATAL);
    expect(d.interrupt()).toEqual([
      "drain",
      "r PMBSR",
      "r PMBPTR",
      "w PMSCR",
      "drain",
      "w PMBLIMITR",
      "w PMBSR",
    ]);
    expect(d.driver.fatalInterrupts).toBe(1);
    expect(d.driver.disables["buffer fault"]).toBe(1);
    expect(d.aux.head).toBe(640);
    d.stop();
    expect(d.driver.disables["switch-out"]).toBe(0);
    d.start();
    expect(d.driver.enables["switch-in"]).toBe(2);
  });
});

describe("under a hypervisor that traps the buffer registers", () => {
  const trapsOf = (accesses: readonly string[]): string[] =>
    accesses.filter((access) => /^[WR] /.test(access));

  it("makes 5 trapped accesses a toggle, and 6 with an event to clear", () => {
    const d = driver({ trapped: true });
    expect(trapsOf(d.start())).toEqual(["W PMBPTR", "W PMBLIMITR"]);
    d.hardware(640);
    expect(trapsOf(d.stop())).toEqual(["W PMBLIMITR", "R PMBSR", "R PMBPTR"]);
    d.start();
    d.hardware(32_768, FULL);
    expect(trapsOf(d.stop())).toEqual(["W PMBLIMITR", "R PMBSR", "R PMBPTR", "W PMBSR"]);
  });

  it("does the same in the same order as without traps", () => {
    const run = (trapped: boolean): string[] => {
      const d = driver({ trapped });
      const all = d.start();
      d.hardware(32_768, FULL);
      all.push(...d.interrupt());
      d.hardware(40_960);
      all.push(...d.stop());
      return all.map((access) => access.replace(/^W/, "w").replace(/^R/, "r"));
    };
    expect(run(true)).toEqual(run(false));
  });

  it("tries a trapped access again until it is emulated", () => {
    const d = driver({ trapped: true });
    d.driver.start();
    const first = d.driver.pump();
    expect(first).toEqual({ kind: "sysreg", encoding: ENCODINGS.PMBPTR_EL1, isRead: false, rt: 0 });
    expect(d.driver.pump()).toEqual(first);
    d.driver.regs.skipInstruction();
    expect(d.driver.pump()).toMatchObject({ encoding: ENCODINGS.PMBLIMITR_EL1 });
  });

  it("charges the guest for what does not trap, and nothing for what does", () => {
    const d = driver({ trapped: true });
    d.start();
    // Seven registers of nine are the guest's own.
    expect(d.timeline.nowNs).toBe(COSTS.driverStart + 7 * COSTS.sysreg);
    d.hardware(640);
    const before = d.timeline.nowNs;
    d.stop();
    expect(d.timeline.nowNs - before).toBe(COSTS.driverStop + 2 * COSTS.sysreg + 2 * COSTS.drain);
  });
});

describe("the event", () => {
  it("becomes filters: each enabled only where something is asked for", () => {
    const filtered = driver({
      event: { minLatency: 1000, eventFilter: 10, loadFilter: true, period: 5000, jitter: true },
    });
    filtered.start();
    const pmsfcr = filtered.written("w PMSFCR") as bigint;
    for (const field of ["FE", "FT", "FL", "LD"] as const) expect(PMSFCR_EL1.is(pmsfcr, field)).toBe(true);
    for (const field of ["B", "ST", "FnE"] as const) expect(PMSFCR_EL1.is(pmsfcr, field)).toBe(false);
    expect(filtered.written("w PMSEVFR")).toBe(10n);
    expect(filtered.written("w PMSLATFR")).toBe(1000n);
    // The low byte of the period is masked in the interval, not in the first count.
    expect(filtered.written("w PMSIRR")).toBe(BigInt((5000 & ~0xff) | 1));
    expect(filtered.written("w PMSICR")).toBe(5000n);
    const plain = driver({ event: { excludeKernel: true, tsEnable: false } });
    plain.start();
    expect(plain.written("w PMSFCR")).toBe(0n);
    const pmscr = plain.written("w PMSCR") as bigint;
    expect(PMSCR_EL1.is(pmscr, "E0SPE")).toBe(true);
    expect(PMSCR_EL1.is(pmscr, "E1SPE")).toBe(false);
    expect(PMSCR_EL1.is(pmscr, "TS")).toBe(false);
  });

  it("wakes the reader when half of the buffer has come, after its latency and a ns a byte", () => {
    const d = driver();
    d.start();
    d.hardware(1280);
    d.stop();
    expect(d.driver.readerAtNs).toBe(Number.POSITIVE_INFINITY);
    d.start();
    d.hardware(32_768);
    d.stop();
    const waited = d.driver.readerAtNs - d.timeline.nowNs;
    // Told when PMBPTR was read: one more register access ago.
    expect(waited).toBe(READER.wakeUpNs + 32_768 - COSTS.sysreg);
  });
});
