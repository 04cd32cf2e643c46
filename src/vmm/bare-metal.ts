/**
 * Bare metal: the baseline of every comparison. The same cores with the guest owning the buffer, no stage 2, no traps
 * and no charges but the guest's own.
 */

import { MDCR_EL2, PMBSR_EL1 } from "../arm/registers.ts";
import { compileSpeTraps } from "../arm/spe-traps.ts";
import type { Pfn } from "../common/address.ts";
import { BrokenInvariant } from "../common/errors.ts";
import { Timeline } from "../common/timeline.ts";
import type { CostTable } from "../host/costs.ts";
import { Frames } from "../host/frames.ts";
import type { GuestCore } from "../kvm/guest-core.ts";
import { GroundTruth } from "../kvm/spe/ground-truth.ts";
import type { CoreFactory } from "../kvm/vcpu.ts";
import { stage2Config } from "../mmu/config.ts";
import type { TableMemory } from "../mmu/table-memory.ts";

interface Pe {
  readonly core: GuestCore;
  readonly timeline: Timeline;
  readonly truth: GroundTruth;
  wakeAtNs: number | undefined;
  over: boolean;
}

const OFF = stage2Config({ VTCR_EL2: 0n, VTTBR_EL2: 0n, HCR_EL2: 0n });
const NO_TRAPS = compileSpeTraps({ MDCR_EL2: MDCR_EL2.with(0n, { E2PB: 3 }), fgt: false });
const QUANTUM_NS = 100_000;

export class BareMetal {
  readonly frames = new Frames();
  /** Physical memory; without stage 2 an IPA is a PA. */
  readonly memory: TableMemory<Pfn> = {
    page: (page, access) => (access.write ? this.frames.writable(page) : this.frames.read(page)),
    wrote: () => this.frames.wrote(),
  };
  readonly #pes: Pe[] = [];

  addCpus(
    count: number,
    core: CoreFactory,
    options: { readonly costs: CostTable; readonly irqLatencyNs: number; readonly seed: number },
  ): void {
    for (let i = 0; i < count; i++) {
      const timeline = new Timeline(`cpu ${i}`);
      const truth = new GroundTruth(options.seed + i);
      const made: GuestCore = core({
        vcpu: i,
        timeline,
        costs: options.costs,
        frames: this.frames,
        stage2: OFF,
        physical: this.memory,
        ownBuffer: () => {
          throw new BrokenInvariant("a buffer of EL2's on bare metal");
        },
        traps: () => NO_TRAPS,
        bareMetal: true,
        irqLatencyNs: options.irqLatencyNs,
        truth,
        guestView: () => {
          const { spu } = made;
          if (!spu.bufferEnable) return "off";
          return PMBSR_EL1.is(spu.read("PMBSR_EL1"), "S") ? "full" : "on";
        },
        untrappedEnable: () => undefined,
        onRecordPage: undefined,
        kick: (index, atNs) => {
          const pe = this.#pes[index];
          if (pe?.wakeAtNs !== undefined)
            pe.wakeAtNs = Math.min(pe.wakeAtNs, Math.max(atNs, pe.timeline.nowNs));
        },
      });
      this.#pes.push({ core: made, timeline, truth, wakeAtNs: undefined, over: false });
    }
  }

  get cores(): readonly GuestCore[] {
    return this.#pes.map((pe) => pe.core);
  }

  get truths(): readonly GroundTruth[] {
    return this.#pes.map((pe) => pe.truth);
  }

  run(): void {
    const atNs = (pe: Pe): number => pe.wakeAtNs ?? pe.timeline.nowNs;
    for (;;) {
      const left = this.#pes.filter((pe) => !pe.over);
      if (left.length === 0) return;
      const pe = left.reduce((a, b) => (atNs(b) < atNs(a) ? b : a));
      if (atNs(pe) === Number.POSITIVE_INFINITY)
        throw new BrokenInvariant("every CPU waits for another: the schedule cannot go on");
      if (pe.wakeAtNs !== undefined) pe.timeline.skipTo("idle", pe.wakeAtNs);
      pe.wakeAtNs = undefined;
      const others = left.filter((other) => other !== pe).map((other) => atNs(other) + QUANTUM_NS);
      const exit = pe.core.run(Math.max(pe.timeline.nowNs + 1, Math.min(...others)));
      switch (exit.kind) {
        case "deadline":
          break;
        case "wfi":
          pe.wakeAtNs = Math.max(Math.ceil(exit.untilNs), pe.timeline.nowNs);
          break;
        case "shutdown":
          pe.over = true;
          break;
        default:
          throw new BrokenInvariant(`an exit to a hypervisor (${exit.kind}) on bare metal`);
      }
    }
  }
}
