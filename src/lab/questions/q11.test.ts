import { expect, it } from "vitest";
import { askHere } from "../../../test/questions.ts";
import { q11 } from "./q11.ts";

it("finds that v6 pins the buffer many times over while it is written once, and a window that a worker moves does not", () => {
  const answer = askHere(q11);
  const turnsOf = (policy: string): number => {
    const row = answer.table.rows.find(([name, mode]) => name === policy && mode === "snapshot");
    return Number(row?.[answer.table.columns.indexOf("per page written")]);
  };
  expect(turnsOf("pin-on-enable")).toBeGreaterThan(4);
  expect(turnsOf("adaptive")).toBeLessThan(1.5);
  expect(answer.headline).toContain("none is slowed down by a fifth");
});

it("calls those slow that pin again and again where a pin costs ten times as much", () => {
  expect(askHere(q11, { pinPage: 10 }).headline).toMatch(
    /pin-on-enable.* are slowed down by a fifth or more/,
  );
});
