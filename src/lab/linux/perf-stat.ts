/** What `perf stat` has printed for people, in a guest. */

export interface PerfStat {
  readonly cycles: number | null;
  /** Cycles over the time that its tasks ran. */
  readonly clockGHz: number | null;
  readonly contextSwitches: number | null;
}

const number = (text: string | undefined): number | null =>
  text === undefined ? null : Number(text.replaceAll(",", ""));

/**
 * Reads the counts that `perf stat` prints below "Performance counter stats for" (tools/perf/util/stat-display.c).
 * @param text all that was printed, other programs' lines among it; of several the first counts
 * @returns undefined where there is none
 */
export function parsePerfStat(text: string): PerfStat | undefined {
  const at = text.indexOf("Performance counter stats for");
  if (at < 0) return undefined;
  const counts = text.slice(at);
  const cycles = /^ *([\d,]+) +cycles\b/m.exec(counts);
  const switches = /^ *([\d,]+) +context-switches\b/m.exec(counts);
  return {
    cycles: number(cycles?.[1]),
    clockGHz: number(/^ *[\d,.]+ +cycles\b.*?# +([\d.]+) +GHz/m.exec(counts)?.[1]),
    contextSwitches: number(switches?.[1]),
  };
}
