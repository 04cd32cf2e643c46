/** Runs the machine's perf on a file and reads what it prints about SPE. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** What perf prints about a perf.data, its warnings dropped. Throws if perf fails or is absent. */
export function perf(data: Uint8Array, command: readonly string[]): string {
  const directory = mkdtempSync(join(tmpdir(), "spevisor-spe-perf-"));
  try {
    const file = join(directory, "perf.data");
    writeFileSync(file, data);
    // SIGPIPE is the end of 6.1's `c2c report` where addr2line has no file.
    return execFileSync("sh", ["-c", "trap '' PIPE; exec perf \"$@\"", "perf", ...command, "-i", file], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
      maxBuffer: 1 << 28,
      env: { ...process.env, PERF_CONFIG: "/dev/null", LC_ALL: "C" },
    });
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** One line of `perf report -D` inside "ARM SPE data": a packet, or a run of padding. */
export interface DumpedPacket {
  readonly at: number;
  readonly bytes: readonly number[];
  readonly text: string;
}

/** The packets of each AUXTRACE event, in the order of the file. */
export function dumpedPackets(report: string): DumpedPacket[][] {
  const buffers: DumpedPacket[][] = [];
  for (const line of report.split("\n")) {
    if (line.includes("ARM SPE data")) buffers.push([]);
    const match = /^\. {2}([0-9a-f]{8}): {2}((?:[0-9a-f]{2} )+) *(.*)$/.exec(line);
    const [, at, bytes, text] = match ?? [];
    if (at === undefined || bytes === undefined || text === undefined) continue;
    buffers.at(-1)?.push({
      at: Number.parseInt(at, 16),
      bytes: bytes
        .trim()
        .split(" ")
        .map((b) => Number.parseInt(b, 16)),
      text,
    });
  }
  return buffers;
}

/** One line of `perf script`: a sample that perf makes from a record. */
export interface ScriptedSample {
  readonly comm: string;
  readonly tid: number;
  readonly cpu: number;
  readonly timeNs: bigint;
  readonly event: string;
  readonly addr: bigint;
  /** union perf_mem_data_src. */
  readonly dataSrc: bigint;
  readonly weight: number;
  readonly ip: bigint;
  readonly physAddr: bigint | undefined;
}

const LINE =
  /^\s*(\S+)\s+(\d+)\s+\[(\d+)\]\s+(\d+)\.(\d{9}):\s+([\w-]+):\s+([0-9a-f]+)\s+([0-9a-f]+) \|.*?\s+(\d+)\s+([0-9a-f]+)(?:\s+([0-9a-f]+))?\s*$/;

/** All samples, in the order of printing. A line that is none is an error: nothing is skipped. */
export function scriptedSamples(data: Uint8Array, physicalAddresses: boolean): ScriptedSample[] {
  const fields = ["comm", "tid", "time", "cpu", "event", "addr", "data_src", "weight", "ip"];
  if (physicalAddresses) fields.push("phys_addr");
  const text = perf(data, ["script", "--ns", "--itrace=i1ibfmtaM", "-F", fields.join(",")]);
  return text
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => {
      const parts = LINE.exec(line);
      if (parts === null) throw new Error(`perf script printed a line that is no sample: ${line}`);
      const [comm, tid, cpu, s, ns, event, addr, dataSrc, weight, ip, physAddr] = parts.slice(1) as string[];
      return {
        comm: String(comm),
        tid: Number(tid),
        cpu: Number(cpu),
        timeNs: BigInt(s as string) * 1_000_000_000n + BigInt(ns as string),
        event: String(event),
        addr: BigInt(`0x${addr}`),
        dataSrc: BigInt(`0x${dataSrc}`),
        weight: Number(weight),
        ip: BigInt(`0x${ip}`),
        physAddr: physAddr === undefined ? undefined : BigInt(`0x${physAddr}`),
      };
    });
}
