/** A terminal for tests: one of tmux's, of 100 columns and 30 rows, with a shell in it. */
import { execFileSync } from "node:child_process";
import { expect, vi } from "vitest";
import { has } from "./oracles.ts";

export const hasTmux = has("tmux", "-V");

const LONG_MS = 120_000;

/** A server of its own for each. */
export class Terminal {
  static #started = 0;
  /** Never used before: `kill-server` returns while its server still listens, and does not answer a new session. */
  readonly #socket: string;

  /** @param at gives the path of a file in a folder of the test's */
  constructor(at: (name: string) => string) {
    this.#socket = at(`tmux-${++Terminal.#started}`);
    // No configuration of the user's, and a shell that says nothing of its own.
    this.#tmux("-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "30", "env PS1='$ ' sh");
  }

  #tmux(...argv: readonly string[]): string {
    return execFileSync("tmux", ["-S", this.#socket, ...argv], { encoding: "utf8" });
  }

  get screen(): string {
    return this.#tmux("capture-pane", "-p", "-J");
  }

  type(text: string): void {
    this.#tmux("send-keys", "-l", text);
    this.press("Enter");
  }

  /** A key by tmux's name for it. */
  press(key: string): void {
    this.#tmux("send-keys", key);
  }

  async shows(what: RegExp, timeout = LONG_MS): Promise<void> {
    await vi.waitFor(() => expect(this.screen).toMatch(what), { timeout, interval: 100 });
  }

  close(): void {
    this.#tmux("kill-server");
  }
}
