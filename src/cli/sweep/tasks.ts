/** A sweep's cells as tasks: what has a command of its own is that command's task, so that a result is good for both. */
import { LINUX_SCENARIOS } from "../../lab/linux/scenarios/index.ts";
import type { Json } from "../../lab/questions/question.ts";
import { labelOf, type SweepCell } from "../../lab/sweep/cell.ts";
import { realCellOf } from "../../lab/sweep/expand.ts";
import { askTask } from "../ask/cell.ts";
import { barTask } from "../bar/cell.ts";
import type { CellTask } from "../cells/task.ts";
import { type GuestInputs, guestTask } from "../linux/cell.ts";

/**
 * A cell as a task.
 * @param guest of Linux's cells
 */
export function taskOf(cell: SweepCell, guest: GuestInputs | undefined): CellTask {
  const label = labelOf(cell);
  switch (cell.kind) {
    case "thread":
    case "fuzz":
      return { kind: "sweep", input: cell as unknown as Json, files: [], label };
    case "predict":
      return { kind: "sweep", input: cell as unknown as Json, files: [cell.recording], label };
    case "bar":
      return { ...barTask({ policy: cell.policy, setting: cell.setting, profile: cell.profile }), label };
    case "ask":
      return { ...askTask(cell.question, cell.cell, cell.costs), label };
    case "linux":
      return {
        ...guestTask("guest", guest!, cell.seed, [realCellOf(cell, LINUX_SCENARIOS)]),
        label,
      };
  }
}
