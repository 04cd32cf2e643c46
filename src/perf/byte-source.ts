/** Where a recording's bytes come from. The reader asks for stretches and never for all of it. */

export interface ByteSource {
  /** What to call it in messages: a path, "standard input". */
  readonly name: string;
  /** Undefined where it cannot be known before the end (a pipe). */
  readonly sizeBytes: number | undefined;
  /** False for a pipe: each `read` must start at or after the end of the one before. */
  readonly seekable: boolean;
  /**
   * Up to `lengthBytes` bytes from `offset`; fewer only at the end of the source, none beyond it. The result may
   * be a view of a buffer that the next `read` overwrites.
   */
  read(offset: number, lengthBytes: number): Promise<Uint8Array>;
}

/** A source over bytes already in memory: a file dropped on a page, a test. */
export function bytesSource(name: string, bytes: Uint8Array): ByteSource {
  return {
    name,
    sizeBytes: bytes.length,
    seekable: true,
    read: (offset, lengthBytes) => Promise.resolve(bytes.subarray(offset, offset + lengthBytes)),
  };
}

/** A source over a stream that can only be read forwards: standard input, a response body. */
export function streamSource(name: string, chunks: AsyncIterable<Uint8Array>): ByteSource {
  const iterator = chunks[Symbol.asyncIterator]();
  let rest: Uint8Array = new Uint8Array(0);
  let position = 0;

  async function next(): Promise<boolean> {
    const step = await iterator.next();
    if (step.done === true) return false;
    rest = step.value;
    return true;
  }

  async function skipTo(offset: number): Promise<void> {
    while (position < offset) {
      if (rest.length === 0 && !(await next())) return;
      const step = Math.min(rest.length, offset - position);
      rest = rest.subarray(step);
      position += step;
    }
  }

  async function read(offset: number, lengthBytes: number): Promise<Uint8Array> {
    if (offset < position) throw new RangeError(`${name} is a pipe: it cannot go back to offset ${offset}`);
    await skipTo(offset);
    const out = new Uint8Array(lengthBytes);
    let filled = 0;
    while (filled < lengthBytes) {
      if (rest.length === 0 && !(await next())) break;
      const step = Math.min(rest.length, lengthBytes - filled);
      out.set(rest.subarray(0, step), filled);
      rest = rest.subarray(step);
      filled += step;
      position += step;
    }
    return out.subarray(0, filled);
  }

  return { name, sizeBytes: undefined, seekable: false, read };
}
