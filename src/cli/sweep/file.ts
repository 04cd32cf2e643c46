/** Sweeps as files: YAML, or the JSON that is a part of it; what is wrong with one is told with its line and column. */
import { LineCounter, parseDocument } from "yaml";
import type * as z from "zod";
import { UserError } from "../../common/errors.ts";
import { Sweep } from "../../lab/sweep/matrix.ts";

/** "cells[0].policies". */
const dotted = (path: readonly PropertyKey[]): string =>
  path
    .map((key) => (typeof key === "number" ? `[${key}]` : `.${String(key)}`))
    .join("")
    .replace(/^\./, "");

/** Of a union the branch that got furthest: what it complains of is what was meant. */
function deepest(issue: z.core.$ZodIssue): z.core.$ZodIssue {
  if (issue.code !== "invalid_union" || issue.errors.length === 0) return issue;
  const inner = issue.errors
    .flat()
    .map((each) => deepest({ ...each, path: [...issue.path, ...each.path] } as z.core.$ZodIssue));
  return inner.reduce((a, b) => (b.path.length > a.path.length ? b : a), inner[0] ?? issue);
}

/**
 * A sweep from a file's text.
 * @param name what to call it in an error
 * @throws UserError with line and column for what is no YAML and what fits no sweep
 */
export function readSweep(text: string, name: string): Sweep {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const at = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${name}:${line}:${col}`;
  };
  const [broken] = document.errors;
  if (broken !== undefined) throw new UserError(`${at(broken.pos[0])}: ${broken.message}`);
  /** Where a path leads; where it ends early, as far as it goes. */
  const place = (path: readonly PropertyKey[]): string => {
    for (let length = path.length; length >= 0; length--) {
      const node = document.getIn(path.slice(0, length), true) as { range?: readonly number[] } | undefined;
      if (node?.range?.[0] !== undefined) return at(node.range[0]);
    }
    return at(0);
  };
  const parsed = Sweep.safeParse(document.toJS());
  if (parsed.success) return parsed.data;
  const complaints = parsed.error.issues.map((issue) => {
    const of = deepest(issue);
    // A key that nothing has is where the key is, and not where the mapping begins.
    const path =
      of.code === "unrecognized_keys" && of.keys[0] !== undefined ? [...of.path, of.keys[0]] : of.path;
    const what = dotted(of.path);
    return `${place(path)}: ${what === "" ? "" : `${what}: `}${of.message}`;
  });
  throw new UserError(
    complaints.slice(0, 5).join("\n"),
    "docs/sweep.md says what a sweep may have; docs/sweep.schema.json is for editors",
  );
}
