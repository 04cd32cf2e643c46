/** Reports as files: their runs are checked when they are written and when they are read, for the sums that must hold as well. */
import type * as z from "zod";
import { toDotPath } from "zod/v4/core";
import { BrokenInvariant, UserError } from "../../common/errors.ts";
import { REPORT_SCHEMA, Report, RUN_SCHEMA, Run, TIME_PARTS } from "./run.ts";

/** Sums of many ns may round; a difference beyond this is a lost charge. */
const sameNs = (a: number, b: number): boolean => Math.abs(a - b) <= Math.max(1, 1e-9 * Math.max(a, b));

/** What must add up in a run and does not, one sentence each; empty for a sound run. */
function brokenSums(run: Run): string[] {
  const broken: string[] = [];
  for (const vcpu of run.vcpus) {
    const sum = TIME_PARTS.reduce((total, part) => total + vcpu[part], 0);
    if (!sameNs(sum, vcpu.elapsedNs))
      broken.push(`vCPU ${vcpu.vcpu}: its parts add up to ${sum} ns, but ${vcpu.elapsedNs} ns elapsed`);
  }
  for (const part of TIME_PARTS) {
    const sum = run.vcpus.reduce((total, vcpu) => total + vcpu[part], 0);
    if (!sameNs(sum, run[part])) broken.push(`${part} is ${run[part]}, but its vCPUs add up to ${sum}`);
  }
  const isCompared = run.baseline !== null;
  if ((run.bareMetalWallNs !== null) !== isCompared || (run.slowdown !== null) !== isCompared)
    broken.push("bare metal's wall time and the slowdown are there if, and only if, there is a baseline");
  const { selected, ...fates } = run.samples;
  const accounted = Object.values(fates).reduce((total, n) => total + n, 0);
  if (accounted !== selected) broken.push(`${selected} samples selected, but ${accounted} accounted for`);
  for (const [name, reasons, total] of [
    ["bufferEnables", run.model?.enableReasons, run.bufferEnables],
    ["bufferDisables", run.model?.disableReasons, run.bufferDisables],
  ] as const) {
    const parts = Object.values(reasons ?? {});
    const sum = parts.reduce((a, b) => a + b, 0);
    if (parts.length > 0 && sum !== total)
      broken.push(`${name} is ${total}, but its reasons add up to ${sum}`);
  }
  return broken;
}

/** The first few places where data does not fit a schema, as "runs[0].pinNs: expected number". */
const complaints = (error: z.ZodError): string =>
  error.issues
    .slice(0, 5)
    .map((issue) => `${toDotPath(issue.path) || "top level"}: ${issue.message}`)
    .join("; ");

/** What is wrong with the schema that data names, if it is not the wanted one. */
function otherSchema(data: unknown, wanted: string): string | undefined {
  const named = typeof data === "object" && data !== null ? (data as { schema?: unknown }).schema : undefined;
  if (named === wanted) return undefined;
  return named === undefined
    ? `it names no schema, and this version reads ${wanted}`
    : `its schema is ${JSON.stringify(named)}, and this version reads ${wanted}`;
}

/**
 * Checks a run that we made.
 * @throws BrokenInvariant if it is of another schema, if a field is missing, unknown or out of range, or if a sum does not
 * hold
 */
export function checkRun<R extends Run>(run: R): R {
  const other = otherSchema(run, RUN_SCHEMA);
  if (other !== undefined) throw new BrokenInvariant(`a run: ${other}`);
  const parsed = Run.safeParse(run);
  if (!parsed.success)
    throw new BrokenInvariant(`a run does not fit ${RUN_SCHEMA}: ${complaints(parsed.error)}`);
  const broken = brokenSums(parsed.data);
  if (broken.length > 0)
    throw new BrokenInvariant(
      `the run of ${parsed.data.policy} on ${parsed.data.scenario} does not add up: ${broken.join("; ")}`,
    );
  return parsed.data as R;
}

/**
 * A report as the text of a JSON file.
 * @throws BrokenInvariant if one of its runs is not sound
 */
export function writeReport(report: Report): string {
  const runs = report.runs.map((run) => checkRun(run));
  return `${JSON.stringify({ ...report, runs }, null, 2)}\n`;
}

/**
 * A report from the text of a JSON file.
 * @param name what to call the file in an error
 * @throws UserError if it is not JSON, not a report, of another version, or does not add up
 */
export function readReport(text: string, name: string): Report {
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch {
    throw new UserError(`${name}: not a JSON file`);
  }
  const other = otherSchema(data, REPORT_SCHEMA);
  if (other !== undefined) throw new UserError(`${name}: ${other}`);
  const { runs } = data as { runs?: unknown };
  for (const [i, run] of (Array.isArray(runs) ? runs : []).entries()) {
    const old = otherSchema(run, RUN_SCHEMA);
    if (old !== undefined) throw new UserError(`${name}: runs[${i}]: ${old}`);
  }
  const parsed = Report.safeParse(data);
  if (!parsed.success)
    throw new UserError(`${name}: not a ${REPORT_SCHEMA} report: ${complaints(parsed.error)}`);
  const broken = parsed.data.runs.flatMap(brokenSums);
  if (broken.length > 0) throw new UserError(`${name}: damaged: ${broken.slice(0, 5).join("; ")}`);
  return parsed.data;
}
