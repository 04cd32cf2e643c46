/** Whether code is interpreted or translated, and when, cannot be told by the guest. */
import { describe, expect, it } from "vitest";
import { ROWS } from "../../a64/encodings/index.ts";
import { randomStream } from "../../common/random.ts";
import { assemble, randomProgram, VECTOR } from "../spe/random-program.testing.ts";
import { PLACE, type SpeCore, speCore } from "../spe/spe-core.testing.ts";
import { TRANSLATION, type Translation } from "./translator.ts";

const NEVER: Translation = { hotAfter: 0xffff, batch: 0xffff, patience: 1000 };
const AT_ONCE: Translation = { hotAfter: 1, batch: 1, patience: 1000 };
const SOME: Translation = { hotAfter: 7, batch: 3, patience: 1000 };

interface Seen {
  readonly cycles: number;
  readonly executed: number;
  readonly pc: bigint;
  readonly el: number;
  readonly nzcv: number;
  readonly x: readonly bigint[];
  readonly data: readonly number[];
}

function seen({ core, bytes }: SpeCore): Seen {
  const { state } = core;
  const { buffer, byteOffset } = bytes();
  return {
    cycles: core.cycles,
    executed: core.executed,
    pc: state.pc,
    el: state.el,
    nzcv: state.nzcv,
    x: Array.from({ length: 31 }, (_, n) => state.x(n)),
    data: [...new Uint32Array(buffer, byteOffset + PLACE.data, 256)],
  };
}

/** What a program has come to at instants that depend on the seed only. */
function history(seed: number, translation: Translation, drops: boolean): { seen: Seen[]; made: number } {
  const random = randomStream(seed);
  const program = randomProgram(random, random.integer(20, 300));
  const bare = speCore(1, false, undefined, translation);
  for (const vector of [0x200, 0x400]) bare.load(PLACE.vectors + vector, VECTOR.words);
  bare.load(PLACE.code, program.words);
  const { core } = bare;
  const { state } = core;
  state.setX(1, BigInt(PLACE.data));
  state.setX(2, BigInt(PLACE.data + 3));
  state.set64("CNTKCTL_EL1", 3n);
  state.pc = BigInt(PLACE.code);
  if (random.integer(0, 1) === 0) {
    state.select(0, 0);
    core.space.select();
  }
  const budgets = randomStream(seed);
  const all: Seen[] = [];
  for (let i = 0; i < 50; i++) {
    bare.run(budgets.integer(1, i % 2 === 0 ? 40 : 3000));
    all.push(seen(bare));
    if (drops && budgets.integer(0, 9) === 0) core.code.memory.code.drop();
  }
  return { seen: all, made: core.code.translator.made };
}

const SEED = Number(process.env["SPEVISOR_SEED"] ?? 1);

describe("random programs", () => {
  it.each([SEED, SEED + 1, SEED + 2, SEED + 3])("do the same in every tier (%d)", (seed) => {
    for (const drops of [false, true]) {
      const interpreted = history(seed, NEVER, drops);
      expect(interpreted.made).toBe(0);
      for (const translation of [AT_ONCE, SOME, TRANSLATION]) {
        const other = history(seed, translation, drops);
        expect(other.seen).toEqual(interpreted.seen);
        if (translation === AT_ONCE) expect(other.made).toBeGreaterThan(0);
      }
    }
  });
});

describe("a block", () => {
  const LOOP = [
    assemble("ADD_imm", { sf: 1, imm12: 1, Rn: 3, Rd: 3 }),
    assemble("B", { imm26: -1 & 0x3ff_ffff }),
  ];

  it("ends with its budget", () => {
    const bare = speCore(1, false, undefined, AT_ONCE);
    bare.load(PLACE.code, LOOP);
    bare.core.state.pc = BigInt(PLACE.code);
    for (const budget of [1, 2, 3, 7, 1000, 1]) {
      const { cycles } = bare.core;
      expect(bare.run(budget)).toEqual({ kind: "budget" });
      expect(bare.core.cycles - cycles).toBe(budget);
    }
    expect(bare.core.code.translator.made).toBeGreaterThan(0);
    expect(bare.core.state.x(3)).toBe(507n);
  });

  it("is gone when one of its instructions is another one", () => {
    const bare = speCore(1, false, undefined, AT_ONCE);
    bare.load(PLACE.code, LOOP);
    const { core } = bare;
    core.state.pc = BigInt(PLACE.code);
    bare.run(100);
    const page = core.code.memory.code.pageOf(core.space.tlbs.decodedAt(PLACE.code))!;
    const at = page + (PLACE.code % 4096);
    core.code.memory.view.setUint32(at, assemble("ADD_imm", { sf: 1, imm12: 2, Rn: 3, Rd: 3 }), true);
    core.code.memory.code.forget(at, 64);
    bare.run(100);
    expect(core.state.x(3)).toBe(150n);
  });

  it("makes room for others when there are too many", () => {
    const bare = speCore(1, false, undefined, AT_ONCE);
    // 5,000 jumps, each to the next instruction.
    const next = assemble("B", { imm26: 1 });
    const count = assemble("ADD_imm", { sf: 1, imm12: 1, Rn: 3, Rd: 3 });
    const words = [count, ...Array.from({ length: 5000 }, () => next)];
    bare.load(PLACE.code, [...words, assemble("B", { imm26: -words.length & 0x3ff_ffff })]);
    const { core } = bare;
    core.state.pc = BigInt(PLACE.code);
    while (core.cycles < 3 * 5002) bare.run(3 * 5002 - core.cycles);
    expect(core.code.translator.made).toBeGreaterThan(5000);
    expect([core.state.x(3), core.state.pc]).toEqual([3n, BigInt(PLACE.code)]);
  });

  it("leaves to the interpreter what is not its", () => {
    const bare = speCore(1, false, undefined, AT_ONCE);
    bare.load(PLACE.code, [
      LOOP[0]!,
      // WFI.
      ROWS.HINT.value | (3 << 5),
      assemble("B", { imm26: -2 & 0x3ff_ffff }),
    ]);
    const { core } = bare;
    core.state.pc = BigInt(PLACE.code);
    for (let i = 1; i <= 5; i++) {
      expect(bare.run(100)).toEqual({ kind: "wfi" });
      expect(core.state.x(3)).toBe(BigInt(i));
    }
  });
});
