/** The keyboard of whoever runs a machine: a terminal in raw mode, or whatever standard input is. */

const CTRL_A = 1;
const KEY_X = 0x78;

/** Keys typed on a terminal, as QEMU's `-nographic` has them: Ctrl-A x ends, Ctrl-A Ctrl-A sends one. */
export class Keys {
  readonly typed: number[] = [];
  quit = false;
  #escaped = false;

  take(bytes: Uint8Array): void {
    for (const byte of bytes) {
      if (this.#escaped) {
        this.#escaped = false;
        if (byte === KEY_X) this.quit = true;
        else if (byte === CTRL_A) this.typed.push(byte);
        else this.typed.push(CTRL_A, byte);
      } else if (byte === CTRL_A) this.#escaped = true;
      else this.typed.push(byte);
    }
  }
}

/** Input that comes in when it likes. */
export interface Input {
  /** What has come and was not taken yet. */
  readonly pending: number[];
  /** Nothing will come any more. */
  readonly ended: boolean;
  readonly quit: boolean;
  /** Resolves when something comes, at the latest after some milliseconds. */
  wait(milliseconds: number): Promise<void>;
  /** Leaves the stream, and the terminal, as they were. */
  close(): void;
}

/**
 * Listens to a stream.
 * @param raw whether it is a terminal whose every key goes to the guest
 */
export function openInput(stream: NodeJS.ReadStream, raw: boolean): Input {
  const keys = new Keys();
  let ended = false;
  let wake: () => void = () => undefined;
  const onData = (data: Uint8Array): void => {
    if (raw) keys.take(data);
    else for (const byte of data) keys.typed.push(byte);
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
    pending: keys.typed,
    get ended() {
      return ended;
    },
    get quit() {
      return keys.quit;
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
