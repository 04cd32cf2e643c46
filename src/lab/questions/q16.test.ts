import { expect, it } from "vitest";
import { askHere } from "../../../test/questions.ts";
import { profileNamed } from "../../cli/lab.ts";
import { q16 } from "./q16.ts";
import { costTablesOf } from "./question.ts";

it("bounds what is pinned by the maximum buffer, and not where all of the guest is held", () => {
  const costTables = costTablesOf(profileNamed);
  const peak = (policy: string) =>
    (q16.run({ policy, attack: "cycle" }, costTables) as { peakPages: number }).peakPages;
  for (const policy of ["pin-on-enable", "until-changed", "adaptive"])
    expect(peak(policy)).toBeLessThan(1_024 + 16);
  expect(peak("pin-on-enable")).toBeGreaterThanOrEqual(1_024);
  expect(peak("whole-guest")).toBeGreaterThan(8 * 1_024);
});

it("takes longer than a tick for an enable when pins cost more", () => {
  expect(askHere(q16).headline).toContain("less than a timer tick");
  expect(askHere(q16, { pinPage: 10 }).headline).toContain("more than a timer tick");
});
