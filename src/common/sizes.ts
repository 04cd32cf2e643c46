/** Sizes as people type and read them. */
import { UserError } from "./errors.ts";

const SUFFIX: Readonly<Record<string, number>> = { "": 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3, T: 1024 ** 4 };

/**
 * Bytes from "256M", "4096", "1G" (powers of 1024, as perf's -m takes them).
 * @param option what to name in the error, such as "--buffer"
 */
export function parseSizeBytes(text: string, option: string): number {
  const match = /^([0-9]+)([KMGT]?)(?:i?B)?$/i.exec(text.trim());
  const factor = match === null ? undefined : SUFFIX[(match[2] as string).toUpperCase()];
  if (match === null || factor === undefined)
    throw new UserError(`${option}: "${text}" is not a size`, "Write a whole number with K, M, G or T: 256M");
  const bytes = Number(match[1]) * factor;
  if (!Number.isSafeInteger(bytes)) throw new UserError(`${option}: "${text}" is too large`);
  return bytes;
}

/** "256 MiB", "4 KiB", "1.5 GiB": three significant digits at most. */
export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${Number(value.toPrecision(value >= 100 ? 4 : 3))} ${units[unit]}`;
}

/** "20.4 s", "3.1 ms", "417 ns": three significant digits. */
export function formatNs(ns: number): string {
  const steps: readonly [number, string][] = [
    [1e9, "s"],
    [1e6, "ms"],
    [1e3, "µs"],
  ];
  for (const [size, unit] of steps)
    if (Math.abs(ns) >= size * 0.9995) return `${Number((ns / size).toPrecision(3))} ${unit}`;
  return `${Number(ns.toPrecision(3))} ns`;
}
