/** The sections of a module, in the order of the format (WebAssembly Core Specification 2.0, section 5.5). */
import { assertNever, BrokenInvariant } from "../common/errors.ts";
import { type Constant, Func, type FunctionType, Global, Memory, Table } from "./entities.ts";
import type { FunctionBody } from "./function-body.ts";
import { type Limits, MAX_U32, VALUE_TYPE_CODES, type ValueType } from "./types.ts";
import { ByteWriter } from "./writer.ts";

type Entity = Func | Table | Memory | Global;

/** All that a module consists of but its code. The lists of functions and the like have the imported ones first. */
export interface Sections {
  readonly name: string | undefined;
  readonly types: FunctionType[];
  readonly imports: { readonly module: string; readonly name: string; readonly imported: Entity }[];
  readonly functions: Func[];
  readonly tables: Table[];
  readonly memories: Memory[];
  readonly globals: Global[];
  readonly exports: { readonly name: string; readonly exported: Entity }[];
  start: Func | undefined;
  readonly elements: {
    readonly active: { readonly table: Table; readonly offset: number | Global } | undefined;
    readonly functions: readonly Func[];
  }[];
  readonly data: {
    readonly active: { readonly memory: Memory; readonly offset: number | Global } | undefined;
    readonly bytes: Uint8Array;
  }[];
  readonly custom: { readonly name: string; readonly bytes: Uint8Array }[];
}

const SECTION = {
  custom: 0,
  type: 1,
  import: 2,
  function: 3,
  table: 4,
  memory: 5,
  global: 6,
  export: 7,
  start: 8,
  element: 9,
  code: 10,
  data: 11,
  dataCount: 12,
} as const;

/** Puts a module together. */
export function assemble(parts: Sections, code: FunctionBody): Uint8Array {
  const head = new ByteWriter();
  head.word(0x6d736100);
  head.word(1);
  writeTypes(head, parts);
  writeImports(head, parts);
  const own = parts.functions.filter((func) => !func.imported);
  list(head, SECTION.function, own, (func) => head.u32(func.type.index));
  list(head, SECTION.table, ownOf(parts.tables), (table) => {
    head.byte(VALUE_TYPE_CODES[table.type]);
    writeLimits(head, table.limits);
  });
  list(head, SECTION.memory, ownOf(parts.memories), (memory) => writeLimits(head, memory.limits));
  list(head, SECTION.global, ownOf(parts.globals), (global) => {
    writeGlobalType(head, global);
    writeConstant(head, global.type, global.initial ?? null);
  });
  list(head, SECTION.export, parts.exports, ({ name, exported }) => {
    head.name(name);
    head.byte(kindOf(exported));
    head.u32(exported.index);
  });
  const { start } = parts;
  if (start !== undefined) section(head, SECTION.start, () => head.u32(start.index));
  writeElements(head, parts, code);
  if (parts.data.length > 0) section(head, SECTION.dataCount, () => head.u32(parts.data.length));
  if (own.length > 0) writeCodeHeader(head, own, code);

  const tail = new ByteWriter();
  writeData(tail, parts);
  if (parts.name !== undefined) writeNames(tail, parts.name, parts.functions);
  for (const { name, bytes } of parts.custom) {
    section(tail, SECTION.custom, () => {
      tail.name(name);
      tail.append(bytes);
    });
  }

  const size = head.pos + code.out.pos + tail.pos;
  if (size > MAX_U32) throw new BrokenInvariant(`a module has fewer than 2^32 bytes, not ${size}`);
  const module = new Uint8Array(size);
  module.set(head.bytes.subarray(0, head.pos));
  copyBodies(module, head.pos, own, code);
  module.set(tail.bytes.subarray(0, tail.pos), head.pos + code.out.pos);
  return module;
}

const ownOf = <T extends Entity>(entities: readonly T[]): readonly T[] =>
  entities.filter((entity) => !entity.imported);

function section(out: ByteWriter, id: number, write: () => void): void {
  out.byte(id);
  const at = out.pos;
  out.reserve(5);
  out.pos += 5;
  write();
  out.patchU32(at, out.pos - at - 5);
}

/** A section that is a list, left out if that is empty. */
function list<T>(out: ByteWriter, id: number, items: readonly T[], write: (item: T) => void): void {
  if (items.length === 0) return;
  section(out, id, () => {
    out.u32(items.length);
    for (const item of items) write(item);
  });
}

function writeTypes(out: ByteWriter, { types }: Sections): void {
  list(out, SECTION.type, types, (type) => {
    out.byte(0x60);
    for (const values of [type.params, type.results]) {
      out.u32(values.length);
      for (const value of values) out.byte(VALUE_TYPE_CODES[value]);
    }
  });
}

function writeImports(out: ByteWriter, { imports }: Sections): void {
  list(out, SECTION.import, imports, ({ module, name, imported }) => {
    out.name(module);
    out.name(name);
    out.byte(kindOf(imported));
    if (imported instanceof Func) out.u32(imported.type.index);
    else if (imported instanceof Table) {
      out.byte(VALUE_TYPE_CODES[imported.type]);
      writeLimits(out, imported.limits);
    } else if (imported instanceof Memory) writeLimits(out, imported.limits);
    else writeGlobalType(out, imported);
  });
}

function kindOf(entity: Entity): number {
  if (entity instanceof Func) return 0;
  if (entity instanceof Table) return 1;
  if (entity instanceof Memory) return 2;
  if (entity instanceof Global) return 3;
  return assertNever(entity);
}

function writeLimits(out: ByteWriter, { min, max, shared = false }: Limits): void {
  out.byte((max === undefined ? 0 : 1) | (shared ? 2 : 0));
  out.u32(min);
  if (max !== undefined) out.u32(max);
}

function writeGlobalType(out: ByteWriter, { type, mutable }: Global): void {
  out.byte(VALUE_TYPE_CODES[type]);
  out.byte(mutable ? 1 : 0);
}

/** A constant expression. ModuleBuilder has checked that `value` is one of `type`. */
function writeConstant(out: ByteWriter, type: ValueType, value: Constant): void {
  if (value instanceof Global) out.op1U32(0x23, value.index);
  else if (value instanceof Func) out.op1U32(0xd2, value.index);
  else if (value === null) out.op2(0xd0, VALUE_TYPE_CODES[type]);
  else if (typeof value === "object") {
    out.op2(0xfd, 0x0c);
    for (const word of value) out.word(word);
  } else if (type === "i64") {
    const bits = BigInt(value);
    out.op1S64(0x42, Number(BigInt.asIntN(32, bits)), Number(BigInt.asIntN(32, bits >> 32n)));
  } else if (type === "i32") out.op1S32(0x41, Number(value) | 0);
  else if (type === "f32") {
    out.op1(0x43);
    out.f32(Number(value));
  } else {
    out.op1(0x44);
    out.f64(Number(value));
  }
  out.byte(0x0b);
}

function writeElements(out: ByteWriter, { elements }: Sections, code: FunctionBody): void {
  // A function that code takes a reference of must be declared somewhere outside of code.
  const referenced = [...code.ref.functions];
  const declared =
    referenced.length > 0 ? [{ functions: referenced, active: undefined, declares: true }] : [];
  const segments = [...elements.map((segment) => ({ ...segment, declares: false })), ...declared];
  list(out, SECTION.element, segments, ({ active, functions, declares }) => {
    if (active === undefined) out.op2(declares ? 3 : 1, 0);
    else if (active.table.index === 0) {
      out.byte(0);
      writeConstant(out, "i32", active.offset);
    } else {
      out.op1U32(2, active.table.index);
      writeConstant(out, "i32", active.offset);
      out.byte(0);
    }
    out.u32(functions.length);
    for (const func of functions) out.u32(func.index);
  });
}

function writeData(out: ByteWriter, { data }: Sections): void {
  list(out, SECTION.data, data, ({ active, bytes }) => {
    if (active === undefined) out.byte(1);
    else {
      out.byte(0);
      writeConstant(out, "i32", active.offset);
    }
    out.u32(bytes.length);
    out.append(bytes);
  });
}

function writeNames(out: ByteWriter, name: string, functions: readonly Func[]): void {
  section(out, SECTION.custom, () => {
    out.name("name");
    section(out, 0, () => out.name(name));
    const named = functions.filter((func) => func.name !== undefined);
    list(out, 1, named, (func) => {
      out.u32(func.index);
      out.name(func.name ?? "");
    });
  });
}

/** Id, size and count of the code section; the bodies follow. */
function writeCodeHeader(out: ByteWriter, own: readonly Func[], code: FunctionBody): void {
  for (const func of own) {
    if (code.ends[func.index] === undefined) {
      throw new BrokenInvariant(`${func.name ?? `function ${func.index}`} has no body`);
    }
  }
  const count = new ByteWriter();
  count.u32(own.length);
  const size = count.pos + code.out.pos;
  if (size > MAX_U32) throw new BrokenInvariant(`a code section has fewer than 2^32 bytes, not ${size}`);
  out.byte(SECTION.code);
  out.u32(size);
  out.u32(own.length);
}

/** Copies the bodies in the order of their functions: at once if they were written in it. */
function copyBodies(module: Uint8Array, at: number, own: readonly Func[], code: FunctionBody): void {
  const { bytes, pos } = code.out;
  const inOrder = own.every((func, i) => i === 0 || code.starts[func.index] === code.ends[own[i - 1]!.index]);
  if (inOrder) {
    module.set(bytes.subarray(0, pos), at);
    return;
  }
  let to = at;
  for (const func of own) {
    const body = bytes.subarray(code.starts[func.index], code.ends[func.index]);
    module.set(body, to);
    to += body.length;
  }
}
