/** What a run's charts need beside its record: no part of any JSON. */
import type { ModelRun } from "./run.ts";

/** What a stretch of a vCPU's timeline was. `buffer-on` and `blackout` lie over the others. */
export type SpanKind =
  | "buffer-on"
  | "walk"
  | "pin"
  | "unpin"
  | "stage2"
  | "exit"
  | "irq"
  | "blackout"
  | "idle";

export interface Span {
  readonly vcpu: number;
  readonly kind: SpanKind;
  readonly startNs: number;
  readonly endNs: number;
}

/** A run with what only its charts need; not part of the JSON. */
export interface RunDetail {
  readonly run: ModelRun;
  /** At most a few ten thousand; instants are ns since the run's first guest instruction. */
  readonly spans: readonly Span[];
  /** Steps of [instant in ns, bytes pinned from then on]. */
  readonly pinnedOverTime: readonly (readonly [number, number])[];
}
