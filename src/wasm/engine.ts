/** The engine's own WebAssembly interface, as far as it is used here: it is no part of ECMAScript's types. */

export interface LinearMemory {
  readonly buffer: ArrayBuffer;
}

export interface CompiledModule {
  readonly brand?: "WebAssembly.Module";
}

export interface ModuleInstance {
  readonly exports: Readonly<Record<string, unknown>>;
}

/** A table of functions. */
export interface FunctionTable {
  set(index: number, value: unknown): void;
}

interface Engine {
  readonly Memory: new (limits: { initial: number; maximum: number }) => LinearMemory;
  readonly Module: new (bytes: Uint8Array) => CompiledModule;
  readonly Instance: new (
    module: CompiledModule,
    imports: Readonly<Record<string, Readonly<Record<string, unknown>>>>,
  ) => ModuleInstance;
}

/** What Node, workers and browsers call WebAssembly. */
export const engine = (globalThis as unknown as { readonly WebAssembly: Engine }).WebAssembly;
