/** A sweep's results on disk: line by line while they come, in the sweep's order at the end. */
import { closeSync, mkdirSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { csvFormatRows } from "d3-dsv";
import { parquetWriteBuffer } from "hyparquet-writer";
import type { SweepCell } from "../../lab/sweep/cell.ts";
import { FreeSpeWalls } from "../../lab/sweep/linux.ts";
import { eachValue, lineOf, type Outcome, type Result, type Row, type Value } from "../../lab/sweep/row.ts";
import { beginFile, fileError, type PendingFile } from "../files.ts";

const PARTIAL = "results.partial.ndjson";
const RESULTS = "results.ndjson";
const CSV = "results.csv";
const PARQUET = "results.parquet";

/** The file of results that grows, and where each cell's line is in it. */
export class PartialResults {
  readonly #path: string;
  readonly #fd: number;
  /** By the cell's place: offset and bytes; no bytes where there is no result yet. */
  readonly #places: Float64Array;
  #endBytes = 0;
  done = 0;

  /** @throws UserError where the folder cannot be written to */
  constructor(folder: string, cells: number) {
    this.#path = join(folder, PARTIAL);
    this.#places = new Float64Array(2 * cells);
    try {
      mkdirSync(folder, { recursive: true });
      this.#fd = openSync(this.#path, "w");
    } catch (error) {
      throw fileError(this.#path, error);
    }
  }

  /** Adds a result, unless the cell has one. @throws UserError where there is no room */
  add(index: number, result: Result): void {
    if (this.#places[2 * index + 1] !== 0) return;
    const line = Buffer.from(`${lineOf(result)}\n`);
    try {
      for (let written = 0; written < line.length; ) written += writeSync(this.#fd, line, written);
    } catch (error) {
      throw fileError(this.#path, error);
    }
    this.#places[2 * index] = this.#endBytes;
    this.#places[2 * index + 1] = line.length;
    this.#endBytes += line.length;
    this.done += 1;
  }

  /** The results in the order of the cells, each with its line, which has no end. */
  *inOrder(cells: readonly SweepCell[]): Generator<readonly [Result, string]> {
    const fd = openSync(this.#path, "r");
    try {
      for (const [index, cell] of cells.entries()) {
        const bytes = Buffer.allocUnsafe(this.#places[2 * index + 1]!);
        readSync(fd, bytes, 0, bytes.length, this.#places[2 * index]!);
        const line = bytes.toString("utf8", 0, bytes.length - 1);
        const said = JSON.parse(line) as { result: Row } | { failed: string };
        const outcome: Outcome =
          "failed" in said ? { kind: "failed", why: said.failed } : { kind: "row", row: said.result };
        yield [{ cell, outcome }, line];
      }
    } finally {
      closeSync(fd);
    }
  }

  close(): void {
    closeSync(this.#fd);
  }

  remove(): void {
    rmSync(this.#path, { force: true });
  }
}

/** Results as columns: every field and figure that one of them has, in order of appearance, "failed" behind all. */
class Columns {
  readonly #columns = new Map<string, Value[]>();
  rows = 0;

  add(result: Result): void {
    eachValue(result, (name, value) => {
      const column = this.#columns.get(name) ?? [];
      if (column.length === 0) this.#columns.set(name, column);
      while (column.length < this.rows) column.push(null);
      column[this.rows] = value;
    });
    this.rows += 1;
  }

  get all(): readonly (readonly [name: string, values: readonly Value[]])[] {
    for (const column of this.#columns.values()) while (column.length < this.rows) column.push(null);
    const isLast = ([name]: readonly [string, unknown]): number => (name === "failed" ? 1 : 0);
    return [...this.#columns].sort((a, b) => isLast(a) - isLast(b));
  }
}

function csvOf(columns: Columns["all"], rows: number): string {
  const records: Value[][] = [columns.map(([name]) => name)];
  for (let i = 0; i < rows; i++) records.push(columns.map(([, values]) => values[i]!));
  // It takes whatever has a text; null is an empty field.
  return `${csvFormatRows(records as string[][])}\n`;
}

const PARQUET_TYPES = { boolean: "BOOLEAN", number: "DOUBLE", string: "STRING" } as const;

/** A column of one type: DOUBLE where it has numbers, so that a sweep of other cells has the same columns. */
function parquetColumn([name, values]: Columns["all"][number]) {
  const first = values.find((value) => value !== null);
  const kind =
    first === undefined || first === null ? "string" : (typeof first as "boolean" | "number" | "string");
  return { name, type: PARQUET_TYPES[kind], nullable: true, data: [...values] };
}

/**
 * Writes what a sweep has come to, in its order, and removes the partial file.
 * @param onResult told of each result on the way
 * @returns the files' paths
 */
export function writeResults(
  folder: string,
  partial: PartialResults,
  cells: readonly SweepCell[],
  onResult: (result: Result) => void,
): string[] {
  const files: PendingFile[] = [];
  const begun = (name: string): PendingFile => {
    const file = beginFile(join(folder, name));
    files.push(file);
    return file;
  };
  try {
    const ndjson = begun(RESULTS);
    const csv = begun(CSV);
    const parquet = begun(PARQUET);
    const columns = new Columns();
    const walls = new FreeSpeWalls();
    if (cells.some(({ kind }) => kind === "linux"))
      for (const [each] of partial.inOrder(cells)) walls.add(each);
    let lines = "";
    for (const [each, line] of partial.inOrder(cells)) {
      const result = walls.complete(each);
      lines += `${result === each ? line : lineOf(result)}\n`;
      if (lines.length > 1 << 20) {
        ndjson.append(lines);
        lines = "";
      }
      columns.add(result);
      onResult(result);
    }
    ndjson.append(lines);
    csv.write(csvOf(columns.all, columns.rows));
    parquet.write(new Uint8Array(parquetWriteBuffer({ columnData: columns.all.map(parquetColumn) })));
    for (const file of files) file.commit();
    partial.remove();
    return files.map(({ path }) => path);
  } finally {
    for (const file of files) file.discard();
  }
}
