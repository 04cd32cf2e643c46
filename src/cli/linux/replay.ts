/** The model beside a cell: what it takes for the schedule that the cell's own machine has gone through. */
import { UserError } from "../../common/errors.ts";
import type { CostProfile } from "../../host/costs.ts";
import type { PinPolicy } from "../../kvm/spe/policy.ts";
import type { MachineSchedule, ScheduleLine } from "../../lab/machine-schedule/file.ts";
import { ScheduleRecorder, type Watched } from "../../lab/machine-schedule/recorder.ts";
import { machineSetting } from "../../lab/machine-schedule/setting.ts";
import { Baseline, measure } from "../../lab/measure.ts";
import type { ModelRun } from "../../lab/report/run.ts";
import type { Session } from "../../vmm/guest-session.ts";
import { headerOf } from "../run/schedule-file.ts";

/** A command's schedule up to where its machine was saved. */
export interface ScheduleSoFar {
  readonly lines: readonly ScheduleLine[];
  readonly watched: readonly Watched[];
}

/** Watches a command in a session from when it is made. */
export class CommandSchedule {
  readonly #session: Session;
  readonly #lines: ScheduleLine[];
  readonly #recorder: ScheduleRecorder;

  /** @param before where the session has been resumed in the middle of the command */
  constructor(session: Session, before?: ScheduleSoFar) {
    this.#session = session;
    this.#lines = [...(before?.lines ?? [])];
    this.#recorder = new ScheduleRecorder(session.vm, (line) => this.#lines.push(line));
    this.#recorder.begin(before?.watched);
  }

  /** The command goes on elsewhere. */
  pause(): ScheduleSoFar {
    return { watched: this.#recorder.pause(), lines: this.#lines };
  }

  /** The command has ended. */
  end(command: string): MachineSchedule {
    this.#recorder.end();
    return { header: headerOf(this.#session, command), lines: this.#lines };
  }
}

/**
 * Replays a schedule on the driver model.
 * @param scenario what the run is called
 * @returns undefined where the command did not profile
 */
export function replayOf(
  scenario: string,
  schedule: MachineSchedule,
  policy: PinPolicy,
  profile: CostProfile,
): ModelRun | undefined {
  try {
    const setting = { ...machineSetting(scenario, schedule, schedule.header.seed), scenario };
    return measure(setting, policy, profile, new Baseline(setting)).run;
  } catch (error) {
    if (error instanceof UserError) return undefined;
    throw error;
  }
}
