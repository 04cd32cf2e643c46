/**
 * What instruction semantics are written against: registers, flags, memory and control flow of the guest, as
 * WebAssembly that leaves operands on the stack. Semantics know neither whether an operand is a constant nor where registers
 * and flags are kept; an emitter does, which is put together from parts (emit-parts.ts, access.ts).
 *
 * An instruction changes no state before its last access to memory was granted: what cannot be done at once leaves
 * WebAssembly, and the instruction is started anew afterwards.
 */
import type { Local } from "../wasm/entities.ts";
import type { FunctionBody } from "../wasm/function-body.ts";
import { type AccessEmitter, type AccessOptions, type GuestAccess, softTlbAccess } from "./access.ts";
import type { Control, FlowControl, Operands } from "./emit-parts.ts";
import { StateEmit } from "./emit-state.ts";
import type { Fields } from "./encoding.ts";
import {
  emitCondition,
  emitFlags,
  emitLogicFlags,
  emitNzcv,
  emitOrderFlags,
  emitSetNzcv,
  type FlagSetting,
} from "./flags.ts";
import { LEAVE, SLOT, STATE } from "./state.ts";

export type { Fields } from "./encoding.ts";

/** A property of the word that semantics want fixed, beside the encoding's own small fields. */
export interface Special {
  readonly name: string;
  /** 0 up to this, exclusive. */
  readonly values: number;
  of(fields: Fields): number;
}

/** What semantics are beside what they emit. */
export interface SemanticsOptions {
  /** The 64-bit immediate, as `e.imm()` gives it. */
  readonly imm?: (fields: Fields) => number | bigint;
  /** Two small operands below 256, as `e.aux(0)` and `e.aux(1)` give them. */
  readonly aux?: readonly ((fields: Fields) => number)[];
  readonly special?: readonly Special[];
  /** One handler for all words: TypeScript carries the instruction out. */
  readonly unfixed?: boolean;
}

/**
 * What an instruction does. `inline`: common enough for a place in the interpreter's own loop, which those have that jump, or
 * read PC or the time.
 */
export type Semantics = SemanticsOptions &
  (
    | { readonly inline?: false; readonly emit: (e: Emit) => void }
    | { readonly inline: true; readonly emit: (e: FlowEmit) => void }
  );

/** Whether the base register is SP, whose alignment is checked. */
export const SP_BASE: Special = { name: "spBase", values: 2, of: (f) => (f.Rn === 31 ? 1 : 0) };

/** What an emitter is put together from. */
export interface EmitParts<C extends Control = Control> {
  readonly f: FunctionBody;
  readonly cpu: Local<"i32">;
  readonly operands: Operands;
  readonly control: C;
  /** How accesses are made; by the soft TLB if left out. Who wants to see them all puts its own in. */
  readonly access?: AccessEmitter | undefined;
}

/** An emitter for instructions after which the next one follows. */
export class Emit extends StateEmit {
  protected readonly operands: Operands;
  protected readonly control: Control;
  readonly #access: AccessEmitter;

  constructor({ f, cpu, operands, control, access = softTlbAccess }: EmitParts) {
    super(f, cpu);
    this.operands = operands;
    this.control = control;
    this.#access = access;
  }

  // ---- Operands: see emit-parts.ts ----

  field(name: string): number {
    return this.operands.field(name);
  }

  has(name: string): boolean {
    return this.operands.has(name);
  }

  imm(): void {
    this.operands.imm();
  }

  imm32(): void {
    this.operands.imm32();
  }

  aux(index: 0 | 1): void {
    this.operands.aux(index);
  }

  vAddress(field: string, plus = 0): number {
    return this.operands.vAddress(field, plus);
  }

  elementAddress(size: number): number {
    return this.operands.elementAddress(size);
  }

  registerNumber(field: string): void {
    this.operands.registerNumber(field);
  }

  // ---- Control ----

  leave(reason: number): void {
    this.control.leave(reason);
  }

  /** Takes an i32: leaves unless it is 0. */
  leaveIf(reason: number): void {
    const { f } = this;
    const label = f.if();
    this.leave(reason);
    f.end(label);
  }

  stopAfter(): void {
    this.control.stopAfter();
  }

  // ---- General registers ----

  /**
   * Pushes X[field]; 31 is zero, or SP where the row says so.
   * @param plus 1: the other register of a pair, whose first has an even number
   */
  getX(field: string, plus: 0 | 1 = 0): void {
    if (this.operands.isZero(field, plus) === true) this.f.i64.const(0);
    else this.f.i64.load(this.operands.xAddress(field) + 8 * plus);
  }

  getW(field: string): void {
    if (this.operands.isZero(field, 0) === true) this.f.i32.const(0);
    else this.f.i32.load(this.operands.xAddress(field));
  }

  /** Takes an i64. */
  setX(field: string, plus: 0 | 1 = 0): void {
    const { f } = this;
    const isZero = this.operands.isZero(field, plus);
    if (isZero === true) {
      f.drop();
      return;
    }
    const value = f.local.take("i64");
    f.local.set(value);
    const offset = this.operands.xAddress(field);
    f.local.get(value);
    f.i64.store(offset + 8 * plus);
    f.local.release(value);
    if (isZero === false) return;
    // XZR is a place like the others: what was written to it goes away.
    f.local.get(this.cpu);
    f.i64.const(0);
    f.i64.store(STATE.X + 8 * SLOT.ZR);
  }

  /** Takes an i32: the upper half becomes zero. */
  setW(field: string): void {
    this.f.i64.extendI32U();
    this.setX(field);
  }

  /** Pushes X or W by `sf`, as an i64 or an i32. */
  getR(field: string, is64: boolean): void {
    if (is64) this.getX(field);
    else this.getW(field);
  }

  setR(field: string, is64: boolean): void {
    if (is64) this.setX(field);
    else this.setW(field);
  }

  // ---- SIMD and FP registers ----

  getV(field: string, plus = 0): void {
    this.f.v128.load(this.vAddress(field, plus));
  }

  /** Takes a v128. */
  setV(field: string, plus = 0): void {
    const { f } = this;
    const value = f.local.take("v128");
    f.local.set(value);
    const offset = this.vAddress(field, plus);
    f.local.get(value);
    f.v128.store(offset);
    f.local.release(value);
  }

  /** Pushes the low 64 bits as a v128 whose upper half is zero. */
  getV64(field: string, plus = 0): void {
    this.f.v128.load64Zero(this.vAddress(field, plus));
  }

  /** Pushes the low 64, 32 bits as an integer. */
  getD(field: string, plus = 0): void {
    this.f.i64.load(this.vAddress(field, plus));
  }

  getS(field: string, plus = 0): void {
    this.f.i32.load(this.vAddress(field, plus));
  }

  getH(field: string, plus = 0): void {
    this.f.i32.load16U(this.vAddress(field, plus));
  }

  getB(field: string, plus = 0): void {
    this.f.i32.load8U(this.vAddress(field, plus));
  }

  /** Takes an i64; the rest of the register becomes zero. */
  setD(field: string, plus = 0): void {
    const { f } = this;
    const value = f.local.take("i64");
    f.local.set(value);
    f.v128.const(0, 0, 0, 0);
    f.local.get(value);
    f.i64x2.replaceLane(0);
    f.local.release(value);
    this.setV(field, plus);
  }

  /** Takes an i32; the rest of the register becomes zero. */
  setS(field: string, plus = 0): void {
    this.f.i64.extendI32U();
    this.setD(field, plus);
  }

  /** Takes a v128: its low half is kept, the upper becomes zero. */
  setV64(field: string, plus = 0): void {
    const { f } = this;
    f.i64x2.extractLane(0);
    this.setD(field, plus);
  }

  /** Takes a v128, of which Q = 0 keeps the low half only. */
  setVector(field: string, q: number, plus = 0): void {
    if (q === 1) this.setV(field, plus);
    else this.setV64(field, plus);
  }

  // ---- Flags: see flags.ts ----

  /** Pushes an i32 that is 1 if the condition holds. */
  condition(cond: number): void {
    emitCondition(this, cond);
  }

  /** Pushes C as an i32. */
  carry(): void {
    this.get32("CF");
  }

  setFlags(setting: FlagSetting): void {
    emitFlags(this, setting);
  }

  /** Takes a logical operation's result and pushes it again; its flags are set. */
  logicFlags(wide: boolean): void {
    emitLogicFlags(this, wide);
  }

  /** Sets the flags to what one number is to another; neither is a NaN. */
  orderFlags(type: "f32" | "f64", a: Local, b: Local): void {
    emitOrderFlags(this, type, a, b);
  }

  /** Pushes N, Z, C, V as bits 3:0 of an i32. */
  nzcv(): void {
    emitNzcv(this);
  }

  /** Takes N, Z, C, V as bits 3:0 of an i32. */
  setNzcv(): void {
    emitSetNzcv(this);
  }

  // ---- The exclusive monitor ----

  /** Marks `bytes` at a host address. */
  setMonitor(at: Local<"i32">, bytes: number): void {
    const { f } = this;
    this.const32("MONITOR_SET", 1);
    f.local.get(this.cpu);
    f.local.get(at);
    f.i32.store(STATE.MONITOR_ADDRESS);
    this.const32("MONITOR_BYTES", bytes);
  }

  /** Pushes an i32 that is 1 if these bytes are marked. */
  monitorHas(at: Local<"i32">, bytes: number): void {
    const { f } = this;
    this.get32("MONITOR_SET");
    this.get32("MONITOR_ADDRESS");
    f.local.get(at);
    f.i32.eq();
    f.i32.and();
    this.get32("MONITOR_BYTES");
    f.i32.const(bytes);
    f.i32.eq();
    f.i32.and();
  }

  clearMonitor(): void {
    this.const32("MONITOR_SET", 0);
  }

  // ---- Memory ----

  /** Takes a VA; pushes the host address (i32) at which `bytes` may be read. */
  readAddress(bytes: number, options: AccessOptions = {}): void {
    this.access({ bytes, kind: "load", options });
  }

  /** Takes a VA; pushes the host address at which `bytes` may be written. All of them must be. */
  writeAddress(bytes: number, options: AccessOptions = {}): void {
    this.access({ bytes, kind: "store", options });
  }

  /** Takes a VA; pushes the host address at which `bytes` may be read and then written, or left as they are. */
  updateAddress(bytes: number, options: AccessOptions = {}): void {
    this.access({ bytes, kind: "atomic", options });
  }

  /** Every access that an instruction makes goes through here. */
  protected access(access: GuestAccess): void {
    this.#access(this, this.control, access);
  }

  /** Pushes the base register of an access, with SP's alignment checked where that is asked for. */
  base(field = "Rn"): void {
    const { f } = this;
    this.getX(field);
    if (this.field("spBase") === 0) return;
    const address = f.local.take("i64");
    f.local.tee(address);
    f.i64.const(15);
    f.i64.and();
    f.i64.eqz();
    f.i32.eqz();
    const misaligned = f.if();
    this.get32("SP_CHECKED");
    this.leaveIf(LEAVE.SP_ALIGNMENT);
    f.end(misaligned);
    f.local.get(address);
    f.local.release(address);
  }

  // ---- Traps ----

  /** FP and SIMD instructions begin with this: CPACR_EL1.FPEN may trap them. */
  fpAccess(): void {
    this.get32("FP_TRAPS");
    this.leaveIf(LEAVE.FP_TRAP);
  }
}

/** An emitter for instructions that jump, or need to know where and when they are executed. */
export class FlowEmit extends Emit {
  readonly #flow: FlowControl;

  constructor(parts: EmitParts<FlowControl>) {
    super(parts);
    this.#flow = parts.control;
  }

  /** Pushes PC, the address of this instruction. */
  pc(): void {
    this.#flow.pc();
  }

  /** Writes the address of the next instruction to X30. */
  link(): void {
    const { f } = this;
    const address = f.local.take("i64");
    this.pc();
    f.i64.const(4);
    f.i64.add();
    f.local.set(address);
    f.local.get(this.cpu);
    f.local.get(address);
    f.i64.store(STATE.X + 8 * SLOT.LINK);
    f.local.release(address);
  }

  /** Ends the instruction: execution goes on at PC + imm. */
  jumpImm(): void {
    this.#flow.jumpImm(this.operands);
  }

  /** Takes an i32: as jumpImm unless it is 0. */
  jumpImmIf(): void {
    const { f } = this;
    const taken = f.if();
    this.jumpImm();
    f.end(taken);
  }

  /** Takes an address: execution goes on there. */
  jumpTo(): void {
    this.#flow.jumpTo();
  }

  /** Pushes the vCPU's time at this instruction in cycles, an i64. */
  clock(): void {
    this.#flow.clock();
  }
}
