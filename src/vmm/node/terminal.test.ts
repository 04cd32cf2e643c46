import { closeSync, mkdtempSync, openSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterAll, describe, expect, it } from "vitest";
import { ByteQueue, inputAtOnce, Keys, openInput, wholeInput } from "./terminal.ts";

const CTRL_A = 1;
const X = 0x78;
const A = 0x61;

describe("keys", () => {
  const taken = (...pieces: number[][]) => {
    const keys = new Keys();
    const typed = pieces.flatMap((piece) => [...keys.take(Uint8Array.from(piece))]);
    return { typed, quit: keys.quit };
  };

  it("go to the guest as they are, Ctrl-C and all", () => {
    expect(taken([A, 3, 0, 255, X])).toEqual({ typed: [A, 3, 0, 255, X], quit: false });
  });

  it("end the machine with Ctrl-A x, also where it comes in two pieces", () => {
    expect(taken([A, CTRL_A, X])).toEqual({ typed: [A], quit: true });
    expect(taken([CTRL_A], [X])).toEqual({ typed: [], quit: true });
  });

  it("send one Ctrl-A for two, and what follows is plain again", () => {
    expect(taken([CTRL_A, CTRL_A, X])).toEqual({ typed: [CTRL_A, X], quit: false });
  });

  it("send Ctrl-A and the key for any other", () => {
    expect(taken([CTRL_A, A], [CTRL_A], [A])).toEqual({ typed: [CTRL_A, A, CTRL_A, A], quit: false });
  });

  const bytes = (text: string): number[] => [...Buffer.from(text)];

  it("end the machine also where the terminal says between Ctrl-A and x where its cursor is", () => {
    const report = bytes("\x1b[12;20R");
    expect(taken([CTRL_A], report, [X])).toEqual({ typed: report, quit: true });
    expect(taken([CTRL_A, ...report.slice(0, 4)], [...report.slice(4), X])).toEqual({
      typed: report,
      quit: true,
    });
    expect(taken([CTRL_A], report, [CTRL_A])).toEqual({ typed: [...report, CTRL_A], quit: false });
  });

  it.each(["\x1b[C", "\x1bx", "\x1b[x", "\x1b[12;R", "\x1b[1~"])(
    "send Ctrl-A and whatever else begins like that: %j",
    (text) => {
      const typed = [CTRL_A, ...bytes(text), X];
      expect(taken(typed)).toEqual({ typed, quit: false });
      expect(taken(...typed.map((byte) => [byte]))).toEqual({ typed, quit: false });
    },
  );
});

it("a queue gives its pieces in order, and parts of them", () => {
  const queue = new ByteQueue();
  queue.push(new Uint8Array(0));
  expect([queue.length, queue.first]).toEqual([0, undefined]);
  queue.push(Uint8Array.of(1, 2, 3));
  queue.push(Uint8Array.of(4));
  queue.drop(2);
  expect([queue.length, queue.first]).toEqual([2, Uint8Array.of(3)]);
  queue.drop(1);
  expect([queue.length, queue.first]).toEqual([1, Uint8Array.of(4)]);
  queue.drop(1);
  expect([queue.length, queue.first]).toEqual([0, undefined]);
});

it("whole input has ended from the start", () => {
  const input = wholeInput(Uint8Array.of(1, 2));
  expect([input.ended, input.quit, input.waiting.first]).toEqual([true, false, Uint8Array.of(1, 2)]);
});

describe("a stream", () => {
  /** A stream that records what is done to it as to a terminal. */
  function terminal() {
    const modes: boolean[] = [];
    const stream = Object.assign(new PassThrough(), { setRawMode: (raw: boolean) => modes.push(raw) });
    return { stream, modes, open: (raw: boolean) => openInput(stream as unknown as NodeJS.ReadStream, raw) };
  }
  const FOREVER_MS = 2 ** 31 - 1;

  it("gives what comes, and says when nothing will come any more", async () => {
    const { stream, modes, open } = terminal();
    const input = open(false);
    const some = input.wait(FOREVER_MS);
    stream.write(Uint8Array.of(CTRL_A, X));
    await some;
    expect([[...(input.waiting.first ?? [])], input.quit, input.ended]).toEqual([[CTRL_A, X], false, false]);
    const end = input.wait(FOREVER_MS);
    stream.end();
    await end;
    expect([input.ended, modes]).toEqual([true, []]);
    input.close();
  });

  it("is raw while it is a terminal that is listened to, and what it was afterwards", async () => {
    const { stream, modes, open } = terminal();
    const before = process.listenerCount("exit");
    const input = open(true);
    expect([modes, process.listenerCount("exit")]).toEqual([[true], before + 1]);
    const some = input.wait(FOREVER_MS);
    stream.write(Uint8Array.of(A, CTRL_A, X));
    await some;
    expect([[...(input.waiting.first ?? [])], input.quit]).toEqual([[A], true]);
    input.close();
    expect([modes, process.listenerCount("exit"), stream.isPaused()]).toEqual([[true, false], before, true]);
    expect(stream.listenerCount("data")).toBe(0);
  });

  it("is not read on while a mebibyte waits", async () => {
    const { stream, open } = terminal();
    const input = open(false);
    const some = input.wait(FOREVER_MS);
    stream.write(new Uint8Array(1024 ** 2 + 1));
    await some;
    expect(stream.isPaused()).toBe(true);
    input.taken();
    expect(stream.isPaused()).toBe(true);
    input.waiting.drop(1);
    input.taken();
    expect(stream.isPaused()).toBe(false);
    input.close();
  });
});

describe("standard input at once", () => {
  const folder = mkdtempSync(join(tmpdir(), "terminal-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "file");
  const of = (path: string): Uint8Array | undefined => {
    const fd = openSync(path, "r");
    try {
      return inputAtOnce(fd);
    } finally {
      closeSync(fd);
    }
  };

  it("is a file's content, and nothing from /dev/null or where it is closed", () => {
    writeFileSync(file, "content");
    expect(Buffer.from(of(file) ?? []).toString()).toBe("content");
    expect(of("/dev/null")).toEqual(new Uint8Array(0));
    expect(inputAtOnce(1_000_000)).toEqual(new Uint8Array(0));
  });

  it("is not there for a device that never ends, or a file that no memory should hold", () => {
    expect(of("/dev/zero")).toBeUndefined();
    truncateSync(file, 3 * 1024 ** 3);
    expect(of(file)).toBeUndefined();
  });
});
