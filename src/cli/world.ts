/** What the commands touch of the outside, so that a test can hold it. */

import picocolors from "picocolors";
import type { Colors } from "picocolors/types.js";
import type { Engine } from "./engine.ts";
import type { RunJob } from "./job.ts";
import type { Look } from "./tables.ts";

export interface TextOut {
  write(text: string | Uint8Array): unknown;
  /** Of a stream that may be full. */
  once?(event: "drain", then: () => void): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

export interface World {
  readonly stdout: TextOut;
  readonly stderr: TextOut;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly runJob: RunJob;
  readonly loadLab: () => Promise<Engine>;
  /** The module that exports QUESTIONS; workers load it, too. */
  readonly questions: URL;
  /** A clock for how long things took here; ns. */
  readonly nowNs: () => number;
}

/** How wide output may be where nobody says: a file or a pipe. */
const UNKNOWN_WIDTH = 120;

/** Colours as https://no-color.org asks: none where NO_COLOR is set, the output is no terminal, or it is dumb. */
const colorsFor = (out: TextOut, env: World["env"]): Colors =>
  picocolors.createColors(
    (env["NO_COLOR"] ?? "") === "" &&
      ((env["FORCE_COLOR"] ?? "") !== "" || (out.isTTY === true && env["TERM"] !== "dumb")),
  );

export const lookOf = (out: TextOut, env: World["env"]): Look => ({
  widthColumns: out.columns ?? (Number(env["COLUMNS"]) || UNKNOWN_WIDTH),
  colors: colorsFor(out, env),
});
