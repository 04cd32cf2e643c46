/**
 * The package's API: boot a guest and run commands in it, predict, decode samples, write a policy. docs/api.md shows it
 * in use. What is not exported here may change with any version.
 */
import type { GuestOptions, GuestSession } from "./session.ts";

export type { Target } from "../cli/engine.ts";
export { UserError } from "../common/errors.ts";
export { hold } from "../kvm/spe/hold.ts";
export * from "../kvm/spe/policy.ts";
export type { LinuxRun, ModelRun } from "../lab/report/run.ts";
export {
  decodeSpe,
  type SpeAccount,
  type SpeInstructionAddress,
  type SpePhysicalAddress,
  type SpeRecord,
} from "../perf/spe-record.ts";
export { type Prediction, type PredictOptions, predict } from "./predict.ts";
export type { CommandOptions, CommandResult, GuestOptions, GuestSession, GuestShare } from "./session.ts";

/**
 * Boots Debian's guest, as `spevisor run` does: fetched the first time, and from then on from a snapshot.
 * @throws UserError for an option that cannot be used, and for a guest that cannot be fetched
 */
export async function bootGuest(options: GuestOptions = {}): Promise<GuestSession> {
  const { boot } = await import("./guest.ts");
  return boot(options);
}
