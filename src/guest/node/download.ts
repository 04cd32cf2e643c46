/** Fetches files over http(s): patient with a slow mirror, not with a silent one, and goes on where a connection broke. */
import { createHash } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { UserError } from "../../common/errors.ts";
import { MIRROR_SETTING } from "../debian/hints.ts";

export interface Patience {
  /** How long a mirror may send nothing. */
  readonly silenceMs: number;
  /** How often one file is asked for. */
  readonly tries: number;
  /** Pause before a second try; it doubles with each one after. */
  readonly pauseMs: number;
}

export const PATIENCE: Patience = { silenceMs: 30_000, tries: 4, pauseMs: 500 };

export interface DownloadOptions {
  readonly patience: Patience;
  readonly signal: AbortSignal | undefined;
  /** Told of each piece: bytes so far. */
  readonly onBytes: (bytes: number) => void;
  /** More than this is not what was asked for. */
  readonly mostBytes: number;
  /** Less than this is a connection that broke, where the mirror does not say how long its answer is. */
  readonly leastBytes: number;
}

export const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

const OTHER_MIRROR = `Check the network, or name another mirror with ${MIRROR_SETTING}`;

/** Request Timeout and Too Many Requests: unlike other answers of their kind they ask for another try. */
const LATER: ReadonlySet<number> = new Set([408, 429]);

/** A mirror's answer that asking again will not change. */
export class Refused extends UserError {
  readonly status: number;

  constructor(url: string, status: number) {
    super(
      `${url}: the mirror answers ${status}${status === 404 ? " (there is no such file)" : ""}`,
      `Name another mirror with ${MIRROR_SETTING}`,
    );
    this.status = status;
  }
}

/** The mirror gave a file that is not the one that was asked for. */
export class WrongContent extends UserError {
  constructor(what: string) {
    super(
      what,
      `It was damaged on its way, or the mirror is in the middle of an update: try again, or name another with ${MIRROR_SETTING}`,
    );
  }
}

/** The innermost of what went wrong: fetch() itself only says that it failed. */
function reason(error: unknown): string {
  let inner = error;
  while (inner instanceof Error && inner.cause !== undefined) inner = inner.cause;
  if (!(inner instanceof Error)) return String(inner);
  return "code" in inner && typeof inner.code === "string"
    ? `${inner.code}: ${inner.message}`
    : inner.message;
}

/** One request for what is still missing; adds to `pieces`. */
async function ask(
  url: string,
  pieces: Uint8Array[],
  { patience, signal, onBytes, mostBytes, leastBytes }: DownloadOptions,
): Promise<void> {
  const silence = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const heard = (): void => {
    clearTimeout(timer);
    timer = setTimeout(
      () => silence.abort(new Error(`no answer for ${patience.silenceMs / 1000} s`)),
      patience.silenceMs,
    );
  };
  const held = (): number => pieces.reduce((sum, piece) => sum + piece.length, 0);
  heard();
  try {
    const from = held();
    const response = await fetch(url, {
      headers: { "accept-encoding": "identity", ...(from > 0 ? { range: `bytes=${from}-` } : {}) },
      signal: signal === undefined ? silence.signal : AbortSignal.any([signal, silence.signal]),
    });
    // A server that knows no ranges sends the whole again, and one that finds ours odd gets asked for the whole.
    const resumes =
      response.status === 206 && response.headers.get("content-range")?.startsWith(`bytes ${from}-`);
    if (!resumes && (response.ok || response.status === 416)) pieces.length = 0;
    if (response.status === 416) throw new Error("the mirror has less than it had");
    if (response.status >= 400 && response.status < 500 && !LATER.has(response.status))
      throw new Refused(url, response.status);
    if (!response.ok) throw new Error(`the mirror answers ${response.status}`);
    if (response.body === null) return;
    let bytes = held();
    for await (const piece of response.body as unknown as AsyncIterable<Uint8Array>) {
      heard();
      pieces.push(piece);
      bytes += piece.length;
      if (bytes > mostBytes) throw new WrongContent(`${url}: is longer than ${mostBytes} bytes`);
      onBytes(bytes);
    }
    if (!response.headers.has("content-length") && bytes < leastBytes)
      throw new Error(`it ends after ${bytes} of ${leastBytes} bytes`);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * A file's bytes.
 * @throws UserError naming the address and what is in the way; the signal's own reason once it is aborted
 */
export async function download(url: string, options: DownloadOptions): Promise<Uint8Array<ArrayBuffer>> {
  const { patience, signal } = options;
  const pieces: Uint8Array[] = [];
  for (let attempt = 1; ; attempt++) {
    try {
      await ask(url, pieces, options);
      const whole = Buffer.concat(pieces);
      return new Uint8Array(whole.buffer, whole.byteOffset, whole.length);
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof UserError) throw error;
      if (attempt >= patience.tries)
        throw new UserError(
          `${url}: cannot be fetched after ${attempt} tries (${reason(error)})`,
          OTHER_MIRROR,
        );
      await delay(patience.pauseMs * 2 ** (attempt - 1), undefined, signal === undefined ? {} : { signal });
    }
  }
}
