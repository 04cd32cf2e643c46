/** That README.md opens with what `spevisor thread` prints, and has the page's advice and words. */
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { profileNamed } from "../src/cli/lab.ts";
import { THREAD_PROFILES } from "../src/host/profiles.ts";
import { policyNamed } from "../src/lab/policies.ts";
import { QUESTIONS } from "../src/lab/questions/index.ts";
import { ADVICE } from "../src/lab/report/advice.ts";
import { ANSWER_COLUMNS, answerRows, answerSentences } from "../src/lab/report/answer.ts";
import { GLOSSARY } from "../src/lab/report/glossary.ts";
import { MAIN_POLICIES } from "../src/lab/report/policy-order.ts";
import type { ModelRun } from "../src/lab/report/run.ts";
import { THREAD_SCENARIOS } from "../src/lab/scenarios.ts";
import { slowerRuns } from "./slower-run.ts";

const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
/** Lines are broken anywhere between two words. */
const running = (text: string): string => text.replaceAll(/\s+/g, " ");
const BUFFER_BYTES = 256 * 1024 ** 2;

const threadRuns = (): ModelRun[] =>
  THREAD_SCENARIOS.flatMap((scenario) =>
    THREAD_PROFILES.flatMap((profile) =>
      slowerRuns(
        scenario.setting(BUFFER_BYTES, 1),
        profileNamed(profile),
        MAIN_POLICIES.map(({ policy }) => policy),
      ),
    ),
  );

it("opens with the answer and the table that the program prints", () => {
  const runs = threadRuns();
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  expect(running(readme)).toContain(answerSentences(runs).join(" "));
  for (const row of answerRows(runs))
    expect(readme).toContain(line(ANSWER_COLUMNS.map(({ cell }) => cell(row))));
  expect(readme).toContain(line(ANSWER_COLUMNS.map(({ title }) => title)));
});

it.each(ADVICE)("has the advice for: $host", ({ host, policy, why, question }) => {
  expect(running(readme)).toContain(`- ${host}: **${policy}**, since ${why} (ask ${question}).`);
  expect(() => policyNamed(policy)).not.toThrow();
  expect(QUESTIONS.map(({ number }) => number)).toContain(question);
});

it.each(GLOSSARY)("has the word %s", (term, meaning) => {
  expect(running(readme)).toContain(`- **${term}**: ${meaning}.`);
});

it("has each section of its contents", () => {
  const anchors = [...readme.matchAll(/^## (.+)$/gm)].map(([, title]) =>
    `#${title}`.toLowerCase().replaceAll(" ", "-"),
  );
  const named = [...readme.matchAll(/\]\((#[^)]+)\)/g)].map(([, anchor]) => anchor);
  expect(named.length).toBeGreaterThan(5);
  for (const anchor of named) expect(anchors).toContain(anchor);
});
