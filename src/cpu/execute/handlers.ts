/**
 * Handlers that are no cases of the loop: functions in modules of their own, which are made when an encoding is first met. A
 * guest uses few of them, and starts sooner without the others.
 */
import { Emit } from "../../a64/emit.ts";
import type { Control } from "../../a64/emit-parts.ts";
import { StateEmit } from "../../a64/emit-state.ts";
import type { Encoded, Handler, Handlers } from "../../a64/handlers.ts";
import { BrokenInvariant } from "../../common/errors.ts";
import type { Local } from "../../wasm/entities.ts";
import type { FunctionBody } from "../../wasm/function-body.ts";
import { DecodedOperands } from "./decoded-operands.ts";
import { type ModuleOptions, moduleBuilder, STATUS } from "./module.ts";

/** Control in a function of its own: it returns what became of the instruction. */
class FunctionControl extends StateEmit implements Control {
  readonly #status: Local<"i32">;

  constructor(f: FunctionBody, cpu: Local<"i32">) {
    super(f, cpu);
    this.#status = f.local.take("i32");
  }

  leave(reason: number): void {
    this.const32("REASON", reason);
    this.f.i32.const(STATUS.LEFT);
    this.f.return();
  }

  lookFor(): void {
    this.f.i32.const(STATUS.SLOW);
    this.f.return();
  }

  stopAfter(): void {
    this.f.i32.const(STATUS.DONE_AND_STOP);
    this.f.local.set(this.#status);
  }

  /** Pushes the status of an instruction that is done. */
  done(): void {
    this.f.local.get(this.#status);
  }
}

/** How many functions a module of handlers has at most. */
const MOST_IN_MODULE = 32;

/** The handlers of an encoding that are made together with one: they are not cases of the loop. */
export function madeWith(handlers: Handlers, encoded: Encoded, id: number): readonly Handler[] {
  const from = id - (id % MOST_IN_MODULE);
  return handlers.variantsOf(encoded, from, from + MOST_IN_MODULE);
}

/**
 * The bytes of a module that imports env.memory and exports handlers as functions, by their numbers: (the vCPU's state, the
 * decoded instruction) -> STATUS.
 */
export function handlersModule(handlers: readonly Handler[], options: ModuleOptions): Uint8Array {
  const m = moduleBuilder("handlers", options);
  const type = m.type(["i32", "i32"], ["i32"]);
  const functions = handlers.map((handler) => m.function(type, handler.row.name));
  const f = m.code;
  handlers.forEach((handler, i) => {
    const { semantics, row } = handler;
    if (semantics.inline === true) throw new BrokenInvariant(`${row.name} is a case of the loop`);
    const [cpu, at] = f.begin(functions[i]!);
    const control = new FunctionControl(f, cpu);
    const operands = new DecodedOperands(f, cpu, at, handler);
    semantics.emit(new Emit({ f, cpu, operands, control, access: options.access }));
    control.done();
    f.finish();
    m.export(String(handler.id), functions[i]!);
  });
  return m.finish();
}
