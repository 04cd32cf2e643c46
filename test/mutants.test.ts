/** That the property tests of the invariants can fail: each mutant is caught, and by the invariant that it breaks. */
import { afterEach, describe, expect, it } from "vitest";
import { InvariantBroken } from "../src/lab/invariants/broken.ts";
import { scenarioOf } from "../src/lab/invariants/generate.ts";
import { policyOf, runScenario } from "../src/lab/invariants/run.ts";
import { MUTANTS } from "./invariants/mutants.ts";

/** As many as the property test runs: what is caught here is caught there. */
const MOST_SCENARIOS = 4_000;

/** Runs scenarios until one breaks this invariant. @returns what was broken, that one the last */
function brokenUntil(invariant: InvariantBroken["invariant"] | undefined): readonly InvariantBroken[] {
  const broken: InvariantBroken[] = [];
  for (let seed = 0; seed < MOST_SCENARIOS && broken.at(-1)?.invariant !== (invariant ?? 0); seed++)
    try {
      runScenario(scenarioOf(seed), policyOf(seed));
    } catch (error) {
      if (error instanceof InvariantBroken) broken.push(error);
      // A mutant may also come to grief where the machine itself looks.
    }
  return broken;
}

describe("a mutant is caught", () => {
  let restore: (() => void) | undefined;
  afterEach(() => restore?.());

  it.each(MUTANTS)("of invariant $breaks: $name", ({ breaks, install }) => {
    restore = install();
    const broken = brokenUntil(breaks);
    expect(broken.at(-1)?.invariant, broken.map(({ message }) => message).join("\n")).toBe(breaks);
  });

  it("and the product itself passes the same scenarios", () => {
    expect(new Set(MUTANTS.map(({ breaks }) => breaks))).toEqual(new Set([1, 2, 3, 4, 5]));
    expect(brokenUntil(undefined)).toEqual([]);
  });
});
