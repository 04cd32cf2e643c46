/** This computer's part of a report. */
import { availableParallelism } from "node:os";
import type { Host } from "../lab/report/run.ts";

/**
 * @param wallNs how long the command took
 * @param machine what executing real code took; null where none was
 */
export const hostFacts = (wallNs: number, machine: Host["machine"]): Host => ({
  platform: process.platform,
  arch: process.arch,
  node: process.version,
  cpus: availableParallelism(),
  wallNs,
  machine,
});
