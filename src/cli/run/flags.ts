/** What `spevisor run` is told. */
import type { CyclesPerNs } from "../../a64/state.ts";
import type { Suite } from "../../guest/debian/recipe.ts";
import type { Backing } from "../../host/mm.ts";
import type { PressureRate } from "../../host/random-pressure.ts";
import type { SpeVersion } from "../../spe/implementation.ts";
import type { ShareFlag } from "./shares.ts";
import type { TypedRange } from "./trace-range.ts";

/** Seconds since 1970 at a new machine's time 0 where nobody says: 1 January 2026. */
export const DEFAULT_RTC_SECONDS = 1_767_225_600;

export interface MachineFlags {
  readonly kernel?: string;
  readonly initrd?: string;
  readonly dtb?: string;
  readonly append?: string;
  /** False: --append is the whole command line. */
  readonly defaultAppend: boolean;
  readonly modules?: string;
  readonly disk?: readonly string[];
  readonly share?: readonly ShareFlag[];
  readonly out?: string;
  /** Bytes. */
  readonly memory: number;
  readonly cpus: number;
  readonly freq: CyclesPerNs;
  readonly suite: Suite;
  readonly policy: string;
  readonly profile: string;
  /** Seconds. */
  readonly timeout?: number;
  readonly json?: string;
  /** Where the exact profile is written to. */
  readonly exactProfile?: string;
  /** Where the profile of the host's time is written to. */
  readonly hostProfile?: string;
  /** Where the instruction trace is written to. */
  readonly traceInstructions?: string;
  /** Which instructions it has. */
  readonly traceRange?: readonly TypedRange[];
  readonly traceLevel?: readonly (0 | 1)[];
  readonly traceSkip?: number;
  readonly traceCount?: number;
  /** Where the machine's schedule is written to. */
  readonly schedule?: string;
  readonly seed: number;
  readonly speVersion: SpeVersion;
  /** Ops. */
  readonly speInterval: number;
  readonly speModels: "exact" | "sampled";
  /** Bytes. */
  readonly speMaxBuffer?: number;
  readonly spePa?: true;
  readonly backing: Backing;
  /** Bytes; null: unlimited. */
  readonly memlock: number | null;
  readonly memlockMax: number | null;
  readonly irqLatency: number;
  readonly pressure?: PressureRate;
  /** Seconds since 1970; "now" is the host's clock. */
  readonly rtc: number | "now";
  readonly snapshot?: string;
  readonly saveSnapshot?: string;
  /** False: boots anew, whatever is kept. */
  readonly cache: boolean;
  /** No hypervisor. */
  readonly bareMetal?: true;
  readonly verbose?: true;
}
