/** What the thread's commands were on its machine, as far as its figures tell, with real processes. */
import type { LinuxScenario } from "../scenario.ts";
import { A, B, FILTERED } from "./thread.ts";

const MIB = 1024 ** 2;

/** Processes one after the other, each of which sleeps for a millisecond: nobody else runs meanwhile. */
const processes = (count: number): string =>
  `perf stat -e task-clock,cycles,context-switches -- sh -c 'i=0; while [ $i -lt ${count} ]; do usleep 1000; i=$((i+1)); done'`;

const ORIGIN =
  "The thread counts 100 switches in its first command, and its times imply about 1,000 in the second. Debian's true here makes " +
  "hardly one, so something else must: a process that is started, sleeps and ends makes ten or so where each enable stops its vCPU. " +
  "Ten and a hundred processes are the least round numbers with as many switches; times and clock follow.";

/** Two commands, with at least 100 and 1,000 switches. */
export const THREAD_LIKE: readonly LinuxScenario[] = [
  {
    name: "thread-like",
    summary: "The thread's filter and buffer over ten short processes: 100 switches and more",
    origin: ORIGIN,
    command: `${FILTERED} ${processes(10)}`,
    bufferBytes: 256 * MIB,
    seen: A,
  },
  {
    name: "thread-like-1000",
    summary: "The same over a hundred: 1,000 switches and more",
    origin: ORIGIN,
    command: `${FILTERED} ${processes(100)}`,
    bufferBytes: 256 * MIB,
    seen: B,
  },
];
