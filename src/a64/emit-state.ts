/** Reads and writes of a vCPU's state by field, as WebAssembly. */
import type { Local } from "../wasm/entities.ts";
import type { FunctionBody } from "../wasm/function-body.ts";
import { STATE, type StateField } from "./state.ts";

export class StateEmit {
  readonly f: FunctionBody;
  /** The address of the vCPU's state. */
  readonly cpu: Local<"i32">;

  constructor(f: FunctionBody, cpu: Local<"i32">) {
    this.f = f;
    this.cpu = cpu;
  }

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
}
