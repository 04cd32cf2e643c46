/** Programs that nobody here wrote, which tests compare with: whether they are there. */
import { spawnSync } from "node:child_process";

/**
 * Whether a program can be started at all.
 * @param version the option by which it says what it is, and ends
 */
export const has = (program: string, version = "--version"): boolean =>
  spawnSync(program, [version]).error === undefined;
