/** What cells find on this machine. */
import { cacheFolder, sourceVersion } from "../cache-folder.ts";
import type { World } from "../world.ts";
import type { CellContext } from "./task.ts";

export const contextOf = (world: Pick<World, "questions" | "env">): CellContext => ({
  questions: world.questions.href,
  cacheDir: cacheFolder(world.env),
  build: sourceVersion(),
});
