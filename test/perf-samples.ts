/** The samples that perf makes of a record, by the bits of its events (Linux tools/perf/util/arm-spe.c). */
import { EVENT } from "../src/spe/op.ts";

export const SAMPLE_EVENTS: readonly (readonly [name: string, bit: number])[] = [
  ["l1d-miss", EVENT.l1dRefill],
  ["l1d-access", EVENT.l1dAccess],
  ["llc-miss", EVENT.llcMiss],
  ["llc-access", EVENT.llcAccess],
  ["tlb-miss", EVENT.tlbWalk],
  ["tlb-access", EVENT.tlbAccess],
  ["branch-miss", EVENT.mispredicted],
  ["remote-access", EVENT.remoteAccess],
];
