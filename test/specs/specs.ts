/** What instructions do, a line each, by what the Arm ARM says of them (chapter C6 and C7, and the shared pseudocode). */
import { PLACES } from "../fuzz-a64/format.ts";
import { type Spec, spec } from "./spec.ts";

const MIN = 1n << 63n;
const MAX = MIN - 1n;
const ONES = (1n << 64n) - 1n;
const DATA = PLACES.data;
/** IEEE 754, double. */
const ONE = 0x3ff0_0000_0000_0000n;
const INFINITY = 0x7ff0_0000_0000_0000n;
const QUIET = 0x7ff8_0000_0000_0000n;
const SIGNALLING = 0x7ff0_0000_0000_0001n;
/** FPSR's IOC, DZC and IXC. */
const IOC = 1;
const DZC = 2;
const IXC = 16;

/** By what they are about. */
export const SPECS: Readonly<Record<string, readonly Spec[]>> = {
  "addition and its flags (AddWithCarry)": [
    spec("adds x0, x1, #1", { x1: MAX }, { x0: MIN, nzcv: "N--V" }),
    spec("adds x0, x1, x2", { x1: -1, x2: 1, x0: 7 }, { x0: 0, nzcv: "-ZC-" }),
    spec("adds w0, w1, w2", { x1: 0xffff_ffff, x2: 2 }, { x0: 1, nzcv: "--C-" }),
    spec("adds x0, x1, x2", { x1: MIN, x2: MIN, x0: 7 }, { x0: 0, nzcv: "-ZCV" }),
    spec("subs x0, x1, x2", { x1: 3, x2: 3, x0: 7 }, { x0: 0, nzcv: "-ZC-" }),
    spec("subs x0, x1, x2", { x1: 3, x2: 4 }, { x0: ONES, nzcv: "N---" }),
    spec("cmp w1, #0", { x1: 1n << 32n }, { nzcv: "-ZC-" }),
    spec("adc x0, x1, x2", { x1: 3, x2: 4, nzcv: "--C-" }, { x0: 8 }),
    spec("sbcs x0, x1, x2", { x1: 3, x2: 3, nzcv: "--C-", x0: 7 }, { x0: 0, nzcv: "-ZC-" }),
    spec("sbcs x0, x1, x2", { x1: 3, x2: 3 }, { x0: ONES, nzcv: "N---" }),
    spec("add x0, x1, w2, sxtb #2", { x1: 100, x2: 0x1ff }, { x0: 96 }),
    spec("add sp, x1, #16", { x1: 0x1000 }, { sp: 0x1010 }),
  ],
  "logic, shifts and bits": [
    spec("ands x0, x1, #0x8000000000000000", { x1: -1 }, { x0: MIN, nzcv: "N---" }),
    spec("bics w0, w1, w2, lsr #4", { x1: 0xff, x2: 0xf0, nzcv: "--CV" }, { x0: 0xf0, nzcv: "----" }),
    spec("eon x0, x1, x2, ror #8", { x1: 0, x2: 1 }, { x0: ONES ^ (1n << 56n) }),
    spec("lsl x0, x1, x2", { x1: 1, x2: 65 }, { x0: 2 }),
    spec("asr w0, w1, #31", { x1: 0x8000_0000 }, { x0: 0xffff_ffff }),
    spec("sbfx x0, x1, #4, #4", { x1: 0x80 }, { x0: -8 }),
    spec("bfi x0, x1, #8, #8", { x0: -1, x1: 0 }, { x0: 0xffff_ffff_ffff_00ffn }),
    spec("extr x0, x1, x2, #4", { x1: 1, x2: 0x10 }, { x0: (1n << 60n) | 1n }),
    spec("movn x0, #0xffff, lsl #48", {}, { x0: 0xffff_ffff_ffffn }),
    spec("movk x0, #0x1234, lsl #16", { x0: -1 }, { x0: 0xffff_ffff_1234_ffffn }),
    spec("rev16 x0, x1", { x1: 0x0102_0304_0506_0708n }, { x0: 0x0201_0403_0605_0807n }),
    spec("clz w0, w1", { x1: 1n << 40n }, { x0: 32 }),
    spec("cls x0, x1", { x1: -1 }, { x0: 63 }),
    spec("rbit w0, w1", { x1: 1 }, { x0: 0x8000_0000 }),
    spec("rbit x0, x1", { x1: 0x0123_4567_89ab_cdefn }, { x0: 0xf7b3_d591_e6a2_c480n }),
  ],
  "multiplication and division": [
    spec("udiv x0, x1, x2", { x0: 7, x1: 5, x2: 0 }, { x0: 0 }),
    spec("sdiv x0, x1, x2", { x1: MIN, x2: -1 }, { x0: MIN }),
    spec("sdiv w0, w1, w2", { x1: -7, x2: 2 }, { x0: 0xffff_fffd }),
    spec("smulh x0, x1, x2", { x1: MIN, x2: MIN }, { x0: 1n << 62n }),
    spec("umulh x0, x1, x2", { x1: -1, x2: -1 }, { x0: -2 }),
    spec("smsubl x0, w1, w2, x3", { x1: 0x8000_0000, x2: 2, x3: 0 }, { x0: 1n << 32n }),
    spec("madd w0, w1, w2, w3", { x1: 0x1_0000, x2: 0x1_0000, x3: 5 }, { x0: 5 }),
  ],
  "conditions and branches": [
    spec("csinc x0, x1, x2, eq", { x1: 1, x2: 7 }, { x0: 8 }),
    spec("csneg x0, x1, x2, ge", { x1: 1, x2: 7, nzcv: "N---" }, { x0: -7 }),
    spec("ccmp x1, x2, #9, ne", { nzcv: "-Z--" }, { nzcv: "N--V" }),
    spec("ccmn x1, #1, #0, al", { x1: -1 }, { nzcv: "-ZC-" }),
    spec("b.hi 1f; mov x0, #1; 1: add x1, x1, #1", { nzcv: "--C-" }, { x1: 1 }),
    spec("cbz w1, 1f; mov x0, #1; 1: mov x2, #2", { x1: 1n << 32n }, { x2: 2 }),
    spec("tbnz x1, #63, 1f; mov x0, #1; 1: mov x2, #2", { x1: MIN }, { x2: 2 }),
  ],
  "loads and stores": [
    spec("str x0, [x1]; ldrsh w2, [x1, #2]", { x0: 0x8001_0000, x1: DATA }, { x2: 0xffff_8001 }),
    spec(
      "str x0, [x1, #8]!; ldr x2, [x1], #-8",
      { x0: 5, x1: DATA, x2: 0 },
      // What comes back is what has gone away.
      { x2: 5 },
    ),
    spec("stp x0, x2, [x1]; ldp w3, w4, [x1, #4]", { x0: 1n << 32n, x1: DATA, x2: 2 }, { x3: 1, x4: 2 }),
    // Across two pages, which are no neighbours in memory.
    spec(
      "stur x0, [x1, #-4]; ldur x2, [x1, #-4]",
      { x0: 0x0102_0304_0506_0708n, x1: DATA + 4096n },
      { x2: 0x0102_0304_0506_0708n },
    ),
    spec("ldpsw x0, x2, [x1]", { x1: 8 }, { signal: "SEGV" }),
    spec("str wzr, [x1]; ldadd w0, w2, [x1]; ldr w3, [x1]", { x0: 3, x1: DATA, x2: 9 }, { x2: 0, x3: 3 }),
    spec("str x0, [x1]; cas x2, x3, [x1]; ldr x4, [x1]", { x0: 1, x1: DATA, x2: 2, x3: 3 }, { x2: 1, x4: 1 }),
    spec("str x0, [x1]; swp x2, x3, [x1]; ldr x4, [x1]", { x0: 1, x1: DATA, x2: 2 }, { x3: 1, x4: 2 }),
    spec(
      "str x0, [x1]; ldxr x2, [x1]; stxr w3, x4, [x1]; ldr x5, [x1]",
      { x0: 1, x1: DATA, x3: 9, x4: 6 },
      { x2: 1, x3: 0, x5: 6 },
    ),
    spec("ldxr x2, [x1]; clrex; stxr w3, x4, [x1]", { x1: DATA, x2: 0 }, { x2: 6, x3: 1 }),
    spec("dc zva, x1; ldr x2, [x1]", { x1: DATA, x2: 9 }, { x2: 0 }),
    spec("ldar x0, [x1]", { x1: DATA + 1n }, { signal: "BUS" }),
  ],
  "floating point": [
    spec("fdiv d0, d1, d2", { v1: ONE, v2: 0 }, { v0: INFINITY, fpsr: DZC }),
    spec("fsub d0, d1, d2", { v1: INFINITY, v2: INFINITY }, { v0: QUIET, fpsr: IOC }),
    spec("fadd d0, d1, d2", { v1: SIGNALLING, v2: ONE }, { v0: SIGNALLING | QUIET, fpsr: IOC }),
    // DN: a NaN is the default one.
    spec("fadd d0, d1, d2", { v1: QUIET | 5n, v2: ONE, fpcr: 1 << 25 }, { v0: QUIET }),
    spec("fcmp d1, d2", { v1: QUIET, v2: ONE }, { nzcv: "--CV" }),
    spec("fcmpe d1, d2", { v1: QUIET, v2: ONE }, { nzcv: "--CV", fpsr: IOC }),
    spec("fmax d0, d1, d2", { v1: MIN, v2: 0, v0: 5 }, { v0: 0 }),
    spec("fmaxnm d0, d1, d2", { v1: QUIET, v2: ONE }, { v0: ONE }),
    spec("fmov s0, w1", { x1: 0x3f80_0000, v0: -1 }, { v0: 0x3f80_0000 }),
    spec("fcvtzs w0, d1", { v1: 0x4200_0000_0000_0000n }, { x0: 0x7fff_ffff, fpsr: IOC }),
    spec("fcvt s0, d1", { v1: ONE | 1n }, { v0: 0x3f80_0000, fpsr: IXC }),
    // RZ and RP: 1 + 2^-53.
    spec(
      "fadd d0, d1, d2",
      { v1: ONE, v2: 0x3ca0_0000_0000_0000n, fpcr: 1 << 22 },
      { v0: ONE | 1n, fpsr: IXC },
    ),
    spec(
      "fmadd d0, d1, d2, d3",
      { v1: ONE | 1n, v2: ONE | 1n, v3: MIN | ONE | 2n },
      { v0: 0x3970_0000_0000_0000n },
    ),
    spec("fcsel d0, d1, d2, lt", { v1: ONE, v2: INFINITY, nzcv: "N---" }, { v0: ONE }),
  ],
  vectors: [
    spec("uqadd v0.16b, v1.16b, v2.16b", { v1: 0xff01n, v2: 0x0101n }, { v0: 0xff02n, fpsr: 1 << 27 }),
    spec("add v0.2s, v1.2s, v2.2s", { v0: -1, v1: 0xffff_ffff_0000_0001n, v2: 0x1_0000_0001n }, { v0: 2 }),
    spec(
      "addp v0.2d, v1.2d, v2.2d",
      { v1: (3n << 64n) | 4n, v2: (5n << 64n) | 6n },
      { v0: (11n << 64n) | 7n },
    ),
    spec(
      "tbl v0.8b, {v1.16b}, v2.8b",
      { v0: -1, v1: 0x0807_0605_0403_0201n, v2: 0x10_07n },
      { v0: 0x0101_0101_0101_0008n },
    ),
    spec("ext v0.16b, v1.16b, v2.16b, #8", { v1: 7n << 64n, v2: 9 }, { v0: (9n << 64n) | 7n }),
    spec("umov w0, v1.b[15]", { v1: 0xabn << 120n }, { x0: 0xab }),
    spec("ins v0.h[1], w1", { v0: -1, x1: 0 }, { v0: ((1n << 128n) - 1n) ^ 0xffff_0000n }),
    spec("sqxtn v0.8b, v1.8h", { v0: -1, v1: 0x7fff_8000_ff80n }, { v0: 0x7f_80_80, fpsr: 1 << 27 }),
    spec("cnt v0.8b, v1.8b; addv b0, v0.8b", { v1: 0xff0fn }, { v0: 12 }),
    spec("aese v0.16b, v1.16b", { v0: 0, v1: 0 }, { v0: 0x6363_6363_6363_6363_6363_6363_6363_6363n }),
  ],
  system: [
    spec("msr nzcv, x1", { x1: 0xffff_ffff }, { nzcv: "NZCV" }),
    spec("mrs x0, nzcv", { x0: 7, nzcv: "-ZC-" }, { x0: 0x6000_0000 }),
    spec("mrs x0, dczid_el0", {}, { x0: 4 }),
    spec("add x0, x0, #1; brk #1; add x0, x0, #1", { x0: 1 }, { x0: 2 }),
    spec("mrs x0, sctlr_el1", {}, { signal: "ILL" }),
    spec("crc32cx w0, w1, x2", { x1: 0, x2: 1 }, { x0: 0x493c7d27 }),
  ],
};
