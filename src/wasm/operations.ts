/**
 * The emitting methods, a namespace of the instruction set each: `f.i64.add()`, `f.i32.load8U(offset)`,
 * `f.i8x16.addSatS()`. A method is called as the specification calls its instruction, without underscores. Most are
 * made from the tables; each only writes the bytes of its instruction.
 */
import { BrokenInvariant } from "../common/errors.ts";
import type { Checker } from "./checker.ts";
import {
  INSTRUCTIONS,
  type Instruction,
  type LaneName,
  type MemoryLaneName,
  type MemoryName,
  type MethodName,
  methodName,
  opcodeBytes,
  type PlainName,
} from "./instruction-set.ts";
import type { ByteWriter } from "./writer.ts";

type MethodIn<Namespace extends string, Name extends string> = Name extends `${Namespace}.${infer Method}`
  ? MethodName<Method>
  : never;

/** The instructions of a namespace that come from the tables. */
export type Methods<Namespace extends string> = {
  readonly [N in PlainName as MethodIn<Namespace, N>]: () => void;
} & {
  /** `offsetBytes` is added to the address, below 2^32; the alignment is a hint, the access's size by default. */
  readonly [N in MemoryName as MethodIn<Namespace, N>]: (offsetBytes?: number, alignLog2?: number) => void;
} & {
  readonly [N in LaneName as MethodIn<Namespace, N>]: (lane: number) => void;
} & {
  readonly [N in MemoryLaneName as MethodIn<Namespace, N>]: (
    lane: number,
    offsetBytes?: number,
    alignLog2?: number,
  ) => void;
};

class Operations {
  declare readonly out: ByteWriter;
  declare readonly checker: Checker | undefined;

  constructor(out: ByteWriter, checker: Checker | undefined) {
    this.out = out;
    this.checker = checker;
  }
}

type Emit = (this: Operations, ...immediates: number[]) => void;

/** Methods of one and the same code with other captured values: V8 inlines each where it is called. */
function plainMethod(instruction: Instruction): Emit {
  const [a = 0, b = 0, c = 0, ...more] = opcodeBytes(instruction.opcode);
  if (more.length > 0) throw new BrokenInvariant(`${instruction.name} has a longer opcode than is known`);
  switch (opcodeBytes(instruction.opcode).length) {
    case 1:
      return function () {
        if (this.checker !== undefined) this.checker.apply(instruction);
        this.out.op1(a);
      };
    case 2:
      return function () {
        if (this.checker !== undefined) this.checker.apply(instruction);
        this.out.op2(a, b);
      };
    default:
      return function () {
        if (this.checker !== undefined) this.checker.apply(instruction);
        this.out.op3(a, b, c);
      };
  }
}

function refuseOffset(offsetBytes: number): never {
  throw new BrokenInvariant(`${offsetBytes} is no offset of a load or store: whole numbers below 2^32 are`);
}

function memoryMethod(instruction: Instruction): Emit {
  const natural = Math.log2(instruction.accessBytes);
  const [a = 0, b] = opcodeBytes(instruction.opcode);
  if (b === undefined) {
    return function (offsetBytes = 0, alignLog2 = natural) {
      if (offsetBytes >>> 0 !== offsetBytes) refuseOffset(offsetBytes);
      if (this.checker !== undefined) this.checker.apply(instruction, alignLog2);
      this.out.op1Memarg(a, alignLog2, offsetBytes);
    };
  }
  return function (offsetBytes = 0, alignLog2 = natural) {
    if (offsetBytes >>> 0 !== offsetBytes) refuseOffset(offsetBytes);
    if (this.checker !== undefined) this.checker.apply(instruction, alignLog2);
    this.out.op2Memarg(a, b, alignLog2, offsetBytes);
  };
}

function refuseLane(lane: number, lanes: number): never {
  throw new BrokenInvariant(`there is no lane ${lane} of ${lanes}`);
}

function laneMethod(instruction: Instruction): Emit {
  const [a = 0, b = 0] = opcodeBytes(instruction.opcode);
  const { lanes } = instruction;
  return function (lane = -1) {
    if (lane >>> 0 !== lane || lane >= lanes) refuseLane(lane, lanes);
    if (this.checker !== undefined) this.checker.apply(instruction, 0, lane);
    this.out.op3(a, b, lane);
  };
}

function memoryLaneMethod(instruction: Instruction): Emit {
  const natural = Math.log2(instruction.accessBytes);
  const [a = 0, b = 0] = opcodeBytes(instruction.opcode);
  const { lanes } = instruction;
  return function (lane = -1, offsetBytes = 0, alignLog2 = natural) {
    if (lane >>> 0 !== lane || lane >= lanes) refuseLane(lane, lanes);
    if (offsetBytes >>> 0 !== offsetBytes) refuseOffset(offsetBytes);
    if (this.checker !== undefined) this.checker.apply(instruction, alignLog2, lane);
    this.out.op2Memarg(a, b, alignLog2, offsetBytes);
    this.out.byte(lane);
  };
}

const MAKERS = {
  none: plainMethod,
  memory: memoryMethod,
  lane: laneMethod,
  "memory-lane": memoryLaneMethod,
};

type OperationsClass = new (out: ByteWriter, checker: Checker | undefined) => Operations;

/** A class of its own for `namespace`, so that each method is a constant of its prototype. */
function namespaceClass<Namespace extends string, Base extends OperationsClass>(
  namespace: Namespace,
  base: Base,
): new (
  out: ByteWriter,
  checker: Checker | undefined,
) => InstanceType<Base> & Methods<Namespace> {
  const made = class extends (base as OperationsClass) {};
  for (const instruction of INSTRUCTIONS) {
    const [prefix, name = ""] = instruction.name.split(".");
    if (prefix !== namespace) continue;
    const value = MAKERS[instruction.immediates](instruction);
    Object.defineProperty(made.prototype, methodName(name), { value });
  }
  return made as unknown as ReturnType<typeof namespaceClass<Namespace, Base>>;
}

class I32Constants extends Operations {
  /** A 32-bit constant, given signed or unsigned. */
  const(value: number): void {
    if ((value | 0) !== value && value >>> 0 !== value) {
      throw new BrokenInvariant(`${value} is no i32`);
    }
    if (this.checker !== undefined) this.checker.next("i32.const").pushes(["i32"]);
    this.out.op1S32(0x41, value | 0);
  }
}

class I64Constants extends Operations {
  /** A signed constant that a number holds exactly, up to 2^53 - 1. */
  const(value: number): void {
    if ((value | 0) === value) {
      if (this.checker !== undefined) this.checker.next("i64.const").pushes(["i64"]);
      this.out.op1S32(0x42, value);
      return;
    }
    if (!Number.isSafeInteger(value)) {
      throw new BrokenInvariant(`${value} is no safe integer: use constHalves or constBigInt`);
    }
    this.constHalves(value, Math.floor(value / 2 ** 32));
  }

  /** A constant from its low and high 32 bits, each given signed or unsigned. */
  constHalves(low: number, high: number): void {
    if (this.checker !== undefined) this.checker.next("i64.const").pushes(["i64"]);
    this.out.op1S64(0x42, low, high);
  }

  /** A constant modulo 2^64. Convenient and slow: not for code that is emitted while a guest waits. */
  constBigInt(value: bigint): void {
    this.constHalves(Number(BigInt.asIntN(32, value)), Number(BigInt.asIntN(32, value >> 32n)));
  }
}

class F32Constants extends Operations {
  /** `value` rounded to single precision. A NaN is the canonical one; others need constBits. */
  const(value: number): void {
    if (this.checker !== undefined) this.checker.next("f32.const").pushes(["f32"]);
    this.out.op1(0x43);
    this.out.f32(value);
  }

  /** A constant from its 32 bits. */
  constBits(bits: number): void {
    if (this.checker !== undefined) this.checker.next("f32.const").pushes(["f32"]);
    this.out.op1(0x43);
    this.out.word(bits);
  }
}

class F64Constants extends Operations {
  /** A NaN is the canonical one; others need constBits. */
  const(value: number): void {
    if (this.checker !== undefined) this.checker.next("f64.const").pushes(["f64"]);
    this.out.op1(0x44);
    this.out.f64(value);
  }

  /** A constant from its low and high 32 bits. */
  constBits(low: number, high: number): void {
    if (this.checker !== undefined) this.checker.next("f64.const").pushes(["f64"]);
    this.out.op1(0x44);
    this.out.word(low);
    this.out.word(high);
  }
}

class V128Constants extends Operations {
  /** A constant from its four 32-bit words, lowest first. */
  const(word0: number, word1: number, word2: number, word3: number): void {
    if (this.checker !== undefined) this.checker.next("v128.const").pushes(["v128"]);
    this.out.op2(0xfd, 0x0c);
    this.out.word(word0);
    this.out.word(word1);
    this.out.word(word2);
    this.out.word(word3);
  }
}

class Shuffles extends Operations {
  /** Sixteen lanes out of two operands: 0 to 15 are the first's, 16 to 31 the second's. */
  shuffle(lanes: readonly number[]): void {
    if (lanes.length !== 16) throw new BrokenInvariant(`a shuffle has 16 lanes, not ${lanes.length}`);
    if (this.checker !== undefined) {
      this.checker.next("i8x16.shuffle").pops(["v128", "v128"]);
      this.checker.pushes(["v128"]);
    }
    this.out.op2(0xfd, 0x0d);
    for (let i = 0; i < 16; i++) {
      const lane = lanes[i]!;
      if (lane >>> 0 !== lane || lane >= 32) refuseLane(lane, 32);
      this.out.byte(lane);
    }
  }
}

export class I32Operations extends namespaceClass("i32", I32Constants) {}
export class I64Operations extends namespaceClass("i64", I64Constants) {}
export class F32Operations extends namespaceClass("f32", F32Constants) {}
export class F64Operations extends namespaceClass("f64", F64Constants) {}
export class V128Operations extends namespaceClass("v128", V128Constants) {}
export class I8x16Operations extends namespaceClass("i8x16", Shuffles) {}
export class I16x8Operations extends namespaceClass("i16x8", Operations) {}
export class I32x4Operations extends namespaceClass("i32x4", Operations) {}
export class I64x2Operations extends namespaceClass("i64x2", Operations) {}
export class F32x4Operations extends namespaceClass("f32x4", Operations) {}
export class F64x2Operations extends namespaceClass("f64x2", Operations) {}
