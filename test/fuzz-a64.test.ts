/** Every encoding against qemu-aarch64, on random operands. The long form is `npm run fuzz:a64`. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fuzz, SUBJECTS } from "./fuzz-a64/fuzz.ts";
import { buildRunner, missingTools } from "./fuzz-a64/oracle.ts";
import { PAGE, pageText } from "./fuzz-a64/page.ts";
import { fuzzUnallocated } from "./fuzz-a64/unallocated.ts";

const CASES_A_ROW = 200;
const TRANSLATED_CASES_A_ROW = 40;
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

  it("leaves unallocated what is unallocated", { timeout: 600_000 }, async () => {
    const { executed } = await fuzzUnallocated(runner, 50_000, 1);
    expect(executed.map((word) => word.toString(16))).toEqual([]);
  });
});
