/** Instructions on what a module and a function keep: locals, globals, memory, tables, references. */
import { BrokenInvariant } from "../common/errors.ts";
import type { Checker } from "./checker.ts";
import {
  type DataSegment,
  type ElementSegment,
  type Func,
  type Global,
  Local,
  type Table,
  type ValueTypes,
} from "./entities.ts";
import { type ReferenceType, VALUE_TYPE_CODES, type ValueType } from "./types.ts";
import type { ByteWriter } from "./writer.ts";

/** Released locals of a type. It shrinks by its count: setting an array's length is slow. */
class FreeList {
  readonly indices: number[] = [];
  count = 0;
}

/** The locals of the function being written. */
export class LocalOperations {
  declare private readonly out: ByteWriter;
  declare private readonly checker: Checker | undefined;
  /** Which function is being written; -1 between functions, so that no local fits. */
  private serial = -1;
  /** How many there are, parameters included. */
  private count = 0;
  /** Neighbours of one type are declared together: how many, and of which type. */
  private runCounts: number[] = [];
  private runTypes: ValueType[] = [];
  private readonly free = {
    i32: new FreeList(),
    i64: new FreeList(),
    f32: new FreeList(),
    f64: new FreeList(),
    v128: new FreeList(),
    funcref: new FreeList(),
    externref: new FreeList(),
  };

  constructor(out: ByteWriter, checker: Checker | undefined) {
    this.out = out;
    this.checker = checker;
  }

  get(local: Local): void {
    if (local.serial !== this.serial) refuseLocal(local);
    if (this.checker !== undefined) this.checker.next("local.get").pushes([local.type]);
    this.out.op1U32(0x20, local.index);
  }

  set(local: Local): void {
    if (local.serial !== this.serial) refuseLocal(local);
    if (this.checker !== undefined) this.checker.next("local.set").pop(local.type);
    this.out.op1U32(0x21, local.index);
  }

  tee(local: Local): void {
    if (local.serial !== this.serial) refuseLocal(local);
    if (this.checker !== undefined) {
      this.checker.next("local.tee").pop(local.type);
      this.checker.pushes([local.type]);
    }
    this.out.op1U32(0x22, local.index);
  }

  /**
   * A local for as long as the caller needs it: one that was released, or a new one. What it holds is not defined, so
   * it must be set before it is read.
   */
  take<T extends ValueType>(type: T): Local<T> {
    if (this.serial < 0)
      throw new BrokenInvariant("a local belongs to a function, and none is being written");
    const free = this.freeOf(type);
    if (free.count > 0) return new Local(this.serial, free.indices[--free.count]!, type);
    const last = this.runTypes.length - 1;
    if (last >= 0 && this.runTypes[last] === type) this.runCounts[last]! += 1;
    else {
      this.runCounts.push(1);
      this.runTypes.push(type);
    }
    return new Local(this.serial, this.count++, type);
  }

  /** Gives a local back: the next take of its type may get it, and this value of it is void. */
  release(local: Local): void {
    if (local.serial !== this.serial) refuseLocal(local);
    local.serial = 0;
    const free = this.freeOf(local.type);
    free.indices[free.count++] = local.index;
  }

  /** For FunctionBody: starts a function, giving its parameters. */
  begin(serial: number, params: ValueTypes): Local[] {
    this.serial = serial;
    this.count = params.length;
    if (this.runTypes.length > 0) {
      this.runCounts = [];
      this.runTypes = [];
    }
    const { free } = this;
    free.i32.count = 0;
    free.i64.count = 0;
    free.f32.count = 0;
    free.f64.count = 0;
    free.v128.count = 0;
    free.funcref.count = 0;
    free.externref.count = 0;
    const locals: Local[] = [];
    for (let i = 0; i < params.length; i++) locals.push(new Local(serial, i, params[i]!));
    return locals;
  }

  /** A switch, since a property of a name that varies is looked up anew each time. */
  private freeOf(type: ValueType): FreeList {
    const { free } = this;
    switch (type) {
      case "i32":
        return free.i32;
      case "i64":
        return free.i64;
      case "f32":
        return free.f32;
      case "f64":
        return free.f64;
      case "v128":
        return free.v128;
      case "funcref":
        return free.funcref;
      case "externref":
        return free.externref;
    }
  }

  /** For FunctionBody: ends a function and writes its declarations to `header`. */
  finish(header: ByteWriter): void {
    this.serial = -1;
    header.u32(this.runTypes.length);
    for (let i = 0; i < this.runTypes.length; i++) {
      header.u32(this.runCounts[i]!);
      header.byte(VALUE_TYPE_CODES[this.runTypes[i]!]);
    }
  }
}

function refuseLocal(local: Local): never {
  throw new BrokenInvariant(
    local.serial === 0
      ? `local ${local.index} (${local.type}) was released`
      : `local ${local.index} (${local.type}) belongs to another function`,
  );
}

/** What the instructions below have in common: where they write, and whose things they may name. */
class OwnedOperations {
  protected readonly out: ByteWriter;
  protected readonly checker: Checker | undefined;
  protected readonly owner: object;

  constructor(out: ByteWriter, checker: Checker | undefined, owner: object) {
    this.out = out;
    this.checker = checker;
    this.owner = owner;
  }

  protected own(thing: { readonly owner: object; readonly index: number }): number {
    if (thing.owner !== this.owner) {
      throw new BrokenInvariant(`${thing.constructor.name} ${thing.index} belongs to another module`);
    }
    return thing.index;
  }

  /** Writes 0xfc, `number` and indices. */
  protected bulk(number: number, ...indices: readonly number[]): void {
    this.out.op2(0xfc, number);
    for (const index of indices) this.out.u32(index);
  }

  protected check(name: string, params: ValueTypes, results: ValueTypes): void {
    if (this.checker === undefined) return;
    this.checker.next(name).pops(params);
    this.checker.pushes(results);
    if (name.startsWith("memory.")) this.checker.memory();
  }
}

export class GlobalOperations extends OwnedOperations {
  get(global: Global): void {
    this.check("global.get", [], [global.type]);
    this.out.op1U32(0x23, this.own(global));
  }

  set(global: Global): void {
    if (!global.mutable) throw new BrokenInvariant(`global ${global.index} is constant`);
    this.check("global.set", [global.type], []);
    this.out.op1U32(0x24, this.own(global));
  }
}

export class MemoryOperations extends OwnedOperations {
  /** The size in pages of 64 KiB. */
  size(): void {
    this.check("memory.size", [], ["i32"]);
    this.out.op2(0x3f, 0);
  }

  /** Takes a number of pages, leaves the old size or -1. */
  grow(): void {
    this.check("memory.grow", ["i32"], ["i32"]);
    this.out.op2(0x40, 0);
  }

  /** Takes address, byte, length. */
  fill(): void {
    this.check("memory.fill", ["i32", "i32", "i32"], []);
    this.bulk(11, 0);
  }

  /** Takes destination, source, length. */
  copy(): void {
    this.check("memory.copy", ["i32", "i32", "i32"], []);
    this.bulk(10, 0, 0);
  }

  /** Takes address, offset in the segment, length. */
  init(segment: DataSegment): void {
    this.check("memory.init", ["i32", "i32", "i32"], []);
    this.bulk(8, this.own(segment), 0);
  }

  /** `data.drop`: the segment is not needed any more. */
  drop(segment: DataSegment): void {
    this.check("data.drop", [], []);
    this.bulk(9, this.own(segment));
  }
}

export class TableOperations extends OwnedOperations {
  get(table: Table): void {
    this.check("table.get", ["i32"], [table.type]);
    this.out.op1U32(0x25, this.own(table));
  }

  set(table: Table): void {
    this.check("table.set", ["i32", table.type], []);
    this.out.op1U32(0x26, this.own(table));
  }

  size(table: Table): void {
    this.check("table.size", [], ["i32"]);
    this.bulk(16, this.own(table));
  }

  /** Takes the value of new entries and their number, leaves the old size or -1. */
  grow(table: Table): void {
    this.check("table.grow", [table.type, "i32"], ["i32"]);
    this.bulk(15, this.own(table));
  }

  /** Takes index, value, length. */
  fill(table: Table): void {
    this.check("table.fill", ["i32", table.type, "i32"], []);
    this.bulk(17, this.own(table));
  }

  /** Takes destination, source, length. */
  copy(to: Table, from: Table): void {
    this.check("table.copy", ["i32", "i32", "i32"], []);
    if (to.type !== from.type) throw new BrokenInvariant(`${from.type} does not fit a table of ${to.type}`);
    this.bulk(14, this.own(to), this.own(from));
  }

  /** Takes index, offset in the segment, length. */
  init(table: Table, segment: ElementSegment): void {
    this.check("table.init", ["i32", "i32", "i32"], []);
    if (table.type !== segment.type) throw new BrokenInvariant(`${segment.type} in a table of ${table.type}`);
    this.bulk(12, this.own(segment), this.own(table));
  }

  /** `elem.drop`: the segment is not needed any more. */
  drop(segment: ElementSegment): void {
    this.check("elem.drop", [], []);
    this.bulk(13, this.own(segment));
  }
}

export class ReferenceOperations extends OwnedOperations {
  /** Functions that `func` named: a module must declare them. */
  readonly functions = new Set<Func>();

  null(type: ReferenceType): void {
    this.check("ref.null", [], [type]);
    this.out.op2(0xd0, VALUE_TYPE_CODES[type]);
  }

  isNull(): void {
    if (this.checker !== undefined) {
      this.checker.next("ref.is_null").popReference();
      this.checker.pushes(["i32"]);
    }
    this.out.op1(0xd1);
  }

  func(func: Func): void {
    this.check("ref.func", [], ["funcref"]);
    this.out.op1U32(0xd2, this.own(func));
    this.functions.add(func);
  }
}
