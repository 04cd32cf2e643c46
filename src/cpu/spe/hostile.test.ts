/** A guest may write anything to the unit's registers, at any time: it hurts itself at most. */
import { expect, it } from "vitest";
import { ENCODINGS, REGISTERS } from "../../arm/registers.ts";
import { type RandomStream, randomStream } from "../../common/random.ts";
import { assemble, randomProgram, VECTOR } from "./random-program.testing.ts";
import { PLACE, speCore } from "./spe-core.testing.ts";

const SPE_REGISTERS = REGISTERS.filter(({ name }) => /^PM[BS].*_EL1$/.test(name));

const access = (name: "MSR_reg" | "MRS", register: (typeof SPE_REGISTERS)[number], rt: number): number => {
  const [op0, op1, CRn, CRm, op2] = ENCODINGS[register.name as keyof typeof ENCODINGS];
  return assemble(name, { o0: op0 - 2, op1, CRn, CRm, op2, Rt: rt });
};

/** Values that mean something: small, of a page, an address in the machine or beyond it, or any bits. */
function value(random: RandomStream): bigint {
  const bits = (BigInt(random.integer(0, 0x7fff_ffff)) << 33n) ^ BigInt(random.integer(0, 0x7fff_ffff));
  const kinds = [
    () => BigInt(random.integer(0, 0xff)),
    () => BigInt(random.integer(0, 0xff)) << 12n,
    () => (BigInt(random.integer(0, 160)) << 12n) | 1n,
    () => (BigInt(random.integer(0, 160)) << 12n) | BigInt(random.integer(0, 0xfff)),
    () => BigInt(random.integer(1, 40)) << 8n,
    () => BigInt.asUintN(64, bits),
    () => 2n ** 64n - 1n,
  ];
  return (kinds[random.integer(0, kinds.length - 1)] as () => bigint)();
}

/** A program that does a bit of everything, the unit's registers included. */
function hostile(random: RandomStream): readonly number[] {
  const { words } = randomProgram(random, 150);
  return words.map((word, i) => {
    if (i === words.length - 1 || random.integer(0, 3) !== 0) return word;
    const register = SPE_REGISTERS[random.integer(0, SPE_REGISTERS.length - 1)]!;
    // X12 to X27 hold values.
    return access(random.integer(0, 4) === 0 ? "MRS" : "MSR_reg", register, random.integer(12, 27));
  });
}

it.each(Array.from({ length: 60 }, (_, seed) => seed))("whatever it writes to them (%d)", (seed) => {
  const random = randomStream(seed);
  const bare = speCore(seed);
  for (const vector of [0x200, 0x400]) bare.load(PLACE.vectors + vector, VECTOR.words);
  bare.load(PLACE.code, hostile(random));
  const { core, spe } = bare;
  const { state } = core;
  state.setX(1, BigInt(PLACE.data));
  state.setX(2, BigInt(PLACE.data + 3));
  state.pc = BigInt(PLACE.code);
  bare.profile({ E1SPE: 1, E0SPE: 1 }, { PMSIRR_EL1: 256n });
  for (let run = 0; run < 12; run++) {
    for (let n = 12; n <= 27; n++) state.setX(n, value(random));
    bare.run(5000);
    const { selected, collided, filtered, written, discarded, truncated } = spe.spu.counters;
    expect(collided + filtered + written + discarded + truncated).toBe(selected);
    expect(spe.spu.inFlight).toBe(false);
    expect(core.executed).toBeLessThanOrEqual(core.cycles);
  }
});
