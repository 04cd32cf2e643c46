/**
 * What is running and how far it is, on stderr: on a terminal as one line that moves and is gone afterwards, elsewhere
 * as a line now and then. Nothing for what is quick.
 */
import wrapAnsi from "wrap-ansi";
import type { OnProgress } from "./engine.ts";
import { isTerminal, lookOf, type TextOut, type World } from "./world.ts";

/** On a terminal, what takes less than this needs no explanation. */
const QUICK_MS = 700;
const FRAME_MS = 100;
/** In a log, a line this often says that it is still at work. */
const LOG_MS = 10_000;

const FRAMES = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
/** To the line's start, and erases it. */
const CLEAR_LINE = "\r\u001b[K";

export interface Progress {
  readonly onProgress: OnProgress;
  /** What is running, in other words. */
  say(text: string): void;
  stop(): void;
}

const running = new Set<Progress>();

/** Takes every progress line away; for the way out on Ctrl-C. */
export function stopProgress(): void {
  for (const progress of running) progress.stop();
}

/** A first line of at most `columns` columns. */
const cut = (text: string, columns: number): string =>
  wrapAnsi(text, columns, { hard: true, wordWrap: false, trim: false }).split("\n")[0] ?? "";

/** Whoever named a file may have put anything into its name. */
const printable = (text: string): string => text.replace(/\p{Cc}/gu, "?");

function onTerminal(out: TextOut, env: World["env"], text: () => string): () => void {
  let frame = 0;
  let drawn = false;
  const draw = (): void => {
    const line = `${FRAMES[frame++ % FRAMES.length]} ${text()}`;
    // A cursor in the last column wraps on some terminals.
    out.write(`${CLEAR_LINE}${cut(line, lookOf(out, env).widthColumns - 1)}`);
    drawn = true;
  };
  let timer = setTimeout(() => {
    draw();
    timer = setInterval(draw, FRAME_MS);
  }, QUICK_MS);
  return () => {
    clearTimeout(timer);
    if (drawn) out.write(CLEAR_LINE);
  };
}

function inLog(out: TextOut, text: () => string): () => void {
  const timer = setInterval(() => out.write(`spevisor: ${text()}\n`), LOG_MS);
  return () => clearInterval(timer);
}

/** @param first what to call the work until it says so itself */
export function startProgress(first: string, { stderr, env }: World): Progress {
  let text = first;
  const end = isTerminal(stderr, env) ? onTerminal(stderr, env, () => text) : inLog(stderr, () => text);
  const progress: Progress = {
    onProgress: ({ done, total, what }) => {
      const percent = Math.floor((100 * Math.min(done, total)) / total);
      text = printable(`${what} (${Math.min(total, Math.floor(done) + 1)} of ${total}, ${percent} %)`);
    },
    say: (words) => {
      text = printable(words);
    },
    stop: () => {
      if (running.delete(progress)) end();
    },
  };
  running.add(progress);
  return progress;
}
