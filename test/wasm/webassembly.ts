/** The part of the WebAssembly API that tests use: neither lib ES2023 nor @types/node declares it as values. */

export interface WasmMemory {
  readonly buffer: ArrayBuffer;
}

export interface WasmInstance {
  readonly exports: Readonly<Record<string, unknown>>;
}

interface WebAssemblyApi {
  readonly Memory: new (limits: { initial: number; maximum?: number; shared?: boolean }) => WasmMemory;
  readonly Table: new (limits: { initial: number; maximum?: number; element: string }) => object;
  readonly Global: new (type: { value: string; mutable?: boolean }, value: unknown) => object;
  readonly Module: (new (
    bytes: Uint8Array,
  ) => object) & {
    customSections(module: object, name: string): ArrayBuffer[];
  };
  readonly Instance: new (module: object, imports?: object) => WasmInstance;
  validate(bytes: Uint8Array): boolean;
}

export const wasm = (globalThis as unknown as { readonly WebAssembly: WebAssemblyApi }).WebAssembly;

/** An instance of the module. Throws CompileError if it is not valid. */
export function instantiate(bytes: Uint8Array, imports: object = {}): WasmInstance {
  return new wasm.Instance(new wasm.Module(bytes), imports);
}
