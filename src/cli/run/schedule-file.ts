/** `--schedule`: a machine's schedule on its way into a file. */
import { UserError } from "../../common/errors.ts";
import { headerLine, lineOf, SCHEDULE_SCHEMA, type ScheduleHeader } from "../../lab/machine-schedule/file.ts";
import { ScheduleRecorder } from "../../lab/machine-schedule/recorder.ts";
import type { Session } from "../../vmm/guest-session.ts";
import { beginFile, type PendingFile } from "../files.ts";
import { VERSION } from "../version.ts";

/** Lines go out in blocks. */
const BLOCK_CHARS = 1 << 16;

export class ScheduleFile {
  readonly #file: PendingFile;
  #block = "";
  #recorder: ScheduleRecorder | undefined;
  #isWhole = false;

  /** @throws UserError for a place that cannot be written to */
  constructor(path: string) {
    this.#file = beginFile(path);
  }

  /** The command begins on a machine. */
  begin(session: Session, command: string): void {
    this.#recorder = new ScheduleRecorder(session.vm, (line) => this.#add(lineOf(line)));
    this.#add(headerLine(headerOf(session, command)));
    this.#recorder.begin();
  }

  /** The command has ended. */
  end(): void {
    this.#recorder?.end();
    this.#isWhole = this.#recorder !== undefined;
  }

  /**
   * Gives the file its name.
   * @throws UserError where no command has ended
   */
  commit(): void {
    if (!this.#isWhole)
      throw new UserError(`--schedule ${this.#file.path}: not written, since the command did not end`);
    this.#file.append(this.#block);
    this.#file.commit();
  }

  discard(): void {
    this.#file.discard();
  }

  #add(line: string): void {
    this.#block += line;
    if (this.#block.length < BLOCK_CHARS) return;
    this.#file.append(this.#block);
    this.#block = "";
  }
}

/** What a schedule says of the machine that it is of. */
export function headerOf({ config, isBareMetal }: Session, command: string): ScheduleHeader {
  const { host } = config;
  return {
    schema: SCHEDULE_SCHEMA,
    version: VERSION,
    command,
    policy: isBareMetal ? "none" : config.policy,
    profile: isBareMetal ? "none" : config.profile,
    seed: config.seed,
    cpus: config.cpus,
    clockGHz: config.clockGHz,
    ipc: 1,
    memoryBytes: config.memoryBytes,
    backing: host.backing,
    memlockBytes: host.memlockBytes,
    memlockMaxBytes: host.memlockMaxBytes,
    maxBufferBytes: host.maxBufferBytes,
    irqLatencyNs: host.irqLatencyNs,
    spe: { version: config.spe.version, intervalOps: config.spe.intervalOps },
  };
}
