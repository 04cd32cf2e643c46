/** Branches, PC-relative addresses, and what leaves for TypeScript: exceptions. */
import type { Fields, Semantics } from "../emit.ts";
import { LEAVE } from "../state.ts";

const signed = (value: number, bits: number): number =>
  value >= 2 ** (bits - 1) ? value - 2 ** bits : value;

const by26 = (f: Fields): number => 4 * signed(f.imm26, 26);
const by19 = (f: Fields): number => 4 * signed(f.imm19, 19);
const by14 = (f: Fields): number => 4 * signed(f.imm14, 14);

function compareAndBranch(nonZero: boolean): Semantics {
  return {
    imm: by19,
    inline: true,
    emit: (e) => {
      const wide = e.field("sf") === 1;
      e.getR("Rt", wide);
      if (wide) e.f.i64.eqz();
      else e.f.i32.eqz();
      if (nonZero) e.f.i32.eqz();
      e.jumpImmIf();
    },
  };
}

function testAndBranch(nonZero: boolean): Semantics {
  return {
    imm: by14,
    aux: [(f) => f.b5 * 32 + f.b40],
    inline: true,
    emit: (e) => {
      const { f } = e;
      e.getX("Rt");
      e.aux(0);
      f.i64.extendI32U();
      f.i64.shrU();
      f.i32.wrapI64();
      f.i32.const(1);
      f.i32.and();
      if (!nonZero) f.i32.eqz();
      e.jumpImmIf();
    },
  };
}

const branchRegister: Semantics = {
  inline: true,
  emit: (e) => {
    e.getX("Rn");
    e.jumpTo();
  },
};

/** For TypeScript: the word says what. */
export const SYSTEM: Semantics = { inline: true, emit: (e) => e.leave(LEAVE.SYSTEM) };

export const BRANCHES = {
  B: { imm: by26, inline: true, emit: (e) => e.jumpImm() },
  BL: {
    imm: by26,
    inline: true,
    emit: (e) => {
      e.link();
      e.jumpImm();
    },
  },
  B_cond: {
    imm: by19,
    inline: true,
    emit: (e) => {
      e.condition(e.field("cond"));
      e.jumpImmIf();
    },
  },
  CBZ: compareAndBranch(false),
  CBNZ: compareAndBranch(true),
  TBZ: testAndBranch(false),
  TBNZ: testAndBranch(true),
  BR: branchRegister,
  RET: branchRegister,
  BLR: {
    inline: true,
    emit: (e) => {
      const { f } = e;
      const target = f.local.take("i64");
      e.getX("Rn");
      f.local.set(target);
      e.link();
      f.local.get(target);
      f.local.release(target);
      e.jumpTo();
    },
  },
  ADR: {
    imm: (f) => signed(f.immhi * 4 + f.immlo, 21),
    inline: true,
    emit: (e) => {
      e.pc();
      e.imm();
      e.f.i64.add();
      e.setX("Rd");
    },
  },
  ADRP: {
    imm: (f) => 4096 * signed(f.immhi * 4 + f.immlo, 21),
    inline: true,
    emit: (e) => {
      e.pc();
      e.f.i64.const(-4096);
      e.f.i64.and();
      e.imm();
      e.f.i64.add();
      e.setX("Rd");
    },
  },
  ERET: SYSTEM,
  DRPS: { inline: true, emit: (e) => e.leave(LEAVE.UNDEFINED) },
  SVC: SYSTEM,
  HVC: SYSTEM,
  SMC: SYSTEM,
  BRK: SYSTEM,
  HLT: SYSTEM,
  DCPS1: SYSTEM,
  DCPS2: SYSTEM,
  DCPS3: SYSTEM,
} satisfies Record<string, Semantics>;
