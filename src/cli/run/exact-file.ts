/** `--exact-profile`: a run's exact profile, and how far the sampled one is from it. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ExactProfile } from "../../cpu/spe/exact-profile.ts";
import { type ExactReport, exactReport } from "../../lab/exact/report.ts";
import { ElfFile, kernelSymbols, type Symbolizer, symbolizer } from "../../lab/exact/symbols.ts";
import type { Fidelity, NamedShares } from "../../lab/fidelity.ts";
import type { LinuxRun } from "../../lab/report/run.ts";
import type { CodeMapping } from "../../perf/profile.ts";
import type { Session } from "../../vmm/guest-session.ts";
import { beginFile, type PendingFile } from "../files.ts";
import { VERSION } from "../version.ts";
import type { TextOut } from "../world.ts";

/** Rows of the table. */
const MOST_ROWS = 8;

export class ExactFile {
  readonly #file: PendingFile;
  #profiles: readonly ExactProfile[] = [];

  /** @throws UserError for a place that cannot be written to */
  constructor(path: string) {
    this.#file = beginFile(path);
  }

  /** The command begins. */
  begin({ vm }: Session): void {
    this.#profiles = vm.cores.map(() => new ExactProfile());
    vm.cores.forEach((core, i) => {
      core.exactProfile = this.#profiles[i];
    });
  }

  /** It has ended. */
  end({ vm }: Session): void {
    for (const core of vm.cores) core.exactProfile = undefined;
  }

  /** Writes the file, and says in a few lines what is in it. */
  commit(
    session: Session,
    command: string,
    symbols: Symbolizer | undefined,
    out: TextOut,
  ): LinuxRun["fidelity"] {
    const policy = session.isBareMetal ? "none" : session.config.policy;
    const report = exactReport(this.#profiles, symbols, { version: VERSION, command, policy });
    this.#file.write(`${JSON.stringify(report)}\n`);
    this.#file.commit();
    out.write(summaryOf(report));
    const { totalVariation } = report.symbols ?? report.lines;
    return { totalVariation, topSymbolError: report.topError };
  }

  discard(): void {
    this.#file.discard();
  }
}

/**
 * The names of code that a recording in a directory of --out's knows, with what was brought to read it.
 * @returns undefined where there is no recording, or no symbols were brought
 */
export function symbolsIn(path: string, mappings: readonly CodeMapping[]): Symbolizer | undefined {
  const kallsyms = join(path, "kallsyms");
  if (!existsSync(kallsyms)) return undefined;
  const files = new Map<string, ElfFile>();
  for (const mapped of new Set(mappings.map((mapping) => mapping.path))) {
    const file = join(path, "symfs", mapped);
    const elf = existsSync(file) ? ElfFile.read(readFileSync(file)) : undefined;
    if (elf !== undefined) files.set(mapped, elf);
  }
  return symbolizer(kernelSymbols(readFileSync(kallsyms, "utf8")), mappings, files);
}

const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;

const distance = (what: string, { totalVariation, expected, atMost, classes }: Fidelity): string =>
  `spevisor: over ${classes.toLocaleString("en")} ${what} the samples are ${percent(totalVariation)} away from the exact profile; ` +
  `chance makes it ${percent(expected)}, and hardly more than ${percent(atMost)}\n`;

const row = ({ name, exactShare, sampledShare }: NamedShares): string =>
  `spevisor:   ${percent(exactShare).padStart(8)} ${percent(sampledShare).padStart(8)}  ${name}\n`;

function summaryOf({ lines, symbols, top, unseen }: ExactReport): string {
  const { instructions, samples, totalVariation, atMost } = symbols ?? lines;
  const isBeyond = totalVariation > atMost;
  return [
    `spevisor: ${instructions.toLocaleString("en")} profiled instructions, ${samples.toLocaleString("en")} records\n`,
    distance("lines of 64 bytes", lines),
    ...(symbols === null ? [] : [distance("symbols", symbols)]),
    "spevisor:      exact  sampled\n",
    ...top.slice(0, MOST_ROWS).map(row),
    ...(isBeyond ? ["spevisor: missing most\n", ...unseen.slice(0, MOST_ROWS).map(row)] : []),
  ].join("");
}
