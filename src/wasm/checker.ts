/**
 * Operand types on a shadow stack, as WebAssembly validates them (Core Specification 2.0, appendix "Validation
 * Algorithm"): names the first instruction that is wrong. For tests and for finding a bug in what emits; production
 * runs without it, and WebAssembly.validate has the last word.
 */
import { BrokenInvariant } from "../common/errors.ts";
import type { ValueTypes } from "./entities.ts";
import type { Instruction } from "./instruction-set.ts";
import type { ValueType } from "./types.ts";

/** Undefined stands for any type: what an operand of code that is never reached has. */
type Operand = ValueType | undefined;

type FrameKind = "function" | "block" | "loop" | "if" | "else";

interface Frame {
  kind: FrameKind;
  readonly params: ValueTypes;
  readonly results: ValueTypes;
  /** How many operands lie below it. */
  readonly height: number;
  unreachable: boolean;
}

const isReference = (type: ValueType): boolean => type === "funcref" || type === "externref";

export class Checker {
  private operands: Operand[] = [];
  private frames: Frame[] = [];
  private instruction = "";
  private count = 0;
  private where = "";

  /** Whether the module has a memory: loads and stores need one. */
  hasMemory = false;

  begin(where: string, results: ValueTypes): void {
    this.operands = [];
    this.frames = [];
    this.count = 0;
    this.where = where;
    this.push("function", [], results);
  }

  /** The next instruction, for messages; each other method checks a part of it. */
  next(name: string): this {
    this.instruction = name;
    this.count++;
    return this;
  }

  /** Refuses the instruction. */
  refuse(why: string): never {
    throw new BrokenInvariant(`instruction ${this.count} (${this.instruction}) of ${this.where}: ${why}`);
  }

  /** An instruction of the tables. */
  apply(instruction: Instruction, alignLog2 = 0, lane = 0): void {
    this.next(instruction.name);
    if (instruction.accessBytes > 0) {
      this.memory();
      if (2 ** alignLog2 > instruction.accessBytes) this.refuse("alignment above its access");
    }
    if (instruction.lanes > 0 && lane >= instruction.lanes) this.refuse(`no lane ${lane}`);
    this.pops(instruction.params);
    this.pushes(instruction.results);
  }

  memory(): void {
    if (!this.hasMemory) this.refuse("the module has no memory");
  }

  pushes(types: ValueTypes): void {
    for (let i = 0; i < types.length; i++) this.operands.push(types[i]);
  }

  pops(types: ValueTypes): void {
    for (let i = types.length - 1; i >= 0; i--) this.pop(types[i]);
  }

  /** Takes an operand, of type `wanted` unless that is undefined. */
  pop(wanted: Operand): Operand {
    const frame = this.top();
    if (this.operands.length === frame.height) {
      if (frame.unreachable) return wanted;
      this.refuse(wanted === undefined ? "wants an operand" : `wants ${wanted}, the stack is empty`);
    }
    const found = this.operands.pop();
    if (found !== wanted && found !== undefined && wanted !== undefined) {
      this.refuse(`wants ${wanted}, finds ${found}`);
    }
    return found ?? wanted;
  }

  /** `select` without a type: two operands of one type that is no reference. */
  select(): void {
    this.pop("i32");
    const second = this.pop(undefined);
    const first = this.pop(second);
    const type = first ?? second;
    if (type !== undefined && isReference(type)) this.refuse("a reference needs select with its type");
    this.operands.push(type);
  }

  popReference(): void {
    const type = this.pop(undefined);
    if (type !== undefined && !isReference(type)) this.refuse(`wants a reference, finds ${type}`);
  }

  open(kind: "block" | "loop" | "if", params: ValueTypes, results: ValueTypes): void {
    if (kind === "if") this.pop("i32");
    this.pops(params);
    this.push(kind, params, results);
  }

  else(): void {
    const frame = this.leave();
    this.push("else", frame.params, frame.results);
  }

  end(): void {
    const frame = this.leave();
    if (frame.kind === "if") {
      const { params, results } = frame;
      if (params.length !== results.length || params.some((type, i) => type !== results[i])) {
        this.refuse("an if without else leaves what it takes");
      }
    }
    this.pushes(frame.results);
  }

  /** A branch `depth` blocks outwards takes its operands; `stays` if the code after it can be reached. */
  branch(depth: number, stays: boolean): void {
    const types = this.labelTypes(depth);
    this.pops(types);
    if (stays) this.pushes(types);
    else this.unreachable();
  }

  branchTable(depths: readonly number[], defaultDepth: number): void {
    this.pop("i32");
    const arity = this.labelTypes(defaultDepth).length;
    for (const depth of depths) {
      const types = this.labelTypes(depth);
      if (types.length !== arity) this.refuse("its labels take different numbers of values");
      const found: Operand[] = [];
      for (let i = types.length - 1; i >= 0; i--) found.unshift(this.pop(types[i]));
      this.operands.push(...found);
    }
    this.pops(this.labelTypes(defaultDepth));
    this.unreachable();
  }

  return(): void {
    this.pops(this.frames[0]!.results);
    this.unreachable();
  }

  /** A tail call of something that gives `results`. */
  returnCall(params: ValueTypes, results: ValueTypes): void {
    this.pops(params);
    const own = this.frames[0]!.results;
    if (own.length !== results.length || own.some((type, i) => type !== results[i])) {
      this.refuse(`gives ${results.join(" ") || "nothing"} where ${own.join(" ") || "nothing"} is returned`);
    }
    this.unreachable();
  }

  unreachable(): void {
    const frame = this.top();
    this.operands.length = frame.height;
    frame.unreachable = true;
  }

  private top(): Frame {
    return this.frames[this.frames.length - 1]!;
  }

  private push(kind: FrameKind, params: ValueTypes, results: ValueTypes): void {
    this.frames.push({ kind, params, results, height: this.operands.length, unreachable: false });
    this.pushes(params);
  }

  private leave(): Frame {
    const frame = this.top();
    this.pops(frame.results);
    if (this.operands.length > frame.height) {
      this.refuse(`${this.operands.length - frame.height} operands too many are left`);
    }
    this.frames.pop();
    return frame;
  }

  private labelTypes(depth: number): ValueTypes {
    const frame = this.frames[this.frames.length - 1 - depth]!;
    return frame.kind === "loop" ? frame.params : frame.results;
  }
}
