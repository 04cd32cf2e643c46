/** A sweep's results: what a cell came to, as a flat row that tables, CSV and Parquet can have. */
import { assertNever } from "../../common/errors.ts";
import { meetsBar, shownOf, type Verdict } from "../bar/measure.ts";
import type { Json } from "../questions/question.ts";
import { hypervisorNs, type LinuxRun } from "../report/run.ts";
import { fieldsOf, type SweepCell } from "./cell.ts";

export type Value = string | number | boolean | null;
export type Row = Readonly<Record<string, Value>>;

/** What became of a cell: nothing here tells of a machine, of an attempt or of a time of day. */
export type Outcome =
  | { readonly kind: "row"; readonly row: Row }
  | { readonly kind: "failed"; readonly why: string };

export interface Result {
  readonly cell: SweepCell;
  readonly outcome: Outcome;
}

/** What a guest's cell gives (cli/linux/cell.ts), as far as a row has it. */
type GuestOutcome =
  | { readonly kind: "ran"; readonly run: LinuxRun; readonly instructions: number }
  | { readonly kind: "failed"; readonly why: string };

const barRow = (verdict: Verdict): Row => {
  const { measured, allowed, findings } = shownOf(verdict);
  return {
    met: meetsBar(verdict),
    slowdown: measured?.slowdown ?? null,
    allowedSlowdown: allowed?.slowdown ?? null,
    lostShare: measured?.lostShare ?? null,
    allowedLostShare: allowed?.lostShare ?? null,
    blackouts: measured?.blackouts ?? null,
    blackoutNs: measured?.blackoutNs ?? null,
    hostCpuShare: measured?.hostCpuShare ?? null,
    pinnedPeakBytes: measured?.pinnedPeakBytes ?? null,
    unreclaimablePeakBytes: measured?.unreclaimablePeakBytes ?? null,
    findings: findings.map(({ clause, text }) => `${clause}: ${text}`).join("; "),
    flips: verdict.flips.map(({ end, costs }) => `${end}: ${costs.join(" ")}`).join("; "),
  };
};

const linuxRow = ({ run, instructions }: Extract<GuestOutcome, { kind: "ran" }>): Row => {
  const { samples } = run;
  const lost = samples.lostInBlackout + samples.lostWhileFull + samples.truncated;
  return {
    guestWallNs: run.guestWallNs,
    hypervisorNs: hypervisorNs(run),
    bufferEnables: run.bufferEnables,
    pagesPinned: run.pagesPinned,
    pinnedPeakBytes: run.pinnedPeakBytes,
    longestStopColdNs: run.longestStopNs.cold,
    longestStopWarmNs: run.longestStopNs.warm,
    blackouts: run.blackouts.count,
    blackoutNs: run.blackouts.totalNs,
    selected: samples.selected,
    written: samples.written,
    lostInBlackout: samples.lostInBlackout,
    lostWhileFull: samples.lostWhileFull,
    truncated: samples.truncated,
    lostShare: samples.selected === 0 ? 0 : lost / samples.selected,
    guestClockGHz: run.guestClockGHz,
    instructions,
  };
};

/** What a cell gave, as its outcome. @param text the result as its task gives it: JSON */
export function outcomeOf(cell: SweepCell, text: string): Outcome {
  const given = JSON.parse(text) as Json;
  switch (cell.kind) {
    case "thread":
    case "predict":
    case "fuzz":
      return { kind: "row", row: given as Row };
    case "ask":
      return { kind: "row", row: { row: JSON.stringify(given) } };
    case "bar":
      return { kind: "row", row: barRow(given as unknown as Verdict) };
    case "linux": {
      const [outcome] = given as unknown as readonly GuestOutcome[];
      if (outcome === undefined) return { kind: "failed", why: "no outcome" };
      return outcome.kind === "failed" ? outcome : { kind: "row", row: linuxRow(outcome) };
    }
    default:
      return assertNever(cell);
  }
}

/** A result as one line of NDJSON, without the line's end. */
export const lineOf = ({ cell, outcome }: Result): string =>
  JSON.stringify(outcome.kind === "row" ? { cell, result: outcome.row } : { cell, failed: outcome.why });

/** Tells of a result's fields and figures by name, for tables of any kind; of a name that comes twice the latter counts. */
export function eachValue({ cell, outcome }: Result, tell: (name: string, value: Value) => void): void {
  const tellAll = (row: Row): void => {
    for (const name in row) tell(name, row[name]!);
  };
  tellAll(fieldsOf(cell));
  if (cell.kind === "predict") tell("recordingSha256", cell.recording.sha256);
  if (outcome.kind === "row") tellAll(outcome.row);
  tell("failed", outcome.kind === "failed" ? outcome.why : null);
}
