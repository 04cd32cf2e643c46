import { describe, expect, it } from "vitest";
import type { Encoding } from "../arm/registers.ts";
import { Pmu } from "./pmu.ts";
import { isPmuRegister } from "./sys-regs.ts";

const at = (op1: number, crn: number, crm: number, op2: number): Encoding => [3, op1, crn, crm, op2];
const PMCR = at(3, 9, 12, 0);
const CNTENSET = at(3, 9, 12, 1);
const CNTENCLR = at(3, 9, 12, 2);
const OVSCLR = at(3, 9, 12, 3);
const SWINC = at(3, 9, 12, 4);
const SELR = at(3, 9, 12, 5);
const CEID0 = at(3, 9, 12, 6);
const CEID1 = at(3, 9, 12, 7);
const CCNTR = at(3, 9, 13, 0);
const XEVTYPER = at(3, 9, 13, 1);
const XEVCNTR = at(3, 9, 13, 2);
const USERENR = at(3, 9, 14, 0);
const OVSSET = at(3, 9, 14, 3);
const INTENSET = at(0, 9, 14, 1);
const INTENCLR = at(0, 9, 14, 2);
const CCFILTR = at(3, 14, 15, 7);
const evcntr = (n: number): Encoding => at(3, 14, 8 + (n >> 3), n & 7);
const evtyper = (n: number): Encoding => at(3, 14, 12 + (n >> 3), n & 7);
const E = 1n;
const P = 2n;
const C = 4n;
const D = 8n;
const X = 16n;
const LC = 64n;
const CYCLES = 1n << 31n;
const NOT_EL1 = 0x8000_0000n;
const NOT_EL0 = 0x4000_0000n;
const INST_RETIRED = 8n;
/** STALL_FRONTEND and STALL_BACKEND in PMCEID1_EL0, which FEAT_PMUv3p1 requires (Arm ARM D13.12.1). */
const STALLS = (1n << 3n) | (1n << 4n);

function machine() {
  const counts = {
    instructions: [0, 0] as [number, number],
    cycles: [0, 0] as [number, number],
    exceptionsTaken: 0,
    exceptionReturns: 0,
  };
  const pmu = new Pmu();
  pmu.attach(() => structuredClone(counts));
  const read = (register: Encoding): bigint | undefined => pmu.read(register, 1);
  const write = (register: Encoding, value: bigint): void => expect(pmu.write(register, value, 1)).toBe(true);
  /** Executes instructions at an exception level. */
  const execute = (count: number, el: 0 | 1 = 1): void => {
    counts.instructions[el] += count;
    counts.cycles[el] += count;
  };
  return { pmu, counts, read, write, execute };
}

describe("counters", () => {
  it("count instructions and cycles while both enables are set", () => {
    const { read, write, execute } = machine();
    write(evtyper(0), INST_RETIRED);
    write(CNTENSET, CYCLES | 1n);
    execute(10);
    expect([read(CCNTR), read(evcntr(0))]).toEqual([0n, 0n]);
    write(PMCR, E);
    execute(10);
    write(CNTENCLR, 1n);
    execute(5);
    expect([read(CCNTR), read(evcntr(0)), read(CNTENSET)]).toEqual([15n, 10n, CYCLES]);
    write(PMCR, 0n);
    execute(5);
    expect(read(CCNTR)).toBe(15n);
  });

  it.each([
    [0n, 7n + 100n],
    [NOT_EL1, 7n],
    [NOT_EL0, 100n],
    [NOT_EL0 | NOT_EL1, 0n],
  ])("leave out exception levels: filter %d", (filter, counted) => {
    const { read, write, execute } = machine();
    write(evtyper(2), INST_RETIRED | filter);
    write(CCFILTR, filter);
    write(CNTENSET, CYCLES | 4n);
    write(PMCR, E);
    execute(7, 0);
    execute(100, 1);
    expect([read(evcntr(2)), read(CCNTR)]).toEqual([counted, counted]);
    expect([read(evtyper(2)), read(CCFILTR)]).toEqual([INST_RETIRED | filter, filter]);
  });

  it("count exceptions and their returns, and nothing for events that are not there", () => {
    const { counts, read, write, execute } = machine();
    for (const [n, event] of [9n, 10n, 0x1bn, 0x13n].entries()) write(evtyper(n), event);
    write(CNTENSET, 15n);
    write(PMCR, E);
    counts.exceptionsTaken += 3;
    counts.exceptionReturns += 2;
    execute(50);
    expect([0, 1, 2, 3].map((n) => read(evcntr(n)))).toEqual([3n, 2n, 50n, 0n]);
    expect(read(CEID0)).toBe(
      (1n << 0n) | (1n << 8n) | (1n << 9n) | (1n << 10n) | (1n << 17n) | (1n << 27n) | (1n << 30n),
    );
  });

  it("that begin to count another event count from there", () => {
    const { read, write, execute, counts } = machine();
    counts.exceptionsTaken = 1000;
    write(CNTENSET, 1n);
    write(evtyper(0), INST_RETIRED);
    write(PMCR, E);
    execute(5);
    write(evtyper(0), 9n);
    counts.exceptionsTaken += 2;
    expect(read(evcntr(0))).toBe(7n);
  });

  it("count the cycles in which an exception leaves the pipeline empty as stalls of the frontend, and none of the backend", () => {
    const { counts, read, write, execute } = machine();
    for (const [n, event] of [0x23n, 0x24n, 0x23n | NOT_EL1].entries()) write(evtyper(n), event);
    write(CNTENSET, 7n);
    write(PMCR, E);
    execute(50);
    counts.cycles[1] += 16;
    expect([0, 1, 2].map((n) => read(evcntr(n)))).toEqual([16n, 0n, 0n]);
    expect(read(CEID1)).toBe(STALLS);
  });

  it("are reset by PMCR.P and PMCR.C, each kind by its own", () => {
    const { read, write } = machine();
    write(evcntr(5), 7n);
    write(CCNTR, 8n);
    write(PMCR, P);
    expect([read(evcntr(5)), read(CCNTR)]).toEqual([0n, 8n]);
    write(evcntr(5), 7n);
    write(PMCR, C | LC);
    expect([read(evcntr(5)), read(CCNTR)]).toEqual([7n, 0n]);
    expect(read(PMCR)).toBe((6n << 11n) | LC);
  });

  it.each([
    [0n, 1n, 1n],
    [NOT_EL1, 1n, 0n],
    [NOT_EL0, 0n, 1n],
  ])(
    "are incremented by software where their filter %d lets them (PMU.IncrementCounter)",
    (filter, atEl0, atEl1) => {
      const counted = ([0, 1] as const).map((el) => {
        const { pmu, read, write } = machine();
        write(evtyper(0), filter);
        write(CNTENSET, 1n);
        write(PMCR, E);
        write(USERENR, 1n);
        expect(pmu.write(SWINC, 1n, el)).toBe(true);
        return read(evcntr(0));
      });
      expect(counted).toEqual([atEl0, atEl1]);
    },
  );

  it("are incremented by software where they count that", () => {
    const { read, write } = machine();
    write(evtyper(0), 0n);
    write(evtyper(1), INST_RETIRED);
    write(CNTENSET, CYCLES | 3n);
    write(SWINC, 3n);
    expect(read(evcntr(0))).toBe(0n);
    write(PMCR, E);
    write(SWINC, CYCLES | 7n);
    expect([0, 1, 2].map((n) => read(evcntr(n)))).toEqual([1n, 0n, 0n]);
    write(evcntr(0), 0xffff_ffffn);
    write(SWINC, 1n);
    expect([read(evcntr(0)), read(OVSSET)]).toEqual([0n, 1n]);
    expect(read(SWINC)).toBeUndefined();
  });
});

/** A part of a core that counts two events, of which one comes in twos. */
function withSource() {
  const it = machine();
  const happened = new Map<number, [number, number]>([
    [0x04, [0, 0]],
    [0x34, [0, 0]],
    [0x4000, [0, 0]],
  ]);
  const counted: number[][] = [];
  it.pmu.attach(() => structuredClone(it.counts), {
    events: [...happened.keys()],
    countsOf: (event) => [...(happened.get(event) ?? ([0, 0] as const))],
    instructionsUntil: (event, times) => (event === 0x04 ? Math.ceil(times / 2) : times),
    count: (events) => counted.push([...events].sort()),
  });
  return { ...it, happened, counted };
}

describe("events of a part of the core", () => {
  it("are presented beside the others, those from 0x4000 on in the upper half", () => {
    const { read } = withSource();
    const plain = machine().read(CEID0)!;
    expect(read(CEID0)).toBe(plain | (1n << 4n) | (1n << 32n));
    expect(read(CEID1)).toBe(STALLS | (1n << 20n));
    expect(machine().read(CEID1)).toBe(STALLS);
  });

  it("are counted by exception level, from when they are enabled", () => {
    const { read, write, happened } = withSource();
    happened.get(0x04)![0] = 1000;
    for (const [n, filter] of [0n, NOT_EL0, NOT_EL1].entries()) write(evtyper(n), 0x04n | filter);
    write(evtyper(3), 0x4000n);
    write(CNTENSET, 15n);
    write(PMCR, E);
    happened.set(0x04, [1005, 7]);
    happened.set(0x4000, [3, 0]);
    expect([0, 1, 2, 3].map((n) => read(evcntr(n)))).toEqual([12n, 7n, 5n, 3n]);
  });

  it("are asked for only while they are counted", () => {
    const { pmu, write, counted } = withSource();
    const last = (): number[] | undefined => counted.at(-1);
    write(evtyper(0), 0x34n);
    write(PMCR, E);
    expect(last()).toEqual([]);
    write(CNTENSET, 1n);
    expect(last()).toEqual([0x34]);
    const other = withSource();
    other.pmu.restore(pmu.save());
    expect(other.counted.at(-1)).toEqual([0x34]);
    write(CNTENCLR, 1n);
    expect(last()).toEqual([]);
    write(CNTENSET, 1n);
    pmu.reset();
    expect(last()).toEqual([]);
  });

  it("tell themselves how far their overflow is", () => {
    const { pmu, write, happened } = withSource();
    write(evtyper(1), 0x04n);
    write(evcntr(1), (1n << 32n) - 10n);
    write(CNTENSET, 2n);
    write(INTENSET, 2n);
    write(PMCR, E);
    expect(pmu.instructionsToOverflow()).toBe(5);
    happened.set(0x04, [0, 11]);
    expect([pmu.line, pmu.read(evcntr(1), 1)]).toEqual([true, 1n]);
  });
});

describe("overflow", () => {
  const about = (left: bigint) => {
    const it = machine();
    it.write(evtyper(0), INST_RETIRED);
    it.write(evcntr(0), (1n << 32n) - left);
    it.write(CNTENSET, 1n);
    it.write(PMCR, E);
    return it;
  };

  it("is at 32 bits, to the instruction", () => {
    const { pmu, read, write, execute } = about(1000n);
    expect(pmu.instructionsToOverflow()).toBe(Number.POSITIVE_INFINITY);
    write(INTENSET, 1n);
    expect(pmu.instructionsToOverflow()).toBe(1000);
    execute(999);
    expect([pmu.line, read(OVSSET), pmu.instructionsToOverflow()]).toEqual([false, 0n, 1]);
    execute(1);
    expect([pmu.line, read(OVSSET), read(evcntr(0))]).toEqual([true, 1n, 0n]);
    write(OVSCLR, 1n);
    expect([pmu.line, read(OVSCLR)]).toEqual([false, 0n]);
    expect(pmu.instructionsToOverflow()).toBe(0xffff_ffff);
  });

  it("of the cycle counter is at 64 bits: PMCR_EL0.LC is RES1 without AArch32, and D does not divide", () => {
    const { pmu, read, write, execute } = machine();
    write(CNTENSET, CYCLES);
    write(INTENSET, CYCLES);
    write(PMCR, E | D | X);
    expect(read(PMCR)).toBe((6n << 11n) | LC | E);
    execute(640);
    expect(read(CCNTR)).toBe(640n);
    write(CCNTR, 0x5_ffff_ff00n);
    execute(256);
    expect([pmu.line, pmu.instructionsToOverflow()]).toEqual([false, 0xffff_ffff]);
    write(CCNTR, (1n << 64n) - 5n);
    expect(pmu.instructionsToOverflow()).toBe(5);
    execute(6);
    expect([pmu.line, read(CCNTR)]).toEqual([true, 1n]);
  });

  it("is awaited of the counter that is nearest to it", () => {
    const { pmu, write } = about(1000n);
    write(evtyper(3), INST_RETIRED);
    write(evcntr(3), (1n << 32n) - 10n);
    write(CNTENSET, 8n);
    write(INTENSET, 1n);
    expect(pmu.instructionsToOverflow()).toBe(1000);
    write(INTENSET, 8n);
    expect(pmu.instructionsToOverflow()).toBe(10);
    write(PMCR, 0n);
    expect([pmu.active, pmu.instructionsToOverflow()]).toEqual([false, Number.POSITIVE_INFINITY]);
  });

  it("interrupts while PMCR.E and its enable are set, also of a counter that counts no more", () => {
    const { pmu, read, write } = machine();
    write(OVSSET, 2n);
    expect(pmu.line).toBe(false);
    write(INTENSET, 2n);
    expect(pmu.line).toBe(false);
    write(PMCR, E);
    expect(pmu.line).toBe(true);
    write(INTENCLR, 2n);
    expect([pmu.line, read(INTENSET)]).toEqual([false, 0n]);
  });

  it("keeps no bits of counters that are not there", () => {
    const { read, write } = machine();
    for (const register of [CNTENSET, OVSSET, INTENSET]) {
      write(register, 0xffff_ffffn);
      expect(read(register)).toBe(CYCLES | 63n);
    }
  });
});

describe("CHAIN", () => {
  const CHAIN = 0x1en;
  const HIGH = 8n;
  const LOW = 4n;
  /** Counters 2 and 3 as one, `left` before it is `value` of the high one. */
  const pair = (high: bigint, left: bigint) => {
    const it = machine();
    it.write(evtyper(2), INST_RETIRED | NOT_EL1);
    it.write(evtyper(3), CHAIN);
    it.write(evcntr(2), (1n << 32n) - left);
    it.write(evcntr(3), high);
    it.write(CNTENSET, HIGH | LOW);
    it.write(INTENSET, HIGH);
    it.write(PMCR, E);
    return it;
  };

  it("counts overflows of the counter before", () => {
    const { pmu, read, execute } = pair(7n, 1000n);
    execute(999, 0);
    execute(50, 1);
    expect([read(evcntr(2)), read(evcntr(3))]).toEqual([0xffff_ffffn, 7n]);
    execute(6, 0);
    expect([read(evcntr(2)), read(evcntr(3)), read(OVSSET), pmu.line]).toEqual([5n, 8n, LOW, false]);
    // Between two looks more than once.
    execute(3 * 2 ** 32, 0);
    expect([read(evcntr(2)), read(evcntr(3))]).toEqual([5n, 11n]);
  });

  it("overflows at 64 bits, to the instruction", () => {
    const { pmu, read, write, execute } = pair(0xffff_ffffn, 1000n);
    expect(pmu.instructionsToOverflow()).toBe(1000);
    execute(999, 0);
    expect([pmu.line, pmu.instructionsToOverflow()]).toEqual([false, 1]);
    execute(1, 0);
    expect([pmu.line, read(OVSSET), read(evcntr(3))]).toEqual([true, HIGH | LOW, 0n]);
    write(OVSCLR, HIGH);
    expect(pmu.instructionsToOverflow()).toBe(0xffff_ffff);
  });

  it("is far from its overflow while the high counter is", () => {
    const { pmu, write } = pair(0xffff_fffen, 1000n);
    expect(pmu.instructionsToOverflow()).toBe(0xffff_ffff);
    // Whatever the high one holds: without the low one nothing comes.
    write(evcntr(3), 0xffff_ffffn);
    write(CNTENCLR, LOW);
    expect(pmu.instructionsToOverflow()).toBe(Number.POSITIVE_INFINITY);
  });

  it("counts for itself only: enabled, and of an odd counter", () => {
    const { read, write, execute } = pair(0n, 1n);
    write(CNTENCLR, HIGH);
    execute(1, 0);
    expect(read(evcntr(3))).toBe(0n);
    write(evtyper(4), CHAIN);
    write(evcntr(2), 0xffff_ffffn);
    write(evtyper(3), INST_RETIRED);
    write(evcntr(3), 0xffff_ffffn);
    write(CNTENSET, 0x1cn);
    execute(1, 0);
    expect([2, 3, 4].map((n) => read(evcntr(n)))).toEqual([0n, 0n, 0n]);
  });

  it("is never near in a counter of an event that there is not", () => {
    const { pmu, write } = pair(0n, 1n);
    write(evtyper(2), 0x99n);
    write(INTENSET, LOW);
    expect(pmu.instructionsToOverflow()).toBe(Number.POSITIVE_INFINITY);
  });

  it("counts overflows that software makes", () => {
    const { pmu, read, write } = pair(0xffff_ffffn, 1n);
    write(evtyper(2), 0n);
    expect(pmu.instructionsToOverflow()).toBe(Number.POSITIVE_INFINITY);
    write(SWINC, LOW);
    expect([pmu.line, read(evcntr(2)), read(evcntr(3))]).toEqual([true, 0n, 0n]);
  });
});

describe("the selected counter", () => {
  it("is an event counter, or with 31 the cycle counter", () => {
    const { read, write } = machine();
    write(SELR, 3n);
    write(XEVTYPER, INST_RETIRED);
    write(XEVCNTR, 0x1_0000_0005n);
    expect([read(evtyper(3)), read(evcntr(3)), read(XEVCNTR)]).toEqual([INST_RETIRED, 5n, 5n]);
    write(SELR, 0xffff_ffffn);
    expect(read(SELR)).toBe(31n);
    write(XEVTYPER, NOT_EL0 | 5n);
    write(XEVCNTR, 0x1_0000_0005n);
    expect([read(CCFILTR), read(CCNTR)]).toEqual([NOT_EL0, 0x1_0000_0005n]);
  });

  it("that is not there is UNDEFINED, selected or by number", () => {
    const { pmu, write } = machine();
    write(SELR, 6n);
    const evcntr31 = evcntr(31);
    for (const register of [XEVTYPER, XEVCNTR, evcntr(6), evtyper(30), evcntr31]) {
      // PMEVCNTR31_EL0 does not exist: UNDEFINED before anything could trap.
      expect(isPmuRegister(register)).toBe(register !== evcntr31);
      expect([pmu.read(register, 1), pmu.write(register, 0n, 1)]).toEqual([undefined, false]);
    }
  });
});

describe("EL0", () => {
  const EN = 1n;
  const SW = 2n;
  const CR = 4n;
  const ER = 8n;
  const readable = (user: bigint): Encoding[] => {
    const { pmu, write } = machine();
    write(USERENR, user);
    return [
      PMCR,
      CNTENSET,
      OVSCLR,
      SELR,
      CEID0,
      CCNTR,
      XEVTYPER,
      XEVCNTR,
      evcntr(1),
      evtyper(1),
      INTENSET,
    ].filter((register) => pmu.read(register, 0) !== undefined);
  };
  const writable = (user: bigint): Encoding[] => {
    const { pmu, write } = machine();
    write(USERENR, user);
    return [PMCR, CNTENSET, SWINC, SELR, CCNTR, XEVTYPER, XEVCNTR, evcntr(1), INTENSET, USERENR].filter(
      (register) => pmu.write(register, 0n, 0),
    );
  };

  it("reads what PMUSERENR_EL0 allows", () => {
    expect(readable(0n)).toEqual([]);
    expect(readable(SW)).toEqual([]);
    expect(readable(CR)).toEqual([CCNTR]);
    expect(readable(ER)).toEqual([SELR, XEVCNTR, evcntr(1)]);
    expect(readable(EN)).toHaveLength(10);
  });

  it("writes what PMUSERENR_EL0 allows, and never that", () => {
    expect(writable(0n)).toEqual([]);
    expect(writable(CR)).toEqual([]);
    expect(writable(SW)).toEqual([SWINC]);
    expect(writable(ER)).toEqual([SELR]);
    expect(writable(EN)).toEqual([PMCR, CNTENSET, SWINC, SELR, CCNTR, XEVTYPER, XEVCNTR, evcntr(1)]);
  });

  it("reads PMUSERENR_EL0 always", () => {
    const { pmu, write } = machine();
    write(USERENR, 0xffn);
    expect(pmu.read(USERENR, 0)).toBe(15n);
  });
});

it("knows its registers from others", () => {
  for (const register of [PMCR, INTENCLR, CCFILTR, evcntr(0)]) expect(isPmuRegister(register)).toBe(true);
  for (const register of [at(0, 9, 10, 0), at(3, 14, 3, 1), at(0, 14, 8, 0), at(3, 9, 15, 0)])
    expect(isPmuRegister(register)).toBe(false);
});

it("goes on from a saved state as if nothing had been", () => {
  const { pmu, counts, write, execute } = machine();
  write(evtyper(0), INST_RETIRED | NOT_EL0);
  write(evcntr(0), 0xffff_fff0n);
  write(CCNTR, (1n << 63n) | 5n);
  write(CNTENSET, CYCLES | 1n);
  write(INTENSET, 1n);
  write(SELR, 31n);
  write(USERENR, 5n);
  write(PMCR, E | LC);
  execute(10);
  const copy = new Pmu();
  copy.attach(() => structuredClone(counts));
  copy.restore(JSON.parse(JSON.stringify(pmu.save())));
  for (const one of [pmu, copy]) expect(one.instructionsToOverflow()).toBe(6);
  execute(6);
  for (const one of [pmu, copy]) {
    expect([one.line, one.read(evcntr(0), 1), one.read(XEVCNTR, 1), one.read(USERENR, 1)]).toEqual([
      true,
      0n,
      (1n << 63n) + 21n,
      5n,
    ]);
  }
});
