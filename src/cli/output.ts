/** What a command that ran something leaves behind: tables on the terminal, a JSON file, a page. */
import { UserError } from "../common/errors.ts";
import { agreementOf } from "../lab/agreement.ts";
import { agreementsOf as agreementsOfMatrix, type LinuxMatrix } from "../lab/linux/matrix.ts";
import type { RunDetail } from "../lab/report/detail.ts";
import { renderHtml } from "../lab/report/html.ts";
import { checkRun, writeReport } from "../lab/report/report-file.ts";
import { type Agreement, type Host, type LinuxRun, type ModelRun, REPORT_SCHEMA } from "../lab/report/run.ts";
import { renderAgreement } from "./agreement-table.ts";
import { beginFile, type PendingFile } from "./files.ts";
import { hostFacts } from "./host-facts.ts";
import type { Job } from "./job.ts";
import { renderMatrix } from "./linux/tables.ts";
import { pageAssets } from "./page-assets.ts";
import { startProgress } from "./progress.ts";
import { renderRuns } from "./tables.ts";
import { VERSION } from "./version.ts";
import { lookOf, type World } from "./world.ts";

/** For `--json -`: the report goes to standard output, and nothing else does. */
export const STDOUT = "-";

export interface Outputs {
  readonly json: string | undefined;
  readonly html: string | undefined;
  /** The page's heading. */
  readonly title: string;
  /** Machines' own runs, which those of the model are held against. */
  readonly against?: readonly LinuxRun[];
}

/** The model's runs come to something else than the machine's that they are held against: that has been told. */
export class ModelDisagrees extends Error {
  override readonly name = "ModelDisagrees";
}

/**
 * The model's runs beside the machine's of the same policy and profile.
 * @throws UserError where there is none of any
 */
function agreementsOf(machines: readonly LinuxRun[], runs: readonly ModelRun[]): Agreement[] {
  const found = runs.flatMap((run) =>
    machines
      .filter(({ policy, profile }) => policy === run.policy && profile === run.profile)
      .map((machine) => agreementOf(machine, run)),
  );
  if (found.length > 0) return found;
  const there = machines.map(({ policy, profile }) => `${policy} at ${profile}`);
  throw new UserError(
    `--against: no run of ${[...new Set(runs.map(({ policy }) => policy))].join(", ")} in it`,
    `It has: ${there.join("; ") || "no run of a machine's"}. Choose one with --policy and --profile`,
  );
}

/** The page as text, with ECharts and the page's own files read from where they are installed. */
const htmlOf = (details: readonly RunDetail[], title: string, linux?: LinuxMatrix): string =>
  renderHtml(details, pageAssets("page.js"), { title, version: VERSION }, linux);

/** What runs of Linux itself have come to. */
export interface LinuxResult {
  readonly matrix: LinuxMatrix;
  /** What executing them took here. */
  readonly machine: Host["machine"];
}

export interface Work {
  /** Carried out one after the other. */
  readonly jobs: readonly Job[];
  /** Runs Linux itself, after the jobs; undefined comes back where it cannot. */
  readonly linux?: () => Promise<LinuxResult | undefined>;
}

/** Tables and sentences of all that ran. */
function tablesOf(runs: readonly ModelRun[], linux: LinuxResult | undefined, world: World): string {
  const look = lookOf(world.stdout, world.env);
  return [
    ...(runs.length > 0 ? [renderRuns(runs, look)] : []),
    ...(linux === undefined ? [] : [renderMatrix(linux.matrix, look)]),
  ].join("\n");
}

/**
 * Carries out work and writes what was asked for: files first, so that a closed pipe behind the tables loses none of
 * them.
 */
export async function runAndReport(work: Work, outputs: Outputs, world: World): Promise<void> {
  const startedNs = world.nowNs();
  const begun = (path: string | undefined): PendingFile | undefined =>
    path === undefined || path === STDOUT ? undefined : beginFile(path);
  const files: PendingFile[] = [];
  const keep = (file: PendingFile | undefined) => {
    if (file !== undefined) files.push(file);
    return file;
  };
  const progress = startProgress("starting", world);
  try {
    const json = keep(begun(outputs.json));
    const html = keep(begun(outputs.html));
    const details: RunDetail[] = [];
    for (const job of work.jobs) {
      const trace = keep(
        job.kind === "predict" && job.traceFile !== null ? beginFile(job.traceFile) : undefined,
      );
      const placed = trace === undefined ? job : { ...job, traceFile: trace.temporaryPath };
      for await (const detail of world.runJob(placed, progress.onProgress))
        details.push({ ...detail, run: checkRun(detail.run) });
    }
    progress.stop();
    const linux = await work.linux?.();
    const runs = details.map((detail) => detail.run);
    const asked = outputs.against === undefined ? undefined : agreementsOf(outputs.against, runs);
    const agreement = [...(asked ?? []), ...(linux === undefined ? [] : agreementsOfMatrix(linux.matrix))];
    const report = () =>
      writeReport({
        schema: REPORT_SCHEMA,
        version: VERSION,
        host: hostFacts(world.nowNs() - startedNs, linux?.machine ?? null),
        runs: [...runs, ...(linux?.matrix.runs ?? [])],
        ...(agreement.length === 0 ? {} : { agreement }),
      });
    json?.write(report());
    html?.write(htmlOf(details, outputs.title, linux?.matrix));
    for (const file of files) file.commit();
    world.stdout.write(outputs.json === STDOUT ? report() : tablesOf(runs, linux, world));
    if (outputs.json !== STDOUT)
      for (const each of asked ?? [])
        world.stdout.write(renderAgreement(each, lookOf(world.stdout, world.env)));
    for (const { path } of files) world.stderr.write(`written: ${path}\n`);
    if (asked?.some(({ agrees }) => !agrees) === true) throw new ModelDisagrees("the model disagrees");
  } finally {
    progress.stop();
    for (const file of files) file.discard();
  }
}
