/** spevisor's processes around a queue, for tests that kill them. */
import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { withoutProgress } from "../progress-lines.ts";

const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
/** The command line, and the one with the sample questions. */
export const SPEVISOR = [file("../../bin/spevisor.js")];
export const SAMPLE = [file("../../scripts/typescript.js"), file("../ask/sample-cli.ts")];

export interface Ended {
  /** Null: killed. */
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  /** What it has printed so far. */
  readonly out: () => string;
  readonly err: () => string;
}

export function start(
  program: readonly string[],
  argv: readonly string[],
  cwd: string,
  env: Readonly<Record<string, string>> = {},
): Running {
  const child = spawn(process.execPath, [...program, ...argv], {
    cwd,
    env: { ...process.env, NO_COLOR: "1", XDG_CACHE_HOME: `${cwd}/cache`, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let out = "";
  let err = "";
  child.stdout.on("data", (chunk) => (out += chunk));
  child.stderr.on("data", (chunk) => (err += chunk));
  const ended = new Promise<Ended>((resolve) =>
    child.on("close", (code) => resolve({ code, out, err: withoutProgress(err) })),
  );
  return { child, ended, out: () => out, err: () => err };
}

/** kill -9, and waits for the end. */
export async function kill(running: Running): Promise<void> {
  running.child.kill("SIGKILL");
  await running.ended;
}

/** Has a worker stop as systemd would. */
export async function stop(running: Running): Promise<Ended> {
  running.child.kill("SIGTERM");
  return running.ended;
}
