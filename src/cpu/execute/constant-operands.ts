/** Operands of an instruction that is translated: what was decoded (a64/state.ts, DECODED), as constants. */
import type { Operands } from "../../a64/emit-parts.ts";
import type { Handler } from "../../a64/handlers.ts";
import { DECODED, SLOT, STATE } from "../../a64/state.ts";
import { BrokenInvariant } from "../../common/errors.ts";
import type { Local } from "../../wasm/entities.ts";
import type { FunctionBody } from "../../wasm/function-body.ts";

export class ConstantOperands implements Operands {
  readonly #f: FunctionBody;
  readonly #cpu: Local<"i32">;
  readonly #view: DataView;
  #at = 0;
  #handler: Handler | undefined;

  /** @param view of the memory in which instructions lie decoded */
  constructor(f: FunctionBody, cpu: Local<"i32">, view: DataView) {
    this.#f = f;
    this.#cpu = cpu;
    this.#view = view;
  }

  /** The operands of the decoded instruction at an address follow. */
  select(at: number, handler: Handler): void {
    this.#at = at;
    this.#handler = handler;
  }

  get #selected(): Handler {
    if (this.#handler === undefined) throw new BrokenInvariant("no instruction is selected");
    return this.#handler;
  }

  field(name: string): number {
    const value = this.#selected.fixed.get(name);
    if (value === undefined) throw new BrokenInvariant(`${this.#selected.row.name} has no fixed ${name}`);
    return value;
  }

  has(name: string): boolean {
    return this.#selected.fixed.has(name);
  }

  imm(): void {
    const at = this.#at + DECODED.IMM;
    this.#f.i64.constHalves(this.#view.getInt32(at, true), this.#view.getInt32(at + 4, true));
  }

  imm32(): void {
    this.#f.i32.const(this.immediate);
  }

  /** The low half of the immediate, signed. */
  get immediate(): number {
    return this.#view.getInt32(this.#at + DECODED.IMM, true);
  }

  aux(index: 0 | 1): void {
    this.#f.i32.const(this.#aux(index));
  }

  #aux(index: 0 | 1): number {
    return this.#view.getUint8(this.#at + DECODED.AUX + index);
  }

  registerNumber(field: string): void {
    this.#f.i32.const(this.#slot(field));
  }

  #slot(field: string): number {
    const slot = this.#selected.registers.indexOf(field);
    if (slot < 0) throw new BrokenInvariant(`${this.#selected.row.name} has no ${field}`);
    return this.#view.getUint8(this.#at + DECODED.SLOTS + slot);
  }

  xAddress(field: string): number {
    this.#f.local.get(this.#cpu);
    return STATE.X + 8 * this.#slot(field);
  }

  isZero(field: string, plus: 0 | 1): boolean {
    return this.#slot(field) + plus === SLOT.ZR;
  }

  vAddress(field: string, plus: number): number {
    this.#f.local.get(this.#cpu);
    return STATE.V + 16 * ((this.#slot(field) + plus) & 31);
  }

  elementAddress(size: number): number {
    this.#f.local.get(this.#cpu);
    return STATE.V + 16 * this.#aux(1) + (this.#aux(0) << size);
  }
}
