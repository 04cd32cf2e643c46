/** A sweep's cells as tasks: what has a command of its own is that command's task, so that a result is good for both. */
import { LINUX_SCENARIOS } from "../../lab/linux/scenarios/index.ts";
import type { Json } from "../../lab/questions/question.ts";
import {
  type FuzzCell,
  labelOf,
  type PredictCell,
  type SweepCell,
  type ThreadCell,
} from "../../lab/sweep/cell.ts";
import { realCellOf } from "../../lab/sweep/expand.ts";
import { askTask } from "../ask/cell.ts";
import { barTask } from "../bar/cell.ts";
import type { CellTask, InputFile } from "../cells/task.ts";
import { type GuestInputs, guestTask, LIMIT_NS } from "../linux/cell.ts";

/** The task of a cell that no other command has. It holds nothing but the cell: a sweep may have a hundred thousand. */
class CellAsTask implements CellTask {
  readonly #cell: ThreadCell | PredictCell | FuzzCell;

  constructor(cell: ThreadCell | PredictCell | FuzzCell) {
    this.#cell = cell;
  }
  get kind(): "sweep" {
    return "sweep";
  }
  get input(): Json {
    return this.#cell as unknown as Json;
  }
  get files(): readonly InputFile[] {
    const cell = this.#cell;
    if (cell.kind === "fuzz") return [];
    const { policyFile } = cell;
    return [
      ...(cell.kind === "predict" ? [cell.recording] : []),
      ...(policyFile === undefined ? [] : [policyFile]),
    ];
  }
  get label(): string {
    return labelOf(this.#cell);
  }
}

/**
 * A cell as a task.
 * @param guest of Linux's cells
 */
export function taskOf(cell: SweepCell, guest: GuestInputs | undefined): CellTask {
  switch (cell.kind) {
    case "thread":
    case "fuzz":
    case "predict":
      return new CellAsTask(cell);
    case "bar":
      return {
        ...barTask({ policy: cell.policy, setting: cell.setting, profile: cell.profile }),
        label: labelOf(cell),
      };
    case "ask":
      return { ...askTask(cell.question, cell.cell, cell.costs), label: labelOf(cell) };
    case "linux":
      return {
        ...guestTask("guest", guest!, { seed: cell.seed, limitNs: LIMIT_NS }, [
          realCellOf(cell, LINUX_SCENARIOS),
        ]),
        label: labelOf(cell),
      };
  }
}
