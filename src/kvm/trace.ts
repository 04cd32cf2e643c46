/** What `--trace` shows: each event a policy sees, each call it makes, each charge. */

export interface TraceEvent {
  readonly atNs: number;
  readonly vcpu: number;
  readonly what: "event" | "call" | "charge" | "note" | "exit" | "host";
  readonly name: string;
  /** Numbers and words that belong to it. */
  readonly detail?: Readonly<Record<string, number | string>>;
}

/** Receives trace events; undefined where nobody listens, so that callers build no event for nothing. */
export type Tracer = ((event: TraceEvent) => void) | undefined;
