/** Random programs that do a bit of everything, each instruction with what a record must say of it: written down when it is made. */
import { ROWS, type RowName } from "../../a64/encodings/index.ts";
import { type Encoding, SYSREG } from "../../arm/registers.ts";
import type { RandomStream } from "../../common/random.ts";
import type { VcpuState } from "../vcpu-state.ts";
import { PLACE } from "./spe-core.testing.ts";

/** What a record must say of an instruction. */
export interface Expected {
  readonly opClass: "other" | "load-store" | "branch";
  readonly subclass: number;
  /** The VA of its access, from what registers hold before it. */
  readonly va?: (state: VcpuState) => bigint;
  /** Whether it does nothing: by its condition, from the flags before it. */
  readonly fails?: (state: VcpuState) => boolean;
}

export interface Program {
  readonly words: readonly number[];
  /** By word. */
  readonly expected: readonly Expected[];
}

type RowFields = Readonly<Record<string, { readonly low: number } | undefined>>;

/** The word of a row with these fields. */
export function assemble(name: RowName, fields: Readonly<Record<string, number>> = {}): number {
  const row = ROWS[name];
  let word = row.value;
  for (const [field, value] of Object.entries(fields)) {
    const place = (row.fields as RowFields)[field];
    if (place === undefined) throw new Error(`${name} has no field ${field}`);
    word |= value << place.low;
  }
  return word >>> 0;
}

const OTHER: Expected = { opClass: "other", subclass: 0 };
const CONDITIONAL_BRANCH = 1;
const X1 = (state: VcpuState): bigint => state.x(1);

const encodingOf = (name: keyof typeof SYSREG): Readonly<Record<string, number>> => {
  const key = SYSREG[name];
  const [op0, op1, CRn, CRm, op2] = [
    key >> 14,
    (key >> 11) & 7,
    (key >> 7) & 15,
    (key >> 3) & 15,
    key & 7,
  ] as Encoding;
  return { o0: op0 - 2, op1, CRn, CRm, op2 };
};

/** After any exception but SVC the handler goes on behind what has made it. X9 and the flags are its. */
const HANDLER = [
  assemble("MRS", { ...encodingOf("ESR_EL1"), Rt: 9 }),
  // LSR X9, X9, #26
  assemble("UBFM", { sf: 1, N: 1, immr: 26, imms: 63, Rn: 9, Rd: 9 }),
  assemble("SUBS_imm", { sf: 1, imm12: 0x15, Rn: 9, Rd: 31 }),
  assemble("B_cond", { cond: 0, imm19: 4 }),
  assemble("MRS", { ...encodingOf("ELR_EL1"), Rt: 9 }),
  assemble("ADD_imm", { sf: 1, imm12: 4, Rn: 9, Rd: 9 }),
  assemble("MSR_reg", { ...encodingOf("ELR_EL1"), Rt: 9 }),
  assemble("ERET"),
];
const HANDLER_EXPECTED: readonly Expected[] = [
  OTHER,
  OTHER,
  OTHER,
  { opClass: "branch", subclass: CONDITIONAL_BRANCH, fails: (state) => !state.holds(0) },
  OTHER,
  OTHER,
  OTHER,
  { opClass: "branch", subclass: 2 },
];

/** The handler, as it lies at a vector. */
export const VECTOR = { words: HANDLER, expected: HANDLER_EXPECTED } as const;

type Made = readonly [word: number, expected: Expected];

/** A load or store at X1 plus an immediate. */
const at = (offset: number) => (state: VcpuState) => state.x(1) + BigInt(offset);

function instruction(random: RandomStream, left: number): Made {
  const imm = random.integer(0, 63);
  const ahead = random.integer(1, Math.max(1, Math.min(5, left)));
  const cond = random.integer(0, 13);
  const fails = (state: VcpuState): boolean => !state.holds(cond);
  const kinds: readonly (() => Made)[] = [
    () => [assemble("ADD_imm", { sf: 1, imm12: imm, Rn: 3, Rd: 3 }), OTHER],
    () => [assemble("MADD", { sf: 1, Rm: 3, Ra: 3, Rn: 4, Rd: 5 }), OTHER],
    () => [assemble("SUBS_imm", { sf: 1, imm12: imm * 8, Rn: 3, Rd: 6 }), OTHER],
    () => [assemble("CSEL", { sf: 1, cond, Rm: 3, Rn: 4, Rd: 5 }), { opClass: "other", subclass: 1, fails }],
    () => [
      assemble("LDR_imm_unsigned", { size: 3, imm12: imm, Rn: 1, Rt: 4 }),
      { opClass: "load-store", subclass: 0, va: at(8 * imm) },
    ],
    () => [
      assemble("STR_imm_unsigned", { size: 2, imm12: imm, Rn: 1, Rt: 4 }),
      { opClass: "load-store", subclass: 1, va: at(4 * imm) },
    ],
    () => [
      assemble("LDP_offset", { opc: 2, imm7: imm, Rt2: 7, Rn: 1, Rt: 8 }),
      { opClass: "load-store", subclass: 0, va: at(8 * imm) },
    ],
    // X2 is misaligned: with the MMU off memory is Device memory, and this a fault.
    () => [
      assemble("STR_imm_unsigned", { size: 3, imm12: imm, Rn: 2, Rt: 4 }),
      { opClass: "load-store", subclass: 1, va: (state) => state.x(2) + BigInt(8 * imm) },
    ],
    () => [
      assemble("LDADD", { size: 3, Rs: 3, Rn: 1, Rt: 5 }),
      { opClass: "load-store", subclass: 6, va: X1 },
    ],
    () => [assemble("LDXR", { size: 3, Rn: 1, Rt: 5 }), { opClass: "load-store", subclass: 0xa, va: X1 }],
    () => [
      assemble("B_cond", { cond, imm19: ahead }),
      { opClass: "branch", subclass: CONDITIONAL_BRANCH, fails },
    ],
    () => [
      assemble("CBZ", { sf: 1, imm19: ahead, Rt: 4 }),
      { opClass: "branch", subclass: CONDITIONAL_BRANCH, fails: (state) => state.x(4) !== 0n },
    ],
    () => [assemble("B", { imm26: ahead }), { opClass: "branch", subclass: 0 }],
    () => [assemble("SVC", { imm16: imm }), OTHER],
    () => [assemble("BRK", { imm16: imm }), OTHER],
    // UNDEFINED.
    () => [imm, OTHER],
    () => [assemble("MRS", { ...encodingOf("CNTVCT_EL0"), Rt: 10 }), OTHER],
    // UNDEFINED at EL0.
    () => [assemble("MRS", { ...encodingOf("PMSICR_EL1"), Rt: 11 }), OTHER],
    () => [assemble("MSR_reg", { ...encodingOf("TPIDR_EL0"), Rt: 3 }), OTHER],
    // PSB CSYNC.
    () => [assemble("HINT", { CRm: 2, op2: 1 }), OTHER],
    () => [assemble("ISB", { CRm: 15 }), OTHER],
  ];
  return (kinds[random.integer(0, kinds.length - 1)] as () => Made)();
}

/** A program of so many words that goes on for ever. It needs X1 to point to data, and X2 next to it. */
export function randomProgram(random: RandomStream, length: number): Program {
  const made: Made[] = [];
  for (let i = 0; i < length - 1; i++) made.push(instruction(random, length - 1 - i));
  made.push([assemble("B", { imm26: (1 - length) & 0x3ff_ffff }), { opClass: "branch", subclass: 0 }]);
  return { words: made.map(([word]) => word), expected: made.map(([, expected]) => expected) };
}

/** What is expected of the instruction at an address, of a program in its place with the handlers that it needs. */
export function expectedAt({ expected }: Program, pc: number): Expected {
  const found =
    pc >= PLACE.code ? expected[(pc - PLACE.code) / 4] : HANDLER_EXPECTED[((pc - PLACE.vectors) % 0x80) / 4];
  if (found === undefined) throw new Error(`nothing lies at ${pc.toString(16)}`);
  return found;
}
