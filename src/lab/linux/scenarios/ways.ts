/** Other ways to record than one task's, and other workloads than one that computes. */
import { type LinuxScenario, zeros } from "../scenario.ts";

const KIB = 1024;
const MIB = 1024 ** 2;
const ORIGIN = "Written for comparison: nobody has measured it.";

const ZEROS = zeros(4);
const record = (options: string): string => `perf record --no-bpf-event -c 4096 -e arm_spe// ${options} --`;

export const WAYS: readonly LinuxScenario[] = [
  {
    name: "per-cpu",
    summary: "perf record -a while md5sum computes: the buffer stays on",
    origin: ORIGIN,
    command: `${ZEROS} && ${record("-a -m,4M")} md5sum /tmp/zeros`,
    bufferBytes: 4 * MIB,
  },
  {
    name: "two-busy",
    summary: "Two tasks that compute, on one vCPU: the scheduler goes from one to the other",
    origin: ORIGIN,
    command: `${ZEROS} && ${record("-m,4M")} sh -c 'md5sum /tmp/zeros & md5sum /tmp/zeros; wait'`,
    bufferBytes: 4 * MIB,
  },
  {
    name: "snapshot-mode",
    summary: "perf record -S: the buffer is a ring, of which two snapshots are taken",
    origin: ORIGIN,
    command: `${ZEROS} && ${record("-S -m,1M")} sh -c 'md5sum /tmp/zeros; kill -USR2 $PPID; md5sum /tmp/zeros; kill -USR2 $PPID; usleep 100000'`,
    bufferBytes: MIB,
  },
  {
    name: "fork-storm",
    summary: "Forty processes that start at once and end at once",
    origin: ORIGIN,
    command: `${record("-m,4M")} sh -c 'i=0; while [ $i -lt 40 ]; do /bin/busybox true & i=$((i+1)); done; wait'`,
    bufferBytes: 4 * MIB,
  },
  {
    name: "pipe-ping-pong",
    summary: "perf bench sched pipe: two tasks that wait for each other, 200 times",
    origin: ORIGIN,
    command: `${record("-m,4M")} perf bench sched pipe -l 200`,
    bufferBytes: 4 * MIB,
  },
  {
    name: "remaps",
    summary: "Three recordings one after the other, each with a buffer of its own at another place",
    origin: ORIGIN,
    command: ["16M", "4M", "16M"].map((size) => `${record(`-m,${size}`)} true`).join(" && "),
    bufferBytes: 16 * MIB,
  },
  {
    name: "overruns",
    summary: "A task fills a small buffer while perf, its reader, is stopped: AUX space runs out",
    origin: ORIGIN,
    command: `${ZEROS} && perf record --no-bpf-event -c 1024 -e arm_spe// -m,128K -- sh -c 'kill -STOP $PPID; md5sum /tmp/zeros; kill -CONT $PPID'`,
    bufferBytes: 128 * KIB,
  },
];
