import { describe, expect, it } from "vitest";
import type { Encoding } from "../../arm/registers.ts";
import { Gic } from "./gic.ts";

const SPURIOUS = 1023n;
const SGI_BASE = 0x1_0000;
const IGROUPR = 0x80;
const ISENABLER = 0x100;
const ICENABLER = 0x180;
const ISPENDR = 0x200;
const ICPENDR = 0x280;
const ISACTIVER = 0x300;
const ICACTIVER = 0x380;
const IPRIORITYR = 0x400;
const ICFGR = 0xc00;
const IROUTER = 0x6000;

const icc = (crn: number, crm: number, op2: number): Encoding => [3, 0, crn, crm, op2];
const PMR = icc(4, 6, 0);
const IAR = [icc(12, 8, 0), icc(12, 12, 0)] as const;
const EOIR = [icc(12, 8, 1), icc(12, 12, 1)] as const;
const HPPIR = [icc(12, 8, 2), icc(12, 12, 2)] as const;
const BPR = [icc(12, 8, 3), icc(12, 12, 3)] as const;
const APR = [icc(12, 8, 4), icc(12, 9, 0)] as const;
const IGRPEN = [icc(12, 12, 6), icc(12, 12, 7)] as const;
const DIR = icc(12, 11, 1);
const RPR = icc(12, 11, 3);
const SGI1R = icc(12, 11, 5);
const ASGI1R = icc(12, 11, 6);
const SGI0R = icc(12, 11, 7);
const CTLR = icc(12, 12, 4);
const SRE = icc(12, 12, 5);

/** A GIC with what a kernel sets up: everything enabled, no mask, priority 0xa0. */
function machine(vcpus = 1) {
  const gic = new Gic({ vcpus, spis: 64, onLineChange: () => undefined });
  const read = (register: Encoding, vcpu = 0): bigint => {
    const value = gic.readIcc(vcpu, register);
    expect(value).toBeDefined();
    return value ?? 0n;
  };
  const write = (register: Encoding, value: number | bigint, vcpu = 0): void =>
    expect(gic.writeIcc(vcpu, register, BigInt(value))).toBe(true);
  const gicd = (offset: number): number => Number(gic.readDistributor(offset, 4));
  const setGicd = (offset: number, value: number): void =>
    gic.writeDistributor(offset, 4, BigInt(value >>> 0));
  const sgi = (offset: number, vcpu = 0): number => Number(gic.readRedistributor(vcpu, SGI_BASE + offset, 4));
  const setSgi = (offset: number, value: number, vcpu = 0): void =>
    gic.writeRedistributor(vcpu, SGI_BASE + offset, 4, BigInt(value >>> 0));
  const priority = (intid: number, value: number, vcpu = 0): void =>
    intid < 32
      ? gic.writeRedistributor(vcpu, SGI_BASE + IPRIORITYR + intid, 1, BigInt(value))
      : gic.writeDistributor(IPRIORITYR + intid, 1, BigInt(value));
  setGicd(0, 2);
  for (let word = 1; word <= 2; word++) setGicd(ISENABLER + 4 * word, 0xffff_ffff);
  for (let intid = 32; intid < 96; intid++) priority(intid, 0xa0);
  for (let vcpu = 0; vcpu < vcpus; vcpu++) {
    setSgi(ISENABLER, 0xffff_ffff, vcpu);
    for (let intid = 0; intid < 32; intid++) priority(intid, 0xa0, vcpu);
    write(PMR, 0xf8, vcpu);
    for (const enable of IGRPEN) write(enable, 1, vcpu);
  }
  return { gic, read, write, gicd, setGicd, sgi, setSgi, priority };
}

describe("software-generated interrupts", () => {
  const sent = (value: bigint, from = 0, register = SGI1R, vcpus = 4) => {
    const { gic, write, sgi } = machine(vcpus);
    write(register, value, from);
    return {
      gic,
      to: Array.from({ length: vcpus }, (_, vcpu) => sgi(ISPENDR, vcpu)).map((bits) => bits >>> 0),
    };
  };

  it.each([
    ["a list", (5n << 24n) | 0b1010n, [0, 1 << 5, 0, 1 << 5]],
    ["itself, too", (15n << 24n) | 0b0100n, [0, 0, 1 << 15, 0]],
    ["all but itself, whatever the list", (1n << 40n) | 0b0100n, [1, 1, 0, 1]],
    ["vCPUs that are not there", 0xfff0n, [0, 0, 0, 0]],
    ["another Aff1", (1n << 16n) | 1n, [0, 0, 0, 0]],
    ["another Aff2", (1n << 32n) | 1n, [0, 0, 0, 0]],
    ["another Aff3", (1n << 48n) | 1n, [0, 0, 0, 0]],
  ])("go to %s", (_, value, to) => {
    expect(sent(value, 2).to).toEqual(to);
  });

  it("reach the second sixteen vCPUs by Aff1", () => {
    expect(sent((1n << 16n) | 0b10n, 0, SGI1R, 18).to).toEqual([...Array(17).fill(0), 1]);
  });

  it("of group 0 come from each register, of group 1 from SGI1R only (vgic_v3_dispatch_sgi)", () => {
    for (const [register, group0, group1] of [
      [SGI1R, 1, 1],
      [ASGI1R, 1, 0],
      [SGI0R, 1, 0],
    ] as const) {
      const { write, sgi, setSgi } = machine();
      setSgi(IGROUPR, 0xffff_fffe);
      write(register, 1n);
      write(register, (1n << 24n) | 1n);
      expect(sgi(ISPENDR)).toBe(group0 | (group1 << 1));
    }
  });

  it("are edges that no write makes levels, and are enabled from the start", () => {
    const { sgi, setSgi } = machine();
    setSgi(ICFGR, 0);
    expect(sgi(ICFGR)).toBe(0xaaaa_aaaa);
    const fresh = new Gic({ vcpus: 1, spis: 32, onLineChange: () => undefined });
    expect(fresh.readRedistributor(0, SGI_BASE + ISENABLER, 4)).toBe(0xffffn);
    expect(fresh.readRedistributor(0, SGI_BASE + IGROUPR, 4)).toBe(0xffff_ffffn);
  });
});

describe("a level interrupt", () => {
  it("is pending for as long as its wire is high, and again after its end", () => {
    const { gic, read, write, gicd } = machine();
    gic.setLine(40, true);
    expect(gic.signals(0, 1)).toBe(true);
    expect(read(IAR[1])).toBe(40n);
    expect(gicd(ISPENDR + 4)).toBe(1 << 8);
    expect(gicd(ISACTIVER + 4)).toBe(1 << 8);
    expect(gic.signals(0, 1)).toBe(false);
    write(EOIR[1], 40);
    expect(gic.signals(0, 1)).toBe(true);
    gic.setLine(40, false);
    expect(gic.signals(0, 1)).toBe(false);
    expect(read(IAR[1])).toBe(SPURIOUS);
  });

  it("can be latched by ISPENDR; an acknowledge or ICPENDR takes the latch, not the level", () => {
    const { gic, read, write, gicd, setGicd } = machine();
    setGicd(ISPENDR + 4, 1 << 8);
    expect(gicd(ICPENDR + 4)).toBe(1 << 8);
    expect(read(IAR[1])).toBe(40n);
    expect(gicd(ISPENDR + 4)).toBe(0);
    write(EOIR[1], 40);
    setGicd(ISPENDR + 4, 1 << 8);
    gic.setLine(40, true);
    setGicd(ICPENDR + 4, 1 << 8);
    expect(gicd(ISPENDR + 4)).toBe(1 << 8);
    gic.setLine(40, false);
    expect(gicd(ISPENDR + 4)).toBe(0);
  });
});

describe("an edge interrupt", () => {
  it("is latched by the rise of its wire, once, also while it is active", () => {
    const { gic, read, write, gicd, setGicd } = machine();
    setGicd(ICFGR + 8, 2 << 16);
    expect(gicd(ICFGR + 8)).toBe(2 << 16);
    gic.setLine(40, true);
    expect(read(IAR[1])).toBe(40n);
    expect(gicd(ISPENDR + 4)).toBe(0);
    gic.setLine(40, false);
    gic.setLine(40, true);
    expect(gicd(ISPENDR + 4)).toBe(1 << 8);
    expect(gic.signals(0, 1)).toBe(false);
    write(EOIR[1], 40);
    expect(read(IAR[1])).toBe(40n);
    write(EOIR[1], 40);
    expect(read(IAR[1])).toBe(SPURIOUS);
  });

  it("is gone with ICPENDR", () => {
    const { gic, setGicd } = machine();
    setGicd(ICFGR + 8, 2 << 16);
    gic.setLine(40, true);
    setGicd(ICPENDR + 4, 1 << 8);
    expect(gic.signals(0, 1)).toBe(false);
  });

  it("cannot be made of a PPI (vgic_mmio_write_config)", () => {
    const { sgi, setSgi } = machine();
    setSgi(ICFGR + 4, 0xffff_ffff);
    expect(sgi(ICFGR + 4)).toBe(0);
  });
});

it("keeps private interrupts of vCPUs apart", () => {
  const { gic, read } = machine(2);
  gic.setLine(27, true, 1);
  expect([gic.signals(0, 1), gic.signals(1, 1)]).toEqual([false, true]);
  expect([read(IAR[1], 0), read(IAR[1], 1)]).toEqual([SPURIOUS, 27n]);
});

describe("enables", () => {
  it("hold an interrupt back and keep it pending", () => {
    const { gic, gicd, setGicd } = machine();
    setGicd(ICENABLER + 4, 1 << 8);
    gic.setLine(40, true);
    expect([gicd(ISENABLER + 4) >>> 0, gicd(ISPENDR + 4)]).toEqual([0xffff_feff, 1 << 8]);
    expect(gic.signals(0, 1)).toBe(false);
    setGicd(ISENABLER + 4, 1 << 8);
    expect(gic.signals(0, 1)).toBe(true);
    setGicd(ICENABLER + 4, 1 << 8);
    expect(gic.signals(0, 1)).toBe(false);
  });

  it("of the distributor and of each group hold back, too; one of the distributor's is for both groups", () => {
    const { gic, read, write, gicd, setGicd } = machine();
    setGicd(IGROUPR + 4, 0xffff_fdff);
    gic.setLine(40, true);
    setGicd(0, 1);
    expect([gicd(0), gic.signals(0, 1), read(IAR[1])]).toEqual([0x50, false, SPURIOUS]);
    setGicd(0, 3);
    expect([gicd(0), gic.signals(0, 1)]).toEqual([0x52, true]);
    write(IGRPEN[1], 0);
    expect([read(IGRPEN[1]), gic.signals(0, 1), read(HPPIR[1])]).toEqual([0n, false, SPURIOUS]);
    gic.setLine(41, true);
    expect(gic.signals(0, 0)).toBe(true);
    write(IGRPEN[0], 0);
    expect(gic.signals(0, 0)).toBe(false);
  });

  it("say which are active, and software may change that", () => {
    const { gic, gicd, setGicd } = machine();
    gic.setLine(40, true);
    setGicd(ISACTIVER + 4, 1 << 8);
    expect([gicd(ICACTIVER + 4), gic.signals(0, 1)]).toEqual([1 << 8, false]);
    setGicd(ICACTIVER + 4, 1 << 8);
    expect([gicd(ISACTIVER + 4), gic.signals(0, 1)]).toEqual([0, true]);
  });
});

describe("priorities", () => {
  it("have five bits, there and in PMR", () => {
    const { gic, read, write, priority } = machine();
    priority(40, 0xff);
    expect(gic.readDistributor(IPRIORITYR + 40, 1)).toBe(0xf8n);
    write(PMR, 0xff);
    expect(read(PMR)).toBe(0xf8n);
  });

  it("are masked from PMR on", () => {
    const { gic, read, write, priority } = machine();
    priority(40, 0x80);
    gic.setLine(40, true);
    write(PMR, 0x80);
    expect([gic.signals(0, 1), read(IAR[1]), read(HPPIR[1])]).toEqual([false, SPURIOUS, 40n]);
    write(PMR, 0x88);
    expect([gic.signals(0, 1), read(IAR[1])]).toEqual([true, 40n]);
  });

  it("say who is first, and the INTID does among equals", () => {
    const { gic, read, priority } = machine();
    priority(50, 0x40);
    for (const intid of [41, 27, 50, 90]) gic.setLine(intid, true);
    expect(read(IAR[1])).toBe(50n);
    const others = machine();
    for (const intid of [90, 41, 27]) others.gic.setLine(intid, true);
    expect(others.read(IAR[1])).toBe(27n);
  });

  it("preempt, nested, and give back what they interrupted", () => {
    const { gic, read, write, priority } = machine();
    priority(41, 0x80);
    priority(42, 0x40);
    gic.setLine(40, true);
    expect(read(IAR[1])).toBe(40n);
    expect([read(RPR), read(APR[1])]).toEqual([0xa0n, 1n << 20n]);
    gic.setLine(41, true);
    expect(read(IAR[1])).toBe(41n);
    gic.setLine(42, true);
    expect(read(IAR[1])).toBe(42n);
    expect([read(RPR), read(APR[1])]).toEqual([0x40n, (1n << 20n) | (1n << 16n) | (1n << 8n)]);
    for (const intid of [40, 41, 42]) gic.setLine(intid, false);
    for (const [intid, running] of [
      [42, 0x80n],
      [41, 0xa0n],
      [40, 0xffn],
    ] as const) {
      write(EOIR[1], intid);
      expect(read(RPR)).toBe(running);
    }
    expect(read(APR[1])).toBe(0n);
  });

  it("preempt by as many bits as BPR leaves, and RPR has no more", () => {
    const { gic, read, write, priority } = machine();
    write(BPR[1], 6);
    priority(40, 0x98);
    priority(41, 0x88);
    priority(42, 0x70);
    gic.setLine(40, true);
    expect([read(IAR[1]), read(RPR)]).toEqual([40n, 0x80n]);
    gic.setLine(41, true);
    expect([gic.signals(0, 1), read(IAR[1])]).toEqual([false, SPURIOUS]);
    gic.setLine(42, true);
    expect([read(IAR[1]), read(RPR)]).toEqual([42n, 0x40n]);
  });

  it("are not all in BPR: it has least values, and with CBPR group 1 has group 0's", () => {
    const { read, write } = machine();
    for (const group of [0, 1] as const) {
      write(BPR[group], 0);
      expect(read(BPR[group])).toBe(BigInt(2 + group));
    }
    write(BPR[0], 5);
    write(CTLR, 1);
    expect([read(BPR[1]), read(CTLR) & 3n]).toEqual([6n, 1n]);
    write(BPR[1], 7);
    write(CTLR, 0);
    expect(read(BPR[1])).toBe(3n);
  });

  it("that are active can be set by software", () => {
    const { gic, read, write } = machine();
    write(APR[1], (1 << 20) | (1 << 10));
    write(APR[0], 1 << 12);
    expect([read(RPR), read(APR[0])]).toEqual([0x50n, 1n << 12n]);
    gic.setLine(40, true);
    expect(gic.signals(0, 1)).toBe(false);
    write(APR[1], 0);
    expect(read(RPR)).toBe(0x60n);
    write(APR[0], 0x8000_0000);
    expect([read(APR[0]), read(RPR)]).toEqual([0x8000_0000n, 0xf8n]);
  });
});

describe("the end of an interrupt", () => {
  it("drops its priority only with EOImode, and DIR deactivates it", () => {
    const { gic, read, write, gicd } = machine();
    write(CTLR, 2);
    expect(read(CTLR) & 3n).toBe(2n);
    gic.setLine(40, true);
    expect(read(IAR[1])).toBe(40n);
    write(EOIR[1], 40);
    expect([read(RPR), gicd(ISACTIVER + 4)]).toEqual([0xffn, 1 << 8]);
    expect(gic.signals(0, 1)).toBe(false);
    write(DIR, 40);
    expect([gicd(ISACTIVER + 4), gic.signals(0, 1)]).toEqual([0, true]);
  });

  it("is no DIR without EOImode", () => {
    const { gic, read, write, gicd } = machine();
    gic.setLine(40, true);
    read(IAR[1]);
    write(DIR, 40);
    expect([read(RPR), gicd(ISACTIVER + 4)]).toEqual([0xa0n, 1 << 8]);
  });

  it("is none of a special INTID, of the wrong group, or with nothing active", () => {
    const { gic, read, write, gicd, setGicd } = machine();
    setGicd(ISACTIVER + 4, 1 << 9);
    write(EOIR[1], 41);
    expect(gicd(ISACTIVER + 4)).toBe(1 << 9);
    gic.setLine(40, true);
    read(IAR[1]);
    write(EOIR[0], 40);
    write(EOIR[1], 1023);
    expect([read(RPR), gicd(ISACTIVER + 4)]).toEqual([0xa0n, 3 << 8]);
    write(EOIR[1], 900);
    expect([read(RPR), gicd(ISACTIVER + 4)]).toEqual([0xffn, 3 << 8]);
  });
});

describe("groups", () => {
  it("are FIQ and IRQ, with registers of their own", () => {
    const { gic, read, write, setGicd } = machine();
    setGicd(IGROUPR + 4, 0xffff_feff);
    gic.setLine(40, true);
    expect([gic.signals(0, 0), gic.signals(0, 1)]).toEqual([true, false]);
    expect([read(IAR[1]), read(HPPIR[1]), read(HPPIR[0])]).toEqual([SPURIOUS, SPURIOUS, 40n]);
    expect(read(IAR[0])).toBe(40n);
    expect([read(APR[0]), read(APR[1])]).toEqual([1n << 20n, 0n]);
    write(EOIR[0], 40);
    expect(read(RPR)).toBe(0xffn);
  });

  it("share one highest priority: the other group waits", () => {
    const { gic, read, setGicd, priority } = machine();
    setGicd(IGROUPR + 4, 0xffff_feff);
    gic.setLine(40, true);
    priority(41, 0x80);
    gic.setLine(41, true);
    expect([gic.signals(0, 0), gic.signals(0, 1)]).toEqual([false, true]);
    expect([read(IAR[0]), read(IAR[1]), read(IAR[0])]).toEqual([SPURIOUS, 41n, SPURIOUS]);
  });
});

describe("routes", () => {
  it("send an SPI to the vCPU of an affinity, or to nobody", () => {
    const { gic, gicd, setGicd } = machine(18);
    const to = (): number[] => [...Array(18).keys()].filter((vcpu) => gic.signals(vcpu, 1));
    gic.setLine(40, true);
    expect(to()).toEqual([0]);
    setGicd(IROUTER + 8 * 40, 3);
    expect([gicd(IROUTER + 8 * 40), to()]).toEqual([3, [3]]);
    setGicd(IROUTER + 8 * 40, 0x101);
    expect(to()).toEqual([17]);
    setGicd(IROUTER + 8 * 40, 0x200);
    expect(to()).toEqual([]);
  });

  it("are 64 bits of which KVM keeps Aff2 to Aff0: IRM and Aff3 read as zero", () => {
    const { gic, gicd, setGicd } = machine(2);
    gic.writeDistributor(IROUTER + 8 * 40, 8, 0xff_8000_0001n);
    expect(gic.readDistributor(IROUTER + 8 * 40, 8)).toBe(1n);
    setGicd(IROUTER + 8 * 40 + 4, 7);
    expect([gicd(IROUTER + 8 * 40), gicd(IROUTER + 8 * 40 + 4)]).toEqual([1, 0]);
    gic.writeDistributor(IROUTER + 8 * 31, 8, 1n);
    gic.writeDistributor(IROUTER + 8 * 900, 8, 1n);
    expect([gic.readDistributor(IROUTER + 8 * 31, 8), gic.readDistributor(IROUTER + 8 * 900, 8)]).toEqual([
      0n,
      0n,
    ]);
  });
});

describe("identification", () => {
  it("is KVM's", () => {
    const { gic, gicd, read } = machine(3);
    expect([gicd(4), gicd(8), gicd(0xffe8)]).toEqual([2 | (9 << 19), 0x4b00_343b, 0x3b]);
    expect(gic.readRedistributor(0, 0, 4)).toBe(6n);
    expect(gic.readRedistributor(0, 4, 4)).toBe(0x4b00_043bn);
    expect(gic.readRedistributor(0, 0xffe8, 4)).toBe(0x3bn);
    expect([read(CTLR), read(SRE)]).toEqual([0x8400n, 7n]);
  });

  it("names each redistributor's vCPU, and the last", () => {
    const { gic } = machine(18);
    const typers = [0, 1, 16, 17].map((vcpu) => gic.readRedistributor(vcpu, 8, 8));
    expect(typers).toEqual([0n, (1n << 32n) | 0x100n, (0x100n << 32n) | 0x1000n, (0x101n << 32n) | 0x1110n]);
    expect([gic.readRedistributor(17, 8, 4), gic.readRedistributor(17, 12, 4)]).toEqual([0x1110n, 0x101n]);
  });

  it("has redistributors that never sleep, and none beyond the last", () => {
    const { gic } = machine(1);
    gic.writeRedistributor(0, 0x14, 4, 2n);
    expect(gic.readRedistributor(0, 0x14, 4)).toBe(0n);
    gic.writeRedistributor(1, SGI_BASE + ISENABLER, 4, 1n);
    expect(gic.readRedistributor(1, 8, 8)).toBe(0n);
  });
});

describe("accesses", () => {
  it("to IPRIORITYR are of words and bytes", () => {
    const { gic, sgi } = machine();
    gic.writeDistributor(IPRIORITYR + 40, 4, 0xd0c0_b0a0n);
    expect([0, 1, 2, 3].map((i) => gic.readDistributor(IPRIORITYR + 40 + i, 1))).toEqual([
      0xa0n,
      0xb0n,
      0xc0n,
      0xd0n,
    ]);
    gic.writeDistributor(IPRIORITYR + 42, 1, 0x10n);
    expect(gic.readDistributor(IPRIORITYR + 40, 4)).toBe(0xd010_b0a0n);
    gic.writeRedistributor(0, SGI_BASE + IPRIORITYR + 27, 1, 0x20n);
    expect(sgi(IPRIORITYR + 24) >>> 0).toBe(0x20a0_a0a0);
  });

  it("of other sizes, or between registers, read as zero and write nothing", () => {
    const { gic } = machine();
    for (const [offset, bytes] of [
      [IPRIORITYR + 40, 2],
      [IPRIORITYR + 40, 8],
      [ISENABLER + 4, 1],
      [ISENABLER + 4, 2],
      [ISENABLER + 4, 8],
      [ISENABLER + 6, 4],
      [IROUTER + 8 * 40, 1],
      [IROUTER + 8 * 40 + 4, 8],
      [0, 8],
    ] as const) {
      const before = JSON.stringify(gic.save());
      gic.writeDistributor(offset, bytes, 0n);
      expect(gic.readDistributor(offset, bytes)).toBe(0n);
      expect(JSON.stringify(gic.save())).toBe(before);
    }
  });

  it("to what is not there read as zero: private interrupts and those beyond the last in the distributor", () => {
    const { gicd, setGicd } = machine();
    for (const offset of [0x10, 0x40, IGROUPR, ISENABLER, ISENABLER + 12, IPRIORITYR, IPRIORITYR + 96]) {
      setGicd(offset, 0xffff_ffff);
      expect(gicd(offset)).toBe(0);
    }
  });

  it("to other system registers are not the GIC's", () => {
    const { gic } = machine();
    for (const register of [icc(12, 8, 5), icc(12, 9, 1), icc(4, 6, 1)])
      expect([gic.readIcc(0, register), gic.writeIcc(0, register, 0n)]).toEqual([undefined, false]);
    for (const register of [...EOIR, DIR, SGI0R, SGI1R, ASGI1R])
      expect(gic.readIcc(0, register)).toBeUndefined();
    for (const register of [...IAR, ...HPPIR, RPR]) expect(gic.writeIcc(0, register, 0n)).toBe(false);
  });
});

it("tells every vCPU of a change, and of none where nothing can come of it", () => {
  const told: number[] = [];
  const gic = new Gic({ vcpus: 2, spis: 32, onLineChange: (vcpu) => told.push(vcpu) });
  gic.setLine(40, true);
  expect(told).toEqual([]);
  gic.writeDistributor(ISENABLER + 4, 4, 1n << 8n);
  told.length = 0;
  gic.setLine(40, true);
  expect(told).toEqual([]);
  gic.setLine(40, false);
  expect(told).toEqual([0, 1]);
});
