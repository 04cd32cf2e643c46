/** What is where in Redis. Jobs are BullMQ's own, below the same prefix. */

/** BullMQ's prefix, and that of all else. */
export const PREFIX = "spevisor";

/** The queue of one version of the source: workers of another take nothing from it. */
export const queueName = (build: string): string => `cells-${build}`;

/** A job's hash, as BullMQ keeps it: there as long as the job is. */
export const jobKey = (build: string, key: string): string => `${PREFIX}:${queueName(build)}:${key}`;

/** A row's text; once it is there it stays. */
export const rowKey = (build: string, key: string): string => `${PREFIX}:row:${build}:${key}`;

/** A hash with an input's size; there once all of its chunks are. */
export const inputKey = (sha256: string): string => `${PREFIX}:input:${sha256}`;
export const chunkKey = (sha256: string, chunk: number): string => `${PREFIX}:input:${sha256}:${chunk}`;

/** A set of the SHA-256 of inputs that a worker has not found where they should be: whoever has one puts it there again. */
export const WANTED_INPUTS = `${PREFIX}:wanted`;

/** A hash of sweeps by their IDs: SweepRecord as JSON. */
export const SWEEPS = `${PREFIX}:sweeps`;
/** A sweep's cells, packed. */
export const cellsKey = (id: string): string => `${PREFIX}:sweep:${id}:cells`;
