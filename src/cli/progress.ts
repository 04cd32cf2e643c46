/** One line on stderr that says what is running; nothing where stderr is no terminal, or for what is quick. */
import ora from "ora";
import type { OnProgress } from "./engine.ts";
import type { World } from "./world.ts";

/** What takes less than this needs no explanation. */
const QUICK_MS = 700;

export interface Progress {
  readonly onProgress: OnProgress;
  /** What is running, in other words. */
  say(text: string): void;
  stop(): void;
}

export function startProgress(first: string, world: World): Progress {
  if (world.stderr.isTTY !== true) return { onProgress: () => {}, say: () => {}, stop: () => {} };
  // Without discardStdin Ctrl-C stays a signal.
  const spinner = ora({ text: first, stream: process.stderr, discardStdin: false });
  const timer = setTimeout(() => spinner.start(), QUICK_MS);
  return {
    onProgress: ({ done, total, what }) => {
      spinner.text = `${what} (${Math.min(total, Math.floor(done) + 1)} of ${total})`;
    },
    say: (text) => {
      spinner.text = text;
    },
    stop: () => {
      clearTimeout(timer);
      spinner.stop();
    },
  };
}
