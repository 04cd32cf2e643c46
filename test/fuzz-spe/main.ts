/** `npm run fuzz:spe`: hostile guests, under each policy and on bare metal. */
import { Command } from "commander";
import { HostileCaseFailed, HostileGuests, nameOf, REACHED } from "./hostile.ts";

const command = new Command("fuzz:spe")
  .description(
    "Runs random guest programs that mean the profiling unit harm, and says where the hypervisor or the host do what they must not.",
  )
  .option("--cases <n>", "how many programs", Number, 10_000)
  .option("--seed <s>", "the first one's; the others follow", Number, 1)
  .addHelpText(
    "after",
    "\nExamples:\n  npm run fuzz:spe -- --cases 1000 --seed 20000\n  npm run fuzz:spe -- --cases 1 --seed 7",
  )
  .parse();
const { cases, seed } = command.opts<{ cases: number; seed: number }>();

const guests = new HostileGuests();
const reached = new Map(REACHED.map((name) => [name, 0]));
const startedMs = performance.now();
let instructions = 0;
let failed = 0;
for (let i = 0; i < cases; i++) {
  try {
    const outcome = guests.run(seed + i);
    instructions += outcome.instructions;
    for (const name of outcome.reached) reached.set(name, (reached.get(name) ?? 0) + 1);
    if (cases === 1) console.log(`seed ${seed}: ${nameOf(seed)}, ${outcome.instructions} instructions`);
  } catch (error) {
    if (!(error instanceof HostileCaseFailed)) throw error;
    failed += 1;
    console.log(error.message);
  }
  if (process.stderr.isTTY) process.stderr.write(`\r${i + 1} of ${cases} cases`);
  else if ((i + 1) % 1000 === 0 && i + 1 < cases) console.error(`${i + 1} of ${cases} cases`);
}
if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
for (const [name, count] of reached) console.log(`${name.padEnd(28)} ${count}`);
console.log(
  `${cases} cases, ${(instructions / 1e6).toFixed(0)} million instructions, ${failed} failed, ${((performance.now() - startedMs) / 1000).toFixed(1)} s`,
);
process.exitCode = failed === 0 ? 0 : 1;
