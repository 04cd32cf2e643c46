import { expect, it } from "vitest";
import { traceLine } from "./trace-file.ts";

const at = {
  vcpu: 3,
  atNs: 1_234_567_890,
  number: 17,
  el: 1,
  pc: 0xffff_8000_8001_0010n,
  word: 0x13,
} as const;

it("a line has vCPU, time, number, level, address, symbol, word and text, of a width where that is fixed", () => {
  expect(traceLine(at, "undefined", { name: "vfs_read", offset: 0x10n })).toBe(
    "[003] 1.234567890: 17 EL1 ffff800080010010 vfs_read+0x10: 00000013 undefined\n",
  );
  expect(traceLine({ ...at, el: 0, pc: 0x1000n }, "nop", undefined)).toBe(
    "[003] 1.234567890: 17 EL0 0000000000001000: 00000013 nop\n",
  );
});
