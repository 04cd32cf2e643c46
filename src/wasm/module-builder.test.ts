import { describe, expect, it } from "vitest";
import { instantiate, type WasmMemory, wasm } from "../../test/wasm/webassembly.ts";
import { BrokenInvariant } from "../common/errors.ts";
import { ModuleBuilder } from "./module-builder.ts";

describe.each([{ checked: true }, { checked: false }])("a module, checked: $checked", (options) => {
  it("loops, branches, calls and returns", () => {
    const m = new ModuleBuilder(options);
    const f = m.code;
    const unary = m.type(["i64"], ["i64"]);
    const sum = m.function(unary, "sum");
    const twice = m.function(unary, "twice");
    m.export("sum", sum);
    // Bodies in another order than the declarations.
    const [x] = f.begin(twice);
    f.local.get(x);
    f.i64.const(2);
    f.i64.mul();
    f.finish();

    const [n] = f.begin(sum);
    const total = f.local.take("i64");
    const done = f.block();
    const again = f.loop();
    f.local.get(n);
    f.i64.eqz();
    f.brIf(done);
    f.local.get(total);
    f.local.get(n);
    f.call(twice);
    f.i64.add();
    f.local.set(total);
    f.local.get(n);
    f.i64.const(1);
    f.i64.sub();
    f.local.set(n);
    f.br(again);
    f.end(again);
    f.end(done);
    f.local.get(total);
    f.finish();
    const run = instantiate(m.finish()).exports["sum"] as (n: bigint) => bigint;
    expect(run(100n)).toBe(10_100n);
  });

  it("refuses a label that is closed, a wrong nesting and open blocks", () => {
    const m = new ModuleBuilder(options);
    const f = m.code;
    f.begin(m.function(m.type([], [])));
    const outer = f.block();
    const inner = f.block();
    expect(() => f.end(outer)).toThrow(BrokenInvariant);
    f.end(inner);
    expect(() => f.br(inner)).toThrow("closed");
    expect(() => f.end(inner)).toThrow("closed");
    expect(() => f.finish()).toThrow("1 open blocks");
    expect(() => f.end(f.exit)).toThrow("open");
    f.end(outer);
    expect(() => f.end(f.exit)).toThrow("finish()");
    f.finish();
    expect(() => f.br(outer)).toThrow(BrokenInvariant);
  });
});

describe("locals", () => {
  const build = () => {
    const m = new ModuleBuilder();
    const type = m.type([], []);
    return { m, f: m.code, one: m.function(type, "one"), two: m.function(type, "two") };
  };

  it("belong to their function", () => {
    const { f, one, two } = build();
    expect(() => f.local.take("i32")).toThrow("belongs to a function");
    f.begin(one);
    const x = f.local.take("i32");
    f.finish();
    expect(() => f.local.get(x)).toThrow(BrokenInvariant);
    f.begin(two);
    expect(() => f.local.get(x)).toThrow("another function");
    expect(() => f.local.release(x)).toThrow("another function");
  });

  it("are used again by type once they are released, and not before", () => {
    const { m, f, one } = build();
    f.begin(one);
    const x = f.local.take("i64");
    const y = f.local.take("i32");
    f.local.release(x);
    expect(() => f.local.get(x)).toThrow("released");
    expect(() => f.local.release(x)).toThrow("released");
    expect(f.local.take("i32").index).not.toBe(y.index);
    const again = f.local.take("i64");
    expect(again.index).toBe(x.index);
    expect(f.local.take("i64").index).not.toBe(x.index);
    f.local.get(again);
    f.drop();
    f.finish();
    f.begin(m.function(m.type([], [])));
    expect(f.local.take("i64").index).toBe(0);
  });

  it("know their type when compiling", () => {
    const m = new ModuleBuilder();
    const f = m.code;
    const [x, y] = f.begin(m.function(m.type(["i64", "f32"], [])));
    const wide: "i64" = x.type;
    // @ts-expect-error: the second parameter is an f32
    const wrong: "i64" = y.type;
    expect([wide, wrong]).toEqual(["i64", "f32"]);
    // @ts-expect-error: a memory is no table
    expect(() => f.table.size(m.memory({ min: 1 }))).not.toThrow();
  });
});

describe("a module's parts", () => {
  it("are imported, initialised and exported", () => {
    const m = new ModuleBuilder({ checked: true });
    const f = m.code;
    const unary = m.type(["i32"], ["i32"]);
    expect(m.type(["i32"], ["i32"])).toBe(unary);
    const twice = m.importFunction("env", "twice", unary);
    const memory = m.importMemory("env", "memory", { min: 1, max: 2, shared: true });
    const base = m.importGlobal("env", "base", "i32", false);
    const imported = m.importTable("env", "table", "funcref", { min: 8 });
    const own = m.table("funcref", { min: 4 });
    const wide = m.global("i64", true, -(2n ** 63n) + 7n);
    const double = m.global("f64", false, 0.1);
    const word = m.global("i32", true, base);
    const vector = m.global("v128", false, [1, 2, 3, 0xffff_ffff]);
    const started = m.function(m.type([], []), "started");
    const increment = m.function(unary);
    const run = m.function(m.type(["i32", "i32"], ["i32", "i64", "f64", "i32", "i32"]), "run");
    const reference = m.global("funcref", false, increment);
    for (const [name, exported] of Object.entries({ run, own, word, reference })) m.export(name, exported);
    m.start(started);
    m.data(memory, base, new Uint8Array([9, 8, 7]));
    m.elements(imported, base, [increment, twice]);
    m.elements(own, 2, [twice, increment]);

    f.begin(started);
    f.i32.const(77);
    f.global.set(word);
    f.finish();

    const [n] = f.begin(increment);
    f.local.get(n);
    f.i32.const(1);
    f.i32.add();
    f.finish();

    const [value, index] = f.begin(run);
    f.local.get(value);
    f.call(twice);
    f.local.get(index);
    f.callIndirect(unary, own);
    f.global.get(wide);
    f.global.get(double);
    f.global.get(vector);
    f.i32x4.extractLane(3);
    f.local.get(value);
    f.i32.load8U();
    f.finish();

    const buffer = new wasm.Memory({ initial: 1, maximum: 2, shared: true });
    const instance = instantiate(m.finish(), {
      env: {
        twice: (x: number) => 2 * x,
        memory: buffer,
        base: new wasm.Global({ value: "i32" }, 5),
        table: new wasm.Table({ initial: 8, element: "anyfunc" }),
      },
    });
    const exported = instance.exports["run"] as (value: number, index: number) => unknown;
    expect(exported(6, 3)).toEqual([13, -(2n ** 63n) + 7n, 0.1, -1, 8]);
    expect(exported(7, 2)).toEqual([28, -(2n ** 63n) + 7n, 0.1, -1, 7]);
    expect((instance.exports["word"] as { value: number }).value).toBe(77);
    expect((instance.exports["reference"] as { value: (n: number) => number }).value(1)).toBe(2);
  });

  it("have names for profiles on request, and custom sections", () => {
    const m = new ModuleBuilder({ name: "blöcke" });
    const [first, second] = [m.function(m.type([], []), "first"), m.function(m.type([], []), "zwölf")];
    for (const func of [first, second]) {
      m.code.begin(func);
      m.code.finish();
    }
    m.custom("spevisor", new Uint8Array([1, 2, 3]));
    const module = new wasm.Module(m.finish());
    const [names] = wasm.Module.customSections(module, "name");
    expect(Buffer.from(names!).toString()).toMatch(/blöcke.*first.*zwölf/s);
    expect(new Uint8Array(wasm.Module.customSections(module, "spevisor")[0]!)).toEqual(
      new Uint8Array([1, 2, 3]),
    );
  });

  it("belong to one module", () => {
    const other = new ModuleBuilder();
    const m = new ModuleBuilder();
    const f = m.code;
    const foreign = other.function(other.type([], []), "foreign");
    const func = m.function(m.type([], []), "func");
    expect(() => f.begin(foreign)).toThrow(BrokenInvariant);
    expect(() => m.export("foreign", foreign)).toThrow(BrokenInvariant);
    expect(() => m.function(other.type([], []))).toThrow(BrokenInvariant);
    f.begin(func);
    expect(() => f.call(foreign)).toThrow("another module");
    expect(() => f.returnCall(foreign)).toThrow("another module");
    expect(() => f.ref.func(foreign)).toThrow("another module");
    expect(() => f.block(other.type([], ["i32"]))).toThrow("another module");
    expect(() => f.global.get(other.global("i32", false, 0))).toThrow("another module");
    expect(() => f.callIndirect(m.type([], []), other.table("funcref", { min: 1 }))).toThrow(
      "another module",
    );
  });

  it("are complete, and written between begin and finish", () => {
    const m = new ModuleBuilder();
    const func = m.function(m.type([], []), "func");
    expect(() => m.finish()).toThrow("func has no body");
    m.code.begin(func);
    expect(() => m.code.begin(func)).toThrow("func is not finished");
    expect(() => m.finish()).toThrow("func is not finished");
    m.code.finish();
    expect(() => m.code.begin(func)).toThrow("func has a body already");
    expect(() => m.code.finish()).toThrow("no function");
    m.finish();
    m.code.nop();
    expect(() => m.finish()).toThrow("outside of a function");
  });
});

describe("numbers that do not fit", () => {
  const build = () => {
    const m = new ModuleBuilder();
    m.memory({ min: 1 });
    m.code.begin(m.function(m.type([], [])));
    return { m, f: m.code };
  };

  it.each([-1, 2 ** 32, 0.5, Number.NaN])("an offset of %d is refused", (offset) => {
    const { f } = build();
    expect(() => f.i32.load(offset)).toThrow("offset");
    expect(() => f.v128.load(offset)).toThrow("offset");
    expect(() => f.v128.load8Lane(0, offset)).toThrow("offset");
  });

  it("constants and lanes are refused, and constants of either sign are taken", () => {
    const { m, f } = build();
    expect(() => f.i32.const(2 ** 32)).toThrow("i32");
    expect(() => f.i32.const(-(2 ** 31) - 1)).toThrow("i32");
    expect(() => f.i32.const(0.5)).toThrow("i32");
    expect(() => f.i64.const(2 ** 53)).toThrow("safe integer");
    expect(() => f.i8x16.extractLaneU(16)).toThrow("lane");
    expect(() => f.i64x2.replaceLane(-1)).toThrow("lane");
    expect(() => f.i8x16.shuffle(Array(16).fill(32))).toThrow("lane");
    expect(() => f.i8x16.shuffle([1])).toThrow("16 lanes");
    expect(() => m.global("i32", false, 2 ** 32)).toThrow("no constant i32");
    expect(() => m.global("funcref", false, 0)).toThrow("no constant funcref");
    expect(() => m.memory({ min: 1 })).toThrow("one memory");
    expect(() => m.table("funcref", { min: 2, max: 1 })).toThrow("limits");
    expect(() => m.table("funcref", { min: 2 ** 32 })).toThrow("limits");
  });

  it.each([
    0,
    1,
    -1,
    63,
    64,
    -64,
    -65,
    8191,
    8192,
    2 ** 31 - 1,
    -(2 ** 31),
    2 ** 31,
    2 ** 32,
    -(2 ** 32) - 1,
  ])("constant %d arrives", (value) => constantArrives(BigInt(value)));
  it.each(Array.from({ length: 64 }, (_, i) => i))("constants near 2^%d arrive", (power) => {
    for (const near of [-2n, -1n, 0n, 1n]) {
      constantArrives(BigInt.asIntN(64, (1n << BigInt(power)) + near));
      constantArrives(BigInt.asIntN(64, -(1n << BigInt(power)) + near));
    }
  });

  /** Through each way to write it. */
  function constantArrives(value: bigint): void {
    const m = new ModuleBuilder({ checked: true });
    const f = m.code;
    f.begin(exported(m, "halves"));
    f.i64.constHalves(Number(value & 0xffff_ffffn), Number(value >> 32n));
    f.finish();
    f.begin(exported(m, "bigint"));
    f.i64.constBigInt(value);
    f.finish();
    f.begin(exported(m, "number"));
    const safe = BigInt.asIntN(53, value);
    f.i64.const(Number(safe));
    f.finish();
    const { exports } = instantiate(m.finish());
    expect(Object.values(exports).map((run) => (run as () => bigint)())).toEqual([value, value, safe]);
  }

  function exported(m: ModuleBuilder, name: string) {
    const func = m.function(m.type([], ["i64"]), name);
    m.export(name, func);
    return func;
  }
});

describe("large modules", () => {
  it("a body of several MB, and more functions than two bytes count, are valid", () => {
    const m = new ModuleBuilder();
    const f = m.code;
    const type = m.type(["i64"], ["i64"]);
    const functions = Array.from({ length: 20_000 }, () => m.function(type));
    // V8 takes bodies of up to 7,654,321 bytes.
    const [x] = f.begin(functions[0]!);
    f.local.get(x);
    for (let i = 0; i < 700_000; i++) {
      f.i64.constHalves(i, i);
      f.i64.add();
    }
    f.finish();
    for (const [i, func] of functions.entries()) {
      if (i === 0) continue;
      const [y] = f.begin(func);
      const counts = f.local.take("f64");
      f.f64.const(i);
      f.local.set(counts);
      f.local.get(y);
      f.returnCall(functions[i - 1]!);
      f.finish();
    }
    m.export("last", functions.at(-1)!);
    const bytes = m.finish();
    expect(bytes.length).toBeGreaterThan(5_000_000);
    const last = instantiate(bytes).exports["last"] as (x: bigint) => bigint;
    let sum = 1n;
    for (let i = 0; i < 700_000; i++) sum += (BigInt(i) << 32n) | BigInt(i);
    expect(last(1n)).toBe(BigInt.asIntN(64, sum));
  });

  it("an interpreter's loop over 500 kinds of operations runs each", () => {
    const kinds = 500;
    const m = new ModuleBuilder({ checked: true });
    const f = m.code;
    const run = m.function(m.type(["i32", "i32"], ["i32"]), "run");
    m.export("run", run);
    const [kind, steps] = f.begin(run);
    const result = f.local.take("i32");
    const next = f.loop();
    const labels = Array.from({ length: kinds }, () => f.block()).reverse();
    f.local.get(kind);
    f.brTable(labels, labels[0]!);
    for (const [i, label] of labels.entries()) {
      f.end(label);
      f.local.get(result);
      f.i32.const(i);
      f.i32.add();
      f.local.set(result);
      f.local.get(steps);
      f.i32.const(1);
      f.i32.sub();
      f.local.tee(steps);
      f.brIf(next);
      f.local.get(result);
      f.br(f.exit);
    }
    f.end(next);
    f.unreachable();
    f.finish();
    const { exports } = instantiate(m.finish());
    const call = exports["run"] as (kind: number, steps: number) => number;
    for (let i = 0; i < kinds; i++) expect(call(i, 3)).toBe(3 * i);
    expect(call(kinds, 1)).toBe(0);
  });
});

it("the checker names the first wrong instruction", () => {
  const m = new ModuleBuilder({ checked: true });
  const f = m.code;
  f.begin(m.function(m.type([], ["i64"]), "broken"));
  f.i64.const(1);
  f.i32.const(2);
  expect(() => f.i64.add()).toThrow("instruction 3 (i64.add) of broken: wants i64, finds i32");
});

it("a signalling NaN keeps its bits when it is given by them", () => {
  const m = new ModuleBuilder();
  const f = m.code;
  m.export("memory", m.memory({ min: 1 }));
  const start = m.function(m.type([], []));
  m.start(start);
  f.begin(start);
  f.i32.const(8);
  f.f64.constBits(0x1234_5678, 0x7ff4_0000);
  f.f64.store();
  f.i32.const(16);
  f.f32.constBits(0x7fa0_0001);
  f.f32.store();
  f.finish();
  const { exports } = instantiate(m.finish());
  const view = new DataView((exports["memory"] as WasmMemory).buffer);
  expect([view.getUint32(8, true), view.getUint32(12, true)]).toEqual([0x1234_5678, 0x7ff4_0000]);
  expect(view.getUint32(16, true)).toBe(0x7fa0_0001);
});
