/** A question whose cells take as long as they are told: so many rounds of arithmetic. */
import { type Json, question } from "../src/lab/questions/question.ts";

/** One cell: rounds, and a number that tells it from others. */
export interface BusyCell {
  readonly [key: string]: Json;
  readonly rounds: number;
  readonly n: number;
}

/** So many rounds. @returns something that they come to */
export function busy(rounds: number): number {
  let x = 1;
  for (let i = 0; i < rounds; i++) x = Math.imul(x ^ (x >>> 15), 0x2c1b3c6d) + i;
  return x;
}

export const QUESTIONS = [
  question<BusyCell, { readonly x: number }>({
    number: 1,
    title: "Busy",
    asked: "How long does it take?",
    origin: "A measurement.",
    leavesOut: [],
    decidedBy: "exit",
    cells: () => [],
    run: ({ rounds }) => ({ x: busy(rounds) }),
    answer: () => ({ headline: "", sentences: [], table: { columns: [], rows: [] }, charts: [] }),
  }),
];
