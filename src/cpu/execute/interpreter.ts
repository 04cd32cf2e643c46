/** An interpreter of decoded instructions: WebAssembly made from the semantics, the loop at once and other handlers as they are met. */
import type { Encoded, Handlers } from "../../a64/handlers.ts";
import { engine, type FunctionTable, type LinearMemory, type ModuleInstance } from "../../wasm/engine.ts";
import { handlersModule, madeWith } from "./handlers.ts";
import { loggedAccess } from "./log.ts";
import { interpreterModule } from "./loop.ts";
import type { ModuleOptions } from "./module.ts";

const WASM_PAGE_BYTES = 0x1_0000;

export class Interpreter {
  /** Runs the vCPU whose state lies at an address until something is left to TypeScript, and returns what (LEAVE). */
  readonly run: (cpu: number) => number;
  readonly #handlers: Handlers;
  readonly #memory: LinearMemory;
  readonly #options: ModuleOptions;
  /** Handlers that are not cases of the loop, and which of them there are already. */
  readonly #table: FunctionTable;
  /** Blocks, by their numbers (ENTRY); undefined where nothing is translated. */
  readonly blocks: FunctionTable | undefined;
  readonly #made = new Set<number>();

  /**
   * @param how `logs`: whether ops and their accesses are logged; `translation`: where blocks are entered, and when told of
   */
  constructor(
    handlers: Handlers,
    memory: LinearMemory,
    { logs = false, translation }: Pick<ModuleOptions, "translation"> & { readonly logs?: boolean } = {},
  ) {
    this.#handlers = handlers;
    this.#memory = memory;
    this.#options = {
      memoryPages: memory.buffer.byteLength / WASM_PAGE_BYTES,
      translation,
      ...(logs ? { logs, access: loggedAccess } : {}),
    };
    const { exports } = this.#instance(interpreterModule(handlers, this.#options));
    this.run = exports["run"] as (cpu: number) => number;
    this.#table = exports["handlers"] as FunctionTable;
    this.blocks = exports["blocks"] as FunctionTable | undefined;
  }

  #instance(bytes: Uint8Array): ModuleInstance {
    return new engine.Instance(new engine.Module(bytes), { env: { memory: this.#memory } });
  }

  /** A decoded instruction names a handler: it must be there. */
  need(encoded: Encoded, id: number): void {
    if (id < this.#handlers.inlineEnd || this.#made.has(id)) return;
    const made = madeWith(this.#handlers, encoded, id);
    const { exports } = this.#instance(handlersModule(made, this.#options));
    for (const each of made) {
      this.#table.set(each.id, exports[String(each.id)]);
      this.#made.add(each.id);
    }
  }
}
