/** The laboratory as the command line's engine. */
import { UserError } from "../common/errors.ts";
import type { Engine } from "./engine.ts";

/** Loaded only by what needs it, so that `--help` is quick. */
export async function loadLab(): Promise<Engine> {
  throw new UserError("this build has no laboratory yet");
}
