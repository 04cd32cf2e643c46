import { expect, it } from "vitest";
import { askHere } from "../../../test/questions.ts";
import { q04 } from "./q04.ts";

const hits = (answer: ReturnType<typeof askHere>, workload: string, column: number): number =>
  Number.parseFloat(answer.table.rows.find(([name]) => name === workload)?.[column] ?? "");
const [EXACT, CONTAINMENT, UNION, AREA] = [2, 3, 4, 5] as const;

it("has exact hit only while nothing moves, and the rules in the order of what they cover", () => {
  const answer = askHere(q04);
  expect(hits(answer, "A as posted, 256 MiB", EXACT)).toBeGreaterThan(95);
  for (const workload of ["busy, 1 MiB", "busy, 4 MiB", "busy, 4 MiB, snapshot"]) {
    expect(hits(answer, workload, EXACT)).toBeLessThan(10);
    expect(hits(answer, workload, CONTAINMENT)).toBeGreaterThan(15);
    expect(hits(answer, workload, UNION)).toBeGreaterThan(hits(answer, workload, CONTAINMENT) + 10);
    expect(hits(answer, workload, AREA)).toBeGreaterThanOrEqual(hits(answer, workload, UNION));
  }
  expect(answer.headline).not.toContain("nobody notices");
});

it("says that the rule does not matter where pins are nearly free", () => {
  const cheap = {
    pinPage: 0,
    unpinPage: 0,
    stage2Leaf: 0.01,
    stage2Check: 0,
    walkDescriptor: 0,
    stage2Unmap: 0,
  };
  expect(askHere(q04, cheap).headline).toContain("nobody notices");
});
