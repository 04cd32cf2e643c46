/**
 * Translated code: a function for each block of a page, from the semantics that the interpreter has, with constant operands. It
 * executes all of a block or goes out of the middle of it, with PC where the interpreter goes on; what it cannot do by itself is
 * the interpreter's to do again.
 */
import { FlowEmit } from "../../a64/emit.ts";
import type { FlowControl } from "../../a64/emit-parts.ts";
import { StateEmit } from "../../a64/emit-state.ts";
import { HANDLER, type Handler } from "../../a64/handlers.ts";
import { DECODED, STATE } from "../../a64/state.ts";
import { BrokenInvariant } from "../../common/errors.ts";
import type { Func, Label, Local } from "../../wasm/entities.ts";
import type { FunctionBody } from "../../wasm/function-body.ts";
import type { ModuleBuilder } from "../../wasm/module-builder.ts";
import { ConstantOperands } from "./constant-operands.ts";

/** (the vCPU's state, instructions that may still run, the VA of the page) -> how many are left, and WENT with where. */
export const BLOCK_PARAMS = ["i32", "i32", "i64"] as const;
export const BLOCK_RESULTS = ["i64"] as const;

/**
 * The low word of what a block returns is the address of a decoded instruction and, in its low bits, one of these. The high word
 * is how many instructions are left.
 */
export const WENT = {
  /** Execution goes on there, by a jump. */
  JUMPED: 0,
  /** The instruction there leaves WebAssembly for STATE.REASON. */
  LEFT: 1,
  /** The instruction there makes the access in SLOW_*, which is to be looked for. */
  SLOW: 2,
  /** Execution goes on at the VA in STATE.PC. */
  AWAY: 3,
  /** The instruction there is for the interpreter. */
  BACK: 4,
  /** Execution goes on there after the core has looked at interrupts. */
  STOPPED: 5,
  MASK: 15,
} as const;

/** No block is longer: it is executed as a whole, and a budget may end in the middle of it. */
const MOST_INSTRUCTIONS = 48;
/** How many blocks are translated together at most. */
const MOST_BLOCKS = 64;

/** What is known of decoded instructions. */
export interface Instructions {
  readonly view: DataView;
  /** The handler of a number; undefined for what the translator leaves to the interpreter. */
  handlerOf(id: number): Handler | undefined;
  /** Whether a place is jumped to so often that it belongs to what is translated with those who jump there. */
  isWarm(at: number): boolean;
}

interface Block {
  readonly first: number;
  /** One past its last instruction. */
  readonly end: number;
}

const IN_PAGE_BYTES = DECODED.IN_PAGE * DECODED.BYTES;

const DIRECT: ReadonlySet<string> = new Set(["B", "BL", "B_cond", "CBZ", "CBNZ", "TBZ", "TBNZ"]);
const ALWAYS: ReadonlySet<string> = new Set(["B", "BL", "BR", "BLR", "RET"]);
const CALLS: ReadonlySet<string> = new Set(["BL", "BLR"]);
/** AL and NV. */
const COND_ALWAYS = 14;

/** Whether an instruction goes elsewhere whatever holds: a block ends with it. */
const endsBlock = ({ row, fixed }: Handler): boolean =>
  ALWAYS.has(row.name) || (row.name === "B_cond" && (fixed.get("cond") ?? 0) >= COND_ALWAYS);

/** Where a direct branch goes, the address of a decoded instruction; undefined: out of its page, or it is none. */
function targetOf(view: DataView, at: number, { row }: Handler, decoded: number): number | undefined {
  if (!DIRECT.has(row.name)) return undefined;
  const to = at + view.getInt32(at + DECODED.IMM, true) * (DECODED.BYTES / 4);
  return to >= decoded && to < decoded + IN_PAGE_BYTES ? to : undefined;
}

/** The instructions of a page that blocks begin with: `heads`, and what is reached from there without leaving the page. */
export function blocksFrom(
  instructions: Instructions,
  decoded: number,
  heads: readonly number[],
): readonly Block[] {
  const { view } = instructions;
  const handlerAt = (at: number): Handler | undefined => {
    const id = at < decoded + IN_PAGE_BYTES ? view.getUint16(at + DECODED.HANDLER, true) : HANDLER.PAGE_END;
    return instructions.handlerOf(id);
  };
  const starts = new Set<number>();
  const waiting = [...heads];
  // First all the places that are jumped to: a block ends where another one begins.
  while (waiting.length > 0 && starts.size < MOST_BLOCKS) {
    const start = waiting.shift()!;
    if (starts.has(start) || handlerAt(start) === undefined) continue;
    starts.add(start);
    for (let at = start; ; at += DECODED.BYTES) {
      const handler = handlerAt(at);
      if (handler === undefined || (at !== start && starts.has(at))) break;
      if (at - start === MOST_INSTRUCTIONS * DECODED.BYTES) {
        waiting.push(at);
        break;
      }
      const target = targetOf(view, at, handler, decoded);
      if (target !== undefined && instructions.isWarm(target)) waiting.push(target);
      if (!endsBlock(handler)) continue;
      const back = at + DECODED.BYTES;
      if (CALLS.has(handler.row.name) && instructions.isWarm(back)) waiting.push(back);
      break;
    }
  }
  return [...starts].map((first) => {
    let end = first;
    for (;;) {
      const handler = handlerAt(end);
      if (handler === undefined) break;
      end += DECODED.BYTES;
      if (endsBlock(handler) || starts.has(end) || end - first === MOST_INSTRUCTIONS * DECODED.BYTES) break;
    }
    return { first, end };
  });
}

/** Control within a block. */
class BlockControl extends StateEmit implements FlowControl {
  readonly #left: Local<"i32">;
  readonly #page: Local<"i64">;
  readonly #where: Local<"i32">;
  readonly #exit: Label;
  readonly #operands: ConstantOperands;
  readonly #first: number;
  readonly #decoded: number;
  readonly #functions: ReadonlyMap<number, Func<typeof BLOCK_PARAMS>>;
  #at = 0;

  constructor(
    f: FunctionBody,
    parts: {
      readonly cpu: Local<"i32">;
      readonly left: Local<"i32">;
      readonly page: Local<"i64">;
      readonly where: Local<"i32">;
      readonly exit: Label;
      readonly operands: ConstantOperands;
      readonly first: number;
      readonly decoded: number;
      readonly functions: ReadonlyMap<number, Func<typeof BLOCK_PARAMS>>;
    },
  ) {
    super(f, parts.cpu);
    this.#left = parts.left;
    this.#page = parts.page;
    this.#where = parts.where;
    this.#exit = parts.exit;
    this.#operands = parts.operands;
    this.#first = parts.first;
    this.#decoded = parts.decoded;
    this.#functions = parts.functions;
  }

  /** The instruction at an address follows. */
  select(at: number): void {
    this.#at = at;
  }

  get #done(): number {
    return (this.#at - this.#first) / DECODED.BYTES;
  }

  #goOut(went: number): void {
    const { f } = this;
    f.i32.const(this.#at | went);
    f.local.set(this.#where);
    f.br(this.#exit);
  }

  leave(reason: number): void {
    this.const32("REASON", reason);
    this.#goOut(WENT.LEFT);
  }

  lookFor(): void {
    this.#goOut(WENT.SLOW);
  }

  /** Nothing of the instruction comes after this. */
  stopAfter(): void {
    this.#result(this.#done + 1, (this.#at + DECODED.BYTES) | WENT.STOPPED);
  }

  pc(): void {
    const { f } = this;
    f.local.get(this.#page);
    f.i64.const((this.#at - this.#decoded) / (DECODED.BYTES / 4));
    f.i64.add();
  }

  clock(): void {
    const { f } = this;
    this.get64("CLOCK");
    f.local.get(this.#left);
    f.i64.extendI32U();
    f.i64.sub();
    f.i64.const(this.#done);
    f.i64.add();
  }

  jumpImm(): void {
    const { f } = this;
    const { immediate } = this.#operands;
    const to = this.#at + immediate * (DECODED.BYTES / 4);
    if (to >= this.#decoded && to < this.#decoded + IN_PAGE_BYTES) {
      this.goTo(to, this.#done + 1);
      return;
    }
    this.pc();
    this.#operands.imm();
    f.i64.add();
    this.jumpTo();
  }

  /** Execution goes on at a decoded instruction of this page, `done` instructions of this block having been executed. */
  goTo(to: number, done: number): void {
    const { f } = this;
    const next = this.#functions.get(to);
    if (next === undefined) {
      this.#result(done, to | WENT.JUMPED);
      return;
    }
    f.local.get(this.cpu);
    this.#leftAfter(done);
    f.local.get(this.#page);
    f.returnCall(next);
  }

  jumpTo(): void {
    const { f } = this;
    const target = f.local.take("i64");
    f.local.set(target);
    f.local.get(this.cpu);
    f.local.get(target);
    f.i64.store(STATE.PC);
    f.local.release(target);
    this.#result(this.#done + 1, WENT.AWAY);
  }

  /** The instruction at an address is the interpreter's. */
  goBack(at: number, done: number): void {
    this.#result(done, at | WENT.BACK);
  }

  #leftAfter(done: number): void {
    const { f } = this;
    f.local.get(this.#left);
    if (done === 0) return;
    f.i32.const(done);
    f.i32.sub();
  }

  #result(done: number, where: number): void {
    const { f } = this;
    this.#leftAfter(done);
    f.i64.extendI32U();
    f.i64.const(32);
    f.i64.shl();
    f.i64.constHalves(where, 0);
    f.i64.or();
    f.return();
  }
}

/** Declares a function for each block, and writes them. */
export function emitBlocks(
  m: ModuleBuilder,
  instructions: Instructions,
  decoded: number,
  blocks: readonly Block[],
): ReadonlyMap<number, Func<typeof BLOCK_PARAMS>> {
  const type = m.type(BLOCK_PARAMS, BLOCK_RESULTS);
  const functions = new Map(blocks.map(({ first }) => [first, m.function(type)]));
  for (const block of blocks) emitBlock(m.code, instructions, decoded, block, functions);
  return functions;
}

function emitBlock(
  f: FunctionBody,
  { view, handlerOf }: Instructions,
  decoded: number,
  { first, end }: Block,
  functions: ReadonlyMap<number, Func<typeof BLOCK_PARAMS>>,
): void {
  const [cpu, left, page] = f.begin(functions.get(first)!);
  const where = f.local.take("i32");
  const count = (end - first) / DECODED.BYTES;
  const exit = f.block();
  const operands = new ConstantOperands(f, cpu, view);
  const control = new BlockControl(f, { cpu, left, page, where, exit, operands, first, decoded, functions });
  f.local.get(left);
  f.i32.const(count);
  f.i32.ltU();
  const short = f.if();
  control.goBack(first, 0);
  f.end(short);
  let isOver = false;
  for (let at = first; at < end; at += DECODED.BYTES) {
    const handler = handlerOf(view.getUint16(at + DECODED.HANDLER, true));
    if (handler === undefined) throw new BrokenInvariant("a block with an instruction of the interpreter's");
    control.select(at);
    operands.select(at, handler);
    handler.semantics.emit(new FlowEmit({ f, cpu, operands, control }));
    isOver = endsBlock(handler);
  }
  if (!isOver) {
    if (functions.has(end)) control.goTo(end, count);
    else control.goBack(end, count);
  }
  f.end(exit);
  // In the middle: what was executed is what comes before that instruction.
  f.local.get(left);
  f.local.get(where);
  f.i32.const(first);
  f.i32.sub();
  f.i32.const(Math.log2(DECODED.BYTES));
  f.i32.shrU();
  f.i32.sub();
  f.i64.extendI32U();
  f.i64.const(32);
  f.i64.shl();
  f.local.get(where);
  f.i64.extendI32U();
  f.i64.or();
  f.finish();
}
