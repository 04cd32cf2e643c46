/** From matrices to cells: every combination of what the lists name, in the order in which a matrix has its lists. */
import { UserError } from "../../common/errors.ts";
import type { CellMachine, Cell as RealCell } from "../linux/cells.ts";
import { cellsOf, policyNameOf } from "../linux/cells.ts";
import type { LinuxScenario } from "../linux/scenario.ts";
import type { Question } from "../questions/question.ts";
import {
  type BarCell,
  type CellFile,
  FILTER_NAMES,
  fits,
  type LinuxCell,
  type SweepCell,
  type ThreadCell,
} from "./cell.ts";
import { bytesOf, type Filter, type Matrix, MOST_CELLS, type Sweep, seedsOf } from "./matrix.ts";

/** What names mean here. Each of the choosers takes "all", and throws UserError for a name that nothing has. */
export interface Choices {
  policies(names: readonly string[]): readonly string[];
  /** The code of a policy that one of the names was a file of. */
  policyFile(policy: string): CellFile | undefined;
  profiles(names: readonly string[]): readonly string[];
  scenarios(names: readonly string[]): readonly string[];
  linuxScenarios(names: readonly string[]): readonly LinuxScenario[];
  questions(numbers: "all" | readonly number[]): readonly Question[];
  /** The files that paths and patterns name, in order, each once. */
  recordings(patterns: readonly string[]): readonly CellFile[];
  /** How many settings the bar has of a recording. */
  barSettings(recording: CellFile): number;
}

/**
 * Every combination, the last list's fastest. Cells are written out of them: objects that are put together name by name take five
 * times the memory.
 */
function* product<T extends Readonly<Record<string, readonly unknown[]>>>(
  lists: T,
): Generator<{ readonly [K in keyof T]: T[K][number] }> {
  const names = Object.keys(lists) as (keyof T)[];
  const pick = function* (
    i: number,
    chosen: Partial<Record<keyof T, unknown>>,
  ): Generator<{ readonly [K in keyof T]: T[K][number] }> {
    const name = names[i];
    if (name === undefined) yield chosen as { readonly [K in keyof T]: T[K][number] };
    else for (const value of lists[name]!) yield* pick(i + 1, { ...chosen, [name]: value });
  };
  yield* pick(0, {});
}

/** What a matrix multiplies: a factor that is not there is none. */
const factorsIn = ({ costs }: Extract<Matrix, { costs: unknown }>) =>
  costs as readonly Readonly<Record<string, number>>[];

const orNull = <T>(values: readonly T[] | undefined): readonly (T | null)[] => values ?? [null];

/** How a cell of the sweep's is called in the laboratory of real code. */
const ofRealCell = ({ scenario, machine }: RealCell, seed: number): LinuxCell => ({
  kind: "linux",
  scenario,
  policy: policyNameOf(machine),
  profile: machine.kind === "bare-metal" ? null : machine.profile,
  seed,
});

/** The laboratory's cell of a cell of the sweep's. @throws UserError where its scenario is not there */
export function realCellOf(
  { scenario, policy, profile }: LinuxCell,
  scenarios: readonly LinuxScenario[],
): RealCell {
  const isIt = (machine: CellMachine) =>
    policyNameOf(machine) === policy && (machine.kind === "bare-metal" ? null : machine.profile) === profile;
  const found = cellsOf({ scenarios, policies: [policy], profiles: profile === null ? [] : [profile] }).find(
    (each) => each.scenario === scenario && isIt(each.machine),
  );
  if (found === undefined) throw new UserError(`there is no scenario "${scenario}" of Linux's`);
  return found;
}

/** A policy as a cell of the model has it. */
function policyIn(choices: Choices, policy: string): Pick<ThreadCell, "policy" | "policyFile"> {
  const policyFile = choices.policyFile(policy);
  return policyFile === undefined ? { policy } : { policy, policyFile };
}

/** The policies of cells that know none from files. */
function registered(choices: Choices, { kind, policies }: Extract<Matrix, { kind: "bar" | "linux" }>) {
  const chosen = choices.policies(policies);
  const file = chosen.map((policy) => choices.policyFile(policy)).find((each) => each !== undefined);
  if (file === undefined) return chosen;
  throw new UserError(
    `${file.name}: cells of ${kind} take policies by name`,
    "Those of thread and predict take files",
  );
}

function* cellsIn(matrix: Matrix, choices: Choices): Generator<SweepCell> {
  switch (matrix.kind) {
    case "thread":
      for (const of of product({
        scenario: choices.scenarios(matrix.scenarios),
        profile: choices.profiles(matrix.profiles),
        costs: factorsIn(matrix),
        bufferBytes: matrix.buffers.map(bytesOf),
        period: orNull(matrix.periods),
        seed: seedsOf(matrix),
        policy: choices.policies(matrix.policies),
      })) {
        const { scenario, profile, costs, bufferBytes, period, seed, policy } = of;
        const named = policyIn(choices, policy);
        yield { kind: "thread", scenario, profile, costs, bufferBytes, period, seed, ...named };
      }
      return;
    case "predict":
      for (const of of product({
        recording: choices.recordings(matrix.recordings),
        comm: orNull(matrix.comms),
        profile: choices.profiles(matrix.profiles),
        costs: factorsIn(matrix),
        bufferBytes: matrix.buffers.map(bytesOf),
        period: matrix.periods,
        vcpus: orNull(matrix.vcpus),
        backing: matrix.backings,
        seed: seedsOf(matrix),
        policy: choices.policies(matrix.policies),
      })) {
        const { recording, comm, profile, costs, bufferBytes, period, vcpus, backing, seed, policy } = of;
        yield {
          kind: "predict",
          recording,
          comm,
          profile,
          costs,
          bufferBytes,
          period,
          vcpus,
          backing,
          seed,
          ...policyIn(choices, policy),
        };
      }
      return;
    case "bar": {
      const seeds = seedsOf(matrix);
      const scenarios = matrix.scenarios === undefined ? [] : choices.scenarios(matrix.scenarios);
      const recordings = matrix.recordings === undefined ? [] : choices.recordings(matrix.recordings);
      const settings = seeds.flatMap((seed): BarCell["setting"][] =>
        matrix.random
          ? [{ kind: "random", seed }]
          : [
              ...scenarios.map((name) => ({ kind: "scenario" as const, name, seed })),
              ...recordings.flatMap((file) =>
                Array.from({ length: choices.barSettings(file) }, (_, index) => ({
                  kind: "recording" as const,
                  file,
                  index,
                  seed,
                })),
              ),
            ],
      );
      yield* product({
        kind: ["bar"] as const,
        setting: settings,
        policy: registered(choices, matrix),
        profile: choices.profiles(matrix.profiles),
      });
      return;
    }
    case "ask":
      for (const question of choices.questions(matrix.questions))
        for (const costs of factorsIn(matrix))
          for (const cell of question.cells()) yield { kind: "ask", question: question.number, cell, costs };
      return;
    case "linux": {
      const cells = cellsOf({
        scenarios: choices.linuxScenarios(matrix.scenarios),
        policies: registered(choices, matrix),
        profiles: choices.profiles(matrix.profiles),
      });
      for (const seed of seedsOf(matrix)) for (const cell of cells) yield ofRealCell(cell, seed);
      return;
    }
    case "fuzz":
      yield* product({
        kind: ["fuzz"] as const,
        target: matrix.targets,
        cases: [matrix.cases],
        seed: seedsOf(matrix),
      });
  }
}

function checkFilters(filters: readonly Filter[]): void {
  for (const filter of filters)
    for (const name of Object.keys(filter))
      if (!FILTER_NAMES.includes(name))
        throw new UserError(
          `a filter has "${name}", which no cell has`,
          `There are: ${FILTER_NAMES.join(", ")}`,
        );
}

/**
 * The cells of a sweep, in its order.
 * @param more filters beside each matrix's own
 * @throws UserError for names that nothing has, and where there are too many or none
 */
export function cellsOfSweep(
  { cells: matrices }: Sweep,
  choices: Choices,
  more: readonly Filter[] = [],
): SweepCell[] {
  const cells: SweepCell[] = [];
  const anyOf = (filters: readonly Filter[]) => (cell: SweepCell) =>
    filters.some((filter) => fits(cell, filter, bytesOf));
  checkFilters(more);
  for (const matrix of matrices) {
    checkFilters([...matrix.only, ...matrix.exclude]);
    const [only, exclude, also] = [anyOf(matrix.only), anyOf(matrix.exclude), anyOf(more)];
    for (const cell of cellsIn(matrix, choices)) {
      if (matrix.only.length > 0 && !only(cell)) continue;
      if (exclude(cell) || (more.length > 0 && !also(cell))) continue;
      if (cells.length >= MOST_CELLS) throw new UserError(`the sweep has more than ${MOST_CELLS} cells`);
      cells.push(cell);
    }
  }
  if (cells.length === 0)
    throw new UserError(
      "the sweep has no cells",
      "Its filters leave nothing, or its bar names neither scenarios nor recordings",
    );
  return cells;
}
