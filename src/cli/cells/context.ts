/** What cells find on this machine. */
import { cacheFolder, sourceVersion } from "../cache-folder.ts";
import type { World } from "../world.ts";
import type { CellContext } from "./task.ts";

/** @param allowPolicies whether policies are run that come with a cell: the user's own are, what is from a queue may not */
export const contextOf = (world: Pick<World, "questions" | "env">, allowPolicies = true): CellContext => ({
  questions: world.questions.href,
  cacheDir: cacheFolder(world.env),
  build: sourceVersion(),
  allowPolicies,
});
