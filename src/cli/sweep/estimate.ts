/** About how long cells take, from those whose times are known. For a line on the terminal, and nothing that a result depends on. */
import { counted } from "../../common/counts.ts";
import { formatNs } from "../../common/sizes.ts";
import type { SweepCell } from "../../lab/sweep/cell.ts";
import type { MatrixKind } from "../../lab/sweep/matrix.ts";

const NS_PER_MS = 1e6;

/** What a cell takes of one core where none of its kind is known: measured once, somewhere. */
const USUAL_MS: Readonly<Record<MatrixKind, number>> = {
  thread: 60,
  predict: 150,
  bar: 1500,
  ask: 100,
  linux: 8000,
  fuzz: 2000,
};

/** Cells that may be run to learn from: of other kinds one takes longer than anybody waits for an estimate. */
const QUICK: readonly MatrixKind[] = ["thread", "predict", "bar", "ask"];
/** So many of a kind, spread over all of them. */
const TRIED = 3;

/** The mean of what was added. */
class Mean {
  #sum = 0;
  count = 0;

  add(value: number): void {
    this.#sum += value;
    this.count += 1;
  }
  get value(): number {
    return this.#sum / this.count;
  }
}

/** Cells that take about as long: what a policy does in a buffer of a size, on whatever it is. */
function alike(cell: SweepCell): string {
  const policy = "policy" in cell ? cell.policy : "";
  const buffer = "bufferBytes" in cell ? cell.bufferBytes : "";
  return `${cell.kind} ${policy} ${buffer}`;
}

export class Estimate {
  readonly #alike = new Map<string, Mean>();
  readonly #kinds = new Map<MatrixKind, Mean>();

  /** Takes note of a cell that was run, now or before. */
  add(cell: SweepCell, tookMs: number): void {
    const key = alike(cell);
    const same = this.#alike.get(key) ?? new Mean();
    const kind = this.#kinds.get(cell.kind) ?? new Mean();
    this.#alike.set(key, same);
    this.#kinds.set(cell.kind, kind);
    same.add(tookMs);
    kind.add(tookMs);
  }

  /** A few cells of each quick kind of which none is known, to be run and added. */
  unknown(cells: readonly SweepCell[]): SweepCell[] {
    return QUICK.filter((kind) => !this.#kinds.has(kind)).flatMap((kind) => {
      const all = cells.filter((cell) => cell.kind === kind);
      const places = Array.from({ length: TRIED }, (_, i) => Math.floor(((i + 0.5) * all.length) / TRIED));
      return [...new Set(places)].flatMap((place) => all[place] ?? []);
    });
  }

  /** What cells take of one core, in ns. */
  nsOf(cells: readonly SweepCell[]): number {
    let ms = 0;
    for (const cell of cells)
      ms += (this.#alike.get(alike(cell)) ?? this.#kinds.get(cell.kind))?.value ?? USUAL_MS[cell.kind];
    return ms * NS_PER_MS;
  }

  /** What it is made from: "by 12 cells that were run". */
  basis(cells: readonly SweepCell[]): string {
    const kinds = new Set(cells.map(({ kind }) => kind));
    let known = 0;
    for (const kind of kinds) known += this.#kinds.get(kind)?.count ?? 0;
    const guessed = [...kinds].filter((kind) => !this.#kinds.has(kind));
    const by = known === 0 ? [] : [`by ${counted(known, "cell")} that ${known === 1 ? "was" : "were"} run`];
    if (guessed.length > 0) by.push(`${guessed.join(", ")} as usual`);
    return by.join("; ");
  }
}

/**
 * "1,200 cells (1,000 predict, 200 thread), 300 of them known, roughly 3 min on 2 threads (by 300 cells that were run)".
 * @param missing the cells that have to be run
 * @param threads null: nobody knows how many there are
 */
export function sizeText(
  cells: readonly SweepCell[],
  missing: readonly SweepCell[],
  estimate: Estimate,
  threads: number | null,
): string {
  const kinds = new Map<MatrixKind, number>();
  for (const { kind } of cells) kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  const parts = [...kinds].map(([kind, n]) => `${n.toLocaleString("en")} ${kind}`).join(", ");
  const known = cells.length - missing.length;
  const there = known === 0 ? "" : `, ${known.toLocaleString("en")} of them known`;
  const size = `${counted(cells.length, "cell")} (${parts})${there}`;
  if (missing.length === 0) return size;
  const ns = estimate.nsOf(missing) / (threads ?? 1);
  const time = ns >= 120e9 ? `${Math.round(ns / 60e9).toLocaleString("en")} min` : formatNs(ns);
  const where = threads === null ? "of one core" : `on ${counted(threads, "thread")}`;
  return `${size}, roughly ${time} ${where} (${estimate.basis(missing)})`;
}
