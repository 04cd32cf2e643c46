import { describe, expect, it } from "vitest";
import { UserError } from "./errors.ts";
import { formatBytes, formatNs, parseSizeBytes } from "./sizes.ts";

describe("sizes", () => {
  it.each([
    ["4096", 4096],
    ["256M", 256 * 1024 ** 2],
    ["8k", 8192],
    [" 1GiB ", 1024 ** 3],
    ["2TB", 2 * 1024 ** 4],
    ["0", 0],
  ])("are read: %s", (text, bytes) => {
    expect(parseSizeBytes(text, "--buffer")).toBe(bytes);
  });

  it.each(["", "M", "-1", "1.5M", "4 M", "12Q", "0x10", "99999999T"])("are refused: %s", (text) => {
    expect(() => parseSizeBytes(text, "--buffer")).toThrow(UserError);
    expect(() => parseSizeBytes(text, "--buffer")).toThrow(/--buffer/);
  });

  it.each([
    [0, "0 B"],
    [1023, "1023 B"],
    [4096, "4 KiB"],
    [1.5 * 1024 ** 3, "1.5 GiB"],
    [256 * 1024 ** 2, "256 MiB"],
    [1000 * 1024 ** 2, "1000 MiB"],
    [12.345 * 1024, "12.3 KiB"],
  ])("are written: %d as %s", (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });

  it.each([
    [0, "0 ns"],
    [417, "417 ns"],
    [999.6, "1 µs"],
    [1_000, "1 µs"],
    [3_100_000, "3.1 ms"],
    [999_400, "999 µs"],
    [999_600, "1 ms"],
    [20.44e9, "20.4 s"],
    [-2_500, "-2.5 µs"],
  ])("of time are written: %d as %s", (ns, text) => {
    expect(formatNs(ns)).toBe(text);
  });
});
