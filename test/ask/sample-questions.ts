/** Questions for tests of `ask`: cheap ones, one that can be made to wait, and ones that fail in each way there is. */
import { existsSync } from "node:fs";
import { UserError } from "../../src/common/errors.ts";
import { type Json, type Question, question } from "../../src/lab/questions/question.ts";

const COMMON = {
  asked: "What is asked?",
  origin: "A test.",
  leavesOut: ["Everything | that matters."],
  decidedBy: "exit",
} as const;

/** What `exit` costs, times one to three. */
const cheap = question<number, { readonly exitsNs: number }>({
  ...COMMON,
  number: 1,
  title: "Cheap",
  cells: () => [1, 2, 3],
  run: (cell, costTables) => ({ exitsNs: cell * costTables.of("thread-normal").exit }),
  answer: (rows) => ({
    headline: `Three exits take ${rows.at(-1)?.row.exitsNs} ns.`,
    sentences: ["A sentence."],
    table: {
      columns: ["exits", "a|b"],
      rows: rows.map(({ cell, row }) => [String(cell), `${row.exitsNs} ns`]),
    },
    charts: [
      {
        title: "Exits",
        kind: "line",
        x: { name: "exits", scale: "linear" },
        y: { name: "time (ns)", scale: "log" },
        series: [{ name: "exits", points: rows.map(({ cell, row }) => [cell, row.exitsNs]) }],
      },
    ],
  }),
});

const ANSWER = { headline: "Done.", sentences: [], table: { columns: [], rows: [] }, charts: [] };

/** Its last cell waits for as long as there is a file of this name. */
const HOLD = process.env["SPEVISOR_TEST_HOLD"] ?? "";
const waits = question<number, number>({
  ...COMMON,
  number: 2,
  title: "Waits",
  cells: () => [1, 2, 3, 4],
  run(cell) {
    const nothing = new Int32Array(new SharedArrayBuffer(4));
    while (cell === 4 && existsSync(HOLD)) Atomics.wait(nothing, 0, 0, 20);
    return cell;
  },
  answer: () => ANSWER,
});

const failing = (number: number, title: string, run: (cell: Json) => Json): Question =>
  question({ ...COMMON, number, title, cells: () => [{ n: 7 }], run, answer: () => ANSWER });

const FAILING: readonly Question[] = [
  failing(3, "The user's doing", () => {
    throw new UserError("no such thing", "Take another.");
  }),
  failing(4, "A bug", () => {
    throw new TypeError("of ours");
  }),
  failing(5, "Not JSON", () => ({ share: 0 / 0 })),
  // In a worker this ends its thread.
  failing(6, "Takes its worker along", () => process.exit(7)),
];

/** "all" of them can be asked only without those that fail. */
export const QUESTIONS: readonly Question[] = [
  cheap,
  waits,
  ...(process.env["SPEVISOR_TEST_FAILING"] === "no" ? [] : FAILING),
];
