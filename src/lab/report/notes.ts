/** Assumptions and warnings of many runs, each said once and with the scenarios that it is about. */
import type { ModelRun } from "./run.ts";
import { listed } from "./words.ts";

/** The sentences of a report; one that is not about every scenario says about which. */
export function notesOf(runs: readonly ModelRun[], kind: "assumptions" | "warnings"): string[] {
  const scenarios = new Set(runs.map((run) => run.scenario));
  const about = new Map<string, Set<string>>();
  for (const run of runs)
    for (const text of run[kind]) {
      const so = about.get(text) ?? new Set();
      about.set(text, so.add(run.scenario));
    }
  const sentences = [...about].map(([text, of]) => ({ text, of, general: of.size === scenarios.size }));
  return [
    ...sentences.filter(({ general }) => general).map(({ text }) => text),
    ...sentences.filter(({ general }) => !general).map(({ text, of }) => `${listed([...of])}: ${text}`),
  ];
}
