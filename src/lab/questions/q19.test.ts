import { expect, it } from "vitest";
import { askHere } from "../../../test/questions.ts";
import { profileNamed } from "../../cli/lab.ts";
import { q19 } from "./q19.ts";
import { costTablesOf } from "./question.ts";

it("copies for less than pins where nothing is recorded, and for more where a small buffer is written over and over", () => {
  const costTables = costTablesOf(profileNamed);
  const share = (policy: string, period: number): number => {
    const row = q19.run({ policy, bufferBytes: 4 * 1024 ** 2, period }, costTables) as {
      hypervisorNs: number;
      guestNs: number;
    };
    return row.hypervisorNs / row.guestNs;
  };
  expect(share("bounce-16", 0)).toBeLessThan(0.6 * share("keep-all", 0));
  expect(share("bounce-256", 256)).toBeGreaterThan(2 * share("keep-all", 256));
});

it("loses with a big buffer too when a copy costs ten times as much", () => {
  expect(askHere(q19).headline).toContain("at no rate of the sweep with 256 MiB");
  expect(askHere(q19, { copyPage: 10 }).headline).not.toContain("at no rate of the sweep");
});
