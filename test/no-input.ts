/** Standard input for worlds that tests hold. */
import { openSync } from "node:fs";
import { devNull } from "node:os";
import type { StandardInput } from "../src/cli/world.ts";

/** What a file has, opened; its stream is nobody's, since all of it can be had at once. */
export const inputOf = (path: string): StandardInput => ({
  fd: openSync(path, "r"),
  get stream(): never {
    throw new Error(`${path} is to be read at once`);
  },
});

/** Nothing. */
export const NO_INPUT: StandardInput = inputOf(devNull);
