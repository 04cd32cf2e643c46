/**
 * A question is an experiment in one file of this folder: a sweep of cells, each run by itself (in any order, on any
 * core), and an answer computed from all of their rows. Cells and rows are plain JSON, so that they can be sent to a
 * worker, cached and compared byte for byte.
 */

import {
  type CostEnd,
  type CostName,
  type CostProfile,
  type CostTable,
  costTable,
} from "../../host/costs.ts";

/** A value that JSON keeps as it is. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** A line of a chart: points in the order in which they are drawn. */
export interface Series {
  readonly name: string;
  /** x (a number, or one of the chart's categories) and y. */
  readonly points: readonly (readonly [number | string, number])[];
}

export interface Axis {
  /** What it shows, with its unit: "buffer (MiB)". */
  readonly name: string;
  readonly scale: "linear" | "log" | "categories";
}

export interface Chart {
  readonly title: string;
  readonly kind: "line" | "bar" | "scatter";
  readonly x: Axis;
  readonly y: Axis;
  readonly series: readonly Series[];
}

/** What a question comes to. Everything in it is computed from the rows. */
export interface Answer {
  /** The answer in one sentence: what a reader takes home. Changes with the cost that decides it. */
  readonly headline: string;
  /** A few more sentences: figures, conditions, where it turns. */
  readonly sentences: readonly string[];
  readonly table: { readonly columns: readonly string[]; readonly rows: readonly (readonly string[])[] };
  readonly charts: readonly Chart[];
}

/** What runs cost, by profile; a test may multiply some of it, to see whether an answer depends on that. */
export interface CostTables {
  /** A cost profile's table by the profile's name: at the values, or at one end of the ranges. */
  of(profile: string, end?: CostEnd): CostTable;
}

/** A question, with its cells' and rows' types forgotten: what the runner, the cache and the printer handle. */
export interface Question {
  /** From 1 on. */
  readonly number: number;
  /** A few words, for a heading. */
  readonly title: string;
  /** What is asked, in a sentence or two. */
  readonly asked: string;
  /** Who raised it, where and when; or why it is open. */
  readonly origin: string;
  /** What the model leaves out that may change the answer. */
  readonly leavesOut: readonly string[];
  /** The cost whose change turns the answer. */
  readonly decidedBy: CostName;
  /** The sweep. */
  cells(): readonly Json[];
  /** Runs one cell: a pure function of the cell and the costs. */
  run(cell: Json, costTables: CostTables): Json;
  /** The answer, from the rows in the order of the cells. */
  answer(rows: readonly Json[]): Answer;
}

/** A question as its file writes it. */
export interface QuestionOf<Cell extends Json, Row extends Json>
  extends Omit<Question, "cells" | "run" | "answer"> {
  cells(): readonly Cell[];
  run(cell: Cell, costTables: CostTables): Row;
  answer(rows: readonly { readonly cell: Cell; readonly row: Row }[]): Answer;
}

/** Makes a question: rows come back to `answer` beside their cells. */
export function question<Cell extends Json, Row extends Json>(of: QuestionOf<Cell, Row>): Question {
  return {
    ...of,
    run: (cell, costTables) => of.run(cell as Cell, costTables),
    answer: (rows) => of.answer(of.cells().map((cell, i) => ({ cell, row: rows[i] as Row }))),
  };
}

/** Factors by which costs are multiplied. */
export type Perturbation = Readonly<Partial<Record<CostName, number>>>;

/** Finds a cost profile: experiments choose one by name, whoever runs them has the list. */
export type ProfileNamed = (name: string) => CostProfile;

/** The tables as the profiles have them, or with some costs multiplied (whole ns). */
export function costTablesOf(profileNamed: ProfileNamed, perturbation: Perturbation = {}): CostTables {
  return {
    of(name, end = "value") {
      const table: Record<CostName, number> = { ...costTable(profileNamed(name), end) };
      for (const [cost, factor] of Object.entries(perturbation) as [CostName, number][])
        table[cost] = Math.round(table[cost] * factor);
      return table;
    },
  };
}

/** Runs a question here and now, cell by cell: what the tests do. */
export const answerHere = (of: Question, costTables: CostTables): Answer => {
  return of.answer(of.cells().map((cell) => of.run(cell, costTables)));
};
