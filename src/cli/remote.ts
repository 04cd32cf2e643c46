/** Carries out jobs in a worker thread, so that a long computation delays neither Ctrl-C nor the progress line. */
import { on } from "node:events";
import { Worker } from "node:worker_threads";
import { assertNever, UserError } from "../common/errors.ts";
import type { RunDetail } from "../lab/report/detail.ts";
import type { OnProgress } from "./engine.ts";
import { isFile, type Job } from "./job.ts";
import type { WorkerInput, WorkerMessage } from "./worker.ts";

/** The recording's name for standard input. */
const STDIN = "-";

export async function* runInWorker(job: Job, onProgress: OnProgress): AsyncGenerator<RunDetail> {
  const readsStdin = job.kind === "predict" && job.file === STDIN;
  const worker = new Worker(new URL("../../bin/worker.js", import.meta.url), {
    workerData: { job, importsSource: job.policyNames.some(isFile) } satisfies WorkerInput,
    stdin: readsStdin,
  });
  if (readsStdin && worker.stdin !== null) process.stdin.pipe(worker.stdin);
  try {
    for await (const [message] of on(worker, "message", { close: ["exit"] })) {
      const said = message as WorkerMessage;
      switch (said.kind) {
        case "progress":
          onProgress(said);
          break;
        case "run":
          yield said.detail;
          break;
        case "done":
          return;
        case "user-error":
          throw new UserError(said.what, said.remedy);
        case "bug":
          throw said.error;
        default:
          assertNever(said);
      }
    }
    throw new Error("the worker ended without a word");
  } finally {
    await worker.terminate();
  }
}
