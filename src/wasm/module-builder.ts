/**
 * Builds a WebAssembly module as bytes. What it consists of are values (a function, a type, a table) that only this
 * module accepts. Functions are declared first, so that they can call each other, and get their bodies through `code`
 * in any order. Source of the format: WebAssembly Core Specification 2.0, section 5.5; tail calls as in 3.0.
 */
import { BrokenInvariant, invariant } from "../common/errors.ts";
import { Checker } from "./checker.ts";
import {
  type Constant,
  DataSegment,
  ElementSegment,
  Func,
  FunctionType,
  Global,
  Memory,
  Table,
  type ValueTypes,
} from "./entities.ts";
import { FunctionBody } from "./function-body.ts";
import { assemble, type Sections } from "./sections.ts";
import { type Limits, MAX_U32, type ReferenceType, type ValueType } from "./types.ts";

export interface ModuleOptions {
  /** Track operand types and name the first wrong instruction. Slow: for tests and for finding bugs. */
  readonly checked?: boolean;
  /** Write a name section with this module name and the functions' names, for profiles. */
  readonly name?: string;
  /**
   * Where code is written until the module is finished; a larger place is found if it does not fit. Who builds many
   * modules gives each the same.
   */
  readonly buffer?: Uint8Array;
}

export class ModuleBuilder {
  /** Writes the functions' bodies. */
  readonly code: FunctionBody;

  private readonly checker: Checker | undefined;
  private readonly typesByKey = new Map<string, FunctionType>();
  private readonly exportNames = new Set<string>();
  private readonly parts: Sections;

  constructor(options: ModuleOptions = {}) {
    this.checker = options.checked === true ? new Checker() : undefined;
    this.code = new FunctionBody(this, this.checker, options.buffer ?? new Uint8Array(0x1000));
    this.parts = {
      name: options.name,
      types: [],
      imports: [],
      functions: [],
      tables: [],
      memories: [],
      globals: [],
      exports: [],
      start: undefined,
      elements: [],
      data: [],
      custom: [],
    };
  }

  /** The type of functions that take `params` and give `results`; the same one for the same types. */
  type<const P extends ValueTypes, const R extends ValueTypes>(params: P, results: R): FunctionType<P, R> {
    const key = `${params.join()}>${results.join()}`;
    const known = this.typesByKey.get(key);
    if (known !== undefined) return known as FunctionType<P, R>;
    const type = new FunctionType(this, nextIndex(this.parts.types), params, results);
    this.typesByKey.set(key, type);
    this.parts.types.push(type);
    return type;
  }

  importFunction<P extends ValueTypes, R extends ValueTypes>(
    module: string,
    name: string,
    type: FunctionType<P, R>,
  ): Func<P, R> {
    this.own(type);
    const func = new Func(this, nextIndex(this.parts.functions), type, `${module}.${name}`, true);
    this.imported(module, name, this.parts.functions, func);
    return func;
  }

  importTable(module: string, name: string, type: ReferenceType, limits: Limits): Table {
    checkLimits(limits, MAX_U32);
    const table = new Table(this, nextIndex(this.parts.tables), type, limits, true);
    this.imported(module, name, this.parts.tables, table);
    return table;
  }

  /** Limits in pages of 64 KiB. */
  importMemory(module: string, name: string, limits: Limits): Memory {
    this.onlyMemory(limits);
    const memory = new Memory(this, 0, limits, true);
    this.imported(module, name, this.parts.memories, memory);
    return memory;
  }

  importGlobal(module: string, name: string, type: ValueType, mutable: boolean): Global {
    const global = new Global(this, nextIndex(this.parts.globals), type, mutable, true);
    this.imported(module, name, this.parts.globals, global);
    return global;
  }

  /** Declares a function; its body comes through `code.begin`. The name is for profiles and messages. */
  function<P extends ValueTypes, R extends ValueTypes>(type: FunctionType<P, R>, name?: string): Func<P, R> {
    this.own(type);
    const func = new Func(this, nextIndex(this.parts.functions), type, name, false);
    this.parts.functions.push(func);
    return func;
  }

  table(type: ReferenceType, limits: Limits): Table {
    checkLimits(limits, MAX_U32);
    const table = new Table(this, nextIndex(this.parts.tables), type, limits, false);
    this.parts.tables.push(table);
    return table;
  }

  /** Limits in pages of 64 KiB. */
  memory(limits: Limits): Memory {
    this.onlyMemory(limits);
    const memory = new Memory(this, 0, limits, false);
    this.parts.memories.push(memory);
    return memory;
  }

  global(type: ValueType, mutable: boolean, initial: Constant): Global {
    this.checkConstant(type, initial);
    const global = new Global(this, nextIndex(this.parts.globals), type, mutable, false, initial);
    this.parts.globals.push(global);
    return global;
  }

  export(name: string, exported: Func | Table | Memory | Global): void {
    this.own(exported);
    invariant(!this.exportNames.has(name), `two exports are called ${name}`);
    this.exportNames.add(name);
    this.parts.exports.push({ name, exported });
  }

  /** The function that runs when the module is instantiated. */
  start(func: Func): void {
    this.own(func);
    invariant(
      func.type.params.length + func.type.results.length === 0,
      "a start function takes and gives nothing",
    );
    this.parts.start = func;
  }

  /** Puts functions into `table` at `offset` when the module is instantiated. */
  elements(table: Table, offset: number | Global, functions: readonly Func[]): ElementSegment {
    this.own(table);
    invariant(table.type === "funcref", `functions in a table of ${table.type}`);
    this.checkConstant("i32", offset);
    return this.segment(functions, { table, offset });
  }

  /** Functions for `table.init`. */
  passiveElements(functions: readonly Func[]): ElementSegment {
    return this.segment(functions, undefined);
  }

  /** Puts bytes into `memory` at `offset` when the module is instantiated. They are read by `finish`. */
  data(memory: Memory, offset: number | Global, bytes: Uint8Array): DataSegment {
    this.own(memory);
    this.checkConstant("i32", offset);
    const segment = new DataSegment(this, nextIndex(this.parts.data));
    this.parts.data.push({ active: { memory, offset }, bytes });
    return segment;
  }

  /** Bytes for `memory.init`. They are read by `finish`. */
  passiveData(bytes: Uint8Array): DataSegment {
    const segment = new DataSegment(this, nextIndex(this.parts.data));
    this.parts.data.push({ active: undefined, bytes });
    return segment;
  }

  /** A custom section, after all others. */
  custom(name: string, bytes: Uint8Array): void {
    this.parts.custom.push({ name, bytes });
  }

  /** The module. Every declared function must have its body. */
  finish(): Uint8Array {
    this.code.betweenFunctions();
    return assemble(this.parts, this.code);
  }

  private segment(functions: readonly Func[], active: { table: Table; offset: number | Global } | undefined) {
    for (const func of functions) this.own(func);
    const segment = new ElementSegment(this, nextIndex(this.parts.elements), "funcref");
    this.parts.elements.push({ active, functions });
    return segment;
  }

  /** Imports come first in their index space. */
  private imported<T extends Func | Table | Memory | Global>(
    module: string,
    name: string,
    space: T[],
    entity: T,
  ): void {
    const last = space[space.length - 1];
    invariant(last === undefined || last.imported, `import ${module}.${name} after the module's own`);
    space.push(entity);
    this.parts.imports.push({ module, name, imported: entity });
  }

  private own(thing: { readonly owner: object; readonly index: number }): void {
    if (thing.owner !== this) {
      throw new BrokenInvariant(`${thing.constructor.name} ${thing.index} belongs to another module`);
    }
  }

  private onlyMemory(limits: Limits): void {
    invariant(this.parts.memories.length === 0, "a module has one memory");
    checkLimits(limits, 0x1_0000);
    if (this.checker !== undefined) this.checker.hasMemory = true;
  }

  private checkConstant(type: ValueType, value: Constant): void {
    if (value instanceof Func || value instanceof Global) this.own(value);
    if (value instanceof Global) {
      invariant(value.imported && !value.mutable, "a constant may only read imported constant globals");
      invariant(value.type === type, `a global of ${value.type} where ${type} is wanted`);
      return;
    }
    invariant(fits(type, value), `${value} is no constant ${type}`);
  }
}

function fits(type: ValueType, value: Exclude<Constant, Global>): boolean {
  switch (type) {
    case "i32":
      return typeof value === "number" && ((value | 0) === value || value >>> 0 === value);
    case "i64":
      return typeof value === "bigint" || Number.isSafeInteger(value);
    case "f32":
    case "f64":
      return typeof value === "number";
    case "v128":
      return Array.isArray(value) && value.length === 4;
    case "funcref":
      return value === null || value instanceof Func;
    case "externref":
      return value === null;
  }
}

function nextIndex(space: readonly unknown[]): number {
  invariant(space.length < MAX_U32, "a module has fewer than 2^32 of anything");
  return space.length;
}

function checkLimits(limits: Limits, most: number): void {
  const { min, max = min, shared = false } = limits;
  const inOrder = min >>> 0 === min && max >>> 0 === max && min <= max && max <= most;
  invariant(inOrder, `limits from ${min} to ${max}: whole numbers up to ${most} in order are wanted`);
  invariant(!shared || limits.max !== undefined, "a shared memory needs a maximum");
}
