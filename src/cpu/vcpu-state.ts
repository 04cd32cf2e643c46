/** A vCPU's state as TypeScript sees it: views over linear memory, and PSTATE as SPSR_EL1 has it. */
import { SLOT, STATE, type StateField } from "../a64/state.ts";

/** PSTATE's bits in SPSR_EL1 (Arm ARM C5.2.19). */
export const SPSR = {
  N: 1 << 31,
  Z: 1 << 30,
  C: 1 << 29,
  V: 1 << 28,
  UAO: 1 << 23,
  PAN: 1 << 22,
  SS: 1 << 21,
  IL: 1 << 20,
  DAIF: 0x3c0,
  /** AArch32. */
  NRW: 1 << 4,
  MODE: 0xf,
} as const;

export const MODE = { EL0T: 0, EL1T: 4, EL1H: 5 } as const;

/** Whether a condition holds with these flags, as SPSR_EL1 has them (ConditionHolds). */
export function ConditionHolds(cond: number, nzcv: number): boolean {
  const n = (nzcv & SPSR.N) !== 0;
  const z = (nzcv & SPSR.Z) !== 0;
  const c = (nzcv & SPSR.C) !== 0;
  const v = (nzcv & SPSR.V) !== 0;
  const base = [z, c, n, v, c && !z, n === v, n === v && !z, true][cond >> 1] as boolean;
  return (cond & 1) === 1 && cond < 14 ? !base : base;
}

/** Where fields lie, for who asks by a name: of so many, V8 finds one sooner here than in an object. */
const OFFSETS: ReadonlyMap<string, number> = new Map(Object.entries(STATE));
const offsetOf = (field: StateField): number => OFFSETS.get(field) as number;

export class VcpuState {
  readonly view: DataView;
  readonly base: number;
  /**
   * The linear memory by words, and in which of them each field begins: for what is done each time WebAssembly is left, or with
   * each exception. By name a field takes ten times as long.
   */
  readonly words: Uint32Array;
  readonly at: Readonly<Record<StateField, number>>;

  constructor(view: DataView, base: number) {
    this.view = view;
    this.base = base;
    this.words = new Uint32Array(view.buffer);
    const first = base >>> 2;
    this.at = Object.fromEntries(
      Object.entries(STATE).map(([field, offset]) => [field, first + (offset >>> 2)]),
    ) as Record<StateField, number>;
  }

  get left(): number {
    return this.words[this.at.LEFT] as number;
  }

  set left(instructions: number) {
    this.words[this.at.LEFT] = instructions;
  }

  get leftSaved(): number {
    return this.words[this.at.LEFT_SAVED] as number;
  }

  set leftSaved(instructions: number) {
    this.words[this.at.LEFT_SAVED] = instructions;
  }

  /** Whether an access is prepared for the instruction at PC. */
  get hasPrepared(): boolean {
    return this.words[this.at.SLOW_AT] !== 0;
  }

  /** Interrupts that wait and are not masked, as bits of DAIF. */
  get pendingInterrupts(): number {
    const lines = this.words[this.at.IRQ_LINES] as number;
    return lines === 0 ? 0 : lines & ~(this.words[this.at.DAIF] as number);
  }

  get32(field: StateField): number {
    return this.words[(this.base + offsetOf(field)) >>> 2] as number;
  }

  set32(field: StateField, value: number): void {
    this.words[(this.base + offsetOf(field)) >>> 2] = value;
  }

  get64(field: StateField): bigint {
    return this.view.getBigUint64(this.base + offsetOf(field), true);
  }

  set64(field: StateField, value: bigint): void {
    this.view.setBigUint64(this.base + offsetOf(field), value, true);
  }

  /** The host address of a field. */
  addressOf(field: StateField): number {
    return this.base + offsetOf(field);
  }

  /** Adds to a count of up to 2^53 in a 64-bit field. */
  addCount(field: StateField, more: number): void {
    const at = this.base + offsetOf(field);
    this.setCount(field, this.view.getUint32(at, true) + this.view.getUint32(at + 4, true) * 2 ** 32 + more);
  }

  /** Writes a count of up to 2^53 into a 64-bit field. Infinity is more than any. */
  setCount(field: StateField, value: number): void {
    const at = this.base + offsetOf(field);
    const low = Number.isFinite(value) ? value % 2 ** 32 : 0;
    this.view.setUint32(at, low, true);
    this.view.setUint32(at + 4, Number.isFinite(value) ? (value - low) / 2 ** 32 : 0x7fff_ffff, true);
  }

  /** The access in SLOW_* has its bytes in SCRATCH, or is to leave them there. */
  preparedInScratch(): void {
    this.set32("SLOW_AT", this.base + STATE.SCRATCH);
  }

  /** X0 to X30; 31 is zero. */
  x(n: number): bigint {
    return n === 31 ? 0n : this.view.getBigUint64(this.base + STATE.X + 8 * n, true);
  }

  setX(n: number, value: bigint): void {
    if (n !== 31) this.view.setBigUint64(this.base + STATE.X + 8 * n, BigInt.asUintN(64, value), true);
  }

  /** The low 64 bits of a SIMD&FP register. */
  d(n: number): bigint {
    return this.view.getBigUint64(this.base + STATE.V + 16 * n, true);
  }

  /** Writes the low bits of a SIMD&FP register; the rest becomes zero. */
  setD(n: number, bits: bigint): void {
    this.view.setBigUint64(this.base + STATE.V + 16 * n, bits, true);
    this.view.setBigUint64(this.base + STATE.V + 16 * n + 8, 0n, true);
  }

  /** A lane of a SIMD&FP register, unsigned; `size` is log2 of its bytes. */
  lane(n: number, size: number, i: number): bigint {
    const at = this.base + STATE.V + 16 * n + (i << size);
    const { view } = this;
    if (size === 3) return view.getBigUint64(at, true);
    return BigInt(
      size === 2 ? view.getUint32(at, true) : size === 1 ? view.getUint16(at, true) : view.getUint8(at),
    );
  }

  /** Writes the low bits of a value into a lane. */
  setLane(n: number, size: number, i: number, value: bigint): void {
    const at = this.base + STATE.V + 16 * n + (i << size);
    const { view } = this;
    if (size === 3) view.setBigUint64(at, BigInt.asUintN(64, value), true);
    else if (size === 2) view.setUint32(at, Number(BigInt.asUintN(32, value)), true);
    else if (size === 1) view.setUint16(at, Number(BigInt.asUintN(16, value)), true);
    else view.setUint8(at, Number(BigInt.asUintN(8, value)));
  }

  /** Whether a condition holds. */
  holds(cond: number): boolean {
    return ConditionHolds(cond, this.nzcv);
  }

  get sp(): bigint {
    return this.view.getBigUint64(this.base + STATE.X + 8 * SLOT.SP, true);
  }

  set sp(value: bigint) {
    this.view.setBigUint64(this.base + STATE.X + 8 * SLOT.SP, value, true);
  }

  get pc(): bigint {
    return this.get64("PC");
  }

  set pc(value: bigint) {
    this.set64("PC", BigInt.asUintN(64, value));
  }

  /** PC[31:0]. */
  get pcLow(): number {
    return this.words[this.at.PC] as number;
  }

  /** PC[63:32], unsigned. */
  get pcHigh(): number {
    return this.words[this.at.PC + 1] as number;
  }

  get el(): 0 | 1 {
    return this.words[this.at.EL] as 0 | 1;
  }

  /** NZCV at bits 31:28, unsigned. */
  get nzcv(): number {
    return this.#flags(STATE.NF, STATE.ZF, STATE.CF, STATE.VF);
  }

  /** As `nzcv`, before the op that was logged last. */
  get loggedNzcv(): number {
    return this.#flags(STATE.LOG_NF, STATE.LOG_ZF, STATE.LOG_CF, STATE.LOG_VF);
  }

  #flags(nf: number, zf: number, cf: number, vf: number): number {
    const { view, base } = this;
    const zero = view.getUint32(base + zf, true) | view.getUint32(base + zf + 4, true);
    return (
      ((view.getInt32(base + nf + 4, true) < 0 ? SPSR.N : 0) |
        (zero === 0 ? SPSR.Z : 0) |
        (view.getUint32(base + cf, true) !== 0 ? SPSR.C : 0) |
        (view.getInt32(base + vf + 4, true) < 0 ? SPSR.V : 0)) >>>
      0
    );
  }

  set nzcv(value: number) {
    const { words, at } = this;
    words[at.NF] = 0;
    words[at.NF + 1] = value & SPSR.N;
    words[at.ZF] = (value & SPSR.Z) !== 0 ? 0 : 1;
    words[at.ZF + 1] = 0;
    words[at.CF] = (value & SPSR.C) !== 0 ? 1 : 0;
    // N and V are signs.
    words[at.VF] = 0;
    words[at.VF + 1] = (value & SPSR.V) << 3;
  }

  /** PSTATE as an exception saves it. */
  get pstate(): number {
    const { words, at } = this;
    return (
      (this.nzcv |
        (words[at.UAO] !== 0 ? SPSR.UAO : 0) |
        (words[at.PAN] !== 0 ? SPSR.PAN : 0) |
        (words[at.SS] !== 0 ? SPSR.SS : 0) |
        (words[at.IL] !== 0 ? SPSR.IL : 0) |
        (words[at.DAIF] as number) |
        (this.el === 0 ? MODE.EL0T : words[at.SPSEL] === 1 ? MODE.EL1H : MODE.EL1T)) >>>
      0
    );
  }

  /** Changes exception level and stack pointer selection; each SP goes to its bank. */
  select(el: 0 | 1, spsel: number): void {
    const { words, at } = this;
    const sp = at.X + 2 * SLOT.SP;
    const from = this.#spBank;
    words[from] = words[sp] as number;
    words[from + 1] = words[sp + 1] as number;
    words[at.EL] = el;
    words[at.SPSEL] = el === 0 ? 0 : spsel;
    const to = this.#spBank;
    words[sp] = words[to] as number;
    words[sp + 1] = words[to + 1] as number;
  }

  /** The word where the current SP is kept while it is not the current one. */
  get #spBank(): number {
    const { words, at } = this;
    return words[at.EL] === 1 && words[at.SPSEL] === 1 ? at.SP_EL1 : at.SP_EL0;
  }
}
