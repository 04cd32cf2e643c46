/**
 * The five invariants of ARCHITECTURE.md, held over random guests, policies, hosts and pressure. A failing seed is
 * replayed with `npm run replay -- --seed N`, which prints the scenario and its trace.
 *
 * SPEVISOR_SEED moves the seeds, SPEVISOR_SCENARIOS their number: for a longer run at night.
 */
import fc from "fast-check";
import { expect, it } from "vitest";
import type { TraceEvent } from "../src/kvm/trace.ts";
import { scenarioOf } from "../src/lab/invariants/generate.ts";
import { policyOf, REACHED_NAMES, runScenario } from "../src/lab/invariants/run.ts";

const SCENARIOS = Math.max(4_000, Number(process.env["SPEVISOR_SCENARIOS"] ?? 0));
const FIRST = Number(process.env["SPEVISOR_SEED"] ?? 1);
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
  await fc.assert(
    fc.asyncProperty(seeds, async (seed) => {
      // Vitest gives up on a worker that does not answer for a minute.
      if (++ran % 100 === 0) await new Promise(setImmediate);
      const policy = policyOf(seed);
      const outcome = named(seed, () => runScenario(scenarioOf(seed), policy));
      steps += outcome.steps;
      policies.set(policy.name, (policies.get(policy.name) ?? 0) + 1);
      for (const name of REACHED_NAMES)
        if (outcome.reached[name]) counts.set(name, (counts.get(name) ?? 0) + 1);
    }),
    { ...parameters, numRuns: SCENARIOS },
  );
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

it("runs a seed twice alike, and another seed otherwise", () => {
  const digest = (seed: number) => runScenario(scenarioOf(seed), policyOf(1)).digest;
  expect(digest(FIRST)).toBe(digest(FIRST));
  expect(digest(FIRST)).not.toBe(digest(FIRST + 1));
});
