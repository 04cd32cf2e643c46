/**
 * Random well-typed function bodies, as steps that know two writings: calls of our emitter and the text format.
 */

import type { RandomStream } from "../../src/common/random.ts";
import type { Func, FunctionType, Label, Local } from "../../src/wasm/entities.ts";
import type { FunctionBody } from "../../src/wasm/function-body.ts";
import { INSTRUCTIONS, type Instruction } from "../../src/wasm/instruction-set.ts";
import { ModuleBuilder, type ModuleOptions } from "../../src/wasm/module-builder.ts";
import type { ValueType } from "../../src/wasm/types.ts";
import { emit } from "./emit.ts";

/** What every generated module has besides its functions, and what is open in the body that is being written. */
interface Surroundings {
  readonly f: FunctionBody;
  readonly types: readonly FunctionType[];
  readonly functions: readonly Func[];
  readonly locals: readonly Local[];
  readonly labels: Label[];
  readonly table: ReturnType<ModuleBuilder["table"]>;
  readonly global: ReturnType<ModuleBuilder["global"]>;
  readonly data: ReturnType<ModuleBuilder["passiveData"]>;
  readonly segment: ReturnType<ModuleBuilder["passiveElements"]>;
}

export interface Step {
  readonly text: string;
  readonly emit: (s: Surroundings) => void;
  /** Opens or closes a block: leaving it out would break the nesting, not the types. */
  readonly structural?: boolean;
}

export interface Body {
  readonly type: number;
  readonly locals: readonly ValueType[];
  readonly steps: readonly Step[];
}

const VALUE_TYPES: readonly ValueType[] = ["i32", "i64", "f32", "f64", "v128", "funcref", "externref"];

/** The function types of every generated module: blocks with several values use them, too. */
const TYPES: readonly {
  readonly params: readonly ValueType[];
  readonly results: readonly ValueType[];
}[] = [
  { params: [], results: [] },
  { params: ["i64"], results: ["i32"] },
  { params: ["i32", "v128"], results: ["v128", "i64"] },
  { params: ["f64", "funcref"], results: ["f32", "f64", "externref"] },
  { params: [], results: ["i32"] },
];

/** A small signed or unsigned number, or any. */
const number32 = (draw: RandomStream): number =>
  draw.integer(0, 1) === 0 ? draw.integer(-200, 200) : draw.integer(-0x8000_0000, 0x7fff_ffff);

function constant(draw: RandomStream, type: ValueType, functions: number): Step {
  switch (type) {
    case "i32": {
      const value = number32(draw);
      return { text: `i32.const ${value}`, emit: ({ f }) => f.i32.const(value) };
    }
    case "i64": {
      const [low, high] = [number32(draw), number32(draw)];
      const value = BigInt.asIntN(64, (BigInt(high) << 32n) | BigInt(low >>> 0));
      if (draw.integer(0, 1) === 0) {
        return { text: `i64.const ${value}`, emit: ({ f }) => f.i64.constHalves(low, high) };
      }
      const safe = Number(value >> 11n);
      return { text: `i64.const ${safe}`, emit: ({ f }) => f.i64.const(safe) };
    }
    case "f32": {
      const value = number32(draw) / 8;
      return { text: `f32.const ${Math.fround(value)}`, emit: ({ f }) => f.f32.const(value) };
    }
    case "f64": {
      const value = number32(draw) / 1024;
      return { text: `f64.const ${value}`, emit: ({ f }) => f.f64.const(value) };
    }
    case "v128": {
      const words = [number32(draw), number32(draw), number32(draw), number32(draw)] as const;
      return { text: `v128.const i32x4 ${words.join(" ")}`, emit: ({ f }) => f.v128.const(...words) };
    }
    case "funcref": {
      const index = draw.integer(-1, functions - 1);
      if (index < 0) return { text: "ref.null func", emit: ({ f }) => f.ref.null("funcref") };
      return { text: `ref.func ${index}`, emit: ({ f, functions }) => f.ref.func(functions[index]!) };
    }
    case "externref":
      return { text: "ref.null extern", emit: ({ f }) => f.ref.null("externref") };
  }
}

function plain(draw: RandomStream, instruction: Instruction): Step {
  const { name, immediates, lanes, accessBytes } = instruction;
  const lane = lanes > 0 ? draw.integer(0, lanes - 1) : 0;
  const offset = draw.integer(0, 3) === 0 ? draw.integer(0, 0xffff_ffff) : draw.integer(0, 300);
  const align = accessBytes > 0 ? draw.integer(0, Math.log2(accessBytes)) : 0;
  const memory = `offset=${offset} align=${2 ** align}`;
  switch (immediates) {
    case "none":
      return { text: name, emit: ({ f }) => emit(f, name) };
    case "lane":
      return { text: `${name} ${lane}`, emit: ({ f }) => emit(f, name, lane) };
    case "memory":
      return { text: `${name} ${memory}`, emit: ({ f }) => emit(f, name, offset, align) };
    case "memory-lane":
      return { text: `${name} ${memory} ${lane}`, emit: ({ f }) => emit(f, name, lane, offset, align) };
  }
}

interface Fixed {
  readonly step: Step;
  readonly params: readonly ValueType[];
  readonly results: readonly ValueType[];
}

/** Instructions that are written by hand in the emitter, with what they take and leave. */
function handWritten(draw: RandomStream): readonly Fixed[] {
  const three: ValueType[] = ["i32", "i32", "i32"];
  const lanes = Array.from({ length: 16 }, () => draw.integer(0, 31));
  const fixed = (
    text: string,
    params: readonly ValueType[],
    results: readonly ValueType[],
    write: (s: Surroundings) => void,
  ): Fixed => ({ step: { text, emit: write }, params, results });
  return [
    fixed(`i8x16.shuffle ${lanes.join(" ")}`, ["v128", "v128"], ["v128"], ({ f }) => f.i8x16.shuffle(lanes)),
    fixed("memory.size", [], ["i32"], ({ f }) => f.memory.size()),
    fixed("memory.grow", ["i32"], ["i32"], ({ f }) => f.memory.grow()),
    fixed("memory.fill", three, [], ({ f }) => f.memory.fill()),
    fixed("memory.copy", three, [], ({ f }) => f.memory.copy()),
    fixed("memory.init 0", three, [], ({ f, data }) => f.memory.init(data)),
    fixed("data.drop 0", [], [], ({ f, data }) => f.memory.drop(data)),
    fixed("table.get 0", ["i32"], ["funcref"], ({ f, table }) => f.table.get(table)),
    fixed("table.set 0", ["i32", "funcref"], [], ({ f, table }) => f.table.set(table)),
    fixed("table.size 0", [], ["i32"], ({ f, table }) => f.table.size(table)),
    fixed("table.grow 0", ["funcref", "i32"], ["i32"], ({ f, table }) => f.table.grow(table)),
    fixed("table.fill 0", ["i32", "funcref", "i32"], [], ({ f, table }) => f.table.fill(table)),
    fixed("table.copy 0 0", three, [], ({ f, table }) => f.table.copy(table, table)),
    fixed("table.init 0 0", three, [], ({ f, table, segment }) => f.table.init(table, segment)),
    fixed("elem.drop 0", [], [], ({ f, segment }) => f.table.drop(segment)),
    fixed("ref.is_null", ["funcref"], ["i32"], ({ f }) => f.ref.isNull()),
    fixed("global.get 0", [], ["i64"], ({ f, global }) => f.global.get(global)),
    fixed("global.set 0", ["i64"], [], ({ f, global }) => f.global.set(global)),
    fixed("nop", [], [], ({ f }) => f.nop()),
    fixed("select", ["f32", "f32", "i32"], ["f32"], ({ f }) => f.select()),
    fixed("select (result funcref)", ["funcref", "funcref", "i32"], ["funcref"], ({ f }) =>
      f.select("funcref"),
    ),
  ];
}

/** Writes one body: keeps the operands that a stack would hold, and supplies those that an instruction lacks. */
class Generator {
  readonly steps: Step[] = [];
  private stack: ValueType[] = [];
  /** What a branch to each open label takes, outermost first. */
  private readonly labels: (readonly ValueType[])[] = [];

  private readonly draw: RandomStream;
  private readonly functions: readonly number[];
  private readonly type: number;
  private readonly locals: readonly ValueType[];

  /** `functions` are the module's functions by their types. */
  constructor(draw: RandomStream, functions: readonly number[], type: number, locals: readonly ValueType[]) {
    this.draw = draw;
    this.functions = functions;
    this.type = type;
    this.locals = locals;
  }

  body(size: number): readonly Step[] {
    const { results } = TYPES[this.type]!;
    this.labels.push(results);
    this.sequence([], results, size, 3);
    return this.steps;
  }

  /** Instructions that take `params` and leave `results`, within a block of their own. */
  private sequence(params: readonly ValueType[], results: readonly ValueType[], size: number, depth: number) {
    const outer = this.stack;
    this.stack = [...params];
    for (let i = 0; i < size; i++) if (this.any(depth)) break;
    this.supply(results, true);
    this.stack = outer;
  }

  /** One instruction or block; true if the sequence should end with it. */
  private any(depth: number): boolean {
    const kind = this.draw.integer(0, 19);
    if (kind < 9) {
      const instruction = INSTRUCTIONS[this.draw.integer(0, INSTRUCTIONS.length - 1)]!;
      this.fixed({ ...instruction, step: plain(this.draw, instruction) });
    } else if (kind < 12) {
      const choices = handWritten(this.draw);
      this.fixed(choices[this.draw.integer(0, choices.length - 1)]!);
    } else if (kind < 14) this.local();
    else if (kind === 14) this.call();
    else if (kind < 18) {
      if (depth > 0) this.block(depth - 1);
    } else if (kind === 18) this.branch(true);
    else if (this.draw.integer(0, 3) === 0) {
      this.leave();
      // Dead code is validated as well, with operands of any type below it.
      return this.draw.integer(0, 1) === 0;
    }
    return false;
  }

  private fixed({ step, params, results }: Fixed): void {
    this.supply(params, false);
    this.steps.push(step);
    this.stack.push(...results);
  }

  /** Makes the top of the stack `types`: what is there is used if it fits. With `exactly`, nothing else is left. */
  private supply(types: readonly ValueType[], exactly: boolean): void {
    const top = exactly ? this.stack : this.stack.slice(this.stack.length - types.length);
    if (top.join() !== types.join()) {
      if (exactly) {
        for (const _ of this.stack) this.steps.push({ text: "drop", emit: ({ f }) => f.drop() });
        this.stack = [];
      }
      for (const type of types) this.steps.push(constant(this.draw, type, this.functions.length));
    } else this.stack.length -= types.length;
  }

  private local(): void {
    const index = this.draw.integer(0, this.locals.length - 1);
    const type = this.locals[index]!;
    const kind = (["get", "set", "tee"] as const)[this.draw.integer(0, 2)]!;
    const text = `local.${kind} ${index}`;
    const step: Step = { text, emit: ({ f, locals }) => f.local[kind](locals[index]!) };
    const params = kind === "get" ? [] : [type];
    this.fixed({ step, params, results: kind === "set" ? [] : [type] });
  }

  private call(): void {
    const index = this.draw.integer(0, this.functions.length - 1);
    const type = this.functions[index]!;
    const { params, results } = TYPES[type]!;
    if (this.draw.integer(0, 1) === 0) {
      const step: Step = { text: `call ${index}`, emit: ({ f, functions }) => f.call(functions[index]!) };
      this.fixed({ step, params, results });
    } else {
      const write = ({ f, types, table }: Surroundings) => f.callIndirect(types[type]!, table);
      const step: Step = { text: `call_indirect 0 (type ${type})`, emit: write };
      this.fixed({ step, params: [...params, "i32"], results });
    }
  }

  private block(depth: number): void {
    const kind = (["block", "loop", "if"] as const)[this.draw.integer(0, 2)]!;
    const shape = this.draw.integer(0, 2);
    const index = this.draw.integer(0, TYPES.length - 1);
    const value = VALUE_TYPES[this.draw.integer(0, VALUE_TYPES.length - 1)]!;
    const params = shape === 2 ? TYPES[index]!.params : [];
    const results = shape === 2 ? TYPES[index]!.results : shape === 1 ? [value] : [];
    this.supply(kind === "if" ? [...params, "i32"] : params, false);
    const type = shape === 2 ? ` (type ${index})` : shape === 1 ? ` (result ${value})` : "";
    this.steps.push({
      text: `${kind}${type}`,
      structural: true,
      emit: ({ f, labels, types }) =>
        labels.push(f[kind](shape === 2 ? types[index] : shape === 1 ? value : undefined)),
    });
    this.labels.push(kind === "loop" ? params : results);
    this.sequence(params, results, this.draw.integer(0, 6), depth);
    if (kind === "if" && (params.join() !== results.join() || this.draw.integer(0, 1) === 0)) {
      this.steps.push({ text: "else", structural: true, emit: ({ f, labels }) => f.else(labels.at(-1)!) });
      this.sequence(params, results, this.draw.integer(0, 6), depth);
    }
    this.labels.pop();
    this.steps.push({ text: "end", structural: true, emit: ({ f, labels }) => f.end(labels.pop()!) });
    this.stack.push(...results);
  }

  private branch(conditional: boolean): void {
    const depth = this.draw.integer(0, this.labels.length - 1);
    const types = this.labels.at(-1 - depth)!;
    const text = `${conditional ? "br_if" : "br"} ${depth}`;
    const write = ({ f, labels }: Surroundings) =>
      conditional ? f.brIf(labels.at(-1 - depth)!) : f.br(labels.at(-1 - depth)!);
    this.fixed({
      step: { text, emit: write },
      params: conditional ? [...types, "i32"] : types,
      results: types,
    });
  }

  /** Something after which the sequence ends. */
  private leave(): void {
    const { results } = TYPES[this.type]!;
    const callee = this.functions.findIndex((type) => TYPES[type]!.results.join() === results.join());
    const calleeType = this.functions[callee]!;
    const { params } = TYPES[calleeType]!;
    switch (this.draw.integer(0, 5)) {
      case 0:
        this.fixed({ step: { text: "return", emit: ({ f }) => f.return() }, params: results, results: [] });
        break;
      case 1:
        this.fixed({
          step: {
            text: `return_call ${callee}`,
            emit: ({ f, functions }) => f.returnCall(functions[callee]!),
          },
          params,
          results: [],
        });
        break;
      case 2:
        this.fixed({
          step: {
            text: `return_call_indirect 0 (type ${calleeType})`,
            emit: ({ f, types, table }) => f.returnCallIndirect(types[calleeType]!, table),
          },
          params: [...params, "i32"],
          results: [],
        });
        break;
      case 3:
        this.branch(false);
        break;
      case 4:
        this.branchTable();
        break;
      default:
        this.steps.push({ text: "unreachable", emit: ({ f }) => f.unreachable() });
    }
    // Any operands fit what is never reached.
    this.stack = [];
  }

  private branchTable(): void {
    const first = this.draw.integer(0, this.labels.length - 1);
    const types = this.labels.at(-1 - first)!;
    const fitting = this.labels
      .map((_, i) => i)
      .filter((i) => this.labels.at(-1 - i)!.join() === types.join());
    const length = this.draw.integer(0, 200);
    const depths = Array.from({ length }, () => fitting[this.draw.integer(0, fitting.length - 1)]!);
    this.fixed({
      step: {
        text: `br_table ${[...depths, first].join(" ")}`,
        emit: ({ f, labels }) =>
          f.brTable(
            depths.map((depth) => labels.at(-1 - depth)!),
            labels.at(-1 - first)!,
          ),
      },
      params: [...types, "i32"],
      results: [],
    });
  }
}

/** Bodies of functions that may call each other. */
export function generate(draw: RandomStream, count: number, size: number): readonly Body[] {
  const functions = Array.from({ length: count }, () => draw.integer(0, TYPES.length - 1));
  return functions.map((type) => {
    const own = Array.from({ length: draw.integer(1, 12) }, () => VALUE_TYPES[draw.integer(0, 6)]!);
    const locals = [...TYPES[type]!.params, ...own];
    return { type, locals, steps: new Generator(draw, functions, type, locals).body(size) };
  });
}

/** The module with our emitter. */
export function emitted(bodies: readonly Body[], options: ModuleOptions): Uint8Array {
  const m = new ModuleBuilder(options);
  const f = m.code;
  const types = TYPES.map(({ params, results }) => m.type(params, results));
  const table = m.table("funcref", { min: 4, max: 100 });
  m.memory({ min: 1 });
  const global = m.global("i64", true, -5);
  const functions = bodies.map(({ type }) => m.function(types[type]!));
  m.export("first", functions[0]!);
  const segment = m.passiveElements(functions);
  m.elements(table, 1, functions.slice(0, 1));
  const data = m.passiveData(new Uint8Array([1, 2, 3]));
  for (const [i, body] of bodies.entries()) {
    const params = f.begin(functions[i]!) as readonly Local[];
    const own = body.locals.slice(params.length).map((type) => f.local.take(type));
    const locals = [...params, ...own];
    const s = { f, types, functions, locals, labels: [f.exit], table, global, data, segment };
    for (const step of body.steps) step.emit(s);
    f.finish();
  }
  return m.finish();
}

/** The same module in the text format. */
export function asText(bodies: readonly Body[]): string {
  const list = (word: string, types: readonly ValueType[]) =>
    types.map((type) => `(${word} ${type})`).join(" ");
  const referenced = new Set(
    bodies.flatMap(({ steps }) => steps.map(({ text }) => /^ref\.func (\d+)/.exec(text)?.[1] ?? "")),
  );
  referenced.delete("");
  return `(module
    ${TYPES.map(({ params, results }) => `(type (func ${list("param", params)} ${list("result", results)}))`).join("\n")}
    (table 4 100 funcref) (memory 1) (global (mut i64) (i64.const -5))
    (export "first" (func 0))
    (elem func ${bodies.map((_, i) => i).join(" ")})
    (elem (i32.const 1) func 0)
    ${referenced.size > 0 ? `(elem declare func ${[...referenced].join(" ")})` : ""}
    ${bodies
      .map(({ type, locals, steps }) => {
        const own = locals.slice(TYPES[type]!.params.length);
        return `(func (type ${type}) ${list("local", own)}\n${steps.map(({ text }) => text).join("\n")})`;
      })
      .join("\n")}
    (data "\\01\\02\\03"))`;
}
