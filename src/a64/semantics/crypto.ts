/** AES, SHA1, SHA256 and the polynomial product of 64 bits (FIPS 197, FIPS 180-4; Arm's AESShiftRows, SHA256hash, ...). */
import type { Local } from "../../wasm/entities.ts";
import type { FunctionBody } from "../../wasm/function-body.ts";
import type { Emit, Semantics } from "../emit.ts";
import { TABLES } from "../state.ts";
import { simd } from "./simd/vectors.ts";

type I32 = Local<"i32">;

// ---- AES ----

/** Where the byte of each place comes from: ShiftRows moves row r by r columns. */
const SHIFT_ROWS = Array.from({ length: 16 }, (_, i) => (i + 4 * (i % 4)) % 16);
const INVERSE_SHIFT_ROWS = Array.from({ length: 16 }, (_, i) => (i + 12 * (i % 4)) % 16);

/** AESE and AESD: the key is added, rows are shifted, bytes substituted. */
const aesRound = (rows: readonly number[], table: number): Semantics =>
  simd((e) => {
    const { f } = e;
    const state = f.local.take("v128");
    e.getV("Rd");
    e.getV("Rn");
    f.v128.xor();
    f.local.set(state);
    f.v128.const(0, 0, 0, 0);
    for (let i = 0; i < 16; i++) {
      f.local.get(state);
      f.i8x16.extractLaneU(rows[i]!);
      f.i32.load8U(table);
      f.i8x16.replaceLane(i);
    }
    e.setV("Rd");
    f.local.release(state);
  });

/** Takes a vector in a local; pushes each byte times x in GF(2^8). */
function timesX(f: FunctionBody, value: Local<"v128">): void {
  f.local.get(value);
  f.i32.const(1);
  f.i8x16.shl();
  f.local.get(value);
  f.i32.const(7);
  f.i8x16.shrS();
  f.i32.const(0x1b);
  f.i8x16.splat();
  f.v128.and();
  f.v128.xor();
}

/** Takes a vector in a local; pushes each column rotated, byte i from i + by. */
function rotateColumns(f: FunctionBody, value: Local<"v128">, by: number): void {
  f.local.get(value);
  f.local.get(value);
  f.i8x16.shuffle(Array.from({ length: 16 }, (_, i) => (i & ~3) + ((i + by) & 3)));
}

function mixColumns(inverse: boolean): Semantics {
  return simd((e) => {
    const { f } = e;
    const a = f.local.take("v128");
    const t = f.local.take("v128");
    e.getV("Rn");
    f.local.set(a);
    if (inverse) {
      // InvMixColumns(a) is MixColumns(a + x^2 (a + a rotated by two)).
      f.local.get(a);
      rotateColumns(f, a, 2);
      f.v128.xor();
      f.local.set(t);
      timesX(f, t);
      f.local.set(t);
      timesX(f, t);
      f.local.get(a);
      f.v128.xor();
      f.local.set(a);
    }
    // x a + rot1(x a + a) + rot2(a) + rot3(a)
    timesX(f, a);
    f.local.tee(t);
    f.local.get(t);
    f.local.get(a);
    f.v128.xor();
    f.local.set(t);
    rotateColumns(f, t, 1);
    f.v128.xor();
    rotateColumns(f, a, 2);
    f.v128.xor();
    rotateColumns(f, a, 3);
    f.v128.xor();
    e.setV("Rd");
    f.local.release(a);
    f.local.release(t);
  });
}

// ---- SHA ----

/** Runs `body` with locals that hold the four words of registers. */
function withWords(e: Emit, fields: readonly string[], body: (...words: I32[][]) => void): void {
  const { f } = e;
  const words = fields.map((field) =>
    [0, 1, 2, 3].map((i) => {
      const word = f.local.take("i32");
      const offset = e.vAddress(field);
      f.i32.load(offset + 4 * i);
      f.local.set(word);
      return word;
    }),
  );
  body(...words);
  for (const word of words.flat()) f.local.release(word);
}

/** Writes four words to Rd. */
function setWords(e: Emit, words: readonly I32[]): void {
  const { f } = e;
  f.v128.const(0, 0, 0, 0);
  words.forEach((word, i) => {
    f.local.get(word);
    f.i32x4.replaceLane(i);
  });
  e.setV("Rd");
}

function rotateLeft(f: FunctionBody, word: I32, by: number): void {
  f.local.get(word);
  f.i32.const(by);
  f.i32.rotl();
}

/** Pushes the exclusive or of a word rotated to the right by each amount, and shifted by the last if that is a shift. */
function sigma(f: FunctionBody, word: I32, rotations: readonly number[], shift?: number): void {
  rotations.forEach((by, i) => {
    f.local.get(word);
    f.i32.const(by);
    f.i32.rotr();
    if (i > 0) f.i32.xor();
  });
  if (shift === undefined) return;
  f.local.get(word);
  f.i32.const(shift);
  f.i32.shrU();
  f.i32.xor();
}

type Mix = (f: FunctionBody, x: I32, y: I32, z: I32) => void;
/** SHAchoose, SHAparity, SHAmajority. */
const choose: Mix = (f, x, y, z) => {
  f.local.get(y);
  f.local.get(z);
  f.i32.xor();
  f.local.get(x);
  f.i32.and();
  f.local.get(z);
  f.i32.xor();
};
const parity: Mix = (f, x, y, z) => {
  f.local.get(x);
  f.local.get(y);
  f.i32.xor();
  f.local.get(z);
  f.i32.xor();
};
const majority: Mix = (f, x, y, z) => {
  f.local.get(x);
  f.local.get(y);
  f.i32.and();
  f.local.get(x);
  f.local.get(y);
  f.i32.or();
  f.local.get(z);
  f.i32.and();
  f.i32.or();
};

/** SHA1C, SHA1P and SHA1M: four rounds. */
const sha1Rounds = (mix: Mix): Semantics =>
  simd((e) => {
    const { f } = e;
    withWords(e, ["Rd", "Rn", "Rm"], (x, n, w) => {
      let [x0, x1, x2, x3, y] = [...x!, n![0]!] as [I32, I32, I32, I32, I32];
      for (let i = 0; i < 4; i++) {
        f.local.get(y);
        rotateLeft(f, x0, 5);
        f.i32.add();
        mix(f, x1, x2, x3);
        f.i32.add();
        f.local.get(w![i]!);
        f.i32.add();
        f.local.set(y);
        rotateLeft(f, x1, 30);
        f.local.set(x1);
        [x0, x1, x2, x3, y] = [y, x0, x1, x2, x3];
      }
      setWords(e, [x0, x1, x2, x3]);
    });
  });

/** SHA256hash: four rounds; the first part of the state comes out, or the second. */
const sha256Rounds = (first: boolean): Semantics =>
  simd((e) => {
    const { f } = e;
    withWords(e, first ? ["Rd", "Rn", "Rm"] : ["Rn", "Rd", "Rm"], (xs, ys, w) => {
      let [x0, x1, x2, x3] = xs as [I32, I32, I32, I32];
      let [y0, y1, y2, y3] = ys as [I32, I32, I32, I32];
      const t = f.local.take("i32");
      for (let i = 0; i < 4; i++) {
        f.local.get(y3);
        sigma(f, y0, [6, 11, 25]);
        f.i32.add();
        choose(f, y0, y1, y2);
        f.i32.add();
        f.local.get(w![i]!);
        f.i32.add();
        f.local.tee(t);
        f.local.get(x3);
        f.i32.add();
        f.local.set(x3);
        f.local.get(t);
        sigma(f, x0, [2, 13, 22]);
        f.i32.add();
        majority(f, x0, x1, x2);
        f.i32.add();
        f.local.set(y3);
        [x0, x1, x2, x3, y0, y1, y2, y3] = [y3, x0, x1, x2, x3, y0, y1, y2];
      }
      f.local.release(t);
      setWords(e, first ? [x0, x1, x2, x3] : [y0, y1, y2, y3]);
    });
  });

const sha1Su1 = simd((e) => {
  const { f } = e;
  withWords(e, ["Rd", "Rn"], (d, n) => {
    // T is Rd with Rn, moved down by a word, added.
    for (let i = 0; i < 3; i++) {
      f.local.get(d![i]!);
      f.local.get(n![i + 1]!);
      f.i32.xor();
      f.local.set(d![i]!);
    }
    rotateLeft(f, d![3]!, 1);
    rotateLeft(f, d![0]!, 2);
    f.i32.xor();
    f.local.set(d![3]!);
    for (let i = 0; i < 3; i++) {
      rotateLeft(f, d![i]!, 1);
      f.local.set(d![i]!);
    }
    setWords(e, d!);
  });
});

const sha256Su0 = simd((e) => {
  const { f } = e;
  withWords(e, ["Rd", "Rn"], (d, n) => {
    const next = [d![1]!, d![2]!, d![3]!, n![0]!];
    next.forEach((word, i) => {
      sigma(f, word, [7, 18], 3);
      f.local.get(d![i]!);
      f.i32.add();
      f.local.set(d![i]!);
    });
    setWords(e, d!);
  });
});

const sha256Su1 = simd((e) => {
  const { f } = e;
  withWords(e, ["Rd", "Rn", "Rm"], (d, n, m) => {
    const added = [n![1]!, n![2]!, n![3]!, m![0]!];
    // The later two words depend on the earlier two.
    const from = [m![2]!, m![3]!, d![0]!, d![1]!];
    from.forEach((word, i) => {
      sigma(f, word, [17, 19], 10);
      f.local.get(d![i]!);
      f.i32.add();
      f.local.get(added[i]!);
      f.i32.add();
      f.local.set(d![i]!);
    });
    setWords(e, d!);
  });
});

// ---- Polynomials ----

/** PMULL and PMULL2 of 64-bit elements: a bit of Rm at a time. */
const polynomialProduct = simd((e) => {
  const { f } = e;
  const take = (): Local<"i64"> => f.local.take("i64");
  const [a, b, low, high, i, mask] = Array.from({ length: 6 }, take) as [
    Local<"i64">,
    Local<"i64">,
    Local<"i64">,
    Local<"i64">,
    Local<"i64">,
    Local<"i64">,
  ];
  const half = 8 * e.field("Q");
  f.i64.load(e.vAddress("Rn") + half);
  f.local.set(a);
  f.i64.load(e.vAddress("Rm") + half);
  f.local.set(b);
  for (const local of [low, high, i]) {
    f.i64.const(0);
    f.local.set(local);
  }
  const again = f.loop();
  f.i64.const(0);
  f.local.get(b);
  f.local.get(i);
  f.i64.shrU();
  f.i64.const(1);
  f.i64.and();
  f.i64.sub();
  f.local.set(mask);
  f.local.get(low);
  f.local.get(a);
  f.local.get(i);
  f.i64.shl();
  f.local.get(mask);
  f.i64.and();
  f.i64.xor();
  f.local.set(low);
  // What is shifted out at the top, in two steps: amounts count modulo 64.
  f.local.get(high);
  f.local.get(a);
  f.i64.const(1);
  f.i64.shrU();
  f.i64.const(63);
  f.local.get(i);
  f.i64.sub();
  f.i64.shrU();
  f.local.get(mask);
  f.i64.and();
  f.i64.xor();
  f.local.set(high);
  f.local.get(i);
  f.i64.const(1);
  f.i64.add();
  f.local.tee(i);
  f.i64.const(64);
  f.i64.ltU();
  f.brIf(again);
  f.end(again);
  f.local.get(low);
  f.i64x2.splat();
  f.local.get(high);
  f.i64x2.replaceLane(1);
  e.setV("Rd");
  for (const local of [a, b, low, high, i, mask]) f.local.release(local);
});

export const CRYPTOGRAPHIC = {
  AESE: aesRound(SHIFT_ROWS, TABLES.SBOX),
  AESD: aesRound(INVERSE_SHIFT_ROWS, TABLES.INVERSE_SBOX),
  AESMC: mixColumns(false),
  AESIMC: mixColumns(true),
  SHA1C: sha1Rounds(choose),
  SHA1P: sha1Rounds(parity),
  SHA1M: sha1Rounds(majority),
  SHA1SU0: simd((e) => {
    const { f } = e;
    // Rn's lower half above Rd's upper one.
    e.getV("Rd");
    e.getV("Rn");
    f.i8x16.shuffle(Array.from({ length: 16 }, (_, i) => i + 8));
    e.getV("Rd");
    f.v128.xor();
    e.getV("Rm");
    f.v128.xor();
    e.setV("Rd");
  }),
  SHA1SU1: sha1Su1,
  SHA1H: simd((e) => {
    e.getS("Rn");
    e.f.i32.const(30);
    e.f.i32.rotl();
    e.setS("Rd");
  }),
  SHA256H: sha256Rounds(true),
  SHA256H2: sha256Rounds(false),
  SHA256SU0: sha256Su0,
  SHA256SU1: sha256Su1,
  PMULL_1Q: polynomialProduct,
} satisfies Record<string, Semantics>;
