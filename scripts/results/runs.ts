/** What the parts of docs/results.md share: spevisor's commands, files that last as long as they do, tables. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readReport } from "../../src/lab/report/report-file.ts";

const SPEVISOR = fileURLToPath(new URL("../../bin/spevisor.js", import.meta.url));

const scratch = mkdtempSync(join(tmpdir(), "spevisor-results-"));
process.on("exit", () => rmSync(scratch, { recursive: true, force: true }));
export const at = (file: string): string => join(scratch, file);

export const say = (text: string): void => void process.stderr.write(`${text}\n`);

/** Runs a command of spevisor's. Throws what it says where it fails. */
export function spevisor(argv: readonly string[]): void {
  execFileSync(process.execPath, [SPEVISOR, ...argv], { stdio: ["ignore", "ignore", "pipe"] });
}

/** One whose exit status says something: whether a model agrees, say. */
export function spevisorThatMayDiffer(argv: readonly string[]): void {
  spawnSync(process.execPath, [SPEVISOR, ...argv], { stdio: "ignore" });
}

export const reportAt = (file: string) => readReport(readFileSync(file, "utf8"), file);

/** In the guest perf reads the list of symbols three times for each recording: a short one is enough for it. */
export const SHORT_SYMBOLS =
  "head -n 3 /proc/kallsyms >/tmp/symbols && mount --bind /tmp/symbols /proc/kallsyms";
/** Some ten million instructions. */
export const BUSY = 'sh -c "i=0; while [ \\$i -lt 12000 ]; do i=\\$((i+1)); done"';
export const perf = (out: string, options: string, command: string): string =>
  `perf record --no-bpf-event -o ${out}/perf.data ${options} -- ${command}`;

export const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;
export const number = (value: number): string => value.toLocaleString("en");

/** A table in Markdown: the first column to the left, the others to the right. */
export function table(rows: readonly (readonly string[])[]): string {
  const [head = [], ...rest] = rows;
  return [head, head.map((_, i) => (i === 0 ? "---" : "---:")), ...rest]
    .map((row) => `| ${row.join(" | ")} |`)
    .join("\n");
}
