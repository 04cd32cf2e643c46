/**
 * Invariant 4, counted a second time: what each instruction of one vCPU was to the guest (profiled, in a full buffer,
 * or not profiled), from the guest's own register writes, and how many of them should have been selected.
 */
import { PMBLIMITR_EL1, PMBSR_EL1, PMSCR_EL1 } from "../../arm/registers.ts";
import { PMBSR_EC } from "../../arm/syndromes.ts";
import type { ScriptedCore } from "../../guest/scripted-core.ts";
import type { GuestView } from "../../kvm/spe/ground-truth.ts";
import type { Vcpu } from "../../kvm/vcpu.ts";
import { InvariantBroken } from "./broken.ts";

/** The largest random addition to a reload of PMSICR_EL1.COUNT (PMSIRR_EL1.RND). */
const MOST_JITTER = 255;

export class Ledger {
  readonly #vcpu: Vcpu;
  readonly #core: ScriptedCore;
  /** Instructions by what the guest believed, and of the profiled ones those that the hardware did not watch. */
  readonly ops = { off: 0, on: 0, full: 0, blackout: 0 };
  #leastSelected = 0;
  #mostSelected = 0;
  /** Times the counter was set: what is selected from there on, and what is lost, may each be off by a sample. */
  #restarts = 1;

  constructor(vcpu: Vcpu, core: ScriptedCore) {
    this.#vcpu = vcpu;
    this.#core = core;
    const { truth } = vcpu;
    const sampled = truth.sampled.bind(truth);
    const unsampled = truth.unsampled.bind(truth);
    truth.sampled = (ops) => {
      this.#sampled(ops);
      sampled(ops);
    };
    truth.unsampled = (view, ops, startNs, endNs, counter) => {
      this.#unsampled(view, ops);
      unsampled(view, ops, startNs, endNs, counter);
    };
    core.onWritten = (register) => {
      if (register === "PMSICR_EL1" || register === "PMSIRR_EL1") this.#restarts += 1;
    };
  }

  #sampled(ops: number): void {
    if (ops === 0) return;
    this.#expectView("on", "while the hardware samples", true);
    this.ops.on += ops;
    this.#expectSelections(ops);
  }

  #unsampled(view: GuestView, ops: number): void {
    this.#expectView(view, "by KVM's account");
    if (ops === 0) return;
    if (view === "off" || view === "no-space") {
      this.ops.off += ops;
      return;
    }
    this.ops[view] += ops;
    if (view === "on") this.ops.blackout += ops;
    this.#expectSelections(ops);
  }

  #expectSelections(ops: number): void {
    const irr = this.#core.written.get("PMSIRR_EL1") ?? 0n;
    const interval = Number(irr & 0xffff_ff00n);
    if (interval === 0) return;
    this.#mostSelected += ops / (interval + 1);
    this.#leastSelected += ops / (interval + 1 + ((irr & 1n) === 1n ? MOST_JITTER : 0));
  }

  /**
   * What the guest believes, from what it wrote and would read; a status that is on its way counts as arrived.
   * @param sampled the hardware did sample, and may have stopped with the last record
   */
  #view(sampled: boolean): readonly GuestView[] {
    const { written, spu } = this.#core;
    const { spe } = this.#vcpu;
    const pmscr = written.get("PMSCR_EL1") ?? 0n;
    if (!PMSCR_EL1.is(pmscr, spu.pe.el === 0 ? "E0SPE" : "E1SPE")) return ["off"];
    if (!PMBLIMITR_EL1.is(written.get("PMBLIMITR_EL1") ?? 0n, "E")) return ["off"];
    const hardware = spu.read("PMBSR_EL1");
    const arrived = PMBSR_EL1.is(hardware, "S") && PMBSR_EL1.num(hardware, "EC") !== PMBSR_EC.stage2Abort;
    if (!spe.traps.traps("PMBSR_EL1", false)) return arrived && !sampled ? ["full"] : ["on"];
    if (PMBSR_EL1.is(spe.read("PMBSR_EL1") ?? 0n, "S")) return ["full"];
    // A limit that the policy put below the guest's is no event of the guest's.
    return arrived ? ["full", "on"] : ["on"];
  }

  #expectView(view: GuestView, whose: string, sampled = false): void {
    const mine = this.#view(sampled);
    if (!mine.includes(view))
      throw new InvariantBroken(
        4,
        `vCPU ${this.#vcpu.index} is "${view}" ${whose}, and "${mine[0]}" by its own registers`,
      );
  }

  /** At the end: every selected sample has exactly one fate. */
  close(): void {
    const { truth, index } = this.#vcpu;
    const { counters } = this.#core.spu;
    const broken = (what: string): never => {
      throw new InvariantBroken(4, `vCPU ${index}: ${what}`);
    };
    const fates =
      counters.written + counters.filtered + counters.collided + counters.discarded + counters.truncated;
    if (counters.selected !== fates)
      broken(`the SPU selected ${counters.selected} samples, and ${fates} of them came to something`);
    const { on, full, off, blackout } = this.ops;
    if (truth.profiledInstructions !== on)
      broken(`${on} instructions were profiled to the guest, ${truth.profiledInstructions} to KVM`);
    if (truth.blackoutInstructions !== blackout)
      broken(`${blackout} instructions ran in blackouts, ${truth.blackoutInstructions} by KVM's account`);
    if (on + full + off !== this.#core.pe.instructions)
      broken(`${this.#core.pe.instructions} instructions ran, ${on + full + off} were accounted for`);
    const selected = counters.selected + truth.lostInBlackout + truth.lostWhileFull + truth.truncated;
    const least = this.#leastSelected - 2 * this.#restarts;
    const most = this.#mostSelected + 2 * this.#restarts;
    if (selected < least || selected > most)
      broken(
        `${selected} samples are accounted for, but between ${least.toFixed(1)} and ${most.toFixed(1)} must have been selected`,
      );
  }
}
