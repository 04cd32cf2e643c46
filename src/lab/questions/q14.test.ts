import { expect, it } from "vitest";
import { askHere } from "../../../test/questions.ts";
import { q14 } from "./q14.ts";

it("meets the limit only where the whole buffer is kept without a reserve, and frees no memlock", () => {
  const { table, headline } = askHere(q14);
  const at = (column: string) => table.columns.indexOf(column);
  for (const row of table.rows) {
    const exits = Number(row[at("KVM_EXIT_RLIMIT")]);
    if (row[at("policy")] === "keep-all" && row[at("reserve")] === "none") expect(exits).toBeGreaterThan(0);
    else expect(exits).toBe(0);
  }
  expect(headline).toContain("nothing of memlock");
});

it("turns with the cost of a return to user space", () => {
  expect(askHere(q14).headline).toContain("less than its first pin");
  expect(askHere(q14, { userExit: 10_000 }).headline).toContain("more than its first pin");
});
