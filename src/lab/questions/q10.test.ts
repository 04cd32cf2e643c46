import { expect, it } from "vitest";
import { askHere } from "../../../test/questions.ts";
import { q10 } from "./q10.ts";

const percent = (text: string | undefined): number => Number.parseFloat((text ?? "").replace("< ", ""));

it("sees the host's cost fall with the size and v6's rise, and adaptive follow the host", () => {
  const { table, headline } = askHere(q10);
  const column = (name: string) => table.rows.map((row) => percent(row[table.columns.indexOf(name)]));
  const host = column("host");
  const v6 = column("+ pin-on-enable");
  expect(host[0]).toBeGreaterThan(5 * (host.at(-1) ?? 0));
  expect(v6.at(-1)).toBeGreaterThan(100 * (v6[0] ?? 0));
  expect(headline).toMatch(/4 MiB is usable .* adaptive and prefault give the host's slope back/);
});

it("no longer calls 4 MiB usable where a pin costs four times as much", () => {
  expect(askHere(q10, { pinPage: 4 }).headline).toContain("4 MiB is not usable");
});
