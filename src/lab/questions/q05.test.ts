import { expect, it } from "vitest";
import { askHere } from "../../../test/questions.ts";
import { q05 } from "./q05.ts";

const worstAt = (answer: ReturnType<typeof askHere>, host: string, t: string): number =>
  Number(answer.table.rows.find((row) => row[0] === host && row[1] === t)?.[2]);

it("finds that T follows the cost of a pin, and that 100 ms is too short for 256 MiB", () => {
  const answer = askHere(q05);
  expect(worstAt(answer, "thread-normal, 256 MiB", "100 ms")).toBeGreaterThan(1.25);
  expect(worstAt(answer, "thread-normal, 256 MiB", "1 s")).toBeLessThan(1.1);
  expect(worstAt(answer, "thread-debug, 256 MiB", "100 ms")).toBeGreaterThan(2);
  expect(worstAt(answer, "thread-normal, 4 MiB", "100 ms")).toBeLessThan(1.05);
  expect(worstAt(answer, "thread-normal, 256 MiB", "adaptive (100 ms)")).toBeLessThan(1.1);
  expect(answer.headline).toContain("is enough for thread-normal, 4 MiB only");
});

it("says that 100 ms is enough where pins cost a tenth", () => {
  const cheap = { pinPage: 0.05, unpinPage: 0.05, stage2Leaf: 0.1, walkDescriptor: 0.1, stage2Check: 0.1 };
  expect(askHere(q05, cheap).headline).toContain("100 ms is enough for whoever pins half the buffer at once");
});
