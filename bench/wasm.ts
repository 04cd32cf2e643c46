/**
 * How fast src/wasm emits: `node scripts/typescript.js bench/wasm.ts`. Two figures, medians of many rounds after
 * warming up: per WebAssembly instruction, and per A64 instruction of a mix of loads and stores through a soft TLB,
 * additions, flags and branches, as a translator would emit it (modules of 64 functions of 6 instructions).
 */
import type { Local } from "../src/wasm/entities.ts";
import type { FunctionBody } from "../src/wasm/function-body.ts";
import { ModuleBuilder } from "../src/wasm/module-builder.ts";

const ROUNDS = 31;

/** Offsets of the CPU state in linear memory. */
const FLAG_LEFT = 0x180;
const FLAG_RIGHT = 0x188;
const FLAG_KIND = 0x190;
const PC = 0x100;
const BUDGET = 0x198;
const TLB = 0x1000;
const xOffset = (register: number): number => register * 8;

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] as number;

/** Looks `address` up and leaves the host address; returns to the dispatcher with `pc` on a miss. */
function lookUp(f: FunctionBody, address: Local<"i64">, sizeBytes: number, pc: number): void {
  const entry = f.local.take("i32");
  const within = f.local.take("i64");
  f.local.get(address);
  f.i64.const(12);
  f.i64.shrU();
  f.i32.wrapI64();
  f.i32.const(0x3ff);
  f.i32.and();
  f.i32.const(4);
  f.i32.shl();
  f.local.tee(entry);
  f.local.get(address);
  f.local.get(entry);
  f.i64.load(TLB);
  f.i64.sub();
  f.local.tee(within);
  f.i64.const(4096 - sizeBytes + 1);
  f.i64.geU();
  const miss = f.if();
  f.i32.const(0);
  f.i64.constHalves(pc, 0xffff_8000);
  f.i64.store(PC);
  f.i32.const(1);
  f.return();
  f.end(miss);
  f.i32.load(TLB + 8);
  f.local.get(within);
  f.i32.wrapI64();
  f.i32.add();
  f.local.release(entry);
  f.local.release(within);
}

/** ldr Xt, [Xn, #imm] */
function load(f: FunctionBody, t: number, n: number, offset: number, pc: number): void {
  const address = f.local.take("i64");
  f.i32.const(0);
  f.i32.const(0);
  f.i64.load(xOffset(n));
  f.i64.const(offset);
  f.i64.add();
  f.local.set(address);
  lookUp(f, address, 8, pc);
  f.i64.load();
  f.i64.store(xOffset(t));
  f.local.release(address);
}

/** str Xt, [Xn, #imm] */
function store(f: FunctionBody, t: number, n: number, offset: number, pc: number): void {
  const address = f.local.take("i64");
  f.i32.const(0);
  f.i64.load(xOffset(n));
  f.i64.const(offset);
  f.i64.add();
  f.local.set(address);
  lookUp(f, address, 8, pc);
  f.i32.const(0);
  f.i64.load(xOffset(t));
  f.i64.store();
  f.local.release(address);
}

/** add Xd, Xn, Xm */
function add(f: FunctionBody, d: number, n: number, m: number): void {
  f.i32.const(0);
  f.i32.const(0);
  f.i64.load(xOffset(n));
  f.i32.const(0);
  f.i64.load(xOffset(m));
  f.i64.add();
  f.i64.store(xOffset(d));
}

/** subs Xd, Xn, #imm: the flags' operands are kept for whoever asks. */
function subs(f: FunctionBody, d: number, n: number, immediate: number): void {
  const left = f.local.take("i64");
  f.i32.const(0);
  f.i32.const(0);
  f.i64.load(xOffset(n));
  f.local.tee(left);
  f.i64.store(FLAG_LEFT);
  f.i32.const(0);
  f.i64.const(immediate);
  f.i64.store(FLAG_RIGHT);
  f.i32.const(0);
  f.i32.const(3);
  f.i32.store(FLAG_KIND);
  f.i32.const(0);
  f.local.get(left);
  f.i64.const(immediate);
  f.i64.sub();
  f.i64.store(xOffset(d));
  f.local.release(left);
}

const buffer = new Uint8Array(0x100_0000);

/** A module of 64 blocks of six A64 instructions; returns its size. */
function guestModule(seed: number): number {
  const m = new ModuleBuilder({ buffer });
  m.importMemory("env", "memory", { min: 1 });
  const type = m.type([], ["i32"]);
  const table = m.importTable("env", "blocks", "funcref", { min: 64 });
  const blocks = Array.from({ length: 64 }, () => m.function(type));
  const f = m.code;
  for (let i = 0; i < 64; i++) {
    f.begin(blocks[i]!);
    const r = (seed + i) & 15;
    const pc = 0x8_0000 + i * 24;
    f.i32.const(0);
    f.i32.const(0);
    f.i32.load(BUDGET);
    f.i32.const(6);
    f.i32.sub();
    f.i32.store(BUDGET);
    load(f, r, r + 1, 16, pc);
    add(f, r + 2, r, r + 3);
    load(f, r + 4, r + 2, 8, pc + 8);
    store(f, r + 4, r + 5, 24, pc + 12);
    subs(f, r + 6, r + 6, 1);
    // b.ne
    f.i32.const(0);
    f.i64.load(FLAG_LEFT);
    f.i32.const(0);
    f.i64.load(FLAG_RIGHT);
    f.i64.ne();
    const taken = f.if();
    f.returnCall(blocks[(i * 7) & 63]!);
    f.end(taken);
    f.returnCall(blocks[(i + 1) & 63]!);
    f.finish();
  }
  m.elements(table, 0, blocks);
  return m.finish().length;
}

const PLAIN = 100_000;

/** A function of `PLAIN` times ten instructions of the common kinds. */
function plainModule(): number {
  const m = new ModuleBuilder({ buffer });
  m.memory({ min: 1 });
  const f = m.code;
  const [x] = f.begin(m.function(m.type(["i64"], [])));
  for (let i = 0; i < PLAIN; i++) ten(f, x, i);
  f.finish();
  return m.finish().length;
}

function ten(f: FunctionBody, x: Local<"i64">, i: number): void {
  f.i32.const(i & 63);
  f.local.get(x);
  f.i64.const(i);
  f.i64.add();
  f.local.tee(x);
  f.i64.const(12);
  f.i64.shrU();
  f.i64.store(i & 0xff8);
  f.local.get(x);
  f.local.set(x);
}

/** Nanoseconds of processor time that `work` takes (others may use the machine too), and what it returns. */
function timed(work: () => number): { ns: number; result: number } {
  const start = process.cpuUsage();
  const result = work();
  const { user, system } = process.cpuUsage(start);
  return { ns: (user + system) * 1000, result };
}

function bench(name: string, instructions: number, work: () => number): void {
  const rounds = Array.from({ length: ROUNDS }, () => timed(work));
  const perInstruction = rounds.slice(ROUNDS >> 1).map(({ ns }) => ns / instructions);
  const cold = rounds[0]!.ns / instructions;
  const bytes = rounds[0]!.result / instructions;
  console.log(
    `${name.padEnd(34)}${median(perInstruction).toFixed(1).padStart(8)} ns (first round ${cold.toFixed(0)} ns), ` +
      `${bytes.toFixed(1)} bytes`,
  );
}

const MODULES = 200;

bench("per WebAssembly instruction", PLAIN * 10, plainModule);
bench("per A64 instruction, mixed", MODULES * 64 * 6, () => {
  let bytes = 0;
  for (let i = 0; i < MODULES; i++) bytes += guestModule(i);
  return bytes;
});
