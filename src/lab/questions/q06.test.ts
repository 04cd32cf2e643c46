import { expect, it } from "vitest";
import { askHere } from "../../../test/questions.ts";
import { profileNamed } from "../../cli/lab.ts";
import { q06 } from "./q06.ts";
import { costTablesOf } from "./question.ts";

it("lets no fault through with a walk, and as many without a check as with one of the tables alone", () => {
  const costTables = costTablesOf(profileNamed);
  const of = (check: string) =>
    q06.run({ what: "stale", check, bufferBytes: 0 }, costTables) as {
      faults: number;
      lost: number;
      selected: number;
    };
  expect(of("walk")).toMatchObject({ faults: 0, lost: 0 });
  expect(of("tables").faults).toBeGreaterThan(10);
  expect(of("tables")).toEqual(of("nothing"));
  expect(of("nothing").lost / of("nothing").selected).toBeGreaterThan(0.05);
});

it("has a buffer up to which the walk is cheaper than the exits, which grows when descriptors get cheaper", () => {
  expect(askHere(q06).headline).toContain("up to 4 MiB of buffer");
  expect(askHere(q06, { walkDescriptor: 0.05 }).headline).toContain("up to 64 MiB of buffer");
});
