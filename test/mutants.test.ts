/** That the property tests of the invariants can fail: each mutant is caught, and by the invariant that it breaks. */
import { afterEach, describe, expect, it } from "vitest";
import { InvariantBroken } from "../src/lab/invariants/broken.ts";
import { scenarioOf } from "../src/lab/invariants/generate.ts";
import { policyOf, runScenario } from "../src/lab/invariants/run.ts";
import { MUTANTS } from "./invariants/mutants.ts";

/** The property test runs more scenarios than this: what is caught here is caught there. */
const MOST_SCENARIOS = 1_000;

/** The first seed whose scenario breaks an invariant, and which. */
function firstCaught(): { readonly seed: number; readonly error: InvariantBroken } | undefined {
  for (let seed = 0; seed < MOST_SCENARIOS; seed++)
    try {
      runScenario(scenarioOf(seed), policyOf(seed));
    } catch (error) {
      if (error instanceof InvariantBroken) return { seed, error };
      // A mutant may also come to grief where the machine itself looks.
    }
  return undefined;
}

describe("a mutant is caught", () => {
  let restore: (() => void) | undefined;
  afterEach(() => restore?.());

  it.each(MUTANTS)("of invariant $breaks: $name", ({ breaks, install }) => {
    restore = install();
    const caught = firstCaught();
    expect(caught?.error.invariant, caught?.error.message ?? "nothing was noticed").toBe(breaks);
  });

  it("and the product itself passes the same scenarios", () => {
    expect(new Set(MUTANTS.map(({ breaks }) => breaks))).toEqual(new Set([1, 2, 3, 4, 5]));
    expect(firstCaught()).toBeUndefined();
  });
});
