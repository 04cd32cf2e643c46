/**
 * What a cold start costs at least: a reference for the bar, and no policy that a kernel could have, since it knows beforehand how
 * fast the guest will write.
 */
import { PAGE_BYTES } from "../../common/address.ts";
import type { CostTable } from "../../host/costs.ts";
import { DONE, type PinPolicy } from "../../kvm/spe/policy.ts";
import type { Setting } from "../experiment.ts";

/** A record of the model's. */
const RECORD_BYTES = 64;

export interface ColdStart {
  readonly samplesPerSecond: number;
  readonly workerWakeNs: number;
  /** The longest that a vCPU runs. */
  readonly runNs: number;
}

/** Pages that a vCPU maps itself, since they are written before a worker can be awake: those of its whole run at most. */
const coldPages = ({ samplesPerSecond, workerWakeNs, runNs }: ColdStart): number =>
  1 + Math.ceil((samplesPerSecond * RECORD_BYTES * Math.min(workerWakeNs, runNs)) / 1e9 / PAGE_BYTES);

/**
 * At each vCPU's first enable: a walk of stage 1, and leaves for its tables and for the pages that are written before a worker can be
 * awake. Then one look at the vCPU: how far it is no trap tells. What comes later a worker does, for nothing.
 */
export function coldStart(of: ColdStart): PinPolicy {
  const pages = coldPages(of);
  return {
    name: "cold-start",
    summary:
      "Maps at a vCPU's first enable what it writes before a worker can be awake, and looks at it once.",
    origin: "A bound for the bar: nobody can do less who lets the SPU write to the guest's memory.",
    tradeOff: "It knows how fast the guest will write.",
    trapsBuffer: true,
    create() {
      const started = new Set<number>();
      return {
        onBufferEnabled(buffer, ctx) {
          if (started.has(ctx.vcpu)) return DONE;
          started.add(ctx.vcpu);
          const count = Math.min(pages, buffer.pages);
          const walk = ctx.walk({
            ...buffer,
            limit: BigInt(buffer.firstPage + count) << 12n,
            pages: count,
          });
          if (walk.kind !== "walked") return walk;
          const mapped = ctx.map(walk.all);
          if (mapped.kind === "done") ctx.armTimer(ctx.nowNs + of.workerWakeNs, "look");
          return mapped;
        },
        onTimer: () => undefined,
      };
    },
  };
}

/** Where it is run: stage 2 maps everything, so that nothing faults, but what it maps costs what it would in the setting. */
export const coldSetting = (setting: Setting): Setting => ({ ...setting, stage2AtStart: "mapped" });
export const coldCosts = ({ stage2AtStart }: Setting, costs: CostTable): CostTable =>
  stage2AtStart === "mapped" ? costs : { ...costs, stage2Check: costs.stage2Leaf };
