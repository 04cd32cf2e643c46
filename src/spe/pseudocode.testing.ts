/**
 * An independent, slow rendering of Arm's pseudocode (sail-arm, arm-v9.4-a/src/v8_base.sail: SPE*, Profiling*,
 * DebugWrite*), one op at a time and with 64-bit registers, for tests only. `asPublished` keeps what the pseudocode
 * says where the unit departs from it, so that a test can show both sides of a departure.
 */
import type { ExceptionLevel, PeContext } from "./enables.ts";
import type { SampledOp } from "./op.ts";
import type { RecordFault } from "./outcomes.ts";

export interface PseudocodeOptions {
  readonly asPublished: boolean;
  readonly pmsidr: bigint;
  readonly align: number;
  readonly pmsVer: number;
  readonly sve: boolean;
  readonly ecv: boolean;
  readonly random: () => number;
  readonly counter: (kind: string) => bigint;
  /** The fault of a write to one VA, if any. */
  readonly faultAt: (va: bigint) => RecordFault | undefined;
  readonly eventsBytes: number;
  readonly dataSourceBytes: number;
}

const field = (value: bigint, high: number, low: number): bigint =>
  (value >> BigInt(low)) & ((1n << BigInt(high - low + 1)) - 1n);
const isSet = (value: bigint, position: number): boolean => field(value, position, position) === 1n;

type PmuEvent = "SAMPLE_POP" | "SAMPLE_COLLISION" | "SAMPLE_FEED" | "SAMPLE_FILTRATE" | "SAMPLE_WRAP";

export class Pseudocode {
  PMSCR_EL1 = 0n;
  PMSCR_EL2 = 0n;
  PMSICR_EL1 = 0n;
  PMSIRR_EL1 = 0n;
  PMSFCR_EL1 = 0n;
  PMSEVFR_EL1 = 0n;
  PMSNEVFR_EL1 = 0n;
  PMSLATFR_EL1 = 0n;
  PMSDSFR_EL1 = 0n;
  PMBLIMITR_EL1 = 0n;
  PMBPTR_EL1 = 0n;
  PMBSR_EL1 = 0n;
  readonly memory = new Map<bigint, number>();
  /** PMU events by name, as PMUEvent() would count them. */
  readonly events: Partial<Record<PmuEvent, number>> = {};
  pe: PeContext;
  private readonly o: PseudocodeOptions;
  private inFlight = false;
  private record: number[] = [];
  private contextEl1: bigint | undefined;
  private contextEl2: bigint | undefined;
  private timestamp: bigint | undefined;
  private pcEl: ExceptionLevel = 0;
  private collectPa = false;

  constructor(pe: PeContext, options: PseudocodeOptions) {
    this.pe = pe;
    this.o = options;
  }

  private count(event: PmuEvent): void {
    this.events[event] = (this.events[event] ?? 0) + 1;
  }

  private owner(): 1 | 2 {
    return this.pe.el2 ? (this.pe.e2pb === 0 ? 2 : 1) : 1;
  }

  ProfilingBufferEnabled(): boolean {
    return isSet(this.PMBLIMITR_EL1, 0) && !isSet(this.PMBSR_EL1, 17);
  }

  StatisticalProfilingEnabled(el: ExceptionLevel = this.pe.el): boolean {
    if (!this.ProfilingBufferEnabled()) return false;
    const tgeSet = this.pe.el2 && this.pe.tge;
    if (this.owner() < el || (tgeSet && this.owner() === 1)) return false;
    const bits = {
      2: isSet(this.PMSCR_EL2, 1),
      1: isSet(this.PMSCR_EL1, 1),
      0: tgeSet ? isSet(this.PMSCR_EL2, 0) : isSet(this.PMSCR_EL1, 0),
    };
    return bits[el];
  }

  private toCollectSample(): boolean {
    const rnd = isSet(this.PMSIRR_EL1, 0);
    const ernd = isSet(this.o.pmsidr, 5);
    let count = field(this.PMSICR_EL1, 31, 0);
    let ecount = field(this.PMSICR_EL1, 63, 56);
    let sampled = false;
    const done = (): boolean => {
      this.PMSICR_EL1 = (ecount << 56n) | count;
      return sampled;
    };
    if (count === 0n) {
      count = field(this.PMSIRR_EL1, 31, 8) << 8n;
      if (rnd && !ernd) count |= BigInt(this.o.random());
    } else {
      count -= 1n;
      if (count === 0n) {
        if (rnd && ernd) ecount = BigInt(this.o.random());
        else {
          sampled = true;
          return done();
        }
      }
    }
    if (ecount !== 0n) {
      ecount -= 1n;
      if (ecount === 0n) sampled = true;
    }
    return done();
  }

  /** SPEPreExecution. Returns whether the op was selected. */
  preExecution(): boolean {
    if (!this.StatisticalProfilingEnabled()) return false;
    this.count("SAMPLE_POP");
    if (!this.toCollectSample()) return false;
    if (this.inFlight) {
      this.count("SAMPLE_COLLISION");
      this.PMBSR_EL1 |= 1n << 16n;
      return true;
    }
    this.inFlight = true;
    const { pe } = this;
    const tge = pe.el2 && pe.tge;
    this.contextEl1 = pe.el !== 2 && !tge && isSet(this.PMSCR_EL1, 3) ? BigInt(pe.contextIdrEl1) : undefined;
    this.contextEl2 = pe.el2 && isSet(this.PMSCR_EL2, 3) ? BigInt(pe.contextIdrEl2) : undefined;
    this.pcEl = pe.el;
    this.collectPa = pe.el2
      ? isSet(this.PMSCR_EL2, 4) && (this.owner() === 2 || isSet(this.PMSCR_EL1, 4))
      : isSet(this.PMSCR_EL1, 4);
    const kind = this.collectTimeStamp();
    this.timestamp = kind === undefined ? undefined : this.o.counter(kind);
    return true;
  }

  private collectTimeStamp(): string | undefined {
    const { pe } = this;
    const owner = this.owner();
    if (!isSet(owner === 2 ? this.PMSCR_EL2 : this.PMSCR_EL1, 5)) return undefined;
    const host = pe.el2 && pe.e2h && (pe.el === 2 || (pe.el === 0 && pe.tge));
    const pct = (value: bigint): number => {
      const raw = Number(field(value, 7, 6));
      if (!this.o.ecv) return raw & 1;
      return raw === 2 ? 0 : raw;
    };
    const [pct1, pct2] = [pct(this.PMSCR_EL1), pct(this.PMSCR_EL2)];
    if (pe.el2) {
      if (pct2 === 0) return host ? "physical" : "virtual";
      if (pct2 === 1 && owner === 2) return "physical";
      if (pct2 === 3) return owner === 1 && pct1 === 0 ? (host ? "physical" : "virtual") : "offset-physical";
    }
    if (pct1 === 0) return host ? "physical" : "virtual";
    return pct1 === 1 ? "physical" : "offset-physical";
  }

  /** SPEPostExecution of the op in flight. Returns whether its record passed the filters. */
  postExecution(op: SampledOp): boolean {
    if (!this.inFlight) return false;
    this.inFlight = false;
    this.count("SAMPLE_FEED");
    const discard = this.o.pmsVer >= 3 && field(this.PMBLIMITR_EL1, 2, 1) === 2n;
    const kept = this.collectRecord(op);
    if (!kept || discard) return kept;
    if (!this.o.asPublished && !this.ProfilingBufferEnabled()) return kept;
    if (!this.o.asPublished && this.bufferIsFull()) {
      this.bufferFilled();
      return kept;
    }
    this.constructRecord(op);
    if (this.bufferIsFull()) this.bufferFilled();
    return kept;
  }

  private bufferIsFull(): boolean {
    const limit = field(this.PMBLIMITR_EL1, 63, 12) << 12n;
    return this.PMBPTR_EL1 > limit - (1n << field(this.o.pmsidr, 15, 12));
  }

  private bufferFilled(): void {
    if (!isSet(this.PMBSR_EL1, 17)) this.PMBSR_EL1 = (this.PMBSR_EL1 & ~0xfc00ffffn) | (1n << 17n) | 1n;
    this.count("SAMPLE_WRAP");
  }

  private collectRecord(op: SampledOp): boolean {
    let mask = 0xaan;
    if (this.o.sve) mask |= 3n << 17n;
    if (this.o.pmsVer >= 2) mask |= 1n << 11n;
    if (this.o.pmsVer >= 3) mask |= 1n << 6n;
    if (this.o.pmsVer >= 5) mask |= (7n << 8n) | (1n << 4n) | (1n << 2n);
    if (this.o.pmsVer >= 5 && !this.o.asPublished) mask |= 0x1fn << 19n;
    const e = BigInt(op.events >>> 0) & mask;
    const [fe, ft, fl, fne, fds] = [0, 1, 2, 3, 4].map((position) => isSet(this.PMSFCR_EL1, position));

    let m = this.PMSNEVFR_EL1 & mask;
    let rejectedInverted = this.o.pmsVer >= 3 && fne === true && (e & m) !== 0n;
    m = this.PMSEVFR_EL1 & mask;
    let rejectedEvent = fe === true && (~e & m) !== 0n;
    if (fe && fne && (this.PMSEVFR_EL1 & this.PMSNEVFR_EL1 & mask) !== 0n) {
      rejectedInverted = false;
      rejectedEvent = false;
    }
    const isBr = op.kind === "branch";
    const isLd = op.kind === "load" || op.kind === "atomic";
    const isSt = op.kind === "store" || op.kind === "atomic";
    const [b, ld, st] = [16, 17, 18].map((position) => isSet(this.PMSFCR_EL1, position));
    const isOp = (isBr && b) || (isLd && ld) || (isSt && st);
    const rejectedType = ft === true && (b || ld || st) === true && !isOp;

    const minlat = Number(field(this.PMSLATFR_EL1, 15, 0));
    const isLat = this.o.asPublished ? op.totalLatency < minlat : op.totalLatency >= minlat;
    const rejectedLatency = fl === true && minlat !== 0 && !isLat;

    let rejectedSource = false;
    if (fds && isSet(this.o.pmsidr, 7) && isLd && op.dataSource !== undefined)
      rejectedSource = !isSet(this.PMSDSFR_EL1, op.dataSource & 63);
    if (this.o.asPublished) rejectedSource = false;
    const kept = !(rejectedInverted || rejectedEvent || rejectedType || rejectedLatency || rejectedSource);
    if (kept) this.count("SAMPLE_FILTRATE");
    return kept;
  }

  private packet(high: number, low: number, payload: bigint, bytes: number): void {
    this.record.push((high << 6) | (Math.log2(bytes) << 4) | low);
    for (let i = 0; i < bytes; i++) this.record.push(Number(field(payload, i * 8 + 7, i * 8)));
  }

  private constructRecord(op: SampledOp): void {
    this.record = [];
    const isMemory = op.kind === "load" || op.kind === "store" || op.kind === "atomic";
    const large = field(this.o.pmsidr, 19, 16) === 3n;
    if (this.contextEl1 !== undefined) this.packet(1, 4, this.contextEl1, 4);
    if (this.contextEl2 !== undefined) this.packet(1, 5, this.contextEl2, 4);
    const counters = [op.totalLatency, op.issueLatency, isMemory ? op.translationLatency : undefined];
    for (const [index, cycles] of counters.entries()) {
      if (cycles === undefined) continue;
      let value = cycles;
      if (this.o.asPublished) {
        if (value > 0xffff && large) value = 0xffff;
        else if (value > 0xfff) value = 0xfff;
      } else value = Math.min(value, large ? 0xffff : 0xfff);
      this.packet(2, 8 | index, BigInt(value), 2);
    }
    const state = (1n << 63n) | (BigInt(this.pcEl) << 61n);
    const low56 = (address: bigint): bigint => field(address, 55, 0);
    this.packet(2, 0, state | low56(op.pc), 8);
    if (op.target !== undefined) this.packet(2, 1, state | low56(op.target), 8);
    if (isMemory && op.va !== undefined) this.packet(2, 2, op.va, 8);
    if (isMemory && op.pa !== undefined && this.collectPa) this.packet(2, 3, (1n << 63n) | BigInt(op.pa), 8);
    if (op.previousTarget !== undefined && isSet(this.o.pmsidr, 24))
      this.packet(2, 4, state | low56(op.previousTarget), 8);
    const isLoad = op.kind === "load" || op.kind === "atomic";
    if (isLoad && op.dataSource !== undefined && isSet(this.o.pmsidr, 4))
      this.packet(1, 3, BigInt(op.dataSource), this.o.dataSourceBytes);
    const opClass = op.kind === "branch" ? 2 : isMemory ? 1 : 0;
    this.packet(1, 8 | opClass, BigInt(op.subclass), 1);
    this.packet(1, 2, BigInt(op.events >>> 0), this.o.eventsBytes);
    if (this.timestamp !== undefined) this.packet(1, 1, this.timestamp, 8);
    else this.record.push(1);
    while (this.record.length % (1 << this.o.align) !== 0) this.record.push(0);
    this.writeToBuffer();
  }

  private writeToBuffer(): void {
    const start = this.PMBPTR_EL1;
    if (!this.o.asPublished)
      for (const [index] of this.record.entries()) {
        const fault = this.o.faultAt(start + BigInt(index));
        if (fault !== undefined) {
          this.debugWriteFault(fault, start);
          return;
        }
      }
    for (const byte of this.record) {
      const fault = this.o.faultAt(this.PMBPTR_EL1);
      if (fault !== undefined) {
        this.debugWriteFault(fault, start);
        return;
      }
      this.memory.set(this.PMBPTR_EL1, byte);
      this.PMBPTR_EL1 += 1n;
    }
  }

  /** DebugWriteFault and DebugWriteExternalAbort. */
  private debugWriteFault(fault: RecordFault, start: bigint): void {
    let syndrome = this.PMBSR_EL1 & ~0xfc00ffffn & 0xffff_ffffn;
    if (fault.kind === "external") {
      syndrome |= 1n << 18n;
      if (start !== this.PMBPTR_EL1) syndrome |= 1n << 19n;
    }
    syndrome |= 1n << 17n;
    syndrome |= (fault.stage === 2 ? 0x25n : 0x24n) << 26n;
    syndrome |= BigInt(fault.dfsc);
    this.PMBSR_EL1 = syndrome;
  }

  /** SPECycle's interrupt line. */
  get pmbirq(): boolean {
    return isSet(this.PMBSR_EL1, 17);
  }
}
