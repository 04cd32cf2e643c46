/**
 * The interpreter's loop: one function that runs decoded instructions one after the other. Common handlers are cases of one
 * br_table, the others functions in a table (handlers.ts).
 */
import { FlowEmit } from "../../a64/emit.ts";
import type { FlowControl, Operands } from "../../a64/emit-parts.ts";
import { StateEmit } from "../../a64/emit-state.ts";
import { HANDLER, type Handlers } from "../../a64/handlers.ts";
import { CTLB, DECODED, LEAVE, STATE } from "../../a64/state.ts";
import { PAGE_BYTES } from "../../common/address.ts";
import type { Label, Local } from "../../wasm/entities.ts";
import type { FunctionBody } from "../../wasm/function-body.ts";
import { DecodedOperands } from "./decoded-operands.ts";
import { emitEntry } from "./entry.ts";
import { logOp, takeBackOp } from "./log.ts";
import { type LoopLocals, pushPc } from "./loop-locals.ts";
import { type ModuleOptions, moduleBuilder, STATUS } from "./module.ts";
import { emitSecondLook } from "./second-look.ts";

interface LoopLabels {
  /** At the instruction in `at`. */
  readonly next: Label;
  /** At the instruction in `at`, which was jumped to. */
  readonly jumped: Label;
  /** At the address in `target`. */
  readonly lookup: Label;
  /** Out, for STATE.REASON; the instruction has not happened. */
  readonly leave: Label;
  /** To look for the access in SLOW_*. */
  readonly slow: Label;
}

/** Control in a case of the loop. Behind a jump WebAssembly's operand stack is polymorphic: nothing to do. */
class LoopControl extends StateEmit implements FlowControl {
  readonly #locals: LoopLocals;
  readonly #labels: LoopLabels;

  constructor(f: FunctionBody, locals: LoopLocals, labels: LoopLabels) {
    super(f, locals.cpu);
    this.#locals = locals;
    this.#labels = labels;
  }

  /** Goes on with the next instruction. */
  advance(): void {
    const { f } = this;
    const { at } = this.#locals;
    f.local.get(at);
    f.i32.const(DECODED.BYTES);
    f.i32.add();
    f.local.set(at);
    f.br(this.#labels.next);
  }

  pc(): void {
    pushPc(this.f, this.#locals);
  }

  jumpImm(operands: Operands): void {
    const { f } = this;
    const { at, decoded } = this.#locals;
    const to = f.local.take("i32");
    f.local.get(at);
    operands.imm32();
    f.i32.const(2);
    f.i32.shl();
    f.i32.add();
    f.local.tee(to);
    f.local.get(decoded);
    f.i32.sub();
    f.i32.const(DECODED.IN_PAGE * DECODED.BYTES);
    f.i32.ltU();
    const inside = f.if();
    f.local.get(to);
    f.local.set(at);
    f.br(this.#labels.jumped);
    f.end(inside);
    f.local.release(to);
    this.pc();
    operands.imm();
    f.i64.add();
    this.jumpTo();
  }

  jumpTo(): void {
    this.f.local.set(this.#locals.target);
    this.f.br(this.#labels.lookup);
  }

  /** `left` is less by this instruction already. */
  clock(): void {
    const { f } = this;
    this.get64("CLOCK");
    f.local.get(this.#locals.left);
    f.i64.extendI32U();
    f.i64.sub();
    f.i64.const(1);
    f.i64.sub();
  }

  leave(reason: number): void {
    this.const32("REASON", reason);
    this.f.br(this.#labels.leave);
  }

  lookFor(): void {
    this.f.br(this.#labels.slow);
  }

  stopAfter(): void {
    const { f } = this;
    f.local.get(this.cpu);
    f.local.get(this.#locals.left);
    f.i32.store(STATE.LEFT_SAVED);
    f.i32.const(0);
    f.local.set(this.#locals.left);
  }
}

/**
 * The bytes of the loop's module. It imports env.memory and exports `run(cpu)`: runs the vCPU whose state lies at `cpu` from
 * STATE.PC for at most STATE.LEFT instructions, and returns a reason of LEAVE. It exports `handlers`, too: the table in which
 * each handler that is no case of the loop must lie under its number before a decoded instruction names it.
 */
export function interpreterModule(handlers: Handlers, options: ModuleOptions): Uint8Array {
  const m = moduleBuilder("interpreter", options);
  const handlerType = m.type(["i32", "i32"], ["i32"]);
  const run = m.function(m.type(["i32"], ["i32"]), "run");
  m.export("run", run);
  const table = m.table("funcref", { min: handlers.end, max: handlers.end });
  m.export("handlers", table);
  const f = m.code;

  const [cpu] = f.begin(run);
  const at = f.local.take("i32");
  const left = f.local.take("i32");
  const decoded = f.local.take("i32");
  const status = f.local.take("i32");
  const page = f.local.take("i64");
  const target = f.local.take("i64");
  const mark = options.logs === true ? f.local.take("i32") : undefined;
  const locals: LoopLocals = { cpu, at, left, decoded, page, target, mark };
  f.local.get(cpu);
  f.i64.load(STATE.PC);
  f.local.set(target);
  f.local.get(cpu);
  f.i32.load(STATE.LEFT);
  f.local.set(left);
  const out = f.block();
  const leave = f.block();
  const lookup = f.loop();
  emitLookup(f, locals, out);
  const jumped = f.loop();
  if (options.translation !== undefined) emitEntry(m, options.translation, locals, { jumped, lookup, out });
  const next = f.loop();
  const slow = f.block();
  const control = new LoopControl(f, locals, { next, jumped, lookup, leave, slow });
  emitBudget(f, locals, control, out);
  if (mark !== undefined) logOp(control, at, mark, () => control.pc());
  const cold = f.block();
  emitCases(f, handlers, options, { locals, control, cold });
  f.end(cold);
  f.local.get(cpu);
  f.local.get(at);
  f.local.get(at);
  f.i32.load16U(DECODED.HANDLER);
  f.callIndirect(handlerType, table);
  f.local.tee(status);
  f.i32.const(STATUS.LEFT);
  f.i32.eq();
  f.brIf(leave);
  f.local.get(status);
  f.i32.const(STATUS.SLOW);
  f.i32.eq();
  f.brIf(slow);
  f.local.get(status);
  f.i32.const(STATUS.DONE_AND_STOP);
  f.i32.eq();
  const stops = f.if();
  control.stopAfter();
  f.end(stops);
  control.advance();
  f.end(slow);
  emitSecondLook(f, cpu);
  f.local.tee(status);
  f.i32.eqz();
  const ask = f.if();
  control.leave(LEAVE.ACCESS);
  f.end(ask);
  f.local.get(cpu);
  f.local.get(status);
  f.i32.store(STATE.SLOW_AT);
  giveBack(control, locals);
  f.br(next);
  f.end(next);
  f.end(jumped);
  f.end(lookup);
  f.unreachable();
  f.end(leave);
  // The instruction has not happened.
  storePc(f, cpu, control);
  giveBack(control, locals);
  f.end(out);
  f.local.get(cpu);
  f.local.get(left);
  f.i32.store(STATE.LEFT);
  f.local.get(cpu);
  f.i32.load(STATE.REASON);
  f.finish();
  return m.finish();
}

function storePc(f: FunctionBody, cpu: Local<"i32">, control: LoopControl): void {
  f.local.get(cpu);
  control.pc();
  f.i64.store(STATE.PC);
}

/** An instruction that was counted has not happened. */
function giveBack(control: LoopControl, { left, mark }: LoopLocals): void {
  const { f } = control;
  if (mark !== undefined) takeBackOp(control, mark);
  f.local.get(left);
  f.i32.const(1);
  f.i32.add();
  f.local.set(left);
}

/** Counts an instruction, or ends the run where the budget is spent. */
function emitBudget(f: FunctionBody, { cpu, left }: LoopLocals, control: LoopControl, out: Label): void {
  f.local.get(left);
  f.i32.eqz();
  const spent = f.if();
  storePc(f, cpu, control);
  f.local.get(cpu);
  f.i32.const(LEAVE.BUDGET);
  f.i32.store(STATE.REASON);
  f.br(out);
  f.end(spent);
  f.local.get(left);
  f.i32.const(1);
  f.i32.sub();
  f.local.set(left);
}

/** The br_table over handlers, and the cases of the loop. What is none of them goes to `cold`. */
function emitCases(
  f: FunctionBody,
  handlers: Handlers,
  options: ModuleOptions,
  loop: { readonly locals: LoopLocals; readonly control: LoopControl; readonly cold: Label },
): void {
  const { locals, control, cold } = loop;
  const { cpu, at, page } = locals;
  const inline = handlers.encodings
    .filter(({ first }) => first < handlers.inlineEnd)
    .flatMap((encoded) => handlers.variantsOf(encoded));
  // Last first, so that the first ends innermost.
  const labels: Label[] = new Array(handlers.inlineEnd).fill(cold);
  for (const { id } of [...inline].reverse()) labels[id] = f.block();
  const undefinedLabel = f.block();
  const pageEnd = f.block();
  const decode = f.block();
  labels[HANDLER.DECODE] = decode;
  labels[HANDLER.PAGE_END] = pageEnd;
  labels[HANDLER.UNDEFINED] = undefinedLabel;
  f.local.get(at);
  f.i32.load16U(DECODED.HANDLER);
  f.brTable(labels, cold);
  f.end(decode);
  control.leave(LEAVE.DECODE);
  f.end(pageEnd);
  giveBack(control, locals);
  f.local.get(page);
  f.i64.const(PAGE_BYTES);
  f.i64.add();
  control.jumpTo();
  f.end(undefinedLabel);
  control.leave(LEAVE.UNDEFINED);
  for (const handler of inline) {
    f.end(labels[handler.id]!);
    const operands = new DecodedOperands(f, cpu, at, handler);
    handler.semantics.emit(new FlowEmit({ f, cpu, operands, control, access: options.access }));
    control.advance();
  }
}

/** Finds the decoded instruction of `target`, or leaves with PC there. */
function emitLookup(f: FunctionBody, { cpu, at, decoded, page, target }: LoopLocals, out: Label): void {
  const entry = f.local.take("i32");
  f.local.get(target);
  f.i64.const(-PAGE_BYTES);
  f.i64.and();
  f.local.set(page);
  f.local.get(cpu);
  f.i32.load(STATE.CTLB);
  f.local.get(target);
  f.i64.const(8);
  f.i64.shrU();
  f.i32.wrapI64();
  f.i32.const((CTLB.ENTRIES - 1) * CTLB.ENTRY_BYTES);
  f.i32.and();
  f.i32.add();
  f.local.tee(entry);
  f.i64.load(CTLB.TAG);
  f.local.get(page);
  f.i64.ne();
  f.local.get(target);
  f.i32.wrapI64();
  f.i32.const(3);
  f.i32.and();
  f.i32.or();
  const miss = f.if();
  f.local.get(cpu);
  f.local.get(target);
  f.i64.store(STATE.PC);
  f.local.get(cpu);
  f.i32.const(LEAVE.CODE);
  f.i32.store(STATE.REASON);
  f.br(out);
  f.end(miss);
  f.local.get(entry);
  f.i32.load(CTLB.DECODED);
  f.local.tee(decoded);
  f.local.get(target);
  f.i32.wrapI64();
  f.i32.const(PAGE_BYTES - 4);
  f.i32.and();
  f.i32.const(2);
  f.i32.shl();
  f.i32.add();
  f.local.set(at);
  f.local.release(entry);
}
