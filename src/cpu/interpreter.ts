/**
 * The interpreter: a WebAssembly module generated from the semantics. One function runs decoded records in a loop; its
 * common handlers are cases of one br_table, the others are functions in a table. These are in modules of their own, which are
 * made when an encoding is first met: a guest uses few of them, and starts sooner without the others.
 */
import { Emit } from "../a64/emit.ts";
import { type Encoded, HANDLER, type Handler, type Handlers } from "../a64/handlers.ts";
import { ACCESS, CTLB, DTLB, LEAVE, RECORD, STATE, STRICT } from "../a64/state.ts";
import { BrokenInvariant } from "../common/errors.ts";
import type { Label, Local } from "../wasm/entities.ts";
import type { FunctionBody } from "../wasm/function-body.ts";
import { ModuleBuilder } from "../wasm/module-builder.ts";

/** What a handler outside of the loop returns; 0: the instruction is done. */
const LEFT = 1;
const DONE_AND_STOP = 2;
const SLOW = 3;

/** Operands from the record that `rp` points to. */
abstract class RecordEmit extends Emit {
  readonly cpu: Local<"i32">;
  protected readonly rp: Local<"i32">;
  protected handler!: Handler;

  constructor(f: FunctionBody, cpu: Local<"i32">, rp: Local<"i32">) {
    super(f);
    this.cpu = cpu;
    this.rp = rp;
  }

  field(name: string): number {
    const value = this.handler.fixed.get(name);
    if (value === undefined) throw new BrokenInvariant(`${this.handler.row.name} has no fixed ${name}`);
    return value;
  }

  has(name: string): boolean {
    return this.handler.fixed.has(name);
  }

  imm(): void {
    this.f.local.get(this.rp);
    this.f.i64.load(RECORD.IMM);
  }

  imm32(): void {
    this.f.local.get(this.rp);
    this.f.i32.load(RECORD.IMM);
  }

  aux(index: 0 | 1): void {
    this.f.local.get(this.rp);
    this.f.i32.load8U(RECORD.AUX + index);
  }

  registerNumber(field: string): void {
    const slot = this.handler.registers.indexOf(field);
    if (slot < 0) throw new BrokenInvariant(`${this.handler.row.name} has no ${field}`);
    this.f.local.get(this.rp);
    this.f.i32.load8U(RECORD.SLOTS + slot);
  }

  xAddress(field: string): number {
    const { f } = this;
    this.registerNumber(field);
    f.i32.const(3);
    f.i32.shl();
    f.local.get(this.cpu);
    f.i32.add();
    return STATE.X;
  }

  vAddress(field: string, plus = 0): number {
    const { f } = this;
    this.registerNumber(field);
    if (plus > 0) {
      f.i32.const(plus);
      f.i32.add();
      f.i32.const(31);
      f.i32.and();
    }
    f.i32.const(4);
    f.i32.shl();
    f.local.get(this.cpu);
    f.i32.add();
    return STATE.V;
  }

  protected reason(reason: number): void {
    this.const32("REASON", reason);
  }
}

/** A handler of its own: (cpu, rp) -> what became of it. */
class FunctionEmit extends RecordEmit {
  readonly #status: Local<"i32">;

  constructor(f: FunctionBody, cpu: Local<"i32">, rp: Local<"i32">, handler: Handler) {
    super(f, cpu, rp);
    this.handler = handler;
    this.#status = f.local.take("i32");
  }

  pc(): void {
    throw new BrokenInvariant(`${this.handler.row.name} reads PC: it belongs into the loop`);
  }

  jumpImm(): void {
    this.pc();
  }

  jumpImmIf(): void {
    this.pc();
  }

  jumpTo(): void {
    this.pc();
  }

  clock(): void {
    throw new BrokenInvariant(`${this.handler.row.name} reads the time: it belongs into the loop`);
  }

  leave(reason: number): void {
    this.reason(reason);
    this.f.i32.const(LEFT);
    this.f.return();
  }

  protected lookFor(): void {
    this.f.i32.const(SLOW);
    this.f.return();
  }

  stopAfter(): void {
    this.f.i32.const(DONE_AND_STOP);
    this.f.local.set(this.#status);
  }

  finish(): void {
    this.f.local.get(this.#status);
  }
}

interface LoopLabels {
  readonly next: Label;
  readonly lookup: Label;
  readonly leave: Label;
  readonly slow: Label;
}

/** A case of the loop. */
class LoopEmit extends RecordEmit {
  readonly left: Local<"i32">;
  readonly records: Local<"i32">;
  readonly page: Local<"i64">;
  readonly target: Local<"i64">;
  readonly #labels: LoopLabels;

  constructor(
    f: FunctionBody,
    cpu: Local<"i32">,
    locals: {
      rp: Local<"i32">;
      left: Local<"i32">;
      records: Local<"i32">;
      page: Local<"i64">;
      target: Local<"i64">;
    },
    labels: LoopLabels,
  ) {
    super(f, cpu, locals.rp);
    this.left = locals.left;
    this.records = locals.records;
    this.page = locals.page;
    this.target = locals.target;
    this.#labels = labels;
  }

  handle(handler: Handler): void {
    this.handler = handler;
    handler.semantics.emit(this);
    this.advance();
  }

  advance(): void {
    const { f } = this;
    f.local.get(this.rp);
    f.i32.const(RECORD.BYTES);
    f.i32.add();
    f.local.set(this.rp);
    f.br(this.#labels.next);
  }

  pc(): void {
    const { f } = this;
    f.local.get(this.page);
    f.local.get(this.rp);
    f.local.get(this.records);
    f.i32.sub();
    f.i32.const(2);
    f.i32.shrU();
    f.i64.extendI32U();
    f.i64.add();
  }

  jumpImm(): void {
    const { f } = this;
    const to = f.local.take("i32");
    f.local.get(this.rp);
    this.imm32();
    f.i32.const(2);
    f.i32.shl();
    f.i32.add();
    f.local.tee(to);
    f.local.get(this.records);
    f.i32.sub();
    f.i32.const(1024 * RECORD.BYTES);
    f.i32.ltU();
    const inside = f.if();
    f.local.get(to);
    f.local.set(this.rp);
    f.br(this.#labels.next);
    f.end(inside);
    f.local.release(to);
    this.pc();
    this.imm();
    f.i64.add();
    this.jumpTo();
  }

  jumpImmIf(): void {
    const { f } = this;
    const taken = f.if();
    this.jumpImm();
    f.end(taken);
  }

  /** LEFT is less by this instruction already. */
  clock(): void {
    const { f } = this;
    this.get64("CLOCK");
    f.local.get(this.left);
    f.i64.extendI32U();
    f.i64.sub();
    f.i64.const(1);
    f.i64.sub();
  }

  jumpTo(): void {
    this.f.local.set(this.target);
    this.f.br(this.#labels.lookup);
  }

  leave(reason: number): void {
    this.reason(reason);
    this.f.br(this.#labels.leave);
  }

  protected lookFor(): void {
    this.f.br(this.#labels.slow);
  }

  stopAfter(): void {
    const { f } = this;
    f.local.get(this.cpu);
    f.local.get(this.left);
    f.i32.store(STATE.LEFT_SAVED);
    f.i32.const(0);
    f.local.set(this.left);
  }

  // Behind a jump WebAssembly's operand stack is polymorphic: nothing to do.
}

interface ModuleOptions {
  readonly memoryPages: number;
  /** Whether operand types are checked, which takes longer. */
  readonly checked?: boolean;
}

const builder = (name: string, { checked }: ModuleOptions): ModuleBuilder =>
  new ModuleBuilder({
    buffer: new Uint8Array(0x4_0000),
    ...(checked === undefined ? {} : { checked }),
    name,
  });

function importMemory(m: ModuleBuilder, { memoryPages }: ModuleOptions): void {
  m.importMemory("env", "memory", { min: memoryPages, max: memoryPages });
}

/** How many functions a module of handlers has at most. */
const MOST_IN_MODULE = 32;

/** The handlers of an encoding that are made together with one: they are not cases of the loop. */
export function madeWith(handlers: Handlers, encoded: Encoded, id: number): readonly Handler[] {
  const from = id - (id % MOST_IN_MODULE);
  return handlers.variantsOf(encoded, from, from + MOST_IN_MODULE);
}

/** The bytes of a module that imports env.memory and exports handlers as functions, by their numbers. */
export function handlersModule(handlers: readonly Handler[], options: ModuleOptions): Uint8Array {
  const m = builder("handlers", options);
  importMemory(m, options);
  const type = m.type(["i32", "i32"], ["i32"]);
  const functions = handlers.map((handler) => m.function(type, handler.row.name));
  const f = m.code;
  handlers.forEach((handler, i) => {
    const [cpu, rp] = f.begin(functions[i]!);
    const e = new FunctionEmit(f, cpu, rp, handler);
    handler.semantics.emit(e);
    e.finish();
    f.finish();
    m.export(String(handler.id), functions[i]!);
  });
  return m.finish();
}

/**
 * The bytes of the loop's module. It imports env.memory and exports `run(cpu)`: runs the vCPU whose state lies at `cpu` from
 * STATE.PC for at most STATE.LEFT instructions, and returns a reason of LEAVE. It exports `handlers`, too: the table in which
 * each handler that is no case of the loop must lie under its number before a record names it.
 */
export function interpreterModule(handlers: Handlers, options: ModuleOptions): Uint8Array {
  const m = builder("interpreter", options);
  importMemory(m, options);
  const handlerType = m.type(["i32", "i32"], ["i32"]);
  const run = m.function(m.type(["i32"], ["i32"]), "run");
  m.export("run", run);
  const table = m.table("funcref", { min: handlers.end, max: handlers.end });
  m.export("handlers", table);
  const f = m.code;

  const [cpu] = f.begin(run);
  const rp = f.local.take("i32");
  const left = f.local.take("i32");
  const records = f.local.take("i32");
  const status = f.local.take("i32");
  const page = f.local.take("i64");
  const target = f.local.take("i64");
  f.local.get(cpu);
  f.i64.load(STATE.PC);
  f.local.set(target);
  f.local.get(cpu);
  f.i32.load(STATE.LEFT);
  f.local.set(left);
  const out = f.block();
  const leave = f.block();
  const lookup = f.loop();
  emitLookup(f, { cpu, rp, records, page, target }, out);
  const next = f.loop();
  const slow = f.block();
  const e = new LoopEmit(f, cpu, { rp, left, records, page, target }, { next, lookup, leave, slow });
  const storePc = () => {
    f.local.get(cpu);
    e.pc();
    f.i64.store(STATE.PC);
  };
  // The budget.
  f.local.get(left);
  f.i32.eqz();
  const spent = f.if();
  storePc();
  f.local.get(cpu);
  f.i32.const(LEAVE.BUDGET);
  f.i32.store(STATE.REASON);
  f.br(out);
  f.end(spent);
  f.local.get(left);
  f.i32.const(1);
  f.i32.sub();
  f.local.set(left);
  // The cases, last first, so that the first ends innermost.
  const coldLabel = f.block();
  const inline = handlers.encodings
    .filter(({ first }) => first < handlers.inlineEnd)
    .flatMap((encoded) => handlers.variantsOf(encoded));
  const labels: Label[] = new Array(handlers.inlineEnd).fill(coldLabel);
  for (const { id } of [...inline].reverse()) labels[id] = f.block();
  const undefinedLabel = f.block();
  const pageEnd = f.block();
  const decode = f.block();
  labels[HANDLER.DECODE] = decode;
  labels[HANDLER.PAGE_END] = pageEnd;
  labels[HANDLER.UNDEFINED] = undefinedLabel;
  f.local.get(rp);
  f.i32.load16U(RECORD.HANDLER);
  f.brTable(labels, coldLabel);
  f.end(decode);
  e.leave(LEAVE.DECODE);
  f.end(pageEnd);
  f.local.get(left);
  f.i32.const(1);
  f.i32.add();
  f.local.set(left);
  f.local.get(page);
  f.i64.const(4096);
  f.i64.add();
  e.jumpTo();
  f.end(undefinedLabel);
  e.leave(LEAVE.UNDEFINED);
  for (const handler of inline) {
    f.end(labels[handler.id]!);
    e.handle(handler);
  }
  f.end(coldLabel);
  f.local.get(cpu);
  f.local.get(rp);
  f.local.get(rp);
  f.i32.load16U(RECORD.HANDLER);
  f.callIndirect(handlerType, table);
  f.local.tee(status);
  f.i32.const(LEFT);
  f.i32.eq();
  f.brIf(leave);
  f.local.get(status);
  f.i32.const(SLOW);
  f.i32.eq();
  f.brIf(slow);
  f.local.get(status);
  f.i32.const(DONE_AND_STOP);
  f.i32.eq();
  const stops = f.if();
  e.stopAfter();
  f.end(stops);
  e.advance();
  f.end(slow);
  emitStrictPlace(f, cpu);
  f.local.tee(status);
  f.i32.eqz();
  const ask = f.if();
  e.leave(LEAVE.ACCESS);
  f.end(ask);
  f.local.get(cpu);
  f.local.get(status);
  f.i32.store(STATE.SLOW_AT);
  f.local.get(left);
  f.i32.const(1);
  f.i32.add();
  f.local.set(left);
  f.br(next);
  f.end(next);
  f.end(lookup);
  f.unreachable();
  f.end(leave);
  // The instruction has not happened.
  f.local.get(cpu);
  f.local.get(page);
  f.local.get(rp);
  f.local.get(records);
  f.i32.sub();
  f.i32.const(2);
  f.i32.shrU();
  f.i64.extendI32U();
  f.i64.add();
  f.i64.store(STATE.PC);
  f.local.get(left);
  f.i32.const(1);
  f.i32.add();
  f.local.set(left);
  f.end(out);
  f.local.get(cpu);
  f.local.get(left);
  f.i32.store(STATE.LEFT);
  f.local.get(cpu);
  f.i32.load(STATE.REASON);
  f.finish();
  return m.finish();
}

/**
 * Pushes the host address of the access in SLOW_* if it is aligned and its page has a strict tag (Device memory, which is all
 * of it while the MMU is off, and all with SCTLR_EL1.A), or 0. Once, not in each handler: that costs a guest's boot a tenth.
 */
function emitStrictPlace(f: FunctionBody, cpu: Local<"i32">): void {
  const va = f.local.take("i64");
  const offset = f.local.take("i64");
  const bytes = f.local.take("i32");
  const access = f.local.take("i32");
  const entry = f.local.take("i32");
  const state32 = (at: number): void => {
    f.local.get(cpu);
    f.i32.load(at);
  };
  const has = (flag: number): void => {
    f.local.get(access);
    f.i32.const(flag);
    f.i32.and();
  };
  f.local.get(cpu);
  f.i64.load(STATE.SLOW_VA);
  f.local.set(va);
  state32(STATE.SLOW_BYTES);
  f.local.set(bytes);
  state32(STATE.SLOW_ACCESS);
  f.local.set(access);
  state32(STATE.DTLB_EL0);
  state32(STATE.DTLB);
  has(ACCESS.UNPRIVILEGED);
  f.select();
  f.local.get(va);
  f.i64.const(7);
  f.i64.shrU();
  f.i32.wrapI64();
  f.i32.const((DTLB.ENTRIES - 1) * DTLB.ENTRY_BYTES);
  f.i32.and();
  f.i32.add();
  f.local.tee(entry);
  f.i32.load(DTLB.ADDRESS);
  f.local.get(va);
  f.local.get(entry);
  f.i64.load(DTLB.STRICT_TAG);
  f.i64.sub();
  f.local.tee(offset);
  f.i32.wrapI64();
  f.i32.add();
  f.i32.const(0);
  // Within the page,
  f.local.get(offset);
  f.i32.const(4096);
  f.local.get(bytes);
  f.i32.sub();
  f.i64.extendI32U();
  f.i64.leU();
  // which has the tag for this,
  f.local.get(entry);
  f.i32.load(DTLB.STRICT);
  f.i32.const(STRICT.WRITE);
  f.i32.const(STRICT.READ);
  has(ACCESS.WRITE);
  f.select();
  f.i32.and();
  f.i32.const(0);
  f.i32.ne();
  f.i32.and();
  // aligned,
  f.local.get(va);
  f.i32.wrapI64();
  f.local.get(bytes);
  f.i32.const(1);
  f.local.get(access);
  f.i32.const(ACCESS.ELEMENT_SHIFT);
  f.i32.shrU();
  f.i32.shl();
  has(ACCESS.ALIGNED);
  f.select();
  f.i32.const(1);
  f.i32.sub();
  f.i32.and();
  f.i32.eqz();
  f.i32.and();
  // and no DC ZVA, which is for Normal memory.
  has(ACCESS.ZVA);
  f.i32.eqz();
  f.i32.and();
  f.select();
  for (const local of [bytes, access, entry]) f.local.release(local);
  for (const local of [va, offset]) f.local.release(local);
}

/** Finds the records of `target`, or leaves with PC there. */
function emitLookup(
  f: FunctionBody,
  locals: {
    cpu: Local<"i32">;
    rp: Local<"i32">;
    records: Local<"i32">;
    page: Local<"i64">;
    target: Local<"i64">;
  },
  out: Label,
): void {
  const { cpu, rp, records, page, target } = locals;
  const entry = f.local.take("i32");
  f.local.get(target);
  f.i64.const(-4096);
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
  f.i32.load(CTLB.RECORDS);
  f.local.tee(records);
  f.local.get(target);
  f.i32.wrapI64();
  f.i32.const(0xffc);
  f.i32.and();
  f.i32.const(2);
  f.i32.shl();
  f.i32.add();
  f.local.set(rp);
  f.local.release(entry);
}
