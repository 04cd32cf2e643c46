/** A profile that was recorded in the guest is read on this computer, by perf and by our decoder alike. */

import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bytesSource } from "../src/perf/byte-source.ts";
import { readProfile } from "../src/perf/profile.ts";
import { decodeSpe, type SpeInstructionAddress, type SpeRecord } from "../src/perf/spe-record.ts";
import { type Ended, runInGuest, scratchFolder } from "./guest/cli.ts";
import { guestFor } from "./guest/guests.ts";
import { has } from "./oracles.ts";
import { SAMPLE_EVENTS } from "./perf-samples.ts";
import { expectSameDump } from "./spe-perf/dump.ts";
import { perf, type ScriptedSample, scriptedSamples } from "./spe-perf/perf-tool.ts";

const MINUTES = 60_000;
const scratch = scratchFolder("guest-profile");
afterAll(scratch.remove);
const guest = await guestFor("guest, profiles");
const hasPerf = has("perf");
if (!hasPerf) console.log("guest, profiles: skipped, needs perf: apt-get install linux-perf");

const OUT = scratch.at("out");
const at = (name: string): string => `${OUT}/${name}`;
const perfHere = (...argv: readonly string[]) =>
  spawnSync("perf", argv, {
    encoding: "utf8",
    maxBuffer: 1 << 28,
    env: { ...process.env, PERF_CONFIG: "/dev/null", LC_ALL: "C" },
  });

const madeOf = (record: SpeRecord): readonly string[] => [
  ...SAMPLE_EVENTS.filter(([, bit]) => (Number(record.events) & bit) !== 0).map(([name]) => name),
  ...(record.opClass === "load-store" ? ["memory"] : []),
  "instructions",
];

/** perf sets the top byte of an address by its EL, whatever the others are. */
const perfAddress = (address: SpeInstructionAddress | undefined): bigint | undefined =>
  address === undefined ? undefined : BigInt.asUintN(56, address.va) | (address.el === 0 ? 0n : 0xffn << 56n);

/** How perf turns the counter into nanoseconds (tools/perf/util/tsc.c), by what the recording says of it. */
function clockOf(dump: string): (ticks: bigint) => bigint {
  const value = (name: string): bigint =>
    BigInt(new RegExp(`\\.\\.\\. Time ${name} +(\\d+)`).exec(dump)?.[1] ?? 0);
  const [shift, multiplier, zero] = [value("Shift"), value("Muliplier"), value("Zero")];
  return (ticks) =>
    BigInt.asUintN(
      64,
      zero + (ticks >> shift) * multiplier + (((ticks & ((1n << shift) - 1n)) * multiplier) >> shift),
    );
}

describe.skipIf(guest === undefined || !hasPerf)(
  "a profile from the guest",
  { timeout: 10 * MINUTES },
  () => {
    let recorded: Ended;
    let pieces: readonly { readonly cpu: number; readonly bytes: Uint8Array }[];
    let data: Uint8Array;
    let dump: string;
    beforeAll(async () => {
      const command = [
        "perf",
        "record",
        "-o",
        "/out/perf.data",
        "-e",
        "arm_spe//",
        "--",
        "ls",
        "-lR",
        "/sys/kernel/irq",
      ];
      recorded = await runInGuest(command, ["--cpus", "2", "--out", OUT]);
      data = readFileSync(at("perf.data"));
      const { aux, damage } = await readProfile(bytesSource("perf.data", data));
      expect(damage).toBeUndefined();
      pieces = aux.map(({ at: from, sizeBytes, cpu }) => ({
        cpu,
        bytes: data.subarray(from, from + sizeBytes),
      }));
      dump = perf(data, ["report", "-D"]);
    }, 10 * MINUTES);

    it("comes with the kernel's symbols and the files that were mapped, and the command that reads it is said", () => {
      expect(recorded.code, recorded.err).toBe(0);
      expect(readFileSync(at("kallsyms"), "utf8")).toMatch(
        /^[0-9a-f]{16} t arm_spe_pmu_irq_handler\s+\[arm_spe_pmu\]$/m,
      );
      expect(existsSync(at("symfs/usr/bin/busybox"))).toBe(true);
      const [, command] = /^spevisor: (perf report .*)$/m.exec(recorded.err) ?? [];
      expect(command).toBe(
        `perf report -i ${at("perf.data")} --symfs ${at("symfs")} --kallsyms ${at("kallsyms")}`,
      );
      const report = perfHere(...(command ?? "").split(" ").slice(1), "--stdio");
      expect(report.status).toBe(0);
      expect(report.stdout).toMatch(/ls +\[kernel\.kallsyms\] +\[k\] [a-z_]{4,}/);
      expect(report.stdout).toMatch(/ls +busybox +\[\.\] /);
    });

    it("is read by perf's other reports", () => {
      for (const argv of [
        ["script", "--symfs", at("symfs"), "--kallsyms", at("kallsyms")],
        ["mem", "report", "--stdio"],
        ["c2c", "report", "--stdio"],
      ]) {
        const { status, stdout, stderr } = perfHere(...argv, "-i", at("perf.data"));
        expect([argv[0], status, stderr.match(/error|corrupt|invalid|unexpected/i)]).toEqual([
          argv[0],
          0,
          null,
        ]);
        expect(stdout.length).toBeGreaterThan(1000);
      }
    });

    it("has records, and nothing else, and perf dumps each packet as our decoder reads it", () => {
      for (const { bytes } of pieces) {
        const { records, account } = decodeSpe(bytes);
        expect(account.recordBytes + account.paddingBytes).toBe(bytes.length);
        expect(records.length).toBeGreaterThan(0);
      }
      expectSameDump(
        pieces.map(({ bytes }) => bytes),
        dump,
      );
    });

    it("gives perf's samples: each record's, with its time, task, CPU, addresses and latency", () => {
      const nsOf = clockOf(dump);
      const samples = new Map<string, ScriptedSample[]>();
      for (const sample of scriptedSamples(data, false)) {
        const key = `${sample.cpu} ${sample.timeNs} ${sample.ip}`;
        samples.set(key, [...(samples.get(key) ?? []), sample]);
      }
      for (const { cpu, bytes } of pieces)
        for (const record of decodeSpe(bytes).records) {
          const key = `${cpu} ${nsOf(record.timestamp ?? 0n)} ${record.pc?.va}`;
          const made = samples.get(key) ?? [];
          samples.delete(key);
          expect(made.map(({ event }) => event).sort()).toEqual([...madeOf(record)].sort());
          for (const { event, tid, addr, weight } of made)
            expect({ event, tid, addr, weight }).toEqual({
              event,
              tid: record.contextEl1,
              addr: (event === "branch-miss" ? perfAddress(record.target) : record.va) ?? 0n,
              weight: record.totalLatency,
            });
        }
      expect([...samples.keys()]).toEqual([]);
    });
  },
);
