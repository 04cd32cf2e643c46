/** Profiling sessions made by real units: ops at random in, AUX bytes out, and what was put in beside them. */
import fc from "fast-check";
import type { SampledOp } from "../../src/spe/op.ts";
import { anyOp, BUFFER, start } from "../../src/spe/spu.testing.ts";
import { Spu } from "../../src/spe/spu.ts";

/** What was sampled, and the state it was sampled in. */
export interface PutIn {
  readonly cpu: number;
  readonly op: SampledOp;
  readonly el: 0 | 1;
  readonly contextEl1: number | undefined;
  readonly contextEl2: number | undefined;
  readonly pa: number | undefined;
  readonly timestamp: number | undefined;
}

export interface Session {
  readonly auxByCpu: readonly Uint8Array[];
  /** In the order of sampling, over all CPUs. */
  readonly samples: readonly PutIn[];
}

interface SamplePlan {
  readonly op: SampledOp;
  readonly el: 0 | 1;
  readonly cpu: 0 | 1;
  readonly context: number;
  readonly contextEl2: number;
  readonly pmscr: number;
  readonly pmscrEl2: number;
  readonly ticks: number;
}

const CX = 8;
const PA = 16;
const TS = 32;

/** Sources that perf's Neoverse table knows (tools/perf/util/arm-spe-decoder/arm-spe-decoder.h). */
const NEOVERSE_SOURCES = [0, 8, 9, 0xa, 0xb, 0xc, 0xd, 0xe] as const;

export interface SessionOptions {
  readonly samples: number;
  readonly seed: number;
  /** PMSCR_EL1 and PMSCR_EL2, CX, PA and TS at random; otherwise PMSCR_EL1 has CX and TS, and PA as given. */
  readonly anyControls: boolean;
  readonly collectPa: boolean;
  readonly tids: readonly number[];
}

/** Runs a session on two CPUs; time goes on by 1..1000 ticks from sample to sample. */
export function runSession(options: SessionOptions): Session {
  const fixed = CX | TS | (options.collectPa ? PA : 0);
  const plan: fc.Arbitrary<SamplePlan> = fc.record({
    op: fc
      .tuple(anyOp, fc.constantFrom(...NEOVERSE_SOURCES))
      .map(([op, dataSource]) => (op.dataSource === undefined ? op : { ...op, dataSource })),
    el: fc.constantFrom(0 as const, 1 as const),
    cpu: fc.constantFrom(0 as const, 1 as const),
    context: fc.constantFrom(...options.tids),
    contextEl2: fc.integer({ min: 0, max: 0xffff_ffff }),
    pmscr: options.anyControls ? fc.integer({ min: 0, max: 0x3f }) : fc.constant(fixed),
    pmscrEl2: options.anyControls ? fc.integer({ min: 0, max: 0x3f }) : fc.constant(PA),
    ticks: fc.integer({ min: 1, max: 1000 }),
  });
  const plans = fc.sample(plan, { numRuns: options.samples, seed: options.seed });

  let now = 1_000_000;
  const samples: PutIn[] = [];
  const written: Uint8Array[][] = [[], []];
  const units = written.map((records) => {
    const spu = new Spu({
      random: () => 0,
      counter: () => now,
      memory: {
        write(_page, _offset, _size, bytes) {
          if (bytes !== undefined) records.push(bytes.slice());
          return undefined;
        },
      },
    });
    start(spu, 4096, options.samples * 64 + 4096);
    Object.assign(spu.pe, { el2: true, e2pb: 3 });
    return spu;
  });
  for (const p of plans) {
    const spu = units[p.cpu] as Spu;
    now += p.ticks;
    spu.write("PMSCR_EL1", BigInt(p.pmscr | 3));
    spu.write("PMSCR_EL2", BigInt(p.pmscrEl2));
    Object.assign(spu.pe, { el: p.el, contextIdrEl1: p.context, contextIdrEl2: p.contextEl2 });
    spu.advance(spu.opsToNextSample());
    const outcome = spu.sample(p.op);
    if (outcome.kind !== "written") throw new Error(`a sample was ${outcome.kind}`);
    samples.push({
      cpu: p.cpu,
      op: p.op,
      el: p.el,
      contextEl1: p.pmscr & CX ? p.context : undefined,
      contextEl2: p.pmscrEl2 & CX ? p.contextEl2 : undefined,
      pa: p.pmscr & p.pmscrEl2 & PA ? p.op.pa : undefined,
      timestamp: p.pmscr & TS ? now : undefined,
    });
  }
  const auxByCpu = written.map((records) => new Uint8Array(records.flatMap((record) => [...record])));
  for (const [cpu, spu] of units.entries())
    if (spu.read("PMBPTR_EL1") - BUFFER !== BigInt(auxByCpu[cpu]?.length ?? -1))
      throw new Error("PMBPTR_EL1 and the bytes written disagree");
  return { auxByCpu, samples };
}
