/**
 * The five invariants of ARCHITECTURE.md, held over random guests, policies, hosts and pressure. A failing seed is
 * replayed with `npm run replay -- --seed N`, which prints the scenario and its trace.
 *
 * Half of the scenarios are the same always, the other half follows from the commit: a run says of which seed, and SPEVISOR_SEED
 * takes it in both halves' place. `npm run invariants` is a campaign of a million.
 */
import fc from "fast-check";
import { expect, it } from "vitest";
import type { TraceEvent } from "../src/kvm/trace.ts";
import { scenarioOf } from "../src/lab/invariants/generate.ts";
import { policyOf, REACHED_NAMES, runScenario } from "../src/lab/invariants/run.ts";
import { commitSeed, seedOfHash } from "./commit-seed.ts";

const SCENARIOS = 4_000;
const FIRST = Number(process.env["SPEVISOR_SEED"] ?? 1);
const SEEDS = process.env["SPEVISOR_SEED"] === undefined ? [FIRST, commitSeed()] : [FIRST];
const MOST_SEED = 0x3fff_ffff;
/** At least so many scenarios must come across each of REACHED_NAMES, or the generator is too tame. */
const LEAST_REACHED = 100;

const seeds = fc.integer({ min: 0, max: MOST_SEED });
/** A seed is a scenario as a whole: a smaller one is not a simpler one. */
const parameters = { seed: FIRST, endOnFailure: true } as const;

/** Runs with the seed in what is thrown. */
function named<T>(seed: number, work: () => T): T {
  try {
    return work();
  } catch (error) {
    const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
    throw new Error(`npm run replay -- --seed ${seed}\n${what}`, { cause: error });
  }
}

it(`holds the five invariants over ${SCENARIOS.toLocaleString("en")} random scenarios`, async () => {
  const counts = new Map(REACHED_NAMES.map((name) => [name, 0]));
  const policies = new Map<string, number>();
  let steps = 0;
  let ran = 0;
  const holds = fc.asyncProperty(seeds, async (seed) => {
    // Vitest gives up on a worker that does not answer for a minute.
    if (++ran % 100 === 0) await new Promise(setImmediate);
    const policy = policyOf(seed);
    const outcome = named(seed, () => runScenario(scenarioOf(seed), policy));
    steps += outcome.steps;
    policies.set(policy.name, (policies.get(policy.name) ?? 0) + 1);
    for (const name of REACHED_NAMES)
      if (outcome.reached[name]) counts.set(name, (counts.get(name) ?? 0) + 1);
  });
  for (const seed of SEEDS) {
    console.log(`SPEVISOR_SEED=${seed} npx vitest run test/invariants.test.ts`);
    await fc.assert(holds, { ...parameters, seed, numRuns: SCENARIOS / SEEDS.length });
  }
  const lines = [...counts].map(([name, count]) => `  ${String(count).padStart(5)} came across ${name}`);
  const shares = [...policies].map(([name, count]) => `${name} ${count}`).join(", ");
  console.log(`${SCENARIOS} scenarios, ${steps} steps, under ${shares}; of these\n${lines.join("\n")}`);
  for (const [name, count] of counts) expect(count, name).toBeGreaterThanOrEqual(LEAST_REACHED);
});

it("comes to the same, event by event and charge by charge, with every page taken one by one", () => {
  fc.assert(
    fc.property(seeds, (seed) => {
      const run = (extents: boolean) => {
        const trace: TraceEvent[] = [];
        const outcome = runScenario(scenarioOf(seed), policyOf(seed), {
          extents,
          trace: (event) => trace.push(event),
        });
        return { digest: outcome.digest, steps: outcome.steps, trace };
      };
      named(seed, () => expect(run(true)).toEqual(run(false)));
    }),
    { ...parameters, numRuns: 500 },
  );
});

it("has a seed of each commit's, and a fixed one without", () => {
  expect(seedOfHash("8db79529637491c2ecf8042e1952bdbf7a055795")).toBe(0x8db7952);
  expect(seedOfHash(undefined)).toBe(seedOfHash("fatal: not a git repository"));
  expect(Number.isSafeInteger(commitSeed())).toBe(true);
});

it("runs a seed twice alike, and another seed otherwise", () => {
  const digest = (seed: number) => runScenario(scenarioOf(seed), policyOf(1)).digest;
  expect(digest(FIRST)).toBe(digest(FIRST));
  expect(digest(FIRST)).not.toBe(digest(FIRST + 1));
});
