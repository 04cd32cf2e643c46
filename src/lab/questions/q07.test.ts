import { expect, it } from "vitest";
import { askHere } from "../../../test/questions.ts";
import { profileNamed } from "../../cli/lab.ts";
import { q07 } from "./q07.ts";
import { costTablesOf } from "./question.ts";

it("loses samples where pins were taken at E=1, and none where all of the guest is mapped", () => {
  const costTables = costTablesOf(profileNamed);
  const lost = (policy: string, edits: string): number => {
    const row = q07.run({ policy, period: 256, edits }, costTables) as { lost: number; selected: number };
    return row.lost / row.selected;
  };
  expect(lost("pin-on-enable", "before E=1")).toBe(0);
  expect(lost("pin-on-enable", "after E=1")).toBeGreaterThan(0.05);
  expect(lost("first-fault", "after E=1")).toBeLessThan(lost("pin-on-enable", "after E=1") / 4);
  for (const policy of ["whole-guest", "prefault"]) expect(lost(policy, "after E=1")).toBe(0);
});

it("weighs trapped ERETs against what is lost", () => {
  expect(askHere(q07, { exit: 10 }).headline).toContain("more than");
  expect(askHere(q07, { exit: 0.1 }).headline).toContain("less than");
});
