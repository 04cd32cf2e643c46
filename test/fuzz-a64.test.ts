/** Every encoding against qemu-aarch64, on random operands. The long form is `npm run fuzz:a64`. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ROWS } from "../src/a64/encodings/index.ts";
import { INPUT, OUTPUT, SIGNAL } from "./fuzz-a64/format.ts";
import { fuzz, SUBJECTS } from "./fuzz-a64/fuzz.ts";
import { writeWords } from "./fuzz-a64/generate.ts";
import { CaseMachine } from "./fuzz-a64/machine.ts";
import { askQemu, askQemuInPieces, buildRunner, missingTools } from "./fuzz-a64/oracle.ts";
import { PAGE, pageText } from "./fuzz-a64/page.ts";
import { fuzzUnallocated } from "./fuzz-a64/unallocated.ts";

const CASES_A_ROW = 120;
const TRANSLATED_CASES_A_ROW = 30;
const SEQUENCES = 10_000;
/** NOP, and a branch to itself. */
const NOP = 0xd503_201f;
const FOREVER = ROWS.B.value;
const missing = missingTools();
if (missing !== undefined)
  console.log(`fuzz-a64: skipped, needs qemu-aarch64 and a cross compiler: ${missing}`);

it("docs/a64.md is what the table says", () => {
  expect(readFileSync(PAGE, "utf8")).toBe(pageText());
});

describe.skipIf(missing !== undefined)("A64 against qemu-aarch64", () => {
  let directory: string;
  let runner: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "spevisor-fuzz-"));
    runner = buildRunner(directory);
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  it("executes each encoding alike when it is translated", { timeout: 600_000 }, async () => {
    const total = TRANSLATED_CASES_A_ROW * SUBJECTS.length;
    const { mismatches } = await fuzz({ runner, total, seed: 20_261_130, translated: true });
    expect(mismatches.slice(0, 10)).toEqual([]);
  });

  it("executes each encoding alike", { timeout: 600_000 }, async () => {
    const { coverage, mismatches } = await fuzz({
      runner,
      total: CASES_A_ROW * SUBJECTS.length,
      seed: 20_261_125,
    });
    expect(mismatches.slice(0, 10)).toEqual([]);
    for (const { row, cases, faults, excluded } of coverage) {
      if (excluded !== undefined) continue;
      expect.soft(cases, `${row}: cases`).toBeGreaterThanOrEqual(CASES_A_ROW);
      // A row whose every case faults has shown nothing, but for those that do nothing else.
      if (row !== "BRK") expect.soft(faults, `${row}: faults`).toBeLessThan(cases);
    }
    const excluded = coverage.filter((entry) => entry.excluded !== undefined);
    console.log(
      `fuzz-a64: ${coverage.length - excluded.length} rows, ${excluded.length} excluded: ${excluded.map(({ row }) => row).join(" ")}`,
    );
  });

  it.each([false, true])(
    "executes sequences alike, translated: %s",
    { timeout: 600_000 },
    async (translated) => {
      const total = translated ? SEQUENCES / 4 : SEQUENCES;
      const { mismatches, cases } = await fuzz({
        runner,
        total,
        seed: 20_261_130,
        sequences: true,
        translated,
      });
      expect(mismatches.slice(0, 10)).toEqual([]);
      expect(cases).toBe(total);
    },
  );

  it("ends a case that goes on and on, and goes on with the next", { timeout: 120_000 }, async () => {
    const words = [NOP, FOREVER, NOP];
    const cases = new Uint8Array(words.length * INPUT.BYTES);
    words.forEach((word, i) => {
      writeWords(new DataView(cases.buffer, i * INPUT.BYTES, INPUT.BYTES), [word], true);
    });
    const machine = new CaseMachine();
    const ours = new Uint8Array(words.length * OUTPUT.BYTES);
    machine.load(cases, words.length);
    words.forEach((_, i) => {
      machine.run(cases, i, ours);
    });
    const theirs = await askQemu(runner, cases, words.length);
    for (const outcome of [ours, theirs]) {
      const view = new DataView(outcome.buffer);
      const signals = words.map((_, i) => view.getUint32(i * OUTPUT.BYTES + OUTPUT.SIGNAL, true));
      expect(signals).toEqual([SIGNAL.TRAP, SIGNAL.PROF, SIGNAL.TRAP]);
    }
  });

  it("names the cases for which QEMU itself ends, and has the answers of the others", {
    timeout: 120_000,
  }, async () => {
    // SVC #0 of a Linux program: exit(7).
    const words = [NOP, ROWS.SVC.value, NOP, NOP, NOP];
    const cases = new Uint8Array(words.length * INPUT.BYTES);
    const view = new DataView(cases.buffer);
    words.forEach((word, i) => {
      writeWords(new DataView(cases.buffer, i * INPUT.BYTES, INPUT.BYTES), [word], true);
    });
    view.setBigUint64(INPUT.BYTES + INPUT.X + 8 * 8, 93n, true);
    view.setBigUint64(INPUT.BYTES + INPUT.X, 7n, true);
    const { answers, stopped } = await askQemuInPieces(runner, cases, words.length);
    expect([...stopped.keys()]).toEqual([1]);
    const out = new DataView(answers.buffer);
    expect(words.map((_, i) => out.getUint32(i * OUTPUT.BYTES + OUTPUT.SIGNAL, true))).toEqual([
      5, 0, 5, 5, 5,
    ]);
  });

  it("leaves unallocated what is unallocated", { timeout: 600_000 }, async () => {
    const { executed } = await fuzzUnallocated(runner, 50_000, 1);
    expect(executed.map((word) => word.toString(16))).toEqual([]);
  });
});
