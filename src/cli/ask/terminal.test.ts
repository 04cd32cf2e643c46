import picocolors from "picocolors";
import { describe, expect, it } from "vitest";
import { type Answer, question } from "../../lab/questions/question.ts";
import type { Look } from "../tables.ts";
import { isNumeric, renderAnswers } from "./terminal.ts";

const ANSWER: Answer = {
  headline: "A headline that is a sentence of some length, as headlines are.",
  sentences: ["One sentence that goes on for long enough to be broken into two lines of a terminal.", "Two."],
  table: {
    columns: ["policy", "what it does", "slowdown"],
    rows: [
      ["until-changed", "keeps what it pinned until the registers name another buffer", "1.2"],
      ["fault", "nothing before a fault", "-"],
    ],
  },
  charts: [],
};
const answered = {
  question: question({
    number: 7,
    title: "A title",
    asked: "What?",
    origin: "Somebody.",
    leavesOut: ["Something."],
    decidedBy: "tlbi",
    cells: () => [],
    run: () => null,
    answer: () => ANSWER,
  }),
  rows: [],
  answer: ANSWER,
};
const look = (widthColumns: number, colour = false): Look => ({
  widthColumns,
  colors: picocolors.createColors(colour),
});

describe("an answer on a terminal", () => {
  it("begins with the heading and the headline, both bold", () => {
    const [heading, headline] = renderAnswers([answered], {}, look(100, true)).split("\n");
    const { bold } = picocolors.createColors(true);
    expect([heading, headline]).toEqual([bold("7. A title"), bold(ANSWER.headline)]);
  });

  it.each([100, 60, 52])("keeps within %d columns and breaks no word", (widthColumns) => {
    const text = renderAnswers([answered], {}, look(widthColumns));
    expect(Math.max(...text.split("\n").map((line) => line.length))).toBeLessThanOrEqual(widthColumns);
    for (const word of ["until-changed", "registers", "slowdown"]) expect(text).toContain(word);
  });

  it("says what is left out, and what the cost is that decides", () => {
    const text = renderAnswers([answered], {}, look(100));
    expect(text).toContain("What the model leaves out\n  - Something.");
    expect(text).toMatch(/Decided by: tlbi \(one TLBI/);
  });
});

it.each([
  [["1.2", "-"], true],
  [["3 ms", "< 1 µs", "-0.5 %", "~2"], true],
  [["none", "4"], true],
  [["fault", "4"], false],
  [[], false],
])("takes %j for figures: %s", (cells, figures) => {
  expect(isNumeric(cells)).toBe(figures);
});
