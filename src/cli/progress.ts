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
const LINE_FEED = 0x0a;
/** To the line's start, and erases it. */
const CLEAR_LINE = "\r\u001b[K";

export interface Progress {
  readonly onProgress: OnProgress;
  /** What is running, in other words. */
  say(text: string): void;
  stop(): void;
}

/** A progress line on a terminal, which makes room for what others write there. */
interface Line {
  hide(): void;
  show(): void;
  end(): void;
}

const running = new Set<Progress>();
/** The lines that may be drawn now, by the stream that they are on. */
const lines = new Map<TextOut, Set<Line>>();
/** Streams by those that `aboveProgress` has made of them. */
const streams = new WeakMap<TextOut, TextOut>();
/** Streams on which somebody has begun a line: a progress line would end it. */
const unfinished = new WeakSet<TextOut>();

/** Takes every progress line away; for the way out on Ctrl-C. */
export function stopProgress(): void {
  for (const progress of running) progress.stop();
}

/** A stream for messages: they stand above a progress line that is drawn on `out`, not behind or within it. */
export function aboveProgress(out: TextOut): TextOut {
  const above: TextOut = {
    write: (text) => {
      const drawn = lines.get(out) ?? [];
      for (const line of drawn) line.hide();
      const result = out.write(text);
      if (text.length > 0) {
        if (text.at(-1) === "\n" || text.at(-1) === LINE_FEED) unfinished.delete(out);
        else unfinished.add(out);
      }
      for (const line of drawn) line.show();
      return result;
    },
    once: (event, then) => out.once?.(event, then),
    get isTTY() {
      return out.isTTY === true;
    },
    get columns() {
      return out.columns as number;
    },
  };
  streams.set(above, out);
  return above;
}

/** A first line of at most `columns` columns. */
const cut = (text: string, columns: number): string =>
  wrapAnsi(text, columns, { hard: true, wordWrap: false, trim: false }).split("\n")[0] ?? "";

/** Whoever named a file may have put anything into its name. */
const printable = (text: string): string => text.replace(/\p{Cc}/gu, "?");

function onTerminal(out: TextOut, env: World["env"], text: () => string): () => void {
  let frame = 0;
  let begun = false;
  let drawn = false;
  const show = (): void => {
    if (!begun || unfinished.has(out)) return;
    const line = `${FRAMES[frame % FRAMES.length]} ${text()}`;
    // A cursor in the last column wraps on some terminals.
    out.write(`${CLEAR_LINE}${cut(line, lookOf(out, env).widthColumns - 1)}`);
    drawn = true;
  };
  const hide = (): void => {
    if (drawn) out.write(CLEAR_LINE);
    drawn = false;
  };
  const move = (): void => {
    frame += 1;
    show();
  };
  let timer = setTimeout(() => {
    begun = true;
    show();
    timer = setInterval(move, FRAME_MS);
  }, QUICK_MS);
  const line: Line = {
    hide,
    show,
    end: () => {
      clearTimeout(timer);
      hide();
      lines.get(out)?.delete(line);
    },
  };
  lines.set(out, (lines.get(out) ?? new Set()).add(line));
  return line.end;
}

function inLog(out: TextOut, text: () => string): () => void {
  const timer = setInterval(() => out.write(`spevisor: ${text()}\n`), LOG_MS);
  return () => clearInterval(timer);
}

/** @param first what to call the work until it says so itself */
export function startProgress(first: string, world: World): Progress {
  const { env } = world;
  const stderr = streams.get(world.stderr) ?? world.stderr;
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
