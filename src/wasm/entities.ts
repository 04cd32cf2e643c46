/**
 * What a module is made of, as values. Each belongs to the module that made it; `owner` says which.
 *
 * Fields here and in what writes instructions are declared, not defined: a defined field is undefined before the
 * constructor sets it, and V8 then knows less of its type.
 */
import type { Limits, ReferenceType, ValueType } from "./types.ts";

export type ValueTypes = readonly ValueType[];

/**
 * A constant: a number for the number types (an i64 is a safe integer or a bigint), four 32-bit words for v128, a
 * function or null for references, or an imported constant global of the type.
 */
export type Constant = number | bigint | readonly [number, number, number, number] | Func | null | Global;

/** A function type: what a function, or a block with several values, takes and gives. */
export class FunctionType<Params extends ValueTypes = ValueTypes, Results extends ValueTypes = ValueTypes> {
  declare readonly owner: object;
  declare readonly index: number;
  declare readonly params: Params;
  declare readonly results: Results;

  constructor(owner: object, index: number, params: Params, results: Results) {
    this.owner = owner;
    this.index = index;
    this.params = params;
    this.results = results;
  }
}

/** A function, imported or to be defined. */
export class Func<Params extends ValueTypes = ValueTypes, Results extends ValueTypes = ValueTypes> {
  declare readonly owner: object;
  declare readonly index: number;
  declare readonly type: FunctionType<Params, Results>;
  /** For profiles and messages. */
  declare readonly name: string | undefined;
  declare readonly imported: boolean;

  constructor(
    owner: object,
    index: number,
    type: FunctionType<Params, Results>,
    name: string | undefined,
    imported: boolean,
  ) {
    this.owner = owner;
    this.index = index;
    this.type = type;
    this.name = name;
    this.imported = imported;
  }
}

export class Table {
  /** Keeps types of the same shape apart; there is no such property when running. */
  declare readonly brand: "table";
  declare readonly owner: object;
  declare readonly index: number;
  declare readonly type: ReferenceType;
  declare readonly limits: Limits;
  declare readonly imported: boolean;

  constructor(owner: object, index: number, type: ReferenceType, limits: Limits, imported: boolean) {
    this.owner = owner;
    this.index = index;
    this.type = type;
    this.limits = limits;
    this.imported = imported;
  }
}

export class Memory {
  declare readonly brand: "memory";
  declare readonly owner: object;
  declare readonly index: number;
  declare readonly limits: Limits;
  declare readonly imported: boolean;

  constructor(owner: object, index: number, limits: Limits, imported: boolean) {
    this.owner = owner;
    this.index = index;
    this.limits = limits;
    this.imported = imported;
  }
}

export class Global {
  declare readonly brand: "global";
  declare readonly owner: object;
  declare readonly index: number;
  declare readonly type: ValueType;
  declare readonly mutable: boolean;
  declare readonly imported: boolean;
  /** Of a global that is not imported. */
  declare readonly initial: Constant | undefined;

  constructor(
    owner: object,
    index: number,
    type: ValueType,
    mutable: boolean,
    imported: boolean,
    initial?: Constant,
  ) {
    this.owner = owner;
    this.index = index;
    this.type = type;
    this.mutable = mutable;
    this.imported = imported;
    this.initial = initial;
  }
}

export class DataSegment {
  declare readonly brand: "data segment";
  declare readonly owner: object;
  declare readonly index: number;

  constructor(owner: object, index: number) {
    this.owner = owner;
    this.index = index;
  }
}

export class ElementSegment {
  declare readonly brand: "element segment";
  declare readonly owner: object;
  declare readonly index: number;
  declare readonly type: ReferenceType;

  constructor(owner: object, index: number, type: ReferenceType) {
    this.owner = owner;
    this.index = index;
    this.type = type;
  }
}

/** A local of the function being written. It is void once it is released or the function is finished. */
export class Local<T extends ValueType = ValueType> {
  /** Which function it belongs to: FunctionBody counts them; 0 is none. */
  declare serial: number;

  declare readonly index: number;
  declare readonly type: T;

  constructor(serial: number, index: number, type: T) {
    this.index = index;
    this.type = type;
    this.serial = serial;
  }
}

/** An open block, loop or if of the function being written, or the function itself: what a branch names. */
export class Label {
  /** As in Local; 0 once it is closed. */
  declare serial: number;
  /** 1 for the function itself, one more for each block inside. */
  declare readonly height: number;
  /** How it was opened; "else" follows "if". */
  declare kind: "function" | "block" | "loop" | "if" | "else";

  constructor(serial: number, height: number, kind: "function" | "block" | "loop" | "if") {
    this.serial = serial;
    this.height = height;
    this.kind = kind;
  }
}
