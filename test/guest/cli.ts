/** The command line: as a process of its own, as somebody types it, and in this one. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { devNull, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadLab } from "../../src/cli/lab.ts";
import { main } from "../../src/cli/main.ts";
import { runInWorker } from "../../src/cli/remote.ts";
import type { StandardInput, TextOut } from "../../src/cli/world.ts";
import { inputOf } from "../no-input.ts";
import { withoutProgress } from "../progress-lines.ts";

export const SPEVISOR = fileURLToPath(new URL("../../bin/spevisor.js", import.meta.url));

/** Ends what hangs. Nothing here takes a tenth of it, unless it says so. */
const LIMIT_MS = 240_000;

export interface Ended {
  /** The exit status; the signal's name where one ended it. */
  readonly code: number | string | null;
  readonly out: string;
  /** Without lines of progress. */
  readonly err: string;
}

export interface Given {
  /** Standard input: text comes through a pipe, `file` is opened; nothing is /dev/null. */
  readonly input?: string | { readonly file: string };
  readonly cwd?: string;
  /** More for the environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** When it is taken to hang. */
  readonly limitMs?: number;
}

const collected = (child: ChildProcess): Promise<Ended> => {
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout?.on("data", (chunk: Buffer) => out.push(chunk));
  child.stderr?.on("data", (chunk: Buffer) => err.push(chunk));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) =>
      resolve({
        code: code ?? signal,
        out: Buffer.concat(out).toString("utf8"),
        err: withoutProgress(Buffer.concat(err).toString("utf8")),
      }),
    );
  });
};

/** Runs a program to its end. */
export async function run(program: string, argv: readonly string[], given: Given = {}): Promise<Ended> {
  const { input, cwd, env, limitMs } = given;
  const file = typeof input === "object" ? openSync(input.file, "r") : undefined;
  try {
    const child = spawn(program, argv, {
      cwd,
      env: { ...process.env, ...env },
      stdio: [file ?? (input === undefined ? "ignore" : "pipe"), "pipe", "pipe"],
      timeout: limitMs ?? LIMIT_MS,
      killSignal: "SIGKILL",
    });
    const ended = collected(child);
    // One that ends without reading its input is no failure of the test's.
    child.stdin?.on("error", () => undefined);
    if (typeof input === "string") child.stdin?.end(input);
    return await ended;
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

/** `spevisor ARGV`. */
export const spevisor = (argv: readonly string[], given: Given = {}): Promise<Ended> =>
  run(process.execPath, [SPEVISOR, ...argv], given);

/** `spevisor run OPTIONS -- COMMAND`, as a process: for what streams, signals and statuses of one are. */
export const runAsTyped = (
  command: readonly string[],
  options: readonly string[] = [],
  given: Given = {},
): Promise<Ended> => spevisor(["run", ...options, "--", ...command], given);

/** What standard input has, for a command line in this process. */
function inputFor(input: Given["input"]): StandardInput {
  if (input === undefined) return inputOf(devNull);
  if (typeof input === "object") return inputOf(input.file);
  const folder = mkdtempSync(join(tmpdir(), "spevisor-input-"));
  try {
    writeFileSync(join(folder, "input"), input);
    return inputOf(join(folder, "input"));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/**
 * `spevisor run OPTIONS -- COMMAND`, in this process: its start takes longer than many a guest's command, and what has run once
 * is compiled then.
 */
export async function runInGuest(
  command: readonly string[],
  options: readonly string[] = [],
  { input, env }: Pick<Given, "input" | "env"> = {},
): Promise<Ended> {
  const out: Uint8Array[] = [];
  const err: Uint8Array[] = [];
  const into = (pieces: Uint8Array[]): TextOut => ({
    // What a guest writes lies where the next piece of it will.
    write: (text) => pieces.push(Buffer.from(text as string)),
  });
  const stdin = inputFor(input);
  try {
    const code = await main(["run", ...options, "--", ...command], {
      stdin,
      stdout: into(out),
      stderr: into(err),
      env: { ...process.env, ...env },
      runJob: runInWorker,
      loadLab,
      questions: new URL("../../src/lab/questions/index.ts", import.meta.url),
      nowNs: () => Number(process.hrtime.bigint()),
    });
    return {
      code,
      out: Buffer.concat(out).toString("utf8"),
      err: withoutProgress(Buffer.concat(err).toString("utf8")),
    };
  } finally {
    closeSync(stdin.fd);
  }
}

/**
 * A line for scripts that call perf in the guest and do not need the kernel's symbols: a short list of them. perf reads all of it
 * three times for each recording, which takes ten times as long as the rest.
 */
export const SHORT_SYMBOLS =
  "head -n 3 /proc/kallsyms >/tmp/symbols && mount --bind /tmp/symbols /proc/kallsyms";

/** A new folder under the system's temporary one, and what removes it. */
export function scratchFolder(name: string): {
  readonly at: (file: string) => string;
  readonly remove: () => void;
} {
  const folder = mkdtempSync(join(tmpdir(), `spevisor-${name}-`));
  return {
    at: (file) => join(folder, file),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
