/** The exact profile against a program that is stepped, and the same run without one. */
import { describe, expect, it } from "vitest";
import { randomStream } from "../../common/random.ts";
import { ExactProfile, vaOfPage } from "./exact-profile.ts";
import { randomProgram, VECTOR } from "./random-program.testing.ts";
import { PLACE, type SpeCore, speCore } from "./spe-core.testing.ts";

const CONTEXT = 0x1234;
const BUDGET = 20_000;

function ready(words: readonly number[]): SpeCore {
  const made = speCore();
  for (const vector of [0x200, 0x400]) made.load(PLACE.vectors + vector, VECTOR.words);
  made.load(PLACE.code, words);
  const { state } = made.core;
  state.setX(1, BigInt(PLACE.data));
  state.setX(2, BigInt(PLACE.data + 3));
  state.set64("CONTEXTIDR_EL1", BigInt(CONTEXT));
  state.set64("CNTKCTL_EL1", 3n);
  state.pc = BigInt(PLACE.code);
  return made;
}

const profile = ({ profile: on }: SpeCore): void => on({ E0SPE: 1, E1SPE: 1 }, { PMSIRR_EL1: 0x101n });

function countsOf(exact: ExactProfile, kind: "executed" | "sampled"): ReadonlyMap<number, number> {
  const counts = new Map<number, number>();
  for (const page of exact.pages) {
    expect(page.context).toBe(CONTEXT);
    page[kind].forEach((count, i) => {
      if (count > 0) counts.set(Number(vaOfPage(page)) + 4 * i, count);
    });
  }
  return counts;
}

describe.each([1, 2])("random program %i", (seed) => {
  const { words } = randomProgram(randomStream(seed), 120);

  it("is counted instruction by instruction", () => {
    const stepped = ready(words);
    profile(stepped);
    const expected = new Map<number, number>();
    while (stepped.core.cycles < BUDGET) {
      const pc = Number(stepped.core.state.pc);
      stepped.run(1);
      expected.set(pc, (expected.get(pc) ?? 0) + 1);
    }
    const counted = ready(words);
    counted.spe.sampling.exact = new ExactProfile();
    profile(counted);
    while (counted.core.cycles < BUDGET) counted.run(BUDGET - counted.core.cycles);
    expect(countsOf(counted.spe.sampling.exact, "executed")).toEqual(expected);
  });

  it("does what it does uncounted, and has the same records", () => {
    const ended = [false, true].map((isCounted) => {
      const made = ready(words);
      const exact = new ExactProfile();
      if (isCounted) made.spe.sampling.exact = exact;
      profile(made);
      while (made.core.cycles < BUDGET) made.run(BUDGET - made.core.cycles);
      const records = made.records();
      if (isCounted) {
        const sampled = new Map<number, number>();
        for (const { pc } of records) {
          const at = Number(pc?.va ?? 0n);
          sampled.set(at, (sampled.get(at) ?? 0) + 1);
        }
        expect(countsOf(exact, "sampled")).toEqual(sampled);
      }
      return { state: made.core.save(() => 0).state.slice(0, 33 * 8), cycles: made.core.cycles, records };
    });
    expect(ended[1]).toEqual(ended[0]);
    expect(ended[0]?.records.length).toBeGreaterThan(10);
  });
});
