/** One run for a sweep: its record at one set of costs, without the ends of their ranges and without charts. */
import type { Waits } from "../guest/replay.ts";
import type { CostTable } from "../host/costs.ts";
import type { PinPolicy } from "../kvm/spe/policy.ts";
import type { Machine } from "../vmm/machine.ts";
import { runBareMetal, runVm, type Setting } from "./experiment.ts";
import { modelRecordOf } from "./record.ts";
import type { ModelRun } from "./report/run.ts";

export interface Trial {
  readonly setting: Setting;
  readonly policy: PinPolicy;
  readonly costs: CostTable;
  /** For the record. Default "sweep". */
  readonly profile?: string;
  /** Default "kept": what the guest waits for takes as long as it did. */
  readonly waits?: Waits;
  /** Bare metal's wall time where it is known already (the same setting under another policy). */
  readonly bareMetal?: ReturnType<typeof runBareMetal>;
  /** Called with the VM before the guest first runs. */
  readonly attach?: (machine: Machine) => void;
}

/** Runs a setting under a policy and on bare metal. */
export function trial({
  setting,
  policy,
  costs,
  profile = "sweep",
  waits = "kept",
  ...known
}: Trial): ModelRun {
  const bareMetal = known.bareMetal ?? runBareMetal(setting, costs, waits);
  const outcome = runVm(
    setting,
    policy,
    costs,
    waits,
    known.attach === undefined ? {} : { attach: known.attach },
  );
  const run = modelRecordOf(outcome, {
    setting,
    policy: policy.name,
    profile,
    bareMetal,
  });
  outcome.machine.destroy();
  return run;
}
