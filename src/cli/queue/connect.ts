/** Connections to Redis, and what their failures mean to whoever named it. */
import { Redis } from "ioredis";
import { UserError } from "../../common/errors.ts";

/** Whoever waits longer for the first answer has named the wrong server. */
const CONNECT_MS = 10_000;
/** Between two tries once it was there. */
const MOST_RETRY_MS = 2_000;

/** A URL as it may be printed: without user and password. */
export function printableUrl(url: string): string {
  try {
    const { protocol, host, pathname } = new URL(url);
    return `${protocol}//${host}${pathname === "/" ? "" : pathname}`;
  } catch {
    return "the queue's URL";
  }
}

/** @throws UserError for what is no URL of a Redis */
function checkUrl(url: string): void {
  let protocol: string;
  try {
    ({ protocol } = new URL(url));
  } catch {
    throw new UserError("--queue: that is no URL", "Write redis://HOST:6379, or rediss://HOST for TLS");
  }
  if (protocol !== "redis:" && protocol !== "rediss:")
    throw new UserError(
      `--queue: ${protocol}// is not Redis`,
      "Write redis://HOST:6379, or rediss://HOST for TLS",
    );
}

function meaningOf(error: Error, url: string): UserError {
  const name = printableUrl(url);
  const { message } = error;
  if (/WRONGPASS|invalid password|NOAUTH/i.test(message))
    return new UserError(
      `--queue: ${name} does not take this user and password`,
      "Put them into the URL, redis://USER:PASSWORD@HOST, or the password into REDISCLI_AUTH",
    );
  if (/ENOTFOUND|EAI_AGAIN/.test(message)) return new UserError(`--queue: nobody knows the host of ${name}`);
  if (/ECONNREFUSED/.test(message))
    return new UserError(
      `--queue: nothing answers at ${name}`,
      "Start Redis or Valkey there, or name another",
    );
  if (/certificate|self.signed|TLS|SSL/i.test(message))
    return new UserError(
      `--queue: ${name}: ${message}`,
      "NODE_EXTRA_CA_CERTS names a file of certificates to trust",
    );
  return new UserError(`--queue: ${name}: ${message}`);
}

export type Env = Readonly<Record<string, string | undefined>>;

/**
 * A connection that was there once, and comes back by itself after it was lost; commands wait for that.
 * @param onTrouble told when it is lost, and when it is back (null)
 * @throws UserError where nobody answers, or not to us
 */
export async function connect(
  url: string,
  env: Env,
  onTrouble: (why: string | null) => void = () => {},
): Promise<Redis> {
  checkUrl(url);
  let wasThere = false;
  let lost = false;
  let last = new Error("no answer");
  const password = env["REDISCLI_AUTH"];
  const redis = new Redis(url, {
    lazyConnect: true,
    // Commands outlast a Redis that is started again.
    maxRetriesPerRequest: null,
    connectTimeout: CONNECT_MS,
    retryStrategy: (times) => (wasThere ? Math.min(50 * times, MOST_RETRY_MS) : null),
    ...(password === undefined || new URL(url).password !== "" ? {} : { password }),
  });
  redis.on("error", (error: Error) => {
    last = error;
    if (wasThere && !lost) {
      lost = true;
      onTrouble(error.message);
    }
  });
  redis.on("ready", () => {
    if (lost) onTrouble(null);
    lost = false;
  });
  try {
    await redis.connect();
    await redis.ping();
    wasThere = true;
    return redis;
  } catch (error) {
    redis.disconnect();
    const own = error instanceof Error && !/Connection is closed/.test(error.message) ? error : last;
    throw meaningOf(own, url);
  }
}
