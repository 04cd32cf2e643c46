/** What a machine did, as `spevisor run --json` writes it. */

/** Schema "spevisor.machine/1". Names carry units; the guest's times are its own. */
export interface MachineReport {
  readonly schema: string;
  /** spevisor's. */
  readonly version: string;
  readonly machine: {
    readonly cpus: number;
    readonly memoryBytes: number;
    /** The pin policy's name, and the cost profile's. */
    readonly policy: string;
    readonly profile: string;
    readonly seed: number;
    /** Since 1970, at the guest's time 0. */
    readonly startSeconds: number;
  };
  /** "done": the command has ended. */
  readonly ended: "off" | "reset" | "asleep" | "timeout" | "quit" | "done" | "memory" | "idle";
  /** The command's. */
  readonly status?: number;
  /** Since the machine was new, on all vCPUs. */
  readonly instructions: number;
  readonly guestNs: number;
  /** Accesses of the cores that stage 2 did not map. */
  readonly stage2Faults: number;
  /** By reason. */
  readonly exits: Readonly<Record<string, number>>;
  readonly vcpus: readonly {
    readonly instructions: number;
    readonly el0: number;
    readonly el1: number;
    readonly exceptions: number;
    /** Where it stopped: an address in hexadecimal, and the exception level. */
    readonly pc: string;
    readonly el: number;
    readonly ns: number;
    /** By kind: "guestRun", "idle", "exit", ... They add up to `ns`. */
    readonly spentNs: Readonly<Record<string, number>>;
  }[];
  /** Encodings that the core does not have, by word in hexadecimal: how often each was met. */
  readonly undefined: Readonly<Record<string, number>>;
  /** This computer's part; it differs from run to run. */
  readonly host: {
    /** Until the machine stood. */
    readonly startNs: number;
    readonly runNs: number;
    readonly instructions: number;
    readonly mips: number;
    readonly snapshot: "none" | "restored" | "saved";
  };
}
