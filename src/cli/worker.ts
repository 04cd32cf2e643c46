/** The worker's side: carries out one job and posts what comes of it. Started by bin/worker.js. */
import { parentPort, workerData } from "node:worker_threads";
import { UserError } from "../common/errors.ts";
import type { RunDetail } from "../lab/report/detail.ts";
import { type Job, runJob } from "./job.ts";
import { loadLab } from "./lab.ts";

/** Everything a worker says. Error classes do not survive the crossing, so a user's error is spelt out. */
export type WorkerMessage =
  | { readonly kind: "progress"; readonly done: number; readonly total: number; readonly what: string }
  | { readonly kind: "run"; readonly detail: RunDetail }
  | { readonly kind: "done" }
  | { readonly kind: "user-error"; readonly what: string; readonly remedy: string }
  | { readonly kind: "bug"; readonly error: Error };

/** What a worker is started with. */
export interface WorkerInput {
  readonly job: Job;
  /** It imports a policy's file, which imports modules of the source. */
  readonly importsSource: boolean;
}

/** Carries out the job that this worker was started for. */
export async function work(): Promise<void> {
  const say = (message: WorkerMessage) => parentPort?.postMessage(message);
  try {
    const { job } = workerData as WorkerInput;
    for await (const detail of runJob(await loadLab(), job, (progress) =>
      say({ kind: "progress", ...progress }),
    ))
      say({ kind: "run", detail });
    say({ kind: "done" });
  } catch (error) {
    if (error instanceof UserError) say({ kind: "user-error", what: error.what, remedy: error.remedy });
    else say({ kind: "bug", error: error instanceof Error ? error : new Error(String(error)) });
  }
}
