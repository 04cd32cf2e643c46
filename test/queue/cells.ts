/** The cells of a sweep of the thread's first command on a small buffer, under two policies. */
import type { ThreadCell } from "../../src/lab/sweep/cell.ts";

/** @param first the first seed of as many as there are `repetitions` */
export const smallCells = (first: number, repetitions: number): ThreadCell[] =>
  Array.from({ length: repetitions }, (_, i) =>
    (["fault", "adaptive"] as const).map(
      (policy): ThreadCell => ({
        kind: "thread",
        scenario: "thread-a",
        profile: "thread-normal",
        costs: {},
        bufferBytes: 1 << 20,
        period: null,
        seed: first + i,
        policy,
      }),
    ),
  ).flat();
