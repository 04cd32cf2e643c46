/** Places of decoded code that are jumped to: counted until a block begins there (block.ts), and then executed by that. */
import { DECODED, ENTRY, LEAVE, STATE } from "../../a64/state.ts";
import type { Label, Local } from "../../wasm/entities.ts";
import type { FunctionBody } from "../../wasm/function-body.ts";
import type { ModuleBuilder } from "../../wasm/module-builder.ts";
import { BLOCK_PARAMS, BLOCK_RESULTS, WENT } from "./block.ts";
import { type LoopLocals, pushPc } from "./loop-locals.ts";
import type { CountedJumps } from "./module.ts";
import { emitSecondLook } from "./second-look.ts";

interface EntryLabels {
  /** At the instruction in `at`, which was jumped to. */
  readonly jumped: Label;
  /** At the address in `target`. */
  readonly lookup: Label;
  /** Out, for STATE.REASON, with PC as it is. */
  readonly out: Label;
}

/**
 * At an instruction that was jumped to: executes the block that begins there, or counts, and leaves when it is worth a block.
 * What comes behind is the instruction in `at` for the interpreter.
 */
export function emitEntry(
  m: ModuleBuilder,
  { entriesAt, hotAfter }: CountedJumps,
  locals: LoopLocals,
  labels: EntryLabels,
): void {
  const f = m.code;
  const { cpu, at, left, page } = locals;
  const type = m.type(BLOCK_PARAMS, BLOCK_RESULTS);
  const size = ENTRY.BLOCKS + ENTRY.MOST_BLOCKS;
  const table = m.table("funcref", { min: size, max: size });
  m.export("blocks", table);
  const entry = f.local.take("i32");
  const value = f.local.take("i32");
  f.local.get(at);
  f.i32.const(Math.log2(DECODED.BYTES / ENTRY.BYTES));
  f.i32.shrU();
  f.local.tee(entry);
  f.i32.load(entriesAt);
  f.local.tee(value);
  f.i32.const(ENTRY.BLOCKS);
  f.i32.geU();
  const block = f.if();
  f.local.get(cpu);
  f.local.get(left);
  f.local.get(page);
  f.local.get(value);
  f.callIndirect(type, table);
  emitAfterBlock(f, locals, labels);
  f.else(block);
  f.local.get(value);
  f.i32.const(hotAfter);
  f.i32.ltU();
  const counts = f.if();
  f.local.get(entry);
  f.local.get(value);
  f.i32.const(1);
  f.i32.add();
  f.local.tee(value);
  f.i32.store(entriesAt);
  f.local.get(value);
  f.i32.const(hotAfter);
  f.i32.eq();
  const isHot = f.if();
  leave(f, locals, LEAVE.HOT, labels.out);
  f.end(isHot);
  f.end(counts);
  f.end(block);
  f.local.release(entry);
  f.local.release(value);
}

/** Takes what a block has returned, and goes where it says. What is left for the interpreter falls through. */
function emitAfterBlock(f: FunctionBody, locals: LoopLocals, { jumped, lookup, out }: EntryLabels): void {
  const { cpu, at, left, target } = locals;
  const result = f.local.take("i64");
  const went = f.local.take("i32");
  f.local.tee(result);
  f.i64.const(32);
  f.i64.shrU();
  f.i32.wrapI64();
  f.local.set(left);
  f.local.get(result);
  f.i32.wrapI64();
  f.local.tee(went);
  f.i32.const(-1 - WENT.MASK);
  f.i32.and();
  f.local.set(at);
  f.local.get(went);
  f.i32.const(WENT.MASK);
  f.i32.and();
  f.local.tee(went);
  f.i32.eqz();
  f.brIf(jumped);
  ifWent(f, went, WENT.AWAY, () => {
    f.local.get(cpu);
    f.i64.load(STATE.PC);
    f.local.set(target);
    f.br(lookup);
  });
  ifWent(f, went, WENT.LEFT, () => {
    storePc(f, locals);
    f.br(out);
  });
  ifWent(f, went, WENT.SLOW, () => {
    const place = f.local.take("i32");
    emitSecondLook(f, cpu);
    f.local.tee(place);
    f.i32.eqz();
    const ask = f.if();
    leave(f, locals, LEAVE.ACCESS, out);
    f.end(ask);
    f.local.get(cpu);
    f.local.get(place);
    f.i32.store(STATE.SLOW_AT);
    f.local.release(place);
  });
  ifWent(f, went, WENT.STOPPED, () => {
    f.local.get(cpu);
    f.local.get(left);
    f.i32.store(STATE.LEFT_SAVED);
    f.i32.const(0);
    f.local.set(left);
  });
  f.local.release(result);
  f.local.release(went);
}

function ifWent(f: FunctionBody, went: Local<"i32">, what: number, then: () => void): void {
  f.local.get(went);
  f.i32.const(what);
  f.i32.eq();
  const is = f.if();
  then();
  f.end(is);
}

function storePc(f: FunctionBody, locals: LoopLocals): void {
  f.local.get(locals.cpu);
  pushPc(f, locals);
  f.i64.store(STATE.PC);
}

/** Leaves for a reason before the instruction in `at`. */
function leave(f: FunctionBody, locals: LoopLocals, reason: number, out: Label): void {
  f.local.get(locals.cpu);
  f.i32.const(reason);
  f.i32.store(STATE.REASON);
  storePc(f, locals);
  f.br(out);
}
