/**
 * Specs in one line: assembly, the registers that it begins with, and those that it changes. All others stay as they are. The
 * same line is for every executor, of ours and of others (executors.ts).
 */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { elfSection } from "../../src/guest/debian/elf.ts";
import { INPUT, MOST_WORDS, OUTPUT, SIGNAL } from "../fuzz-a64/format.ts";

/** 0 to 30. */
type Number0To30 =
  | (0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10 | 11 | 12 | 13 | 14 | 15)
  | (16 | 17 | 18 | 19 | 20 | 21 | 22 | 23 | 24 | 25 | 26 | 27 | 28 | 29 | 30);
type XName = `x${Number0To30}` | "sp";
type VName = `v${Number0To30 | 31}`;

/** Values are taken modulo the register's size: -1 is all ones. */
export type Registers = Partial<Record<XName | VName | "fpcr" | "fpsr", bigint | number>> & {
  /** "NZCV" with a "-" for each flag that is 0. */
  readonly nzcv?: string;
};

export interface Spec {
  /** Instructions, ";" between them. */
  readonly assembly: string;
  readonly start: Registers;
  /** What they change. */
  readonly end: Registers & {
    /** How it ends where not all of it happens. */
    readonly signal?: keyof typeof SIGNAL;
  };
}

export const spec = (assembly: string, start: Registers, end: Spec["end"]): Spec => ({
  assembly,
  start,
  end,
});

export const ASSEMBLER = "aarch64-linux-gnu-as";
const MARCH = "armv8.2-a+crypto";

/**
 * The words of each spec, by one call of the assembler.
 * @param directory for what is made meanwhile
 */
export function assemble(specs: readonly Spec[], directory: string): readonly (readonly number[])[] {
  const source = join(directory, "specs.s");
  const object = join(directory, "specs.o");
  // A slot for each, filled up with UDF #0, which none of them has.
  const slotBytes = 4 * (MOST_WORDS + 1);
  writeFileSync(
    source,
    specs.map(({ assembly }) => `.balignl ${slotBytes}, 0\n${assembly}\n`).join("") +
      `.balignl ${slotBytes}, 0\n`,
  );
  const done = spawnSync(ASSEMBLER, [`-march=${MARCH}`, "-o", object, source], { encoding: "utf8" });
  if (done.status !== 0) throw new Error(`the specs do not assemble:\n${done.stderr}`);
  const text = elfSection(new Uint8Array(readFileSync(object)), ".text")!;
  if (text.length !== specs.length * slotBytes)
    throw new Error(`a spec has more than ${MOST_WORDS} instructions`);
  const view = new DataView(text.buffer, text.byteOffset, text.byteLength);
  return specs.map((_, i) => {
    const words = Array.from({ length: MOST_WORDS }, (_word, j) =>
      view.getUint32(i * slotBytes + 4 * j, true),
    );
    return words.slice(0, words.indexOf(0) < 0 ? MOST_WORDS : words.indexOf(0));
  });
}

const FLAGS = "NZCV";

/** "N--V" as the bits 31:28. */
function flagsIn(text: string): number {
  if (text.length !== FLAGS.length || [...text].some((each, i) => each !== FLAGS[i] && each !== "-"))
    throw new Error(`"${text}" are no flags: write NZCV, with "-" for each that is 0`);
  return [...text].reduce((bits, each, i) => bits | (each === "-" ? 0 : 1 << (31 - i)), 0) >>> 0;
}

const textOfFlags = (bits: number): string =>
  [...FLAGS].map((flag, i) => ((bits >>> (31 - i)) & 1 ? flag : "-")).join("");

/** Where registers lie in a case, or in what came of it. */
type Places = Readonly<Record<"X" | "SP" | "NZCV" | "FPSR" | "V", number>>;

/** Writes registers to a case's start. */
function writeRegisters(view: DataView, registers: Registers): void {
  for (const [name, value] of Object.entries(registers)) {
    const n = Number(name.slice(1));
    if (typeof value === "string") view.setUint32(INPUT.NZCV, flagsIn(value), true);
    else if (name === "fpcr") view.setUint32(INPUT.FPCR, Number(value), true);
    else if (name === "fpsr") view.setUint32(INPUT.FPSR, Number(value), true);
    else if (name.startsWith("v")) {
      view.setBigUint64(INPUT.V + 16 * n, BigInt.asUintN(64, BigInt(value)), true);
      view.setBigUint64(INPUT.V + 16 * n + 8, BigInt.asUintN(64, BigInt(value) >> 64n), true);
    } else
      view.setBigUint64(name === "sp" ? INPUT.SP : INPUT.X + 8 * n, BigInt.asUintN(64, BigInt(value)), true);
  }
}

/** The registers of a case, or of what came of it, by name. */
function registersIn(view: DataView, places: Places): Map<string, string> {
  const out = new Map<string, string>();
  const hex = (value: bigint | number): string => `0x${value.toString(16)}`;
  for (let n = 0; n < 31; n++) out.set(`x${n}`, hex(view.getBigUint64(places.X + 8 * n, true)));
  out.set("sp", hex(view.getBigUint64(places.SP, true)));
  out.set("nzcv", textOfFlags(view.getUint32(places.NZCV, true)));
  out.set("fpsr", hex(view.getUint32(places.FPSR, true)));
  for (let n = 0; n < 32; n++) {
    const low = view.getBigUint64(places.V + 16 * n, true);
    out.set(`v${n}`, hex(low | (view.getBigUint64(places.V + 16 * n + 8, true) << 64n)));
  }
  return out;
}

/** Specs as cases of the fuzzer. */
export function casesOf(specs: readonly Spec[], words: readonly (readonly number[])[]): Uint8Array {
  const cases = new Uint8Array(specs.length * INPUT.BYTES);
  specs.forEach(({ start }, i) => {
    const view = new DataView(cases.buffer, i * INPUT.BYTES, INPUT.BYTES);
    writeRegisters(view, start);
    words[i]!.forEach((word, j) => {
      view.setUint32(INPUT.WORDS + 4 * j, word, true);
    });
    view.setUint32(INPUT.COUNT, words[i]!.length, true);
  });
  return cases;
}

const SIGNALS: ReadonlyMap<number, string> = new Map(
  Object.entries(SIGNAL).map(([name, number]) => [number, name]),
);

/** What came of a case: what it has changed, and how it ended where that was not behind its last instruction. */
export function changesIn(cases: Uint8Array, results: Uint8Array, i: number): Record<string, string> {
  const before = registersIn(new DataView(cases.buffer, i * INPUT.BYTES, INPUT.BYTES), INPUT);
  const view = new DataView(results.buffer, results.byteOffset + i * OUTPUT.BYTES, OUTPUT.BYTES);
  const changes = [...registersIn(view, OUTPUT)].filter(([name, value]) => before.get(name) !== value);
  const signal = SIGNALS.get(view.getUint32(OUTPUT.SIGNAL, true)) ?? "none";
  return { ...Object.fromEntries(changes), ...(signal === "TRAP" ? {} : { signal }) };
}

/** What a spec says that there must be. */
export function expectedOf({ start, end }: Spec): Record<string, string> {
  const { signal, ...registers } = end;
  const [before, after] = [start, { ...start, ...registers }].map((each) => {
    const view = new DataView(new ArrayBuffer(INPUT.BYTES));
    writeRegisters(view, each);
    return registersIn(view, INPUT);
  });
  const changes = [...after!].filter(([name, value]) => before!.get(name) !== value);
  for (const name of Object.keys(registers))
    if (!changes.some(([changed]) => changed === name))
      throw new Error(`${name} is what it was: only what changes is named`);
  return { ...Object.fromEntries(changes), ...(signal === undefined ? {} : { signal }) };
}
