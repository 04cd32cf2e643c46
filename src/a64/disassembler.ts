/**
 * A word as text: the mnemonic that the Arm ARM gives its encoding, and the encoding's fields. Aliases (MOV, CMP, ...) are not
 * used, and operands are not put into assembly syntax: this is for reports, where the encoding is what matters.
 */
import type { Decoder } from "./decoder.ts";
import { type Fields, fieldsOf, type Row } from "./encoding.ts";

const SIZED = ["b", "h", "", ""] as const;

/** Rows whose mnemonic depends on their fields, by what their name begins with; the first that matches counts. */
const FAMILIES: readonly (readonly [names: RegExp, mnemonic: (f: Fields, name: string) => string])[] = [
  [/^LDRSW_literal$/, () => "ldrsw"],
  [
    /^(LDR|STR)_fp_/,
    (_, name) => `${name.slice(0, 3).toLowerCase()}${name.endsWith("_unscaled") ? "#" : ""}`,
  ],
  [/^LDR_literal$/, () => "ldr"],
  [/^(LDR|STR)_/, (f, name) => `${name.slice(0, 3)}${name.endsWith("_unscaled") ? "#" : ""}${SIZED[f.size]}`],
  [/^LDRS_/, (f, name) => `LDR${name.endsWith("_unscaled") ? "#" : ""}s${["b", "h", "w"][f.size]}`],
  [/^LDTRS$/, (f) => `ldtrs${["b", "h", "w"][f.size]}`],
  [/^(LDTR|STTR)$/, (f, name) => `${name}${SIZED[f.size]}`],
  [/^(LDXR|LDAXR|STXR|STLXR|LDAR|STLR|LDLAR|STLLR)$/, (f, name) => `${name}${SIZED[f.size]}`],
  [/^CAS$/, (f) => `cas${f.L === 1 ? "a" : ""}${f.o0 === 1 ? "l" : ""}${SIZED[f.size]}`],
  [/^CASP$/, (f) => `casp${f.L === 1 ? "a" : ""}${f.o0 === 1 ? "l" : ""}`],
  [
    /^(LD(ADD|CLR|EOR|SET|[SU]MAX|[SU]MIN)|SWP)$/,
    (f, name) => `${name}${f.A === 1 ? "a" : ""}${f.R === 1 ? "l" : ""}${SIZED[f.size]}`,
  ],
  [/^PRFUM$/, () => "prfum"],
  [/^(CRC32C?)$/, (f, name) => `${name}${["b", "h", "w", "x"][f.sz]}`],
  [/^REV32$/, (f) => (f.sf === 1 ? "rev32" : "rev")],
  [/^B_cond$/, (f) => `b.${CONDITIONS[f.cond]}`],
  [/^SYSL$/, () => "sysl"],
  [/^HINT$/, (f) => HINTS[(f.CRm << 3) | f.op2] ?? "hint"],
  [/^FMADD$/, (f) => ["fmadd", "fmsub", "fnmadd", "fnmsub"][2 * f.o1 + f.o0]!],
  [/^FRINT$/, (f) => `frint${["n", "p", "m", "z", "a", "", "x", "i"][f.rmode3]}`],
  [/^FCMP$/, (f) => (f.e === 1 ? "fcmpe" : "fcmp")],
  [/^FCCMP$/, (f) => (f.e === 1 ? "fccmpe" : "fccmp")],
  [/^FMOV_/, () => "fmov"],
  [/^FCVT_to_int$/, (f) => `fcvt${["n", "p", "m", "z"][f.rmode]}${f.U === 1 ? "u" : "s"}`],
  [/^FCVTA_to_int$/, (f) => `fcvta${f.U === 1 ? "u" : "s"}`],
  [/^FCVTZ_to_fixed$/, (f) => `fcvtz${f.U === 1 ? "u" : "s"}`],
  [/^CVTF_from_/, (f) => (f.U === 1 ? "ucvtf" : "scvtf")],
  [/^MOVI_etc$/, vectorImmediate],
  [
    /^LDST_multiple/,
    (f) => `${f.L === 1 ? "ld" : "st"}${{ 0: 4, 2: 1, 4: 3, 6: 1, 7: 1, 8: 2, 10: 1 }[f.opcode]}`,
  ],
  [/^LDST_single/, (f) => `${f.L === 1 ? "ld" : "st"}${1 + f.R + 2 * (f.opcode & 1)}`],
  [/^LD_replicate/, (f) => `ld${1 + f.R + 2 * f.o0}r`],
  // The second half of a register has a name of its own.
  [
    /^(XTN|SHLL|SQXTUN|SQXTN|UQXTN|FCVTN|FCVTXN|FCVTL|R?ADDHN|R?SUBHN|[SU]ADD[LW]|[SU]SUB[LW]|[SU]AB[AD]L|[SU]ML[AS]L|[SU]MULL|SQDML[AS]L|SQDMULL|PMULL(?:_1Q)?|R?SHRN|SQR?SHRU?N|UQR?SHRN|[SU]SHLL)(_element)?$/,
    (f, name) => `${name.replace(/_(element|1Q)$/, "")}${f.Q === 1 ? "2" : ""}`,
  ],
  [/^(DUP|INS|MSR)_/, (_, name) => name.slice(0, 3)],
  [/^(CM(GT|GE|EQ|LE|LT)|FCM(GT|GE|EQ|LE|LT))_zero/, (_, name) => name.split("_")[0]!],
];

const CONDITIONS = "eq ne cs cc mi pl vs vc hi ls ge lt gt le al nv".split(" ");
const HINTS: Readonly<Record<number, string>> = {
  0: "nop",
  1: "yield",
  2: "wfe",
  3: "wfi",
  4: "sev",
  5: "sevl",
};

function vectorImmediate(f: Fields): string {
  if (f.cmode === 15) return "fmov";
  if (f.cmode === 14) return "movi";
  const combines = f.cmode < 12 && (f.cmode & 1) === 1;
  if (combines) return f.op === 1 ? "bic" : "orr";
  return f.op === 1 ? "mvni" : "movi";
}

/** The mnemonic of an encoding. */
export function mnemonicOf(row: Row, f: Fields): string {
  const family = FAMILIES.find(([names]) => names.test(row.name));
  const text = family === undefined ? row.name.split("_")[0]! : family[1](f, row.name);
  // LDUR is LDR's name where the offset is not scaled.
  return text.toLowerCase().replace(/^(ld|st)r#/, "$1ur");
}

/** The mnemonic and the fields of a word; "undefined" for one that is allocated to nothing. */
export function disassemble(decoder: Decoder, word: number): string {
  const row = decoder.decode(word);
  if (row === undefined) return "undefined";
  const f = fieldsOf(row, word);
  const fields = row.fieldList.map(([name]) => `${name}=${f[name as keyof Fields]}`);
  return [mnemonicOf(row, f), ...fields].join(" ");
}
