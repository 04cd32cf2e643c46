/** Arm ARM C4.1.94: exclusives, load-acquire and store-release, and the atomics of FEAT_LSE. */
import { type RowOptions, rows } from "../encoding.ts";

const base: RowOptions = { sp: ["Rn"] };
/** Fields that order accesses only: one vCPU runs at a time. */
const atomic: RowOptions = { sp: ["Rn"], feature: "LSE", dynamic: ["A", "R", "o0", "L"] };
const lor: RowOptions = { sp: ["Rn"], feature: "LOR" };

export const ATOMIC_ACCESSES = rows("Exclusive, ordered and atomic accesses", {
  STXR: ["size:2 001000 0 0 0 Rs:5 0 xxxxx Rn:5 Rt:5", base],
  STLXR: ["size:2 001000 0 0 0 Rs:5 1 xxxxx Rn:5 Rt:5", base],
  LDXR: ["size:2 001000 0 1 0 xxxxx 0 xxxxx Rn:5 Rt:5", base],
  LDAXR: ["size:2 001000 0 1 0 xxxxx 1 xxxxx Rn:5 Rt:5", base],
  STXP: ["1 sz 001000 0 0 1 Rs:5 0 Rt2:5 Rn:5 Rt:5", base],
  STLXP: ["1 sz 001000 0 0 1 Rs:5 1 Rt2:5 Rn:5 Rt:5", base],
  LDXP: ["1 sz 001000 0 1 1 xxxxx 0 Rt2:5 Rn:5 Rt:5", base],
  LDAXP: ["1 sz 001000 0 1 1 xxxxx 1 Rt2:5 Rn:5 Rt:5", base],
  STLLR: ["size:2 001000 1 0 0 xxxxx 0 xxxxx Rn:5 Rt:5", lor],
  STLR: ["size:2 001000 1 0 0 xxxxx 1 xxxxx Rn:5 Rt:5", base],
  LDLAR: ["size:2 001000 1 1 0 xxxxx 0 xxxxx Rn:5 Rt:5", lor],
  LDAR: ["size:2 001000 1 1 0 xxxxx 1 xxxxx Rn:5 Rt:5", base],
  CAS: ["size:2 001000 1 L 1 Rs:5 o0 11111 Rn:5 Rt:5", atomic],
  CASP: [
    "0 sz 001000 0 L 1 Rs:5 o0 11111 Rn:5 Rt:5",
    { ...atomic, undefined: (f) => ((f.Rs | f.Rt) & 1) === 1 },
  ],
  LDADD: ["size:2 111 0 00 A R 1 Rs:5 0 000 00 Rn:5 Rt:5", atomic],
  LDCLR: ["size:2 111 0 00 A R 1 Rs:5 0 001 00 Rn:5 Rt:5", atomic],
  LDEOR: ["size:2 111 0 00 A R 1 Rs:5 0 010 00 Rn:5 Rt:5", atomic],
  LDSET: ["size:2 111 0 00 A R 1 Rs:5 0 011 00 Rn:5 Rt:5", atomic],
  LDSMAX: ["size:2 111 0 00 A R 1 Rs:5 0 100 00 Rn:5 Rt:5", atomic],
  LDSMIN: ["size:2 111 0 00 A R 1 Rs:5 0 101 00 Rn:5 Rt:5", atomic],
  LDUMAX: ["size:2 111 0 00 A R 1 Rs:5 0 110 00 Rn:5 Rt:5", atomic],
  LDUMIN: ["size:2 111 0 00 A R 1 Rs:5 0 111 00 Rn:5 Rt:5", atomic],
  SWP: ["size:2 111 0 00 A R 1 Rs:5 1 000 00 Rn:5 Rt:5", atomic],
});
