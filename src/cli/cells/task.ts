/**
 * A cell as plain data: the name of a pure function and what it is given. Whoever carries it out, on whatever machine, gives the
 * same bytes. Engines (local.ts, queue/engine.ts) carry out; runner.ts is the one scheduler of them.
 */
import { hash } from "node:crypto";
import { jsonText } from "../../lab/questions/json.ts";
import type { Json } from "../../lab/questions/question.ts";

/** The functions that there are; kinds.ts has them. */
export type CellKind = "ask" | "bar" | "guest-boot" | "guest" | "sweep";

/** A file that a cell reads, known by its content. */
export interface InputFile {
  /** What errors and records call it. */
  readonly name: string;
  /** In hexadecimal. */
  readonly sha256: string;
}

export interface CellTask {
  readonly kind: CellKind;
  /** All that the result depends on, beside the version of the source. */
  readonly input: Json;
  /** The files that `input` speaks of. */
  readonly files: readonly InputFile[];
  /** What people call it. */
  readonly label: string;
}

/** What a cell finds on its machine, and no result depends on. */
export interface CellContext {
  /** URL of the module that questions come from. */
  readonly questions: string;
  /** Where guests that have booted are kept. */
  readonly cacheDir: string;
  /** The version of the source that they are good for. */
  readonly build: string;
  /** Whether policies are run that come with a cell: code of whoever has made it. */
  readonly allowPolicies: boolean;
}

/** What became of a cell. Error classes do not survive the way between threads and machines, so errors are spelt out. */
export type CellOutcome =
  | { readonly kind: "row"; readonly text: string; readonly tookMs: number }
  /** What was asked for cannot be: it will not be otherwise the next time. */
  | { readonly kind: "user-error"; readonly what: string; readonly remedy: string }
  /** It threw, or took its worker along, as often as it was tried. */
  | { readonly kind: "failed"; readonly message: string; readonly stack: string };

/** What is said of a cell whose worker ended each time, whatever ended it. */
export const WORKER_ENDED = "its worker ended while it ran";

export const failedBy = (error: unknown): CellOutcome => {
  const { message, stack = message } = error instanceof Error ? error : new Error(String(error));
  return { kind: "failed", message, stack };
};

/** How often a cell of a sweep is tried that throws or takes its worker along. */
export const MOST_ATTEMPTS = 3;

export type OnOutcome = (key: string, outcome: CellOutcome) => void | Promise<void>;

/** Carries out cells. */
export interface CellEngine {
  /**
   * Carries out tasks, and tells of each outcome once, in any order.
   * @param tasks by their keys (keyOf)
   * @throws what `onOutcome` throws, and where the engine itself cannot go on; what was begun may then be left undone
   */
  run(tasks: ReadonlyMap<string, CellTask>, onOutcome: OnOutcome): Promise<void>;
  /** Gives back threads and connections, whatever they do. */
  close(): Promise<void>;
}

const HASH_CHARS = 40;

/** A task's content as a name: what is kept under it is good for every task of that name, in one version of the source. */
export const keyOf = ({ kind, input }: CellTask): string =>
  hash("sha256", jsonText([kind, input])).slice(0, HASH_CHARS);

/** Tasks by their keys: of those of one content the first. */
export function byKey(tasks: readonly CellTask[]): Map<string, CellTask> {
  const found = new Map<string, CellTask>();
  for (const task of tasks) {
    const key = keyOf(task);
    if (!found.has(key)) found.set(key, task);
  }
  return found;
}
