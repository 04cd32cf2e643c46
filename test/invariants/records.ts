/** One run of a setting as its record and charts, checked for the sums that must hold, and as text to compare. */
import { type CostTable, costTable } from "../../src/host/costs.ts";
import { PROFILES } from "../../src/host/profiles.ts";
import type { PinPolicy } from "../../src/kvm/spe/policy.ts";
import { runBareMetal, runVm, type Setting, type VmOutcome } from "../../src/lab/experiment.ts";
import { SpanListener } from "../../src/lab/listener.ts";
import { modelRecordOf } from "../../src/lab/record.ts";
import { checkRun } from "../../src/lab/report/report-file.ts";
import type { ModelRun } from "../../src/lab/report/run.ts";

export function costsOf(profile: string): CostTable {
  const found = PROFILES.find(({ name }) => name === profile);
  if (found === undefined) throw new Error(`no profile ${profile}`);
  return costTable(found);
}

export interface Recorded {
  readonly run: ModelRun;
  readonly text: string;
  /** The machine at its end, destroyed. */
  readonly outcome: VmOutcome;
}

export function record(setting: Setting, policy: PinPolicy, profile = "thread-normal"): Recorded {
  const costs = costsOf(profile);
  const bareMetal = runBareMetal(setting, costs, "kept");
  const listener = new SpanListener();
  const outcome = runVm(setting, policy, costs, "kept", { attach: (machine) => listener.attach(machine) });
  const run = checkRun(
    modelRecordOf(outcome, {
      setting,
      policy: policy.name,
      profile,
      bareMetal,
    }),
  );
  outcome.machine.destroy();
  const text = JSON.stringify({ run, spans: listener.spans(), pinned: listener.pinnedOverTime() });
  return { run, text, outcome };
}
