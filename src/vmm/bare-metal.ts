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
import { aloneTurn, type Exit, type GuestCore, type Turn } from "../kvm/guest-core.ts";
import { GroundTruth } from "../kvm/spe/ground-truth.ts";
import type { CoreFactory } from "../kvm/vcpu.ts";
import { VcpuGic } from "../kvm/vgic.ts";
import { stage2Config } from "../mmu/config.ts";
import type { TableMemory } from "../mmu/table-memory.ts";
import { AGAIN, OVER, RUNS, Scheduler, type TurnEnd } from "./scheduler.ts";

interface Pe {
  readonly core: GuestCore;
  readonly timeline: Timeline;
  readonly truth: GroundTruth;
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
  readonly #scheduler = new Scheduler({ longestTurnNs: Number.POSITIVE_INFINITY });

  addCpus(
    count: number,
    core: CoreFactory,
    options: { readonly costs: CostTable; readonly irqLatencyNs: number; readonly seed: number },
  ): void {
    for (let i = 0; i < count; i++) {
      const timeline = new Timeline(`cpu ${i}`);
      const turn = aloneTurn();
      const truth = new GroundTruth(options.seed + i);
      const made: GuestCore = core({
        vcpu: i,
        timeline,
        turn,
        costs: options.costs,
        frames: this.frames,
        stage2: OFF,
        physical: this.memory,
        ownBuffer: () => {
          throw new BrokenInvariant("a buffer of EL2's on bare metal");
        },
        wires: new VcpuGic(),
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
        kick: (index, atNs) => this.#scheduler.kick(index, atNs),
      });
      this.#pes.push({ core: made, timeline, truth });
      this.#schedule(made, timeline, turn);
    }
  }

  #schedule(core: GuestCore, timeline: Timeline, turn: Turn): void {
    this.#scheduler.add(
      {
        get nowNs() {
          return timeline.nowNs;
        },
        quantumNs: QUANTUM_NS,
        isGuest: true,
        waitUntil: (atNs) => timeline.skipTo("idle", atNs),
        run: () => ended(core.run(turn.untilNs)),
      },
      turn,
    );
  }

  get cores(): readonly GuestCore[] {
    return this.#pes.map((pe) => pe.core);
  }

  get truths(): readonly GroundTruth[] {
    return this.#pes.map((pe) => pe.truth);
  }

  run(): void {
    for (;;) {
      const step = this.#scheduler.step();
      if (step === "over") return;
      if (step === "asleep")
        throw new BrokenInvariant("every CPU waits for another: the schedule cannot go on");
    }
  }
}

function ended(exit: Exit): TurnEnd {
  switch (exit.kind) {
    case "deadline":
    case "yield":
      return RUNS;
    case "busy":
      return AGAIN;
    case "wfi":
      return { kind: "waits", untilNs: exit.untilNs };
    case "shutdown":
      return OVER;
    default:
      throw new BrokenInvariant(`an exit to a hypervisor (${exit.kind}) on bare metal`);
  }
}
