/**
 * `--out DIR`: what a command has left in the guest's /out, brought into a directory of this computer; and, where it has
 * recorded a profile, what perf needs to read that here.
 */
import { UserError } from "../../common/errors.ts";
import { formatBytes } from "../../common/sizes.ts";
import { type CodeMapping, type Profile, readProfile } from "../../perf/profile.ts";
import { quoted } from "../../vmm/agent.ts";
import type { Session, Stopped } from "../../vmm/guest-session.ts";
import { openSource } from "../../vmm/node/file-source.ts";
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
    this.#line = "";
    this.ending = undefined;
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

export interface Collected {
  /** Of recordings among what has come: which code was mapped where. */
  readonly mappings?: readonly CodeMapping[];
  /** What could not be brought, a line for each (none: all was). */
  readonly lost: readonly string[];
  /** How the machine stopped: "done" where it can go on. */
  readonly stopped: Stopped;
  /** The files that came, by their paths below the directory: bytes, a character for each. */
  readonly files: readonly string[];
}

/** Brings an archive that the guest is asked for. @param what for the progress line */
async function bring(
  out: OutDirectory,
  { vm }: Session,
  stream: OutStream,
  what: string,
  ask: () => void,
  world: World,
): Promise<Collected> {
  const progress = startProgress(what, world);
  let stopped: Stopped = "done";
  const { files } = out;
  try {
    stream.begin(out);
    ask();
    const isDone = (): boolean => {
      progress.say(`${what} (${formatBytes(out.bytes)})`);
      return stream.ending !== undefined || stream.silentMs > PATIENCE_MS;
    };
    stopped = await runMachine(
      vm,
      { isDone, feed: () => 0 },
      { timeoutMs: 0, input: undefined, paced: false },
    );
    out.finish();
    const { ending } = stream;
    if (ending === "done") return { lost: out.problems, stopped, files };
    const why = ending?.failed ?? "the guest does not answer: not all of /out may be there";
    return { lost: [...out.problems, why], stopped, files };
  } catch (error) {
    out.discard();
    if (error instanceof OutFailed) return { lost: [...out.problems, error.message], stopped, files };
    throw error;
  } finally {
    progress.stop();
  }
}

/** Brings the content of /out. */
export async function collectOut(
  path: string,
  guest: Session,
  stream: OutStream,
  world: World,
): Promise<Collected> {
  try {
    const out = new OutDirectory(path);
    return await bring(out, guest, stream, "bringing back /out", () => guest.agent.collect(), world);
  } catch (error) {
    if (error instanceof OutFailed) return { lost: [error.message], stopped: "done", files: [] };
    throw error;
  }
}

const KALLSYMS = "kallsyms";
const SYMFS = "symfs";

/** Directories above a path, the uppermost first. */
const above = (path: string): readonly string[] => {
  const parts = path.split("/").slice(0, -1);
  return parts.map((_, i) => parts.slice(0, i + 1).join("/"));
};

/**
 * For recordings among what has come: brings the guest's kallsyms and the files that the recordings map, and says by which
 * command perf reads each of them here.
 * @returns as `collectOut` does; undefined where there is no recording
 */
export async function collectSymbols(
  path: string,
  files: readonly string[],
  guest: Session,
  stream: OutStream,
  world: World,
): Promise<Collected | undefined> {
  const recordings: string[] = [];
  const mapped = new Set<string>();
  const mappings: CodeMapping[] = [];
  for (const name of files) {
    const profile = await profileIn(Buffer.from(`${path}/${name}`, "latin1").toString());
    if (profile === undefined) continue;
    recordings.push(name);
    for (const file of profile.mapped) mapped.add(file);
    for (const mapping of profile.mappings) mappings.push(mapping);
  }
  if (recordings.length === 0) return undefined;
  if (files.some((name) => name === KALLSYMS || name.startsWith(`${SYMFS}/`))) {
    world.stderr.write(
      `spevisor: --out ${path}: the command has left ${KALLSYMS} or ${SYMFS} itself: they stay\n`,
    );
    return undefined;
  }
  const out = new OutDirectory(path);
  // The archive has only files.
  for (const directory of new Set([...mapped].flatMap((file) => above(`${SYMFS}${file}`))))
    out.onEntry({ name: directory, kind: "directory", mode: 0o755, mtimeNs: 0n, sizeBytes: 0, target: "" });
  const ask = (): void => guest.agent.symbols([...mapped]);
  const collected = await bring(out, guest, stream, "bringing back symbols", ask, world);
  for (const name of recordings)
    world.stderr.write(
      `spevisor: perf report -i ${word(`${path}/${name}`)} --symfs ${word(`${path}/${SYMFS}`)} --kallsyms ${word(`${path}/${KALLSYMS}`)}\n`,
    );
  return { ...collected, mappings };
}

/** A word as a shell reads it, in quotes where it needs them. */
const word = (text: string): string => (/^[\w./:@%+=,-]+$/.test(text) ? text : quoted(text));

/** What a file has of a profile; undefined: it is no recording of perf's, or none that can be read. */
async function profileIn(path: string): Promise<Profile | undefined> {
  try {
    const { source, close } = await openSource(path);
    return await readProfile(source).finally(close);
  } catch (error) {
    if (error instanceof UserError) return undefined;
    throw error;
  }
}
