/** A core by itself with a profiling unit, for tests: EL1 and EL0 with the MMU off, and nothing around it. */
import { PMBLIMITR_EL1, PMSCR_EL1, type SpeRegisterName } from "../../arm/registers.ts";
import type { Ipn, Pfn } from "../../common/address.ts";
import { Timeline } from "../../common/timeline.ts";
import type { CoreHardware } from "../../kvm/guest-core.ts";
import { GroundTruth } from "../../kvm/spe/ground-truth.ts";
import { decodeSpe, type SpeRecord } from "../../perf/spe-record.ts";
import { implementationOf } from "../../spe/implementation.ts";
import { lonePlatform } from "../core.testing.ts";
import { Core } from "../core.ts";
import type { CoreExit } from "../core-exit.ts";
import { CoreCode } from "../execute/core-code.ts";
import { TRANSLATION, type Translation } from "../execute/translator.ts";
import { IMPLEMENTATION } from "../implementation.ts";
import { CpuMemory } from "../memory.ts";
import { Coherence } from "./coherence.ts";
import { CoreSpe } from "./core-spe.ts";

const PAGES = 128;
/** Guest memory: vectors, code, data, and the profiling buffer behind all of these. */
export const PLACE = {
  vectors: 0x2000,
  code: 0x10000,
  data: 0x20000,
  buffer: 0x40000,
  bufferEnd: PAGES * 4096,
} as const;
const SPE = implementationOf({ version: "1.2", intervalOps: 256 });

export interface SpeCore {
  readonly core: Core;
  readonly spe: CoreSpe;
  readonly truth: GroundTruth;
  /** All of physical memory. */
  bytes(): Uint8Array;
  /** Puts words where a place is. */
  load(address: number, words: readonly number[]): void;
  /** Enables the buffer, and profiling as PMSCR_EL1 says. */
  profile(
    control: Parameters<typeof PMSCR_EL1.with>[1],
    registers?: Partial<Record<SpeRegisterName, bigint>>,
  ): void;
  run(budget: number): CoreExit;
  /** What has been written to the buffer since it was enabled or emptied. */
  records(): readonly SpeRecord[];
  /** As a driver does after the interrupt: the pointer is at the start, and a full buffer goes on. */
  empty(): void;
}

/**
 * @param seed of the unit's jitter
 * @param exact whether the models follow every op
 * @param isAhead asked before each sample: whether the core must wait for others
 * @param translation when its code is translated
 */
export function speCore(
  seed = 1,
  exact = false,
  isAhead = () => false,
  translation: Translation = TRANSLATION,
): SpeCore {
  const memory = new CpuMemory(1, PAGES);
  const pages = Array.from({ length: PAGES }, () => memory.pages.allocatePage());
  const lone = lonePlatform(pages);
  const truth = new GroundTruth(1);
  // The unit is made for a core that must be there: they find each other by way of this.
  const found: { spe?: CoreSpe } = {};
  const core = new Core(0, new CoreCode(memory, { ...IMPLEMENTATION, spe: SPE }, translation), {
    ...lone,
    readRegister: (encoding) => found.spe?.read(encoding),
    writeRegister: (encoding, value) => found.spe?.write(encoding, value) === true,
  });
  const hardware: Pick<
    CoreHardware,
    | "vcpu"
    | "bareMetal"
    | "stage2"
    | "physical"
    | "ownBuffer"
    | "onRecordPage"
    | "truth"
    | "guestView"
    | "traps"
    | "untrappedEnable"
    | "untrappedStatus"
    | "irqLatencyNs"
    | "timeline"
  > = {
    vcpu: 0,
    bareMetal: true,
    timeline: new Timeline("test"),
    stage2: lone.stage2,
    physical: { page: (page: Pfn) => pages[page], wrote: () => undefined },
    ownBuffer: (page) => page as unknown as Pfn,
    onRecordPage: undefined as ((page: Ipn, frame: Pfn) => void) | undefined,
    truth,
    guestView: () => (spe.spu.bufferEnable ? (spe.spu.pmbirq ? "full" : "on") : "off"),
    traps: () => ({ traps: () => false, reason: () => undefined, psbCsync: false }),
    untrappedEnable: () => undefined,
    untrappedStatus: () => undefined,
    irqLatencyNs: 0,
  };
  const spe = new CoreSpe(core, hardware as CoreHardware, SPE, {
    seed,
    coherence: new Coherence(1),
    exact,
    // Two cycles a nanosecond.
    nowNs: (cycles = 0) => Math.floor((core.cycles + cycles) / 2),
    isAhead,
  });
  found.spe = spe;
  core.state.set64("VBAR_EL1", BigInt(PLACE.vectors));
  core.state.set64("CPACR_EL1", 3n << 20n);
  core.exceptions.controlsChanged();
  const bytes = (): Uint8Array => new Uint8Array(memory.memory.buffer, pages[0]!.byteOffset, PAGES * 4096);
  return {
    core,
    spe,
    truth,
    bytes,
    load: (address, words) => {
      new Uint32Array(memory.memory.buffer, pages[0]!.byteOffset + address, words.length).set(words);
      memory.code.drop();
    },
    profile: (control, registers = {}) => {
      const { spu } = spe;
      spu.write("PMBPTR_EL1", BigInt(PLACE.buffer));
      spu.write("PMBLIMITR_EL1", PMBLIMITR_EL1.with(0n, { E: 1, LIMIT: BigInt(PLACE.bufferEnd / 4096) }));
      for (const [name, value] of Object.entries(registers)) spu.write(name as SpeRegisterName, value);
      spu.write("PMSCR_EL1", PMSCR_EL1.with(0n, control));
      spe.resumes();
    },
    run: (budget) => {
      const exit = core.run(budget);
      spe.pauses();
      return exit;
    },
    empty: () => {
      spe.spu.write("PMBPTR_EL1", BigInt(PLACE.buffer));
      spe.spu.write("PMBSR_EL1", 0n);
      spe.resumes();
    },
    records: () => {
      const written = Number(spe.spu.read("PMBPTR_EL1")) - PLACE.buffer;
      return decodeSpe(bytes().subarray(PLACE.buffer, PLACE.buffer + written)).records;
    },
  };
}
