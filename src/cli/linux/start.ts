/** What `npm start` has of Linux itself: few runs, where there is a guest, or a mirror to fetch one from. */
import { UserError } from "../../common/errors.ts";
import type { Patience } from "../../guest/node/download.ts";
import type { LinuxResult } from "../output.ts";
import type { World } from "../world.ts";
import { runLinuxThread } from "./thread.ts";

/** Who starts the laboratory for the first time does not wait minutes to hear that there is no network. */
const PATIENCE: Patience = { silenceMs: 15_000, tries: 1, pauseMs: 0 };

/**
 * The thread's first command and what is like it, under the posted policy and the best one.
 * @returns undefined, and a line on standard error, where there is no guest and no way to it
 */
export async function runLinuxAtStart(seed: number, world: World): Promise<LinuxResult | undefined> {
  try {
    return await runLinuxThread(
      {
        scenarioNames: ["thread-a", "thread-like"],
        policyNames: ["pin-on-enable", "adaptive"],
        profileNames: ["thread-normal"],
        seed,
        jobs: undefined,
        limitNs: undefined,
        patience: PATIENCE,
      },
      world,
    );
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    world.stderr.write(
      `spevisor: Linux itself is not run, the model alone: ${error.what}\n${error.remedy === "" ? "" : `${error.remedy}\n`}`,
    );
    return undefined;
  }
}
