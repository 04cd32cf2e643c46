/** `npm run invariants`: the five invariants over many random scenarios, the seeds one after the other. */
import { Command } from "commander";
import { whole } from "../../src/cli/options.ts";
import { counted, formatCount } from "../../src/common/counts.ts";
import { UserError } from "../../src/common/errors.ts";
import { scenarioOf } from "../../src/lab/invariants/generate.ts";
import { policyOf, REACHED_NAMES, type ReachedName, runScenario } from "../../src/lab/invariants/run.ts";

/** How often a line says how far it is. */
const EACH = 10_000;
const EACH_ON_TERMINAL = 100;
/** Beyond it a seed's scenario is another one's again. */
const SEEDS = 2 ** 32;

const command = new Command("invariants")
  .description(
    "Runs random guests under random policies and pressure from the host, and says where one of ARCHITECTURE.md's five invariants does not hold.",
  )
  .option("--scenarios <n>", "how many", whole("--scenarios", 1, SEEDS), 1_000_000)
  .option("--seed <s>", "the first one's; the others follow", whole("--seed", 0, SEEDS - 1), 1)
  .addHelpText(
    "after",
    "\nExamples:\n  npm run invariants -- --scenarios 10000 --seed 5000000\n  npm run replay -- --seed 7",
  );
try {
  command.parse();
} catch (error) {
  if (!(error instanceof UserError)) throw error;
  console.error(`invariants: ${error.what}`);
  process.exit(2);
}
const { scenarios, seed } = command.opts<{ scenarios: number; seed: number }>();

const reached = new Map<ReachedName, number>(REACHED_NAMES.map((name) => [name, 0]));
const startedMs = performance.now();
const isTerminal = process.stderr.isTTY;
let steps = 0;
let failed = 0;
for (let i = 0; i < scenarios; i++) {
  const each = (seed + i) % SEEDS;
  const policy = policyOf(each);
  try {
    const outcome = runScenario(scenarioOf(each), policy);
    steps += outcome.steps;
    for (const name of REACHED_NAMES)
      if (outcome.reached[name]) reached.set(name, (reached.get(name) ?? 0) + 1);
  } catch (error) {
    failed += 1;
    const what = error instanceof Error ? error.message : String(error);
    console.log(`seed ${each}, ${policy.name}: ${what}\n  npm run replay -- --seed ${each}`);
  }
  if (isTerminal && (i + 1) % EACH_ON_TERMINAL === 0)
    process.stderr.write(`\r${formatCount(i + 1)} of ${counted(scenarios, "scenario")}`);
  else if (!isTerminal && (i + 1) % EACH === 0 && i + 1 < scenarios)
    console.error(`${formatCount(i + 1)} of ${counted(scenarios, "scenario")}, ${failed} failed`);
}
if (isTerminal) process.stderr.write("\r\x1b[K");
for (const [name, count] of reached) console.log(`${String(count).padStart(9)} came across ${name}`);
console.log(
  `${counted(scenarios, "scenario")} from seed ${seed} on, ${counted(steps, "step")}, ${failed} failed, ${((performance.now() - startedMs) / 1000).toFixed(1)} s`,
);
process.exitCode = failed === 0 ? 0 : 1;
