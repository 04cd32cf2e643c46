/** Calls the emitting methods by the names of the specification. */
import type { FunctionBody } from "../../src/wasm/function-body.ts";
import { methodName } from "../../src/wasm/instruction-set.ts";
import type { ValueType } from "../../src/wasm/types.ts";

export const WIDTHS: Readonly<Record<string, number>> = { i32: 32, i64: 64, f32: 32, f64: 64, v128: 128 };

/** Emits `name`, an instruction of the tables. */
export function emit(f: FunctionBody, name: string, ...immediates: readonly number[]): void {
  const [space = "", op = ""] = name.split(".");
  const operations = f[space as keyof FunctionBody] as unknown as Record<string, (...i: number[]) => void>;
  operations[methodName(op)]!(...immediates);
}

/** Emits a load of a whole value. */
export const emitLoad = (f: FunctionBody, type: ValueType, offset: number): void =>
  emit(f, `${type}.load`, offset);

/** Emits a store of a whole value. */
export const emitStore = (f: FunctionBody, type: ValueType, offset: number): void =>
  emit(f, `${type}.store`, offset);

/** Writes the low `width` bits of a value to memory. */
export function poke(memory: Uint8Array, at: number, value: bigint, width: number): void {
  for (let i = 0; i < width / 8; i++) memory[at + i] = Number((value >> BigInt(8 * i)) & 0xffn);
}

export function peek(memory: Uint8Array, at: number, width: number): bigint {
  let value = 0n;
  for (let i = 0; i < width / 8; i++) value |= BigInt(memory[at + i]!) << BigInt(8 * i);
  return value;
}
