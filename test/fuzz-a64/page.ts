/** docs/a64.md: every encoding, how it is executed, and how it is compared with QEMU. */

import type { Semantics } from "../../src/a64/emit.ts";
import type { Row } from "../../src/a64/encoding.ts";
import { ALL_ROWS } from "../../src/a64/encodings/index.ts";
import { SEMANTICS } from "../../src/a64/semantics/index.ts";
import { exclusionOf } from "./exclusions.ts";

export const PAGE = new URL("../../docs/a64.md", import.meta.url);

function executed(row: Row): string {
  const semantics = (SEMANTICS as Record<string, Semantics | undefined>)[row.name];
  if (semantics === undefined) return "UNDEFINED";
  if (semantics.unfixed === true) return "exact";
  return semantics.inline === true ? "loop" : "function";
}

/** The page's text. */
export function pageText(): string {
  const groups = new Map<string, Row[]>();
  for (const row of ALL_ROWS) groups.set(row.group, [...(groups.get(row.group) ?? []), row]);
  const excluded = ALL_ROWS.filter((row) => exclusionOf(row) !== undefined);
  const parts = [
    "# A64",
    "",
    `The ${ALL_ROWS.length} encodings that the machine executes, bits 31 to 0 as in the Arm ARM. Whatever is not here is UNDEFINED`,
    "to the guest and counted in the report of a run.",
    "",
    "*loop*: a case of the interpreter's loop; *function*: a WebAssembly function of its own; *exact*: left to TypeScript,",
    "which computes it in exact arithmetic. Each is compared with qemu-aarch64 on random operands (`npm run fuzz:a64 --",
    `--coverage\`; at least 120 cases each in CI), but for ${excluded.length}, where the last column says why not.`,
    "",
    "Written by `npm run fuzz:a64 -- --page`.",
  ];
  for (const [group, rows] of groups) {
    parts.push(
      "",
      `## ${group}`,
      "",
      "| encoding | bits | feature | executed | not compared |",
      "| --- | --- | --- | --- | --- |",
    );
    for (const row of rows)
      parts.push(
        `| ${row.name} | \`${row.pattern}\` | ${row.feature === undefined ? "" : `FEAT_${row.feature}`} | ${executed(row)} | ${exclusionOf(row) ?? ""} |`,
      );
  }
  return `${parts.join("\n")}\n`;
}
