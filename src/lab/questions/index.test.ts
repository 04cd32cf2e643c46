import { readdirSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { COST_NAMES } from "../../host/costs.ts";
import { QUESTIONS } from "./index.ts";
import { jsonText } from "./json.ts";

const files = readdirSync(new URL(".", import.meta.url)).filter((name) => /^q\d+\.ts$/.test(name));

it("lists the question of every file, in the order of their numbers", async () => {
  const numbers = QUESTIONS.map(({ number }) => number);
  expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b));
  const names = numbers.map((number) => `q${String(number).padStart(2, "0")}`);
  expect(files.sort()).toEqual(names.map((name) => `${name}.ts`));
  for (const [i, name] of names.entries())
    expect(((await import(`./${name}.ts`)) as Record<string, unknown>)[name]).toBe(QUESTIONS[i]);
});

describe.each(QUESTIONS)("question $number", (question) => {
  it("has a number and says what it asks", () => {
    expect(question.number).toBeGreaterThanOrEqual(1);
    for (const text of [question.title, question.asked, question.origin, ...question.leavesOut])
      expect(text.trim()).not.toBe("");
    expect(COST_NAMES).toContain(question.decidedBy);
  });

  it("has cells that JSON keeps, each once", () => {
    const cells = question.cells();
    expect(cells.length).toBeGreaterThan(0);
    const texts = cells.map(jsonText);
    expect(texts.map((text) => JSON.parse(text))).toEqual(cells);
    expect(new Set(texts).size).toBe(texts.length);
    expect(question.cells().map(jsonText)).toEqual(texts);
  });
});
