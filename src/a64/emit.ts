/**
 * What instruction semantics are written against: registers, flags, memory and control flow of the guest, as
 * WebAssembly that leaves operands on the stack. Semantics know neither whether an operand is a constant (in translated
 * code) nor whether it is read from a decoded record (in the interpreter); a subclass does.
 *
 * An instruction changes no state before its last access to memory was granted: what cannot be done at once leaves
 * WebAssembly, and the instruction is started anew afterwards.
 */
import { BrokenInvariant } from "../common/errors.ts";
import type { Fields } from "./encoding.ts";

export type { Fields } from "./encoding.ts";

import type { Local } from "../wasm/entities.ts";
import type { FunctionBody } from "../wasm/function-body.ts";
import { ACCESS, DTLB, LEAVE, SLOT, STATE, type StateField } from "./state.ts";

/** A property of the word that semantics want fixed, beside the encoding's own small fields. */
export interface Special {
  readonly name: string;
  /** 0 up to this, exclusive. */
  readonly values: number;
  of(fields: Fields): number;
}

/** What an instruction does. */
export interface Semantics {
  readonly emit: (e: Emit) => void;
  /** The 64-bit immediate, as `e.imm()` gives it. */
  readonly imm?: (fields: Fields) => number | bigint;
  /** Two small operands below 256, as `e.aux(0)` and `e.aux(1)` give them. */
  readonly aux?: readonly ((fields: Fields) => number)[];
  readonly special?: readonly Special[];
  /** Common enough for a place in the interpreter's own loop. Those that jump or read PC must have it. */
  readonly inline?: boolean;
  /** One handler for all words: TypeScript carries the instruction out. */
  readonly unfixed?: boolean;
}

export interface AccessOptions {
  /** As EL0 would be checked: LDTR, STTR. */
  readonly unprivileged?: boolean;
  /** Misaligned is an alignment fault. */
  readonly aligned?: boolean;
  /** Read-modify-write. */
  readonly atomic?: boolean;
  /** DC ZVA. */
  readonly zva?: boolean;
  /** A hypervisor can carry it out by its syndrome. */
  readonly syndrome?: boolean;
  /** Bytes of an element; as many as are accessed where it is the only one. */
  readonly element?: number;
}

/** Whether the base register is SP, whose alignment is checked. */
export const SP_BASE: Special = { name: "spBase", values: 2, of: (f) => (f.Rn === 31 ? 1 : 0) };

export abstract class Emit {
  readonly f: FunctionBody;
  abstract readonly cpu: Local<"i32">;

  constructor(f: FunctionBody) {
    this.f = f;
  }

  // ---- Operands ----

  /** A fixed field of the encoding, or a special of its semantics. */
  abstract field(name: string): number;
  /** Whether the encoding has this fixed field. */
  abstract has(name: string): boolean;
  /** Pushes the 64-bit immediate. */
  abstract imm(): void;
  /** Pushes the low half of the immediate as an i32. */
  abstract imm32(): void;
  /** Pushes a small operand as an i32. */
  abstract aux(index: 0 | 1): void;
  /** Pushes an i32 to which the returned offset is added for the address of X[field]. */
  abstract xAddress(field: string): number;
  /** As xAddress, for V[(field + plus) % 32]. */
  abstract vAddress(field: string, plus?: number): number;
  /** Pushes the number of a register field, an i32. */
  abstract registerNumber(field: string): void;

  // ---- Control ----

  /** Pushes PC, the address of this instruction. */
  abstract pc(): void;
  /** Ends the instruction: execution goes on at PC + imm. */
  abstract jumpImm(): void;
  /** Takes an i32: as jumpImm unless it is 0. */
  abstract jumpImmIf(): void;
  /** Takes an address: execution goes on there. */
  abstract jumpTo(): void;
  /** Leaves WebAssembly for a reason of LEAVE; the instruction has not happened. */
  abstract leave(reason: number): void;
  /** Takes an i32: leaves unless it is 0. */
  leaveIf(reason: number): void {
    const { f } = this;
    const label = f.if();
    this.leave(reason);
    f.end(label);
  }
  /** Pushes the vCPU's time at this instruction in cycles, an i64. */
  abstract clock(): void;
  /** Abandons the instruction until the access in SLOW_* has a place: see slowAccess. */
  protected abstract lookFor(): void;
  /** Has the core look for interrupts, and stores to carry out, once this instruction has retired. */
  abstract stopAfter(): void;

  // ---- General registers ----

  /** Pushes X[field]; 31 is zero, or SP where the row says so. */
  getX(field: string): void {
    this.f.i64.load(this.xAddress(field));
  }

  getW(field: string): void {
    this.f.i32.load(this.xAddress(field));
  }

  /** Takes an i64. */
  setX(field: string): void {
    const { f } = this;
    const value = f.local.take("i64");
    f.local.set(value);
    const offset = this.xAddress(field);
    f.local.get(value);
    f.i64.store(offset);
    f.local.release(value);
    this.clearZr(field);
  }

  /** XZR is a place like the others: what was written to it goes away. */
  protected clearZr(_field: string): void {
    const { f } = this;
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

  // ---- State ----

  /** Pushes a 64-bit or 32-bit field of the state. */
  get64(field: StateField): void {
    this.f.local.get(this.cpu);
    this.f.i64.load(STATE[field]);
  }

  get32(field: StateField): void {
    this.f.local.get(this.cpu);
    this.f.i32.load(STATE[field]);
  }

  /** Takes an i64, an i32. */
  set64(field: StateField): void {
    const { f } = this;
    const value = f.local.take("i64");
    f.local.set(value);
    f.local.get(this.cpu);
    f.local.get(value);
    f.i64.store(STATE[field]);
    f.local.release(value);
  }

  set32(field: StateField): void {
    const { f } = this;
    const value = f.local.take("i32");
    f.local.set(value);
    f.local.get(this.cpu);
    f.local.get(value);
    f.i32.store(STATE[field]);
    f.local.release(value);
  }

  const32(field: StateField, value: number): void {
    const { f } = this;
    f.local.get(this.cpu);
    f.i32.const(value);
    f.i32.store(STATE[field]);
  }

  /** FP and SIMD instructions begin with this: CPACR_EL1.FPEN may trap them. */
  fpAccess(): void {
    this.get32("FP_TRAPS");
    this.leaveIf(LEAVE.FP_TRAP);
  }

  // ---- Flags ----

  /** Pushes an i32 that is 1 if the condition holds. */
  condition(cond: number): void {
    const { f } = this;
    const negated = (cond & 1) === 1 && cond < 14;
    switch (cond >> 1) {
      case 0:
        this.get64("ZF");
        f.i64.eqz();
        break;
      case 1:
        this.get32("CF");
        break;
      case 2:
        this.get64("NF");
        f.i64.const(0);
        f.i64.ltS();
        break;
      case 3:
        this.get64("VF");
        f.i64.const(0);
        f.i64.ltS();
        break;
      case 4:
        this.get32("CF");
        this.get64("ZF");
        f.i64.const(0);
        f.i64.ne();
        f.i32.and();
        break;
      case 5:
        this.nEqualsV();
        break;
      case 6:
        this.nEqualsV();
        this.get64("ZF");
        f.i64.const(0);
        f.i64.ne();
        f.i32.and();
        break;
      case 7:
        f.i32.const(1);
        break;
      default:
        throw new BrokenInvariant(`condition ${cond}`);
    }
    if (negated) f.i32.eqz();
  }

  private nEqualsV(): void {
    this.get64("NF");
    this.get64("VF");
    this.f.i64.xor();
    this.f.i64.const(0);
    this.f.i64.geS();
  }

  /** Takes an i64 whose sign is N and whose being zero is Z. */
  setNz(): void {
    const { f } = this;
    const value = f.local.take("i64");
    f.local.set(value);
    f.local.get(this.cpu);
    f.local.get(value);
    f.i64.store(STATE.NF);
    f.local.get(this.cpu);
    f.local.get(value);
    f.i64.store(STATE.ZF);
    f.local.release(value);
  }

  /** Takes N, Z, C, V as bits 3:0 of an i32. */
  setNzcv(): void {
    const { f } = this;
    const nzcv = f.local.take("i32");
    f.local.set(nzcv);
    const flag = (field: "NF" | "VF", bit: number) => {
      f.local.get(this.cpu);
      f.local.get(nzcv);
      f.i64.extendI32U();
      f.i64.const(63 - bit);
      f.i64.shl();
      f.i64.store(STATE[field]);
    };
    flag("NF", 3);
    flag("VF", 0);
    f.local.get(this.cpu);
    f.local.get(nzcv);
    f.i32.const(4);
    f.i32.and();
    f.i32.eqz();
    f.i64.extendI32U();
    f.i64.store(STATE.ZF);
    f.local.get(this.cpu);
    f.local.get(nzcv);
    f.i32.const(1);
    f.i32.shrU();
    f.i32.const(1);
    f.i32.and();
    f.i32.store(STATE.CF);
    f.local.release(nzcv);
  }

  /** Pushes N, Z, C, V as bits 3:0 of an i32. */
  getNzcv(): void {
    const { f } = this;
    this.get64("NF");
    f.i64.const(0);
    f.i64.ltS();
    f.i32.const(3);
    f.i32.shl();
    this.get64("ZF");
    f.i64.eqz();
    f.i32.const(2);
    f.i32.shl();
    f.i32.or();
    this.get32("CF");
    f.i32.const(1);
    f.i32.shl();
    f.i32.or();
    this.get64("VF");
    f.i64.const(0);
    f.i64.ltS();
    f.i32.or();
  }

  // ---- Memory ----

  /** Takes a VA; pushes the host address (i32) at which `bytes` may be read. */
  readAddress(bytes: number, options: AccessOptions = {}): void {
    this.address(bytes, DTLB.RTAG, options);
  }

  /**
   * Takes a VA; pushes the host address at which `bytes` may be written (and read). All of them must be: what lies
   * there may be a copy that is carried back.
   */
  writeAddress(bytes: number, options: AccessOptions = {}): void {
    this.address(bytes, DTLB.WTAG, options);
  }

  private address(bytes: number, tag: number, options: AccessOptions): void {
    const { f } = this;
    const va = f.local.take("i64");
    const offset = f.local.take("i64");
    const entry = f.local.take("i32");
    const result = f.local.take("i32");
    f.local.set(va);
    this.get32(options.unprivileged ? "DTLB_EL0" : "DTLB");
    f.local.get(va);
    f.i64.const(7);
    f.i64.shrU();
    f.i32.wrapI64();
    f.i32.const((DTLB.ENTRIES - 1) * DTLB.ENTRY_BYTES);
    f.i32.and();
    f.i32.add();
    f.local.set(entry);
    f.local.get(va);
    f.local.get(entry);
    f.i64.load(tag);
    f.i64.sub();
    f.local.tee(offset);
    f.i64.const(4096 - bytes + 1);
    f.i64.ltU();
    if (options.aligned && bytes > 1) {
      f.local.get(va);
      f.i64.const(bytes - 1);
      f.i64.and();
      f.i64.eqz();
      f.i32.and();
    }
    const hit = f.if();
    f.local.get(entry);
    f.i32.load(DTLB.ADDRESS);
    f.local.get(offset);
    f.i32.wrapI64();
    f.i32.add();
    f.local.set(result);
    f.else(hit);
    this.slowAccess(
      va,
      bytes,
      (tag === DTLB.WTAG ? ACCESS.WRITE : 0) |
        (options.unprivileged ? ACCESS.UNPRIVILEGED : 0) |
        (options.aligned ? ACCESS.ALIGNED : 0) |
        (options.atomic ? ACCESS.ATOMIC : 0) |
        (options.zva ? ACCESS.ZVA : 0) |
        (options.syndrome ? ACCESS.SYNDROME : 0) |
        (Math.log2(options.element ?? bytes) << ACCESS.ELEMENT_SHIFT),
    );
    f.local.set(result);
    f.end(hit);
    f.local.get(result);
    f.local.release(va);
    f.local.release(offset);
    f.local.release(entry);
    f.local.release(result);
  }

  /**
   * Pushes the host address of an access that the soft TLB does not simply have, or has it looked for: the instruction comes
   * again with SLOW_AT set, or the TLB filled, or does not happen.
   */
  private slowAccess(va: Local<"i64">, bytes: number, access: number): void {
    const { f } = this;
    const place = f.local.take("i32");
    this.get32("SLOW_AT");
    f.local.tee(place);
    f.i32.eqz();
    const ask = f.if();
    f.local.get(this.cpu);
    f.local.get(va);
    f.i64.store(STATE.SLOW_VA);
    this.const32("SLOW_BYTES", bytes);
    this.const32("SLOW_ACCESS", access);
    this.lookFor();
    f.end(ask);
    this.const32("SLOW_AT", 0);
    f.local.get(place);
    f.local.release(place);
  }

  /** Pushes the base register of an access, with SP's alignment checked. */
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
    this.leaveIf(LEAVE.SP_ALIGNMENT);
    f.local.get(address);
    f.local.release(address);
  }
}
