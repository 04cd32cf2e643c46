/** What is said to a guest, and what comes back. */
import type { PinPolicy } from "../kvm/spe/policy.ts";
import type { LinuxRun } from "../lab/report/run.ts";

/** How a guest is made. Every part may be left out. */
export interface GuestOptions {
  /** Debian's release; "bookworm". */
  readonly suite?: "bookworm" | "trixie";
  /** 1 to 16; 1. */
  readonly cpus?: number;
  /** The guest's memory; 512 MiB. */
  readonly memoryBytes?: number;
  /** A pin policy by its name, or one of your own; "adaptive". */
  readonly policy?: string | PinPolicy;
  /** A cost profile by its name; "thread-normal". */
  readonly profile?: string;
  /** Of everything that is drawn; 1. */
  readonly seed?: number;
  /** Directories of this computer that the guest gets. */
  readonly shares?: readonly GuestShare[];
  /** Where packages come from if the guest is to be fetched: SPEVISOR_MIRROR, or the mirror that apt uses here. */
  readonly mirror?: string;
  /** Where guests and their boots are kept; as for `spevisor run`: spevisor in XDG_CACHE_HOME or in ~/.cache. */
  readonly cacheFolder?: string;
  /** Told of each character on the guest's serial console: the kernel's log. */
  readonly onConsole?: (byte: number) => void;
  /** Told what one should know and nothing fails of. */
  readonly onWarning?: (text: string) => void;
}

export interface GuestShare {
  /** On this computer. */
  readonly directory: string;
  /** In the guest: an absolute path; "/share", then "/share2" and so on where nobody says. */
  readonly at?: string;
  readonly readOnly?: boolean;
}

export interface CommandOptions {
  /** Its standard input; nothing. */
  readonly input?: string | Uint8Array;
  /** Stops it after so much of this computer's time; 0: never. The guest takes no command after that. */
  readonly timeoutMs?: number;
}

export interface CommandResult {
  /** As a shell has it: 128 + n after signal n. Undefined where it has not ended: `report.machine.ended` says why. */
  readonly status: number | undefined;
  /** As UTF-8. */
  readonly stdout: string;
  readonly stderr: string;
  readonly stdoutBytes: Uint8Array;
  readonly stderrBytes: Uint8Array;
  /** What the machine did from the command's start to its end: the record that `spevisor run --json` writes. */
  readonly report: LinuxRun;
}

/** A guest that has booted. What one command leaves is there for the next. */
export interface GuestSession {
  /**
   * Runs a command to its end; one at a time.
   * @param command a program with its arguments, or a shell script
   * @throws UserError where the guest is closed, stopped or busy
   */
  run(command: string | readonly string[], options?: CommandOptions): Promise<CommandResult>;
  /** Lets go of the machine. */
  close(): void;
}
