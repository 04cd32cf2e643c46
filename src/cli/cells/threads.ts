/** Threads that run cells, of this process: the local engine's, and those of a worker on a queue. */
import { Piscina } from "piscina";
import type { CellCall } from "./kinds.ts";
import { type CellContext, type CellOutcome, type CellTask, WORKER_ENDED } from "./task.ts";

export interface ThreadOptions {
  /** How many at most. */
  readonly threads: number;
  readonly context: CellContext;
  /** Where a task's files are on this machine, by their SHA-256. */
  readonly paths: ReadonlyMap<string, string>;
  /** Told what a cell says while it runs. */
  readonly onSaid?: (what: string) => void;
}

export class CellThreads {
  readonly #pool: Piscina<CellCall, CellOutcome>;
  readonly #context: CellContext;
  readonly #paths: ReadonlyMap<string, string>;

  constructor({ threads, context, paths, onSaid }: ThreadOptions) {
    this.#context = context;
    this.#paths = paths;
    this.#pool = new Piscina<CellCall, CellOutcome>({
      filename: new URL("../../../bin/cell-worker.js", import.meta.url).href,
      // As many as have something to do, and none ends before all.
      minThreads: 1,
      maxThreads: threads,
      idleTimeout: Number.POSITIVE_INFINITY,
    });
    if (onSaid !== undefined) this.#pool.on("message", onSaid);
  }

  /** Runs a cell, once. */
  async run({ kind, input, files }: CellTask): Promise<CellOutcome> {
    const paths = Object.fromEntries(
      files.flatMap(({ sha256 }) => {
        const path = this.#paths.get(sha256);
        return path === undefined ? [] : [[sha256, path]];
      }),
    );
    try {
      return await this.#pool.run({ kind, input, paths, context: this.#context });
    } catch (error) {
      // What a cell throws is an outcome: its thread is gone.
      const why = error instanceof Error ? error.message : String(error);
      return { kind: "failed", message: WORKER_ENDED, stack: `${WORKER_ENDED}: ${why}` };
    }
  }

  close(): Promise<void> {
    return this.#pool.destroy();
  }
}
