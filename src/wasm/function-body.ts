/**
 * Writes the bodies of a module's functions, one after the other, straight into the code section. There is one of
 * these per module, so that what emits keeps one value: `begin(func)`, instructions, `finish()`.
 *
 * Locals and labels are values that belong to the function they were made in; another function's, a released local and
 * a closed label are refused. Operand types are not tracked, unless the module is `checked`.
 */
import { BrokenInvariant } from "../common/errors.ts";
import type { Checker } from "./checker.ts";
import { type Func, FunctionType, Label, type Local, type Table, type ValueTypes } from "./entities.ts";
import {
  F32Operations,
  F32x4Operations,
  F64Operations,
  F64x2Operations,
  I8x16Operations,
  I16x8Operations,
  I32Operations,
  I32x4Operations,
  I64Operations,
  I64x2Operations,
  V128Operations,
} from "./operations.ts";
import {
  GlobalOperations,
  LocalOperations,
  MemoryOperations,
  ReferenceOperations,
  TableOperations,
} from "./storage-operations.ts";
import { VALUE_TYPE_CODES, type ValueType } from "./types.ts";
import { ByteWriter } from "./writer.ts";

/** What a block leaves: nothing, one value, or what a function type says (which may also take operands). */
export type BlockType = ValueType | FunctionType | undefined;

/** The parameters of a function as locals. */
export type ParamLocals<Params extends ValueTypes> = {
  readonly [K in keyof Params]: Params[K] extends ValueType ? Local<Params[K]> : never;
};

const SIZE_BYTES = 5;
const NO_TYPES: ValueTypes = [];

export class FunctionBody {
  declare readonly i32: I32Operations;
  declare readonly i64: I64Operations;
  declare readonly f32: F32Operations;
  declare readonly f64: F64Operations;
  declare readonly v128: V128Operations;
  declare readonly i8x16: I8x16Operations;
  declare readonly i16x8: I16x8Operations;
  declare readonly i32x4: I32x4Operations;
  declare readonly i64x2: I64x2Operations;
  declare readonly f32x4: F32x4Operations;
  declare readonly f64x2: F64x2Operations;
  declare readonly local: LocalOperations;
  declare readonly global: GlobalOperations;
  declare readonly memory: MemoryOperations;
  declare readonly table: TableOperations;
  declare readonly ref: ReferenceOperations;

  /** For ModuleBuilder: the bodies, and where each lies by its function's index. */
  declare readonly out: ByteWriter;
  readonly starts: number[] = [];
  readonly ends: number[] = [];

  declare private readonly owner: object;
  declare private readonly checker: Checker | undefined;
  private readonly header = new ByteWriter();
  private headerBytes = 1;
  private bodies = 0;
  /** Which function is being written; -1 between functions, so that no label fits. */
  private serial = -1;
  /** How many labels are open, the function's own included. */
  private height = 0;
  private func: Func | undefined;
  private exitLabel: Label | undefined;
  private start = 0;
  private endOfLast = 0;

  constructor(owner: object, checker: Checker | undefined, buffer: Uint8Array) {
    const out = new ByteWriter(buffer);
    this.owner = owner;
    this.checker = checker;
    this.out = out;
    this.i32 = new I32Operations(out, checker);
    this.i64 = new I64Operations(out, checker);
    this.f32 = new F32Operations(out, checker);
    this.f64 = new F64Operations(out, checker);
    this.v128 = new V128Operations(out, checker);
    this.i8x16 = new I8x16Operations(out, checker);
    this.i16x8 = new I16x8Operations(out, checker);
    this.i32x4 = new I32x4Operations(out, checker);
    this.i64x2 = new I64x2Operations(out, checker);
    this.f32x4 = new F32x4Operations(out, checker);
    this.f64x2 = new F64x2Operations(out, checker);
    this.local = new LocalOperations(out, checker);
    this.global = new GlobalOperations(out, checker, owner);
    this.memory = new MemoryOperations(out, checker, owner);
    this.table = new TableOperations(out, checker, owner);
    this.ref = new ReferenceOperations(out, checker, owner);
  }

  /** Starts the body of `func`, which the module has declared; gives its parameters. Any order will do. */
  begin<Params extends ValueTypes>(func: Func<Params>): ParamLocals<Params> {
    if (this.func !== undefined) throw new BrokenInvariant(`${called(this.func)} is not finished`);
    if (func.owner !== this.owner || func.imported) {
      throw new BrokenInvariant(`${called(func)} is not this module's to define`);
    }
    if (this.ends[func.index] !== undefined) throw new BrokenInvariant(`${called(func)} has a body already`);
    this.betweenFunctions();
    const { out } = this;
    this.func = func;
    this.serial = ++this.bodies;
    this.height = 1;
    this.exitLabel = new Label(this.serial, 1, "function");
    this.start = out.pos;
    // The sizes of what comes first are not known yet: a body often has the locals of the one before it.
    out.reserve(SIZE_BYTES + this.headerBytes);
    out.pos += SIZE_BYTES + this.headerBytes;
    if (this.checker !== undefined) this.checker.begin(called(func), func.type.results);
    return this.local.begin(this.serial, func.type.params) as unknown as ParamLocals<Params>;
  }

  /** Ends the body: every block must be ended. */
  finish(): void {
    const { func, out } = this;
    if (func === undefined) throw new BrokenInvariant("no function is being written");
    if (this.height !== 1) throw new BrokenInvariant(`${called(func)} has ${this.height - 1} open blocks`);
    if (this.checker !== undefined) this.checker.next("end").end();
    out.op1(0x0b);
    this.writeHeader();
    out.patchU32(this.start, out.pos - this.start - SIZE_BYTES);
    this.starts[func.index] = this.start;
    this.ends[func.index] = out.pos;
    this.endOfLast = out.pos;
    this.exitLabel!.serial = 0;
    this.exitLabel = undefined;
    this.func = undefined;
    this.serial = -1;
  }

  /** Puts the declarations of locals before the code, which moves if they take more or less room than was left. */
  private writeHeader(): void {
    const { out, header } = this;
    header.pos = 0;
    this.local.finish(header);
    const codeAt = this.start + SIZE_BYTES + this.headerBytes;
    const moved = header.pos - this.headerBytes;
    if (moved !== 0) {
      if (moved > 0) out.reserve(moved);
      out.bytes.copyWithin(codeAt + moved, codeAt, out.pos);
      out.pos += moved;
      this.headerBytes = header.pos;
    }
    const at = this.start + SIZE_BYTES;
    for (let i = 0; i < header.pos; i++) out.bytes[at + i] = header.bytes[i]!;
  }

  /** Refuses what was written outside of functions. */
  betweenFunctions(): void {
    if (this.func !== undefined) throw new BrokenInvariant(`${called(this.func)} is not finished`);
    if (this.out.pos !== this.endOfLast) throw new BrokenInvariant("instructions outside of a function");
  }

  /** The function's own label: a branch to it returns. */
  get exit(): Label {
    if (this.exitLabel === undefined) throw new BrokenInvariant("no function is being written");
    return this.exitLabel;
  }

  block(type?: BlockType): Label {
    return this.open("block", 0x02, type);
  }

  /** A branch to a loop's label goes to its start. */
  loop(type?: BlockType): Label {
    return this.open("loop", 0x03, type);
  }

  /** Takes an i32: what follows is executed unless it is 0. */
  if(type?: BlockType): Label {
    return this.open("if", 0x04, type);
  }

  else(label: Label): void {
    this.innermost(label);
    if (label.kind !== "if") throw new BrokenInvariant(`else in ${label.kind}`);
    label.kind = "else";
    if (this.checker !== undefined) this.checker.next("else").else();
    this.out.op1(0x05);
  }

  /** Ends `label`, which must be the innermost open one. */
  end(label: Label): void {
    this.innermost(label);
    if (label.kind === "function") throw new BrokenInvariant("a function ends with finish()");
    if (this.checker !== undefined) this.checker.next("end").end();
    label.serial = 0;
    this.height--;
    this.out.op1(0x0b);
  }

  br(label: Label): void {
    const depth = this.depthOf(label);
    if (this.checker !== undefined) this.checker.next("br").branch(depth, false);
    this.out.op1U32(0x0c, depth);
  }

  /** Takes an i32: branches unless it is 0. */
  brIf(label: Label): void {
    const depth = this.depthOf(label);
    if (this.checker !== undefined) {
      this.checker.next("br_if").pop("i32");
      this.checker.branch(depth, true);
    }
    this.out.op1U32(0x0d, depth);
  }

  /** Takes an i32: branches to the label of that index, or to `otherwise` if there is none. */
  brTable(labels: readonly Label[], otherwise: Label): void {
    const defaultDepth = this.depthOf(otherwise);
    if (this.checker !== undefined) {
      this.checker.next("br_table").branchTable(
        labels.map((label) => this.depthOf(label)),
        defaultDepth,
      );
    }
    this.out.op1U32(0x0e, labels.length);
    for (let i = 0; i < labels.length; i++) this.out.u32(this.depthOf(labels[i]!));
    this.out.u32(defaultDepth);
  }

  return(): void {
    if (this.checker !== undefined) this.checker.next("return").return();
    this.out.op1(0x0f);
  }

  unreachable(): void {
    if (this.checker !== undefined) this.checker.next("unreachable").unreachable();
    this.out.op1(0x00);
  }

  nop(): void {
    if (this.checker !== undefined) this.checker.next("nop");
    this.out.op1(0x01);
  }

  drop(): void {
    if (this.checker !== undefined) this.checker.next("drop").pop(undefined);
    this.out.op1(0x1a);
  }

  /** Takes two values and an i32: leaves the first unless that is 0. References need `type`. */
  select(type?: ValueType): void {
    if (type === undefined) {
      if (this.checker !== undefined) this.checker.next("select").select();
      this.out.op1(0x1b);
      return;
    }
    if (this.checker !== undefined) {
      this.checker.next("select").pops([type, type, "i32"]);
      this.checker.pushes([type]);
    }
    this.out.op3(0x1c, 1, VALUE_TYPE_CODES[type]);
  }

  call(func: Func): void {
    this.ownFunction(func);
    if (this.checker !== undefined) {
      this.checker.next("call").pops(func.type.params);
      this.checker.pushes(func.type.results);
    }
    this.out.op1U32(0x10, func.index);
  }

  /** Calls and returns what the callee returns; takes no room on the stack. */
  returnCall(func: Func): void {
    this.ownFunction(func);
    if (this.checker !== undefined) {
      this.checker.next("return_call").returnCall(func.type.params, func.type.results);
    }
    this.out.op1U32(0x12, func.index);
  }

  /** Takes the operands of `type` and an index of `table`. */
  callIndirect(type: FunctionType, table: Table): void {
    this.ownCallee(type, table);
    if (this.checker !== undefined) {
      this.checker.next("call_indirect").pop("i32");
      this.checker.pops(type.params);
      this.checker.pushes(type.results);
    }
    this.out.op1U32(0x11, type.index);
    this.out.u32(table.index);
  }

  /** As callIndirect, and returns what the callee returns. */
  returnCallIndirect(type: FunctionType, table: Table): void {
    this.ownCallee(type, table);
    if (this.checker !== undefined) {
      this.checker.next("return_call_indirect").pop("i32");
      this.checker.returnCall(type.params, type.results);
    }
    this.out.op1U32(0x13, type.index);
    this.out.u32(table.index);
  }

  private ownFunction(func: Func): void {
    if (func.owner !== this.owner) throw new BrokenInvariant(`${called(func)} belongs to another module`);
  }

  private ownCallee(type: FunctionType, table: Table): void {
    if (type.owner !== this.owner || table.owner !== this.owner) {
      throw new BrokenInvariant("an indirect call with another module's type or table");
    }
    if (table.type !== "funcref") throw new BrokenInvariant(`a call through a table of ${table.type}`);
  }

  private open(kind: "block" | "loop" | "if", opcode: number, type: BlockType): Label {
    if (this.serial < 0) throw new BrokenInvariant(`${kind} outside of a function`);
    if (type instanceof FunctionType) {
      if (type.owner !== this.owner) throw new BrokenInvariant(`${kind} with another module's type`);
      if (this.checker !== undefined) this.checker.next(kind).open(kind, type.params, type.results);
      this.out.op1(opcode);
      this.out.s33(type.index);
    } else {
      if (this.checker !== undefined) this.checker.next(kind).open(kind, NO_TYPES, type ? [type] : NO_TYPES);
      this.out.op2(opcode, type === undefined ? 0x40 : VALUE_TYPE_CODES[type]);
    }
    return new Label(this.serial, ++this.height, kind);
  }

  private depthOf(label: Label): number {
    if (label.serial !== this.serial) refuseLabel(label);
    return this.height - label.height;
  }

  private innermost(label: Label): void {
    if (label.serial !== this.serial) refuseLabel(label);
    if (label.height !== this.height) {
      throw new BrokenInvariant(`${this.height - label.height} blocks inside of this ${label.kind} are open`);
    }
  }
}

function refuseLabel(label: Label): never {
  throw new BrokenInvariant(
    label.serial === 0 ? `this ${label.kind} is closed` : `this ${label.kind} belongs to another function`,
  );
}

const called = (func: Func): string => func.name ?? `function ${func.index}`;
