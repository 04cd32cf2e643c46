/** `npm run fuzz:a64`: random instructions here and on qemu-aarch64. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { fuzz } from "./fuzz.ts";
import { buildRunner, missingTools } from "./oracle.ts";
import { PAGE, pageText } from "./page.ts";

/** Where nobody watches, progress is a line each so many cases. */
const LOG_EVERY = 250_000;

const command = new Command("fuzz:a64")
  .description("Executes random instructions here and on qemu-aarch64, and says where the two differ.")
  .option("--cases <n>", "how many cases, over all rows", Number, 200_000)
  .option("--seed <s>", "what the cases are made from", Number, 1)
  .option("--only <pattern>", "rows whose names match this regular expression")
  .option("--sequences", "cases are sequences of two to six instructions that have to do with each other")
  .option("--translated", "each case is translated before it is executed, which takes longer")
  .option("--show <n>", "mismatches that are printed", Number, 20)
  .option("--coverage", "cases and faults of each row")
  .option("--page", "write docs/a64.md: what is executed, and how it is compared; runs no cases")
  .addHelpText(
    "after",
    "\nExamples:\n  npm run fuzz:a64 -- --cases 1000000 --seed 7\n  npm run fuzz:a64 -- --only '^FCVT' --coverage\n" +
      "  npm run fuzz:a64 -- --sequences --cases 250000 --seed 7",
  )
  .parse();
const options = command.opts<{
  cases: number;
  seed: number;
  only?: string;
  sequences?: boolean;
  translated?: boolean;
  show: number;
  coverage?: boolean;
  page?: boolean;
}>();
if (options.page) {
  writeFileSync(PAGE, pageText());
  console.log(`written: ${fileURLToPath(PAGE)}`);
  process.exit(0);
}
const missing = missingTools();
if (missing !== undefined) {
  console.error(`fuzz:a64 needs qemu-aarch64 and a cross compiler: ${missing}`);
  process.exit(2);
}
const directory = mkdtempSync(join(tmpdir(), "spevisor-fuzz-"));
try {
  const runner = buildRunner(directory);
  const startedMs = performance.now();
  let told = 0;
  const { coverage, mismatches, mismatched, cases } = await fuzz({
    runner,
    total: options.cases,
    seed: options.seed,
    sequences: options.sequences === true,
    translated: options.translated === true,
    ...(options.only === undefined ? {} : { only: new RegExp(options.only) }),
    onProgress: (done) => {
      const text = `${done} of ${options.cases} cases`;
      if (process.stderr.isTTY) process.stderr.write(`\r${text}`);
      else if (done - told >= LOG_EVERY) {
        told = done;
        console.error(`${text}, ${((performance.now() - startedMs) / 1000).toFixed(0)} s`);
      }
    },
  });
  if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
  for (const { rows, words, differences, input } of mismatches.slice(0, options.show)) {
    const instructions = rows.map((row, i) => `${row} ${words[i]!.toString(16).padStart(8, "0")}`);
    console.log(`${instructions.join("\n")}\n  ${input}\n  ${differences.slice(0, 6).join("\n  ")}`);
  }
  if (options.coverage)
    for (const { row, cases: count, faults, mismatches: bad, excluded } of coverage)
      console.log(
        excluded === undefined
          ? `${row.padEnd(28)} ${count} cases, ${faults} faults${bad > 0 ? `, ${bad} MISMATCHES` : ""}`
          : `${row.padEnd(28)} excluded: ${excluded}`,
      );
  const bad = coverage.filter((entry) => entry.mismatches > 0);
  if (bad.length > 0)
    console.log(`rows that differ: ${bad.map((entry) => `${entry.row} (${entry.mismatches})`).join(", ")}`);
  console.log(
    `${cases} cases over ${coverage.length} rows, ${mismatched} mismatches, ${((performance.now() - startedMs) / 1000).toFixed(1)} s`,
  );
  process.exitCode = mismatched === 0 ? 0 : 1;
} finally {
  rmSync(directory, { recursive: true, force: true });
}
