/** A matrix's runs beside each other: each record gets what the same command took on bare metal and where SPE is free. */
import type { LinuxRun } from "../report/run.ts";
import { FREE_SPE } from "./free-spe.ts";

/** The policy of a machine without a hypervisor, as its record has it. */
export const BARE_METAL = "none";

export const isBareMetal = (run: LinuxRun): boolean => run.policy === BARE_METAL;
export const isFreeSpe = (run: LinuxRun): boolean => run.policy === FREE_SPE.name;

/** The records with their `baseline`, where bare metal's run of their scenario is among them; bare metal's own has none. */
export function withBaselines(runs: readonly LinuxRun[]): LinuxRun[] {
  return runs.map((run) => {
    const metal = runs.find((other) => other.scenario === run.scenario && isBareMetal(other));
    if (metal === undefined || isBareMetal(run)) return run;
    const free = runs.find(
      (other) => other.scenario === run.scenario && other.profile === run.profile && isFreeSpe(other),
    );
    const { selected, lostWhileFull } = metal.samples;
    return {
      ...run,
      baseline: { selected, lostWhileFull, freeSpeWallNs: free?.guestWallNs ?? null },
      bareMetalWallNs: metal.guestWallNs,
      slowdown: run.guestWallNs / metal.guestWallNs,
    };
  });
}

/** How many times what the VM takes without SPE's costs a run takes; null where nobody ran that. */
export const overFreeSpe = ({ guestWallNs, baseline }: LinuxRun): number | null =>
  baseline === null || baseline.freeSpeWallNs === null ? null : guestWallNs / baseline.freeSpeWallNs;
