/** Whatever a guest writes, the GIC keeps to its own state, and what it signals follows from that state. */
import fc from "fast-check";
import { expect, it } from "vitest";
import type { Encoding } from "../../arm/registers.ts";
import { affinityOf, Gic, type GicState } from "./gic.ts";

const VCPUS = 3;
const SPIS = 64;
const icc = (crn: number, crm: number, op2: number): Encoding => [3, 0, crn, crm, op2];
const IAR = [icc(12, 8, 0), icc(12, 12, 0)] as const;
const EOIR = [icc(12, 8, 1), icc(12, 12, 1)] as const;
const DIR = icc(12, 11, 1);

type Act =
  | {
      readonly kind: "frame";
      readonly vcpu: number;
      readonly at: number;
      readonly bytes: number;
      readonly value: bigint;
    }
  | { readonly kind: "icc"; readonly vcpu: number; readonly register: Encoding; readonly value: bigint }
  | { readonly kind: "line"; readonly vcpu: number; readonly intid: number; readonly high: boolean }
  | { readonly kind: "acknowledge" | "end"; readonly vcpu: number; readonly group: 0 | 1 };

const vcpu = fc.nat(VCPUS - 1);
const value = fc.oneof(
  fc.constantFrom(0n, 1n, 2n, 0xffff_ffffn, 0xf8n),
  fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
);
/** Where registers are, and everywhere else; a "vCPU" of -1 is the distributor. */
const offset = fc.oneof(
  fc.integer({ min: 0x80, max: 0x3ff }).map((at) => at & ~3),
  fc.integer({ min: 0x400, max: 0x460 }),
  fc.integer({ min: 0xc00, max: 0xc20 }).map((at) => at & ~3),
  fc.integer({ min: 0x6100, max: 0x6300 }).map((at) => at & ~7),
  fc.integer({ min: -1, max: 0x1_ffff }),
);
const intid = fc.integer({ min: 16, max: 32 + SPIS });
const act: fc.Arbitrary<Act> = fc.oneof(
  fc.record({
    kind: fc.constant("frame" as const),
    vcpu: fc.integer({ min: -1, max: VCPUS }),
    at: fc.tuple(offset, fc.constantFrom(0, 0x1_0000)).map(([at, base]) => (at + base) % 0x2_0000),
    bytes: fc.constantFrom(4, 4, 4, 1, 2, 8),
    value,
  }),
  fc.record({
    kind: fc.constant("icc" as const),
    vcpu,
    register: fc
      .tuple(fc.constantFrom(4, 12), fc.constantFrom(6, 8, 9, 11, 12), fc.nat(7))
      .map(([crn, crm, op2]) => icc(crn, crm, op2)),
    value: fc.oneof(value, fc.constantFrom(0xf8n, 40n, 27n, (1n << 40n) | (3n << 24n))),
  }),
  fc.record({ kind: fc.constant("line" as const), vcpu, intid, high: fc.boolean() }),
  fc.record({
    kind: fc.constantFrom("acknowledge" as const, "end" as const),
    vcpu,
    group: fc.constantFrom(0 as const, 1 as const),
  }),
);

/** A GIC that a kernel has set up, so that something happens at all. */
function prepared(): Gic {
  const gic = new Gic({ vcpus: VCPUS, spis: SPIS, onLineChange: () => undefined });
  gic.writeDistributor(0, 4, 2n);
  gic.writeDistributor(0x104, 4, 0xffff_ffffn);
  gic.writeDistributor(0x84, 4, 0xffff_00ffn);
  for (let i = 0; i < VCPUS; i++) {
    gic.writeDistributor(0x6000 + 8 * (40 + i), 8, BigInt(i));
    gic.writeRedistributor(i, 0x1_0100, 4, 0xffff_ffffn);
    gic.writeIcc(i, icc(4, 6, 0), 0xf8n);
    gic.writeIcc(i, icc(12, 12, 6), 1n);
    gic.writeIcc(i, icc(12, 12, 7), 1n);
  }
  return gic;
}

interface Slow {
  readonly intid: number;
  readonly group: number;
  readonly priority: number;
}

/** What a vCPU's interface signals, from the architecture's rules over the whole saved state. */
function slowly({ enabled, route, spis, cpus }: GicState, of: number): Slow | undefined {
  const { privates, registers } = cpus[of]!;
  const [pmr, bpr0, bpr1, ctlr, enables, active0, active1] = registers as number[] as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  if (!enabled) return undefined;
  const candidates = [privates, spis].flatMap((set, place) => {
    const [group, on, latched, level, active, priority, edge] = set as number[][] as [
      number[],
      number[],
      number[],
      number[],
      number[],
      number[],
      number[],
    ];
    return group
      .map((_, i) => ({ intid: 32 * place + i, group: group[i]!, priority: priority[i]!, i }))
      .filter(
        ({ i }) =>
          on[i] === 1 &&
          active[i] === 0 &&
          (latched[i] === 1 || (edge[i] === 0 && level[i] === 1)) &&
          (place === 0 || route[i] === affinityOf(of)) &&
          ((enables >> group[i]!) & 1) === 1,
      );
  });
  const best = candidates.sort((a, b) => a.priority - b.priority || a.intid - b.intid)[0];
  if (best === undefined || best.priority >= pmr) return undefined;
  const point = best.group === 0 ? bpr0 + 1 : (ctlr & 1) === 1 ? Math.min(bpr0 + 1, 7) : bpr1;
  const running = [...Array(32).keys()].find((bit) => (((active0 | active1) >>> bit) & 1) === 1);
  const group = Math.floor(best.priority / 2 ** point) * 2 ** point;
  return running === undefined || group < 8 * running ? best : undefined;
}

function check(gic: Gic): void {
  const state = gic.save();
  for (let i = 0; i < VCPUS; i++) {
    const found = slowly(state, i);
    expect([gic.signals(i, 0), gic.signals(i, 1)]).toEqual([found?.group === 0, found?.group === 1]);
  }
}

function perform(gic: Gic, act: Act): void {
  switch (act.kind) {
    case "frame": {
      const { vcpu, at, bytes, value } = act;
      if (vcpu < 0) {
        gic.writeDistributor(at & 0xffff, bytes, BigInt.asUintN(8 * bytes, value));
        expect(gic.readDistributor(at & 0xffff, bytes) >> BigInt(8 * bytes)).toBe(0n);
      } else {
        gic.writeRedistributor(vcpu, at, bytes, BigInt.asUintN(8 * bytes, value));
        expect(gic.readRedistributor(vcpu, at, bytes) >> BigInt(8 * bytes)).toBe(0n);
      }
      return;
    }
    case "icc":
      gic.writeIcc(act.vcpu, act.register, act.value);
      return;
    case "line":
      gic.setLine(act.intid, act.high, act.vcpu);
      return;
    case "acknowledge": {
      const expected = slowly(gic.save(), act.vcpu);
      const got = Number(gic.readIcc(act.vcpu, IAR[act.group]));
      expect(got).toBe(expected?.group === act.group ? expected.intid : 1023);
      if (got === 1023) return;
      const { cpus, spis } = gic.save();
      const active = got < 32 ? cpus[act.vcpu]!.privates[4]![got] : spis[4]![got - 32];
      expect(active).toBe(1);
      return;
    }
    case "end":
      for (let intid = 0; intid < 48; intid++) gic.writeIcc(act.vcpu, DIR, BigInt(intid));
      gic.writeIcc(act.vcpu, EOIR[act.group], 40n);
      return;
  }
}

it("signals and acknowledges what its state says, whatever is written where", () => {
  fc.assert(
    fc.property(fc.array(act, { maxLength: 60 }), (acts) => {
      const gic = prepared();
      for (const each of acts) {
        perform(gic, each);
        check(gic);
      }
    }),
    { numRuns: 150 },
  );
});

it("goes on from a saved state as if nothing had been", () => {
  fc.assert(
    fc.property(fc.array(act, { maxLength: 40 }), fc.array(act, { maxLength: 20 }), (before, after) => {
      const gic = prepared();
      for (const each of before) perform(gic, each);
      const copy = new Gic({ vcpus: VCPUS, spis: SPIS, onLineChange: () => undefined });
      copy.restore(JSON.parse(JSON.stringify(gic.save())));
      check(copy);
      for (const each of after) {
        perform(gic, each);
        perform(copy, each);
      }
      expect(copy.save()).toEqual(gic.save());
    }),
    { numRuns: 100 },
  );
});
