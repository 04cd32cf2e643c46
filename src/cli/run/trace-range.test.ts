import { describe, expect, it } from "vitest";
import { kernelSymbols } from "../../lab/exact/symbols.ts";
import { rangeIn, traceRange } from "./trace-range.ts";

const KERNEL = kernelSymbols(
  [
    "ffff800080010000 T vfs_read",
    "ffff800080010040 t twice",
    "ffff800080010080 T vfs_write",
    "ffff800080010080 T alias_of_it",
    "ffff8000800100c0 d data_between",
    "ffff800080010100 t twice",
    "ffff800080010200 T last.cold\t[module]",
  ].join("\n"),
);
const range = (text: string) => rangeIn(traceRange(text, undefined)[0]!, KERNEL);
const at = (low: number): bigint => 0xffff_8000_8001_0000n + BigInt(low);

describe("a range", () => {
  it.each<[text: string, start: bigint, end: bigint]>([
    ["0x1000-0x1010", 0x1000n, 0x1010n],
    ["4096-0x1004", 0x1000n, 0x1004n],
    ["0xffff800080010000", at(0), at(4)],
    ["vfs_read", at(0), at(0x40)],
    // Data is no code: the function goes on to the next.
    ["vfs_write", at(0x80), at(0x100)],
    ["alias_of_it", at(0x80), at(0x100)],
    ["vfs_read+0x10", at(0x10), at(0x14)],
    ["vfs_read+8", at(8), at(12)],
    ["vfs_read+0x10-vfs_write", at(0x10), at(0x80)],
    ["vfs_read-vfs_write+0x20", at(0), at(0xa0)],
    ["vfs_write-0xffff800080020000", at(0x80), at(0x1_0000)],
    ["last.cold+0x4", at(0x204), at(0x208)],
  ])("%s", (text, start, end) => {
    expect(range(text)).toEqual({ start, end });
  });

  it.each([
    ["", /is no range of addresses\nWrite 0xSTART-0xEND/],
    ["1-2-3", /is no range/],
    ["0xg-0x10", /is no range/],
    ["vfs_read+", /is no range/],
    ["vfs_read+x", /is no range/],
    ["-0x10", /is no range/],
    ["0x10-", /is no range/],
    ["0x10-0x10", /ends at 0x10, and begins at 0x10\nGive an END behind START/],
    ["nothing_there", /has no function "nothing_there"\nLook for its name/],
    [
      "twice",
      /has 2 functions of the name "twice"\nGive one's address: 0xffff800080010040, 0xffff800080010100/,
    ],
  ])("is not %j", (text, message) => {
    const refused = (() => {
      try {
        return range(text);
      } catch (error) {
        return (error as Error).message;
      }
    })();
    expect(refused).toMatch(message);
  });

  it("by name needs symbols", () => {
    expect(() => rangeIn(traceRange("vfs_read", undefined)[0]!, undefined)).toThrow("are not known");
    expect(rangeIn(traceRange("0x0-0x4", undefined)[0]!, undefined)).toEqual({ start: 0n, end: 4n });
  });

  it("may be given again", () => {
    const one = traceRange("0x0-0x4", undefined);
    expect(traceRange("vfs_read", one).map(({ text }) => text)).toEqual(["0x0-0x4", "vfs_read"]);
  });
});
