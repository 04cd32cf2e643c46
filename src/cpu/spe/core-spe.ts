/** SPE of a core that executes A64: the unit, where its records go, its interrupt, and the registers that instructions reach. */
import { type Encoding, registerByEncoding, type SpeRegisterName } from "../../arm/registers.ts";
import type { Ipn } from "../../common/address.ts";
import { randomBitsAt } from "../../common/random.ts";
import type { CoreHardware } from "../../kvm/guest-core.ts";
import { TruthFeed } from "../../kvm/spe/ground-truth.ts";
import { ticksAt } from "../../kvm/timers.ts";
import { bareMetalPe, type PeContext } from "../../spe/enables.ts";
import type { SpeImplementation } from "../../spe/implementation.ts";
import { ManagementIrq, type ManagementIrqState } from "../../spe/management-irq.ts";
import { type RecordTlb, TranslatedRecords } from "../../spe/record-memory.ts";
import { Spu, type SpuSnapshot } from "../../spe/spu.ts";
import type { Core } from "../core.ts";
import type { Coherence } from "./coherence.ts";
import { Models } from "./models.ts";
import { Sampling, type SamplingState, WARM_OPS } from "./sampling.ts";

export interface CoreSpeState {
  readonly spu: SpuSnapshot;
  readonly pe: Readonly<PeContext>;
  readonly tlb: RecordTlb;
  readonly pmbirq: ManagementIrqState;
  /** Random bytes that the unit has drawn. */
  readonly draws: number;
  readonly sampling: SamplingState;
}

/** The registers of EL1, by encoding. */
const isOfEl1 = (name: string): name is SpeRegisterName => /^PM[BS].*_EL1$/.test(name);

/** Whether an encoding is that of one of them. */
export function isSpeRegister(encoding: Encoding): boolean {
  if (encoding[2] !== 9) return false;
  const name = registerByEncoding(encoding)?.name;
  return name !== undefined && isOfEl1(name);
}

export class CoreSpe {
  readonly spu: Spu;
  readonly sampling: Sampling;
  readonly pmbirq: ManagementIrq;
  readonly #core: Core;
  readonly #hardware: CoreHardware;
  readonly #records: TranslatedRecords;
  readonly #nowNs: (cycles?: number) => number;
  #draws = 0;

  /**
   * @param nowNs the instant that the core has reached, or reaches so many cycles later
   * @param isAhead whether others will be behind so many cycles later
   */
  constructor(
    core: Core,
    hardware: CoreHardware,
    implementation: SpeImplementation,
    options: {
      readonly seed: number;
      readonly coherence: Coherence;
      /** Whether the models follow every op, and not only some before each sample. */
      readonly exact: boolean;
      readonly nowNs: (cycles?: number) => number;
      readonly isAhead: (cycles: number) => boolean;
    },
  ) {
    this.#core = core;
    this.#hardware = hardware;
    this.#nowNs = options.nowNs;
    const seed = options.seed ^ (hardware.vcpu * 0x9e37_79b9);
    const pe = bareMetalPe();
    const { stage2, physical, ownBuffer, onRecordPage } = hardware;
    this.#records = new TranslatedRecords(
      { stage1: () => core.space.regime, stage2, physical, ownBuffer, onRecordPage },
      pe,
    );
    this.spu = new Spu({
      pe,
      implementation,
      memory: this.#records,
      random: () => randomBitsAt(seed, this.#draws++) & 0xff,
      counter: () => ticksAt(this.sampling.selectedNs),
      storeRecords: true,
    });
    this.pmbirq = new ManagementIrq(this.spu, hardware.irqLatencyNs);
    this.sampling = new Sampling({
      core,
      spu: this.spu,
      truth: new TruthFeed(hardware.truth, this.spu, hardware.guestView),
      nowNs: options.nowNs,
      isAhead: options.isAhead,
      warmOps: options.exact ? Number.POSITIVE_INFINITY : WARM_OPS,
      models: new Models(options.coherence, hardware.vcpu),
    });
    core.watcher = this.sampling;
  }

  // ---- Registers ----

  /** Whether an access of EL1's goes to EL2 instead. */
  traps(encoding: Encoding, isRead: boolean): boolean {
    const { bareMetal, traps } = this.#hardware;
    if (bareMetal || encoding[2] !== 9) return false;
    const name = registerByEncoding(encoding)?.name;
    return name !== undefined && isOfEl1(name) && traps().traps(name, !isRead);
  }

  /** The value of a register, undefined if it is none that this unit has. */
  read(encoding: Encoding): bigint | undefined {
    const name = this.#nameOf(encoding, false);
    if (name === undefined) return undefined;
    this.#beforeAccess();
    return this.spu.read(name);
  }

  /** Writes a register; false if it is none that this unit has. */
  write(encoding: Encoding, value: bigint): boolean {
    const name = this.#nameOf(encoding, true);
    if (name === undefined) return false;
    this.#beforeAccess();
    this.sampling.tell();
    this.spu.write(name, value);
    if (name === "PMBLIMITR_EL1") this.#hardware.untrappedEnable(this.spu.bufferEnable);
    if (name === "PMBSR_EL1") this.#hardware.untrappedStatus();
    this.sampling.changed();
    this.pmbirq.notice(this.#nowNs());
    this.pmbirq.lowerIfClear();
    // The interrupt may be due, or gone: look again.
    this.#core.exitWith({ kind: "budget" });
    return true;
  }

  #nameOf(encoding: Encoding, isWrite: boolean): SpeRegisterName | undefined {
    if (this.#core.state.el !== 1 || encoding[2] !== 9) return undefined;
    const name = registerByEncoding(encoding)?.name;
    return name !== undefined && isOfEl1(name) && this.spu.implements(name, isWrite) ? name : undefined;
  }

  /** The access is an op itself: it comes after what it counts for. */
  #beforeAccess(): void {
    this.spu.pe.el = this.#core.state.el;
    this.sampling.count();
  }

  // ---- Around a run ----

  /** The guest goes on: registers may be others than those that it was left with. */
  resumes(): void {
    this.sampling.resumes();
    this.pmbirq.lowerIfClear();
  }

  /** A run has ended, or some of it is over. */
  pauses(): void {
    this.sampling.tell();
    this.pmbirq.notice(this.#nowNs());
  }

  /** A cold or warm reset: PMBLIMITR_EL1.E is 0, and with it nothing is profiled; other fields are UNKNOWN. */
  reset(): void {
    for (const name of ["PMBLIMITR_EL1", "PMSCR_EL1", "PMBSR_EL1", "PMBPTR_EL1"] as const)
      this.spu.write(name, 0n);
    this.#records.invalidateAll();
    this.sampling.changed();
    this.pmbirq.lowerIfClear();
  }

  invalidateByIpa(first: Ipn, pages: number): void {
    this.#records.invalidateByIpa(first, pages);
  }

  /** TLBI by the guest, or another context. */
  forgetTranslations(): void {
    this.#records.invalidateAll();
  }

  // ---- Whole state ----

  save(): CoreSpeState {
    return {
      spu: this.spu.save(),
      pe: { ...this.spu.pe },
      tlb: this.#records.save(),
      pmbirq: this.pmbirq.save(),
      draws: this.#draws,
      sampling: this.sampling.save(),
    };
  }

  restore(state: CoreSpeState): void {
    this.spu.restore(state.spu);
    // What EL2 has to say is whoever restores it's.
    const { el2, e2pb } = this.spu.pe;
    Object.assign(this.spu.pe, state.pe, { el2, e2pb });
    this.#records.restore(state.tlb);
    this.pmbirq.restore(state.pmbirq);
    this.#draws = state.draws;
    this.sampling.restore(state.sampling);
  }
}
