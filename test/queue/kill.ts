/**
 * Sweeps whose workers, coordinator and Redis are killed (kill -9) at random instants: every result must be there once, and be the
 * local pool's bytes.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { LocalEngine } from "../../src/cli/cells/local.ts";
import { byKey, keyOf } from "../../src/cli/cells/task.ts";
import { taskOf } from "../../src/cli/sweep/tasks.ts";
import { type RandomStream, randomStream } from "../../src/common/random.ts";
import type { ThreadCell } from "../../src/lab/sweep/cell.ts";
import { lineOf, outcomeOf } from "../../src/lab/sweep/row.ts";
import { smallCells } from "./cells.ts";
import { type Ended, kill, type Running, SPEVISOR, start } from "./processes.ts";
import { TestRedis } from "./redis.ts";

const VICTIMS = ["worker", "worker", "coordinator", "redis"] as const;
const WORKERS = 2;
/** Cells of one sweep: about as long as processes take to start. */
const REPETITIONS = 20;
/** A sweep that takes longer hangs. */
const LIMIT_SECONDS = 120;

/** How a process has ended; undefined: it has not within a time. */
async function endedWithin({ ended }: Running, ms: number): Promise<Ended | undefined> {
  const limit = new AbortController();
  try {
    return await Promise.race([ended, sleep(ms, undefined, { signal: limit.signal })]);
  } finally {
    limit.abort();
  }
}

/** A queue with its workers, which come back when they are killed. */
export class KilledSweeps {
  readonly folder = mkdtempSync(join(tmpdir(), "spevisor-kill-"));
  readonly #redis: TestRedis;
  readonly #local = new LocalEngine({
    threads: 1,
    context: { questions: "", cacheDir: join(this.folder, "cache"), build: "", allowPolicies: false },
    paths: new Map(),
    attempts: 1,
  });
  readonly #workers: Running[] = [];

  private constructor(redis: TestRedis) {
    this.#redis = redis;
    for (let i = 0; i < WORKERS; i++) this.#workers.push(this.#worker());
  }

  static async open(): Promise<KilledSweeps> {
    return new KilledSweeps(await TestRedis.start());
  }

  #worker(): Running {
    const argv = ["worker", "--queue", this.#redis.url, "--jobs", "1", "--takeover", "2s"];
    return start(SPEVISOR, argv, this.folder);
  }

  async #expected(cells: readonly ThreadCell[]): Promise<string> {
    const texts = new Map<string, string>();
    const tasks = cells.map((cell) => taskOf(cell, undefined));
    await this.#local.run(byKey(tasks), (key, outcome) => {
      if (outcome.kind === "row") texts.set(key, outcome.text);
    });
    return tasks
      .map(
        (task, i) =>
          `${lineOf({ cell: cells[i]!, outcome: outcomeOf(cells[i]!, texts.get(keyOf(task)) ?? "") })}\n`,
      )
      .join("");
  }

  /** Runs a sweep and kills meanwhile. @returns what was killed when; throws Error where a result is missing or another */
  async run(seed: number): Promise<string> {
    const random = randomStream(seed);
    const cells = smallCells(seed * 1000, REPETITIONS);
    const out = `sweep-${seed}`;
    const matrix = {
      kind: "thread",
      scenarios: ["thread-a"],
      policies: ["fault", "adaptive"],
      buffers: ["1M"],
      seeds: [seed * 1000],
      repetitions: REPETITIONS,
    };
    writeFileSync(
      join(this.folder, `${out}.json`),
      JSON.stringify({ schema: "spevisor.sweep/1", cells: [matrix] }),
    );
    const coordinate = (): Running =>
      start(SPEVISOR, ["sweep", `${out}.json`, "--queue", this.#redis.url, "--out", out], this.folder);
    let coordinator = coordinate();
    const told: string[] = [];
    for (let kills = random.integer(1, 3); kills > 0; kills--) {
      const delayMs = random.integer(0, 2500);
      await endedWithin(coordinator, delayMs);
      const victim = VICTIMS[random.integer(0, VICTIMS.length - 1)]!;
      told.push(`${victim} after ${delayMs} ms`);
      coordinator = await this.#kill(victim, random, coordinator, coordinate);
    }
    let ended: Ended | undefined;
    // Seconds that this process has seen: one that is stopped itself waits no longer for it.
    for (let i = 0; i < LIMIT_SECONDS && ended === undefined; i++)
      ended = await endedWithin(coordinator, 1000);
    const what = `seed ${seed} (${told.join(", ")})`;
    if (ended === undefined) {
      await kill(coordinator);
      throw new Error(`${what}: not done after ${LIMIT_SECONDS} s\n${coordinator.err()}`);
    }
    if (ended.code !== 0) throw new Error(`${what}: exit code ${ended.code}\n${ended.err}`);
    const is = readFileSync(join(this.folder, out, "results.ndjson"), "utf8");
    if (is !== (await this.#expected(cells))) throw new Error(`${what}: other results than the local pool's`);
    return what;
  }

  async #kill(
    victim: (typeof VICTIMS)[number],
    random: RandomStream,
    coordinator: Running,
    coordinate: () => Running,
  ): Promise<Running> {
    switch (victim) {
      case "worker": {
        const i = random.integer(0, WORKERS - 1);
        await kill(this.#workers[i]!);
        this.#workers[i] = this.#worker();
        return coordinator;
      }
      case "coordinator":
        await kill(coordinator);
        return coordinate();
      case "redis":
        await this.#redis.kill();
        this.#redis.start();
        return coordinator;
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#workers.map(kill));
    await this.#local.close();
    await this.#redis.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
