/** A worker's side of every cell: finds the function that a task names and runs it. Started by bin/cell-worker.js. */
import { assertNever, UserError } from "../../common/errors.ts";
import { jsonText } from "../../lab/questions/json.ts";
import type { Json } from "../../lab/questions/question.ts";
import { type CellContext, type CellKind, type CellOutcome, failedBy } from "./task.ts";

/** A task on its way to a thread. */
export interface CellCall {
  readonly kind: CellKind;
  readonly input: Json;
  /** Where the task's files are here, by their SHA-256. */
  readonly paths: Readonly<Record<string, string>>;
  readonly context: CellContext;
}

/** Each kind's module is loaded by the first cell of its kind: a guest's is no part of a question's start. */
async function resultOf({ kind, input, paths, context }: CellCall): Promise<Json> {
  switch (kind) {
    case "ask":
      return (await import("../ask/cell.ts")).runAskCell(input, context.questions);
    case "bar":
      return (await import("../bar/cell.ts")).runBarCell(input, paths);
    case "guest-boot":
      return (await import("../linux/cell.ts")).bootGuest(input, paths, context);
    case "guest":
      return (await import("../linux/cell.ts")).runGuestCells(input, paths, context);
    case "sweep":
      return (await import("../sweep/cell.ts")).runSweepCell(input, paths, context);
    default:
      return assertNever(kind);
  }
}

/** Runs a cell; its result comes back as JSON text. */
export async function runCell(call: CellCall): Promise<CellOutcome> {
  const startedMs = performance.now();
  try {
    const text = jsonText(await resultOf(call));
    return { kind: "row", text, tookMs: performance.now() - startedMs };
  } catch (error) {
    if (error instanceof UserError) return { kind: "user-error", what: error.what, remedy: error.remedy };
    return failedBy(error);
  }
}
