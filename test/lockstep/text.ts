/** What lockstep has found, for people. */
import type { Outcome } from "./lockstep.ts";

const hex = (value: bigint): string => value.toString(16);

export function textOf({ executed, ending, last, differences }: Outcome): string {
  const lines = last.map(({ pc, text }) => `  ${hex(pc)}  ${text}`);
  const said = {
    ended: `the same: ${executed} instructions, up to the program's end`,
    limit: `the same: ${executed} instructions, which are as many as --limit says`,
    differs: `after ${executed} instructions that were the same, the last of these differs:`,
  }[ending];
  if (ending !== "differs") return said;
  const found = differences.map(
    ({ register, before, here, onQemu }) =>
      `  ${register.padEnd(6)} was ${hex(before)}, here ${hex(here)}, on QEMU ${hex(onQemu)} (differing bits ${hex(here ^ onQemu)})`,
  );
  return [said, ...lines, ...found].join("\n");
}
