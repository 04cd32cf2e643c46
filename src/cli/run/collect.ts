/** `--out DIR`: what a command has left in the guest's /out, brought into a directory of this computer. */
import { formatBytes } from "../../common/sizes.ts";
import type { Session, Stopped } from "../../vmm/guest-session.ts";
import { OutDirectory, OutFailed } from "../../vmm/node/out.ts";
import { runMachine } from "../../vmm/node/run-machine.ts";
import { TarDamaged, TarReader } from "../../vmm/tar.ts";
import { startProgress } from "../progress.ts";
import type { World } from "../world.ts";

/** A guest that says nothing for so long will not answer any more. */
const PATIENCE_MS = 30_000;
const MOST_LINE_BYTES = 64;

/** Takes what comes on the guest's port: an archive, zeros that fill its last record, and the line "exit STATUS". */
export class OutStream {
  #reader: TarReader | undefined;
  #line = "";
  #heardMs = 0;
  /** Why it ends; undefined while more is to come. */
  ending: "done" | { readonly failed: string } | undefined;

  /** Whatever comes before is not asked for, and not heard. */
  begin(directory: OutDirectory): void {
    this.#reader = new TarReader(directory);
    this.#heardMs = performance.now();
  }

  /** How long nothing has come. */
  get silentMs(): number {
    return performance.now() - this.#heardMs;
  }

  readonly take = (bytes: Uint8Array): void => {
    const reader = this.#reader;
    if (reader === undefined || this.ending !== undefined) return;
    this.#heardMs = performance.now();
    try {
      for (const byte of bytes.subarray(reader.push(bytes))) {
        if (byte === 0) continue;
        if (byte !== 0x0a) this.#line += String.fromCharCode(byte);
        else
          this.ending = this.#line === "exit 0" ? "done" : { failed: "the guest could not read all of /out" };
        if (this.#line.length > MOST_LINE_BYTES) throw new TarDamaged("something comes after its end");
        if (this.ending !== undefined) return;
      }
    } catch (error) {
      if (error instanceof TarDamaged)
        this.ending = { failed: `the guest's archive is damaged: ${error.message}` };
      else if (error instanceof OutFailed) this.ending = { failed: error.message };
      else throw error;
    }
  };
}

/**
 * Brings the content of /out.
 * @returns what could not be brought, a line for each (none: all was), and how the machine stopped: "done" where it can go on
 */
export async function collectOut(
  path: string,
  { vm, agent }: Session,
  stream: OutStream,
  world: World,
): Promise<{ readonly lost: readonly string[]; readonly stopped: Stopped }> {
  const progress = startProgress("bringing back /out", world);
  let directory: OutDirectory | undefined;
  let stopped: Stopped = "done";
  try {
    directory = new OutDirectory(path);
    const out = directory;
    stream.begin(out);
    agent.collect();
    const isDone = (): boolean => {
      progress.say(`bringing back /out (${formatBytes(out.bytes)})`);
      return stream.ending !== undefined || stream.silentMs > PATIENCE_MS;
    };
    stopped = await runMachine(
      vm,
      { isDone, feed: () => 0 },
      { timeoutMs: 0, input: undefined, paced: false },
    );
    out.finish();
    const { ending } = stream;
    if (ending === "done") return { lost: out.problems, stopped };
    const why = ending?.failed ?? "the guest does not answer: not all of /out may be there";
    return { lost: [...out.problems, why], stopped };
  } catch (error) {
    directory?.discard();
    if (error instanceof OutFailed) return { lost: [...(directory?.problems ?? []), error.message], stopped };
    throw error;
  } finally {
    progress.stop();
  }
}
