/**
 * What the model's tasks execute: an instruction rate and a mix of ops. An op is a pure function of seed and position
 * (instructions retired by the task), so a sample of it is the same under any policy.
 */
import { randomBitsAt } from "../common/random.ts";
import { EVENT, type SampledOp, SUBCLASS } from "../spe/op.ts";
import type { Workload } from "./pe.ts";

/** Shares of loads, stores and branches in general-purpose code, in 1024ths; the rest is other. Assumed. */
export const MIX = { load: 256, store: 112, branch: 176 } as const;

/** Of 1024 loads: refills of L1D, misses of the last level. Assumed. */
const L1D_REFILLS = 32;
const LLC_MISSES = 4;
/** Of 1024 branches: not taken, mispredicted. Assumed. */
const NOT_TAKEN = 400;
const MISPREDICTED = 10;

/** Latencies in cycles. No op of the mix takes longer than a miss to memory. */
const LATENCY = { l1: 4, l2: 14, memory: 320, jitter: 15 } as const;
const MAX_LATENCY = LATENCY.memory + LATENCY.jitter + 32;

/**
 * @param opsPerNs clock in GHz times instructions a cycle
 * @param seed of the run, mixed with the task
 */
export function modelWorkload(opsPerNs: number, seed: number): Workload {
  return {
    opsPerNs,
    bounds: { maxTotalLatency: MAX_LATENCY },
    opAt: (position) => drawOp(seed, position),
  };
}

function drawOp(seed: number, position: number): SampledOp {
  const bits = randomBitsAt(seed, position);
  const draw = bits & 1023;
  const detail = (bits >>> 10) & 1023;
  const extra = (bits >>> 20) & 15;
  const pc = BigInt(0x400000 + (bits >>> 12) * 4);
  const issueLatency = 2 + (extra & 3);
  if (draw < MIX.load + MIX.store) {
    const isLoad = draw < MIX.load;
    const refill = detail < L1D_REFILLS;
    const miss = detail < LLC_MISSES;
    const memory = miss ? LATENCY.memory : refill ? LATENCY.l2 : LATENCY.l1;
    return {
      kind: isLoad ? "load" : "store",
      subclass: isLoad ? SUBCLASS.generalPurpose : SUBCLASS.store,
      events:
        EVENT.retired |
        EVENT.l1dAccess |
        EVENT.tlbAccess |
        (refill ? EVENT.l1dRefill : 0) |
        (miss ? EVENT.llcAccess | EVENT.llcMiss : 0),
      totalLatency: issueLatency + memory + extra,
      issueLatency,
      translationLatency: 1,
      pc,
      va: BigInt(0x7f0000000000 + (bits % 0x10000) * 64),
      ...(isLoad ? { dataSource: miss ? 0xe : refill ? 8 : 0 } : {}),
    };
  }
  if (draw < MIX.load + MIX.store + MIX.branch) {
    const taken = detail >= NOT_TAKEN;
    return {
      kind: "branch",
      subclass: SUBCLASS.branchConditional,
      events:
        EVENT.retired |
        (taken ? 0 : EVENT.notTaken) |
        (extra === 0 && detail < 16 * MISPREDICTED ? EVENT.mispredicted : 0),
      totalLatency: issueLatency + 1,
      issueLatency,
      pc,
      ...(taken ? { target: pc + 64n } : {}),
    };
  }
  return {
    kind: "other",
    subclass: SUBCLASS.other,
    events: EVENT.retired,
    totalLatency: issueLatency + 1 + (extra >>> 2),
    issueLatency,
    pc,
  };
}
