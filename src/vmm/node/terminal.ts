/** The keyboard of whoever runs a machine: a terminal in raw mode, or whatever standard input is. */
import { fstatSync, readFileSync, type Stats, statSync } from "node:fs";
import { devNull } from "node:os";

const CTRL_A = 1;
/** Input that waits for the guest at most; a stream is not read on until there is less. */
const MOST_WAITING_BYTES = 1024 ** 2;

/** Bytes that wait, in the pieces in which they came. */
export class ByteQueue {
  readonly #pieces: Uint8Array[] = [];
  length = 0;

  push(piece: Uint8Array): void {
    if (piece.length > 0) this.#pieces.push(piece);
    this.length += piece.length;
  }

  /** The first piece; undefined where nothing waits. */
  get first(): Uint8Array | undefined {
    return this.#pieces[0];
  }

  /** Removes so many bytes, not more than the first piece has. */
  drop(bytes: number): void {
    const first = this.#pieces.shift();
    if (first !== undefined && bytes < first.length) this.#pieces.unshift(first.subarray(bytes));
    this.length -= bytes;
  }
}

/** What a terminal says where its cursor is (ECMA-48, CPR), and whatever begins like that. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: it begins with one
const REPORT = /^\x1b(\[(\d+(;(\d+(R)?)?)?)?)?$/;

/**
 * Keys typed on a terminal, as QEMU's `-nographic` has them: Ctrl-A x ends, Ctrl-A Ctrl-A sends one. The guest's shell asks
 * the terminal where its cursor is whenever it is ready for a line: that answer is no key, and may come behind a Ctrl-A.
 */
export class Keys {
  quit = false;
  #escaped = false;
  /** What has come since Ctrl-A of an answer. */
  #answer = "";

  /** What of these keys is for the guest. */
  take(bytes: Uint8Array): Uint8Array {
    const typed: number[] = [];
    for (const byte of bytes) {
      if (!this.#escaped) {
        if (byte === CTRL_A) this.#escaped = true;
        else typed.push(byte);
        continue;
      }
      const answer = this.#answer + String.fromCharCode(byte);
      const isWhole = REPORT.exec(answer)?.[5] === "R";
      if (!isWhole && REPORT.test(answer)) {
        this.#answer = answer;
        continue;
      }
      this.#answer = "";
      if (isWhole) typed.push(...codesOf(answer));
      else {
        this.#escaped = false;
        if (answer === "x") this.quit = true;
        else if (byte === CTRL_A && answer.length === 1) typed.push(byte);
        else typed.push(CTRL_A, ...codesOf(answer));
      }
    }
    return Uint8Array.from(typed);
  }
}

const codesOf = (text: string): readonly number[] => [...text].map((character) => character.charCodeAt(0));

/** Input that comes in when it likes. */
export interface Input {
  /** What has come and was not taken yet. */
  readonly waiting: ByteQueue;
  /** Nothing will come any more. */
  readonly ended: boolean;
  readonly quit: boolean;
  /** Told that some of what waited was taken. */
  taken(): void;
  /** Resolves when something comes, at the latest after some milliseconds. */
  wait(milliseconds: number): Promise<void>;
  /** Leaves the stream, and the terminal, as they were. */
  close(): void;
}

/** Input that is all there: a file's content. */
export function wholeInput(bytes: Uint8Array): Input {
  const waiting = new ByteQueue();
  waiting.push(bytes);
  return {
    waiting,
    ended: true,
    quit: false,
    taken: () => undefined,
    wait: () => Promise.resolve(),
    close: () => undefined,
  };
}

/** A larger file comes in pieces: it would have to lie in memory, and Node reads none of 2 GiB whole. */
const MOST_AT_ONCE_BYTES = 1024 ** 3;

/**
 * What standard input has where all of it can be had at once: it is a file, /dev/null, or closed. Undefined for whatever
 * may still grow: a pipe, a terminal, and other devices, of which some never end.
 * @param fd its descriptor
 */
export function inputAtOnce(fd: number): Uint8Array | undefined {
  let stat: Stats;
  try {
    stat = fstatSync(fd);
  } catch {
    return new Uint8Array(0);
  }
  if (stat.isCharacterDevice() && stat.rdev === statSync(devNull, { throwIfNoEntry: false })?.rdev)
    return new Uint8Array(0);
  return stat.isFile() && stat.size <= MOST_AT_ONCE_BYTES ? readFileSync(fd) : undefined;
}

/**
 * Listens to a stream.
 * @param raw whether it is a terminal whose every key goes to the guest
 */
export function openInput(stream: NodeJS.ReadStream, raw: boolean): Input {
  const keys = new Keys();
  const waiting = new ByteQueue();
  let ended = false;
  let wake: () => void = () => undefined;
  const onData = (data: Uint8Array): void => {
    waiting.push(raw ? keys.take(data) : data);
    if (waiting.length > MOST_WAITING_BYTES) stream.pause();
    wake();
  };
  const onEnd = (): void => {
    ended = true;
    wake();
  };
  const restore = (): void => {
    if (raw) stream.setRawMode(false);
  };
  // Whatever ends the process, the terminal is usable afterwards.
  if (raw) process.on("exit", restore);
  if (raw) stream.setRawMode(true);
  stream.on("data", onData).on("end", onEnd).on("error", onEnd).resume();
  return {
    waiting,
    get ended() {
      return ended;
    },
    get quit() {
      return keys.quit;
    },
    taken: () => {
      if (waiting.length <= MOST_WAITING_BYTES && stream.isPaused()) stream.resume();
    },
    wait: (milliseconds) =>
      new Promise((resolve) => {
        const timer = setTimeout(resolve, milliseconds);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      }),
    close: () => {
      stream.off("data", onData).off("end", onEnd).off("error", onEnd).pause();
      process.off("exit", restore);
      restore();
    },
  };
}
