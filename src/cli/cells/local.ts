/** The engine that needs no server: threads of this process. */
import type { CellEngine, CellOutcome, CellTask, OnOutcome } from "./task.ts";
import { CellThreads, type ThreadOptions } from "./threads.ts";

export interface LocalOptions extends ThreadOptions {
  /** How often a cell is tried that fails; what the user did wrong is not tried again. */
  readonly attempts: number;
}

export class LocalEngine implements CellEngine {
  readonly #options: LocalOptions;
  #threads: CellThreads | undefined;

  constructor(options: LocalOptions) {
    this.#options = options;
  }

  async run(tasks: ReadonlyMap<string, CellTask>, onOutcome: OnOutcome): Promise<void> {
    if (tasks.size === 0) return;
    this.#threads ??= new CellThreads(this.#options);
    const waiting = tasks.entries();
    // Twice as many as there are threads, so that none waits for what is done with a result.
    await Promise.all(
      Array.from({ length: Math.min(2 * this.#options.threads, tasks.size) }, async () => {
        for (const [key, task] of waiting) await onOutcome(key, await this.#tried(task));
      }),
    );
  }

  async #tried(task: CellTask): Promise<CellOutcome> {
    const { attempts } = this.#options;
    for (let attempt = 1; ; attempt++) {
      const outcome = await this.#threads!.run(task);
      if (outcome.kind !== "failed" || attempt >= attempts) return outcome;
    }
  }

  async close(): Promise<void> {
    await this.#threads?.close();
    this.#threads = undefined;
  }
}
