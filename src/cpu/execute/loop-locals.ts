/** What the interpreter's loop keeps in locals. */
import type { Local } from "../../wasm/entities.ts";
import type { FunctionBody } from "../../wasm/function-body.ts";

export interface LoopLocals {
  readonly cpu: Local<"i32">;
  /** The decoded instruction that is executed, and the first one of its page. */
  readonly at: Local<"i32">;
  readonly decoded: Local<"i32">;
  /** The VA of that page. */
  readonly page: Local<"i64">;
  /** Instructions that may still run. */
  readonly left: Local<"i32">;
  /** Where to go on. */
  readonly target: Local<"i64">;
  /** The entry of the op in the log; undefined: none is kept. */
  readonly mark: Local<"i32"> | undefined;
}

/** Pushes the VA of the instruction in `at`. */
export function pushPc(
  f: FunctionBody,
  { at, decoded, page }: Pick<LoopLocals, "at" | "decoded" | "page">,
): void {
  f.local.get(page);
  f.local.get(at);
  f.local.get(decoded);
  f.i32.sub();
  // DECODED.BYTES for 4.
  f.i32.const(2);
  f.i32.shrU();
  f.i64.extendI32U();
  f.i64.add();
}
