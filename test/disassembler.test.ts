/** Mnemonics against binutils' objdump, over random words of every encoding. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Decoder } from "../src/a64/decoder.ts";
import { disassemble, mnemonicOf } from "../src/a64/disassembler.ts";
import { type Feature, fieldsOf } from "../src/a64/encoding.ts";
import { ALL_ROWS } from "../src/a64/encodings/index.ts";
import { randomStream } from "../src/common/random.ts";
import { someWord } from "./fuzz-a64/generate.ts";
import { has } from "./oracles.ts";

const OBJDUMP = "aarch64-linux-gnu-objdump";
const WORDS_A_ROW = 20;
const missing = !has(OBJDUMP);
if (missing) console.log("disassembler: skipped, needs objdump: apt-get install binutils-aarch64-linux-gnu");

const decoder = new Decoder(
  new Set<Feature>(ALL_ROWS.flatMap(({ feature }) => (feature === undefined ? [] : [feature]))),
);

/** objdump's mnemonics of words, without aliases. */
function objdump(words: readonly number[]): string[] {
  const folder = mkdtempSync(join(tmpdir(), "spevisor-objdump-"));
  try {
    const file = join(folder, "words");
    writeFileSync(file, new Uint8Array(Uint32Array.from(words).buffer));
    const { stdout } = spawnSync(OBJDUMP, ["-D", "-b", "binary", "-m", "aarch64", "-M", "no-aliases", file], {
      encoding: "utf8",
      maxBuffer: 64 * 1024 ** 2,
    });
    return [...stdout.matchAll(/^ +[0-9a-f]+:\t[0-9a-f]{8} \t(\S+)/gm)].map(([, mnemonic]) => mnemonic!);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What objdump prints otherwise though it means the same. */
const SAME: Readonly<Record<string, string>> = {
  "b.hs": "b.cs",
  "b.lo": "b.cc",
  eret: "eret",
  ssbb: "dsb",
  pssbb: "dsb",
  dfb: "dsb",
};

describe.skipIf(missing)("mnemonics", () => {
  it("are objdump's", { timeout: 60_000 }, () => {
    const random = randomStream(7);
    const words: number[] = [];
    for (const row of ALL_ROWS)
      for (let i = 0; i < WORDS_A_ROW; i++) {
        const word = someWord(row, decoder, random);
        if (word !== undefined) words.push(word);
      }
    const theirs = objdump(words);
    expect(theirs.length).toBe(words.length);
    const wrong = new Map<string, string>();
    words.forEach((word, i) => {
      const row = decoder.decode(word)!;
      const ours = mnemonicOf(row, fieldsOf(row, word));
      const other = SAME[theirs[i]!] ?? theirs[i]!;
      // A hint's name is an alias, which objdump knows some of.
      if (row.name === "HINT" && other === "hint") return;
      if (ours !== other && !wrong.has(row.name))
        wrong.set(row.name, `${word.toString(16)}: ${ours} against ${other}`);
    });
    expect(Object.fromEntries(wrong)).toEqual({});
  });
});

describe("disassembly", () => {
  it("names the fields", () => {
    expect(disassemble(decoder, 0x8b02_0c20)).toBe("add sf=1 shift=0 Rm=2 imm6=3 Rn=1 Rd=0");
    expect(disassemble(decoder, 0)).toBe("undefined");
  });
});
