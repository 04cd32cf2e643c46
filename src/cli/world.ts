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

/** Standard input: its descriptor, and the stream of it, which is opened where somebody asks. */
export interface StandardInput {
  readonly fd: number;
  readonly stream: NodeJS.ReadStream;
}

export interface World {
  readonly stdin: StandardInput;
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

/** How wide output may be where nobody says: a file or a pipe, and a terminal. */
const UNKNOWN_COLUMNS = 120;
const UNKNOWN_TERMINAL_COLUMNS = 80;
/** No terminal that somebody reads is narrower or wider than this. One that was told no size says 0. */
const FEWEST_COLUMNS = 20;
const MOST_COLUMNS = 2000;

const isWidth = (columns: number): boolean => columns >= FEWEST_COLUMNS && columns <= MOST_COLUMNS;

/** How many columns there are: as the terminal says, or $COLUMNS, where either makes sense. */
function columnsOf(out: TextOut, env: World["env"]): number {
  const told = [out.columns ?? 0, Number(env["COLUMNS"])].find(isWidth);
  return told ?? (out.columns === undefined ? UNKNOWN_COLUMNS : UNKNOWN_TERMINAL_COLUMNS);
}

/** Whether control characters do there what they mean. */
export const isTerminal = (out: TextOut, env: World["env"]): boolean =>
  out.isTTY === true && env["TERM"] !== "dumb";

/** Colours as https://no-color.org asks: none where NO_COLOR is set, the output is no terminal, or it is dumb. */
const colorsFor = (out: TextOut, env: World["env"]): Colors =>
  picocolors.createColors(
    (env["NO_COLOR"] ?? "") === "" && ((env["FORCE_COLOR"] ?? "") !== "" || isTerminal(out, env)),
  );

export const lookOf = (out: TextOut, env: World["env"]): Look => ({
  widthColumns: columnsOf(out, env),
  colors: colorsFor(out, env),
});
