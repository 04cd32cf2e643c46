import { describe, expect, it } from "vitest";
import { instantiate } from "../../test/wasm/webassembly.ts";
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
