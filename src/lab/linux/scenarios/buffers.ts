/** One task whose samples fill its buffer, of any size. */
import { type LinuxScenario, zeros } from "../scenario.ts";

const KIB = 1024;
const MIB = 1024 ** 2;

/**
 * md5sum takes about ten instructions for a byte and a record has 128 bytes, so at a period of 1,024 a quarter more bytes of records
 * come than of input: enough for several halves of the buffer. For the largest it is five times as many, and one half, which perf's
 * reader is woken for.
 */
const filling = (
  name: string,
  size: string,
  bufferBytes: number,
  inputMib: number,
  period: number,
): LinuxScenario => ({
  name,
  summary: `md5sum of ${inputMib} MiB of zeros, a sample each ${period.toLocaleString("en")} instructions, into a buffer of ${size}: it fills`,
  origin: "Written for comparison: the thread's commands hardly write a record.",
  command: `${zeros(inputMib)} && perf record --no-bpf-event -c ${period} -e arm_spe// -m,${size} -- md5sum /tmp/zeros`,
  bufferBytes,
  ...(period < 1024 ? { machine: { speIntervalOps: period } } : {}),
});

export const BUFFERS: readonly LinuxScenario[] = [
  filling("fills-128k", "128K", 128 * KIB, 2, 1024),
  filling("fills-1m", "1M", MIB, 4, 1024),
  filling("fills-4m", "4M", 4 * MIB, 8, 1024),
  filling("fills-16m", "16M", 16 * MIB, 16, 1024),
  filling("fills-256m", "256M", 256 * MIB, 32, 256),
];
