import { expect, it } from "vitest";
import { askHere } from "../../../test/questions.ts";
import { profileNamed } from "../../cli/lab.ts";
import { q09 } from "./q09.ts";
import { costTablesOf } from "./question.ts";

it("needs a window for what is written between two moves, and hardly more", () => {
  const costTables = costTablesOf(profileNamed);
  for (const everyNs of [100_000, 1_000_000]) {
    const row = q09.run({ bufferBytes: 64 * 1024 ** 2, period: 1024, everyNs }, costTables) as Record<
      string,
      number
    >;
    const written = ((row["bytesPerNs"] as number) * everyNs) / 4096;
    expect(row["pages"]).toBeGreaterThan(written * 0.9);
    expect(row["pages"]).toBeLessThan(written + 4);
    expect(row["lostWithHalf"]).toBeGreaterThan(0);
  }
});

it("says that moving is noticed, unless pins cost a twentieth", () => {
  expect(askHere(q09).headline).toContain("no rate of the sweep is cheaper");
  expect(askHere(q09, { pinPage: 0.05, unpinPage: 0.05 }).headline).toContain("stays below");
});
