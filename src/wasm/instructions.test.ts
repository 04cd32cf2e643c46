import { describe, expect, it } from "vitest";
import { emit, emitLoad, emitStore, peek, poke, WIDTHS } from "../../test/wasm/emit.ts";
import { bitsOf, lanesOf, loaded, reference, withoutNans } from "../../test/wasm/reference.ts";
import { instantiate, type WasmMemory, wasm } from "../../test/wasm/webassembly.ts";
import { type RandomStream, randomStream } from "../common/random.ts";
import { INSTRUCTIONS, type Instruction } from "./instruction-set.ts";
import { ModuleBuilder } from "./module-builder.ts";

const RESULT = 64;

/** Runs an instruction on operands in memory; undefined is a trap. One function for each lane. */
function machine(
  instruction: Instruction,
): (operands: readonly bigint[], lane: number) => bigint | undefined {
  const { name, params, results, lanes } = instruction;
  const m = new ModuleBuilder({ checked: true });
  const f = m.code;
  const type = m.type([], []);
  m.export("memory", m.memory({ min: 1 }));
  for (let lane = 0; lane < Math.max(1, lanes); lane++) {
    const run = m.function(type);
    m.export(`run${lane}`, run);
    f.begin(run);
    f.i32.const(0);
    for (const [i, param] of params.entries()) {
      f.i32.const(16 * i);
      emitLoad(f, param, 0);
    }
    emit(f, name, ...(lanes > 0 ? [lane] : []));
    emitStore(f, results[0]!, RESULT);
    f.finish();
  }
  const bytes = m.finish();
  expect(wasm.validate(bytes)).toBe(true);
  const { exports } = instantiate(bytes);
  const memory = new Uint8Array((exports["memory"] as WasmMemory).buffer);
  return (operands, lane) => {
    for (const [i, operand] of operands.entries()) poke(memory, 16 * i, operand, 128);
    try {
      (exports[`run${lane}`] as () => void)();
    } catch {
      return undefined;
    }
    return peek(memory, RESULT, WIDTHS[results[0]!]!);
  };
}

const FLOATS = [
  0,
  -0,
  1,
  -1,
  0.5,
  -0.5,
  1.5,
  2.5,
  -2.5,
  3.7,
  1e-45,
  65504,
  2 ** 31,
  -(2 ** 31) - 1,
  2 ** 32,
  2 ** 63,
].concat([-(2 ** 63), 2 ** 64, 1e38, -1e300, Number.MAX_VALUE, Number.POSITIVE_INFINITY, Number.NaN]);

/** Bits of `width` that are interesting as integers or as floats. */
function lane(draw: RandomStream, width: number): bigint {
  const any = Array.from({ length: width / 8 }, () => draw.integer(0, 255)).reduce(
    (all, byte) => (all << 8n) | BigInt(byte),
    0n,
  );
  const kind = draw.integer(0, 3);
  if (kind === 0) return any;
  if (kind === 1) return BigInt.asUintN(width, BigInt(draw.integer(-2, 2)) + (1n << BigInt(width - 1)));
  if (kind === 2) return BigInt.asUintN(width, BigInt(draw.integer(-3, 40)));
  return width < 32 ? any & 0x81n : bitsOf(FLOATS[draw.integer(0, FLOATS.length - 1)]!, width);
}

function operand(draw: RandomStream, type: string): bigint {
  if (type !== "v128") return lane(draw, WIDTHS[type]!);
  const width = [8, 16, 32, 64][draw.integer(0, 3)]!;
  return Array.from({ length: 128 / width }, () => lane(draw, width)).reduce(
    (all, part) => (all << BigInt(width)) | part,
    0n,
  );
}

const computing = INSTRUCTIONS.filter(({ accessBytes }) => accessBytes === 0);

describe("each instruction computes what a reference without WebAssembly does", () => {
  it.each(computing)("$name", (instruction) => {
    const run = machine(instruction);
    const draw = randomStream(instruction.opcode);
    const total = WIDTHS[instruction.results[0]!]!;
    for (let round = 0; round < 150; round++) {
      const operands = instruction.params.map((type) => operand(draw, type));
      const chosen = instruction.lanes > 0 ? round % instruction.lanes : 0;
      const { bits, nan } = reference(instruction.name, operands, chosen);
      const found = run(operands, chosen);
      const of = `${instruction.name} lane ${chosen} of ${operands.map((x) => x.toString(16))}`;
      const same = (x: bigint | undefined) =>
        x === undefined || nan === undefined ? x : withoutNans(x, nan, total);
      expect(same(found)?.toString(16), of).toBe(same(bits)?.toString(16));
    }
  });
});

const accessing = INSTRUCTIONS.filter(({ accessBytes }) => accessBytes > 0);

/** Where accesses go: addresses, and offsets that take one to five bytes. */
const PLACES = [
  [256, 0],
  [255, 1],
  [100, 300],
  [3, 40_000],
  [65_536 - 16, 0],
  [65_535, 65_535],
  [0, 0x7fff_ffff],
  [16, 0xffff_ffff],
] as const;

/** Functions of (address, value) for each place and lane: "at place lane". Loads put their result at RESULT. */
function accessor(instruction: Instruction) {
  const { name, params, results, lanes } = instruction;
  const m = new ModuleBuilder({ checked: true });
  const f = m.code;
  const type = m.type(["i32"], []);
  m.export("memory", m.memory({ min: 1 }));
  for (const [place, [, offset]] of PLACES.entries()) {
    for (let lane = 0; lane < Math.max(1, lanes); lane++) {
      const run = m.function(type);
      m.export(`at ${place} ${lane}`, run);
      const [address] = f.begin(run);
      if (results.length > 0) f.i32.const(0);
      f.local.get(address);
      if (params.length > 1) {
        f.i32.const(0);
        emitLoad(f, params[1]!, 0);
      }
      emit(f, name, ...(lanes > 0 ? [lane] : []), offset, ...(place % 2 === 0 ? [] : [0]));
      if (results.length > 0) emitStore(f, results[0]!, RESULT);
      f.finish();
    }
  }
  const bytes = m.finish();
  expect(wasm.validate(bytes)).toBe(true);
  return instantiate(bytes).exports;
}

describe("each load and store accesses what it says, where it says", () => {
  it.each(accessing)("$name", (instruction) => {
    const { name, params, results, accessBytes, lanes } = instruction;
    const exports = accessor(instruction);
    const memory = new Uint8Array((exports["memory"] as WasmMemory).buffer);
    const draw = randomStream(instruction.opcode);
    for (const [place, [address, offset]] of PLACES.entries()) {
      for (let lane = 0; lane < Math.max(1, lanes); lane++) {
        for (let i = 0; i < memory.length; i += draw.integer(1, 7)) memory[i] = draw.integer(0, 255);
        const at = address + offset;
        const run = exports[`at ${place} ${lane}`] as (address: number) => void;
        if (at + accessBytes > memory.length) {
          expect(() => run(address), `${name} at ${at}`).toThrow();
          continue;
        }
        const expected = memory.slice();
        const value = params.length > 1 ? peek(memory, 0, WIDTHS[params[1]!]!) : 0n;
        if (results.length > 0) {
          const found = peek(memory, at, accessBytes * 8);
          poke(expected, RESULT, loaded(name, found, accessBytes, lane, value), WIDTHS[results[0]!]!);
        } else {
          const part = lanes > 0 ? lanesOf(value, accessBytes * 8)[lane]! : value;
          poke(expected, at, part, accessBytes * 8);
        }
        run(address);
        expect(Buffer.compare(memory, expected), `${name} lane ${lane} at ${at}`).toBe(0);
      }
    }
  });
});
