import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { aboveProgress, startProgress, stopProgress } from "./progress.ts";
import type { TextOut, World } from "./world.ts";

let written = "";
beforeEach(() => {
  written = "";
  vi.useFakeTimers();
});
afterEach(() => {
  stopProgress();
  vi.useRealTimers();
});

const started = (out: Partial<TextOut>, env: World["env"] = {}) => {
  const stderr: TextOut = {
    write: (text) => (written += typeof text === "string" ? text : new TextDecoder().decode(text)),
    ...out,
  };
  return startProgress("starting", { stderr, env } as World);
};
/** What one sees of a line that is written over. */
const drawn = (): string[] => written.split("\r\u001b[K");

describe("on a terminal", () => {
  it("one line moves, and is gone at the end", () => {
    const { onProgress, stop } = started({ isTTY: true, columns: 80 });
    vi.advanceTimersByTime(600);
    expect(written).toBe("");
    vi.advanceTimersByTime(100);
    onProgress({ done: 2.5, total: 10, what: "a recording, adaptive" });
    vi.advanceTimersByTime(200);
    expect(drawn()).toEqual([
      "",
      "⠋ starting",
      ...["⠙", "⠹"].map((f) => `${f} a recording, adaptive (3 of 10, 25 %)`),
    ]);
    stop();
    stop();
    vi.advanceTimersByTime(5000);
    expect(drawn().slice(4)).toEqual([""]);
  });

  it("leaves nothing behind where all of it is stopped, as on Ctrl-C", () => {
    started({ isTTY: true, columns: 80 });
    vi.advanceTimersByTime(1000);
    stopProgress();
    expect(written.endsWith("\r\u001b[K")).toBe(true);
    const before = written;
    vi.advanceTimersByTime(60_000);
    expect(written).toBe(before);
  });

  it("is one line however narrow, and as on a usual terminal where it says no width that makes sense", () => {
    const widest = (columns: number, env: World["env"] = {}): number => {
      written = "";
      const { onProgress, stop } = started({ isTTY: true, columns }, env);
      onProgress({ done: 0, total: 1, what: "x".repeat(300) });
      vi.advanceTimersByTime(2000);
      stop();
      expect(written).not.toContain("\n");
      return Math.max(...drawn().map((line) => line.length));
    };
    expect(widest(50)).toBe(49);
    for (const columns of [0, 1, 65_535]) expect(widest(columns)).toBe(79);
    expect(widest(0, { COLUMNS: "60" })).toBe(59);
  });
});

describe("a message while a progress line is drawn", () => {
  /** What the screen's lines are after what was written. */
  const screen = (): string[] => written.split("\n").map((line) => line.split("\r\u001b[K").at(-1) ?? "");
  const both = () => {
    const out: TextOut = {
      write: (text) => (written += typeof text === "string" ? text : new TextDecoder().decode(text)),
      isTTY: true,
      columns: 80,
    };
    const stderr = aboveProgress(out);
    const progress = startProgress("starting", { stderr, env: {} } as World);
    vi.advanceTimersByTime(1000);
    return { stderr, progress };
  };

  it("stands above the line, which is drawn again at once", () => {
    const { stderr, progress } = both();
    stderr.write("spevisor: a warning\n");
    expect(screen()).toEqual(["spevisor: a warning", expect.stringMatching(/^[⠀-⣿] starting$/)]);
    stderr.write("one\ntwo\n");
    vi.advanceTimersByTime(1000);
    progress.stop();
    expect(screen()).toEqual(["spevisor: a warning", "one", "two", ""]);
  });

  it("may come in pieces, between which nothing is drawn", () => {
    const { stderr, progress } = both();
    for (const piece of ["a ", "warning", new Uint8Array(), ", at last"]) {
      stderr.write(piece);
      vi.advanceTimersByTime(500);
    }
    expect(screen()).toEqual([expect.stringMatching(/a warning, at last$/)]);
    stderr.write("\n");
    vi.advanceTimersByTime(500);
    expect(screen()).toEqual([
      expect.stringMatching(/^a warning, at last$/),
      expect.stringMatching(/^[⠀-⣿] starting$/),
    ]);
    progress.stop();
  });

  it("is all there is where it is quick, or no line is drawn", () => {
    const stderr = aboveProgress({
      write: (text) => (written += typeof text === "string" ? text : new TextDecoder().decode(text)),
    });
    const progress = startProgress("starting", { stderr, env: {} } as World);
    stderr.write("spevisor: a warning\n");
    progress.stop();
    stderr.write("more\n");
    expect(written).toBe("spevisor: a warning\nmore\n");
  });
});

describe("where there is no terminal, or it is dumb", () => {
  it.each<[Partial<TextOut>, World["env"]]>([
    [{}, {}],
    [{ isTTY: true, columns: 80 }, { TERM: "dumb" }],
  ])("a line comes every ten seconds, without control characters: %j", (out, env) => {
    const { onProgress, stop } = started(out, env);
    vi.advanceTimersByTime(9_999);
    expect(written).toBe("");
    onProgress({ done: 1, total: 3, what: "a\u001b[2Jname\n, adaptive" });
    vi.advanceTimersByTime(20_001);
    const line = "spevisor: a?[2Jname?, adaptive (2 of 3, 33 %)\n";
    expect(written).toBe(line.repeat(3));
    stop();
    vi.advanceTimersByTime(60_000);
    expect(written).toBe(line.repeat(3));
  });
});
