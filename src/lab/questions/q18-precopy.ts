/**
 * Pre-copy migration, counted: all memory is sent, then what was dirtied meanwhile, until the rest fits into the
 * downtime that is allowed. Bytes and seconds only; the runs that give the SPU's part are simulated elsewhere.
 */

export interface Migration {
  readonly memoryBytes: number;
  readonly bytesPerSecond: number;
  /** What the guest's CPUs dirty, at most memoryBytes in a round. */
  readonly dirtyBytesPerSecond: number;
  /** The stop that is allowed for the last round. */
  readonly downtimeNs: number;
  /** User space gives up, or throttles the guest, after this many rounds. */
  readonly mostRounds: number;
}

/** What the profiling buffer adds to a round. */
export interface BufferPart {
  /** Resent in every round, whatever was written. */
  readonly alwaysBytes: number;
  /** Written by the SPU, and known to be: resent at most as often as the buffer's bytes are. */
  readonly writtenBytesPerSecond: number;
  readonly mostWrittenBytes: number;
}

export interface Outcome {
  /** Rounds while the guest runs, the first with all of memory among them. */
  readonly rounds: number;
  readonly converged: boolean;
  /** From the start to the last round, and the stop for it. */
  readonly runningNs: number;
  readonly stoppedNs: number;
  /** After the first round, the stop included; and the buffer's part of it. */
  readonly resentBytes: number;
  readonly bufferBytes: number;
}

/** Counts a migration through. */
export function preCopy(of: Migration, buffer: BufferPart): Outcome {
  let rounds = 0;
  let runningNs = 0;
  let resentBytes = 0;
  let bufferBytes = 0;
  let nextBytes = of.memoryBytes;
  for (;;) {
    const seconds = nextBytes / of.bytesPerSecond;
    if (rounds > 0 && (seconds * 1e9 <= of.downtimeNs || rounds >= of.mostRounds)) {
      const stoppedNs = seconds * 1e9;
      return {
        rounds,
        converged: stoppedNs <= of.downtimeNs,
        runningNs,
        stoppedNs,
        resentBytes,
        bufferBytes,
      };
    }
    rounds += 1;
    runningNs += seconds * 1e9;
    const written = Math.min(buffer.writtenBytesPerSecond * seconds, buffer.mostWrittenBytes);
    const part = Math.max(buffer.alwaysBytes, written);
    nextBytes = Math.min(of.dirtyBytesPerSecond * seconds + part, of.memoryBytes);
    bufferBytes += part;
    resentBytes += nextBytes;
  }
}
