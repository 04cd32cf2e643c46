/** Operands of an instruction that was decoded (a64/state.ts, DECODED). */
import type { Operands } from "../../a64/emit-parts.ts";
import type { Handler } from "../../a64/handlers.ts";
import { DECODED, STATE } from "../../a64/state.ts";
import { BrokenInvariant } from "../../common/errors.ts";
import type { Local } from "../../wasm/entities.ts";
import type { FunctionBody } from "../../wasm/function-body.ts";

export class DecodedOperands implements Operands {
  readonly #f: FunctionBody;
  readonly #cpu: Local<"i32">;
  readonly #at: Local<"i32">;
  readonly #handler: Handler;

  /** @param at the address of the decoded instruction */
  constructor(f: FunctionBody, cpu: Local<"i32">, at: Local<"i32">, handler: Handler) {
    this.#f = f;
    this.#cpu = cpu;
    this.#at = at;
    this.#handler = handler;
  }

  field(name: string): number {
    const value = this.#handler.fixed.get(name);
    if (value === undefined) throw new BrokenInvariant(`${this.#handler.row.name} has no fixed ${name}`);
    return value;
  }

  has(name: string): boolean {
    return this.#handler.fixed.has(name);
  }

  imm(): void {
    this.#f.local.get(this.#at);
    this.#f.i64.load(DECODED.IMM);
  }

  imm32(): void {
    this.#f.local.get(this.#at);
    this.#f.i32.load(DECODED.IMM);
  }

  aux(index: 0 | 1): void {
    this.#f.local.get(this.#at);
    this.#f.i32.load8U(DECODED.AUX + index);
  }

  registerNumber(field: string): void {
    const slot = this.#handler.registers.indexOf(field);
    if (slot < 0) throw new BrokenInvariant(`${this.#handler.row.name} has no ${field}`);
    this.#f.local.get(this.#at);
    this.#f.i32.load8U(DECODED.SLOTS + slot);
  }

  xAddress(field: string): number {
    const f = this.#f;
    this.registerNumber(field);
    f.i32.const(3);
    f.i32.shl();
    f.local.get(this.#cpu);
    f.i32.add();
    return STATE.X;
  }

  isZero(): undefined {
    return undefined;
  }

  vAddress(field: string, plus: number): number {
    const f = this.#f;
    this.registerNumber(field);
    if (plus > 0) {
      f.i32.const(plus);
      f.i32.add();
      f.i32.const(31);
      f.i32.and();
    }
    f.i32.const(4);
    f.i32.shl();
    f.local.get(this.#cpu);
    f.i32.add();
    return STATE.V;
  }

  elementAddress(size: number): number {
    const f = this.#f;
    this.aux(1);
    f.i32.const(4);
    f.i32.shl();
    this.aux(0);
    f.i32.const(size);
    f.i32.shl();
    f.i32.add();
    f.local.get(this.#cpu);
    f.i32.add();
    return STATE.V;
  }
}
