/** `npm run kill:sweep`: sweeps on a queue whose processes are killed. */
import { Command } from "commander";
import { KilledSweeps } from "./kill.ts";
import { hasRedis } from "./redis.ts";

const { seeds, seed } = new Command("kill:sweep")
  .description(
    "Runs sweeps on a queue, kills workers, the coordinator and Redis meanwhile, and compares with the local pool.",
  )
  .option("--seeds <n>", "how many sweeps", Number, 50)
  .option("--seed <s>", "the first one's; the others follow", Number, 1)
  .parse()
  .opts<{ seeds: number; seed: number }>();
if (!hasRedis("kill:sweep")) process.exit(2);
const sweeps = await KilledSweeps.open();
let failed = 0;
try {
  for (let i = 0; i < seeds; i++)
    try {
      console.log(`${i + 1} of ${seeds}: ${await sweeps.run(seed + i)}: the same`);
    } catch (error) {
      failed += 1;
      console.log(`${i + 1} of ${seeds}: ${error instanceof Error ? error.message : String(error)}`);
    }
} finally {
  await sweeps.close();
}
console.log(`${seeds} sweeps, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
