/** What a vCPU's SPE needs of the vCPU that it belongs to. */
import type { Timeline } from "../../common/timeline.ts";
import type { GuestCore } from "../guest-core.ts";

export interface SpeOwner {
  readonly index: number;
  readonly timeline: Timeline;
  readonly core: GuestCore;
  /** Sets the level of the vCPU's virtual PMBIRQ; where it rises, the guest is interrupted, which is charged. */
  line(high: boolean): void;
  /** Has the policy's onTimer called with `tag` at an instant; a timer of the same tag is moved there (mod_timer). */
  armTimer(atNs: number, tag: string): void;
  /** Host work has this vCPU's CPU for `ns`, from an instant on: what the vCPU has to do meanwhile waits. */
  preempt(atNs: number, ns: number): void;
}
