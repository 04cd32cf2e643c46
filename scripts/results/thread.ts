/** The thread's commands on Linux, and what is like them. */

import { formatNs } from "../../src/common/sizes.ts";
import { overFreeSpe } from "../../src/lab/linux/baseline.ts";
import { type LinuxMatrix, linuxCasesOf } from "../../src/lab/linux/matrix.ts";
import { LINUX_SCENARIOS } from "../../src/lab/linux/scenarios/index.ts";
import { sentencesOf } from "../../src/lab/linux/sentences.ts";
import { perEnableNs, spokenColumns } from "../../src/lab/report/linux-columns.ts";
import type { LinuxRun } from "../../src/lab/report/run.ts";
import { formatFactor } from "../../src/lab/report/words.ts";
import { at, number, reportAt, say, spevisor, table } from "./runs.ts";

const SCENARIOS = ["thread-a", "thread-b", "thread-like", "thread-like-1000"];
const POLICIES = ["pin-on-enable", "adaptive"];

/**
 * What was found, and the tables.
 * @param page where the page with the same runs goes
 */
export function threadPart(page: string): { readonly finding: string; readonly text: string } {
  say("the thread's commands");
  const json = at("thread.json");
  spevisor([
    ...["thread", "--guest", "linux", "--scenario", SCENARIOS.join(), "--policy", POLICIES.join()],
    ...["--json", json, "--html", page],
  ]);
  const runs = reportAt(json).runs.filter((run): run is LinuxRun => run.guest === "linux");
  const matrix: LinuxMatrix = { runs, failures: [], scenarios: LINUX_SCENARIOS, models: [], guest: "" };
  const cases = linuxCasesOf(matrix).map((of) => {
    const rows = of.runs.map((run) => [run, undefined] as const);
    const columns = spokenColumns(rows);
    const cells = rows.map(([run]) => columns.map(({ cell }) => cell(run, undefined)));
    const sentences = sentencesOf(of, matrix).map((sentence) => `- ${sentence}`);
    return `### ${of.title}\n\n\`${of.command}\`\n\n${table([columns.map(({ title }) => title), ...cells])}\n\n${sentences.join("\n")}`;
  });
  return { finding: findingOf(runs), text: cases.join("\n\n") };
}

function findingOf(runs: readonly LinuxRun[]): string {
  const of = (scenario: string, policy: string): LinuxRun | undefined =>
    runs.find(
      (run) =>
        run.scenario === scenario &&
        run.policy === policy &&
        (run.profile === "thread-normal" || policy === "none"),
    );
  const told = ["thread-a --no-bpf-event", "thread-like-1000"].flatMap((scenario) => {
    const [metal, pinned, best] = ["none", ...POLICIES].map((policy) => of(scenario, policy));
    if (metal === undefined || pinned === undefined || best === undefined) return [];
    return [
      `${scenario}: ${formatNs(metal.guestWallNs)} on bare metal, ${formatNs(pinned.guestWallNs)} under pin-on-enable ` +
        `(${number(pinned.bufferEnables)} enables at ${formatNs(perEnableNs(pinned) ?? 0)} each), ` +
        `${formatNs(best.guestWallNs)} under adaptive, ${formatFactor(overFreeSpe(best) ?? 1)} times the VM whose SPE costs nothing`,
    ];
  });
  return `On Linux itself, ${told.join("; ")}.`;
}
