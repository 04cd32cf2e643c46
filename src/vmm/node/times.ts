/** Times of files, as Node's utimes and its kin take them. */

/** The time it is, in seconds since 1970, as exactly as this program can tell. */
function nowSeconds(): number {
  const nowMs = performance.timeOrigin + performance.now();
  // It does not follow a clock that was set.
  return (Math.abs(nowMs - Date.now()) < 2 ? nowMs : Date.now()) / 1000;
}

/**
 * A time as Node takes it. It wants seconds as a double and libuv cuts them to microseconds, so nanoseconds below that are
 * lost; half a microsecond more keeps the others as they are. Before 1970 a Date must do, in milliseconds.
 */
export function nodeTime(time: bigint | "now"): number | Date {
  if (time === "now") return nowSeconds();
  return time < 0n ? new Date(Number(time / 1_000_000n)) : (Number(time / 1000n) + 0.5) / 1e6;
}
