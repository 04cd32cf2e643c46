/** Which instructions are sampled, as statistics: chi-square tests at fixed seeds (Pearson's; critical values of p = 0.001). */
import { expect, it } from "vitest";
import { randomStream } from "../../common/random.ts";
import { randomProgram, VECTOR } from "./random-program.testing.ts";
import { PLACE, type SpeCore, speCore } from "./spe-core.testing.ts";

/**
 * The chi-square value that so many degrees of freedom exceed once in a thousand times (Wilson and Hilferty's approximation: good to
 * a percent from ten on).
 */
const critical = (freedom: number): number =>
  freedom * (1 - 2 / (9 * freedom) + 3.09 * Math.sqrt(2 / (9 * freedom))) ** 3;

const chiSquare = (found: readonly number[], expected: readonly number[]): number =>
  found.reduce((sum, n, i) => sum + (n - (expected[i] as number)) ** 2 / (expected[i] as number), 0);

const INTERVAL = 256;

function sampling(seed: number, jitter: boolean): SpeCore {
  const random = randomStream(seed);
  const bare = speCore(seed);
  for (const vector of [0x200, 0x400]) bare.load(PLACE.vectors + vector, VECTOR.words);
  bare.load(PLACE.code, randomProgram(random, 211).words);
  const { state } = bare.core;
  state.setX(1, BigInt(PLACE.data));
  state.setX(2, BigInt(PLACE.data + 3));
  state.pc = BigInt(PLACE.code);
  bare.profile({ E0SPE: 1, E1SPE: 1 }, { PMSIRR_EL1: BigInt(INTERVAL) | (jitter ? 1n : 0n) });
  return bare;
}

/** Runs until so many ops were selected; the buffer is emptied whenever it is full. */
function sample(bare: SpeCore, count: number, onSelect: () => void): void {
  const { spu } = bare.spe;
  const select = spu.select.bind(spu);
  spu.select = () => {
    const isSelected = select();
    onSelect();
    return isSelected;
  };
  const end = spu.counters.selected + count;
  while (spu.counters.selected < end) {
    bare.run(20_000);
    if (spu.pmbirq) bare.empty();
  }
}

it.each([1, 2])("jitter spreads intervals evenly over 256 ops (%d)", (seed) => {
  const bare = sampling(seed, true);
  const { counters } = bare.spe.spu;
  const found = new Array<number>(256).fill(0);
  let last: number | undefined;
  sample(bare, 6_400, () => {
    // Of them one reloads the counter, and one is this.
    if (last !== undefined) found[counters.population - last - INTERVAL - 1]! += 1;
    last = counters.population;
  });
  const samples = counters.selected - 1;
  expect(found.reduce((a, b) => a + b, 0)).toBe(samples);
  expect(chiSquare(found, new Array(256).fill(samples / 256))).toBeLessThan(critical(255));
});

it.each([1, 2])("with jitter each instruction is sampled as often as it is executed (%d)", (seed) => {
  const bare = sampling(seed, true);
  const places = new Map<number, number>();
  const exact = sampling(seed, true);
  exact.spe.spu.write("PMSCR_EL1", 0n);
  exact.spe.resumes();
  const executed = new Map<number, number>();
  const STEPS = 100_000;
  for (let i = 0; i < STEPS; i++) {
    const pc = Number(exact.core.state.pc);
    executed.set(pc, (executed.get(pc) ?? 0) + 1);
    exact.run(1);
  }
  let samples = 0;
  while (samples < 6_000) {
    bare.run(20_000);
    for (const { pc } of bare.records()) {
      places.set(Number(pc?.va), (places.get(Number(pc?.va)) ?? 0) + 1);
      samples += 1;
    }
    bare.empty();
  }
  // Of instructions that are seldom executed there are too few samples to say anything.
  const often = [...executed].filter(([, n]) => (n / STEPS) * samples >= 10);
  const all = often.reduce((sum, [, n]) => sum + n, 0);
  const seen = often.reduce((sum, [pc]) => sum + (places.get(pc) ?? 0), 0);
  expect(seen).toBeGreaterThan(samples * 0.9);
  expect(often.length).toBeGreaterThan(40);
  expect(
    chiSquare(
      often.map(([pc]) => places.get(pc) ?? 0),
      often.map(([, n]) => (n / all) * seen),
    ),
  ).toBeLessThan(critical(often.length - 1));
});
