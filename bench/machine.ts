/**
 * `npm run bench:machine`: how fast the machine is, beside QEMU in the same run: booting Debian's guest, and a command in a
 * guest that has booted before. Medians; what counts are ratios, since machines differ.
 */
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Semantics } from "../src/a64/emit.ts";
import { ALL_ROWS } from "../src/a64/encodings/index.ts";
import { Handlers } from "../src/a64/handlers.ts";
import { SEMANTICS } from "../src/a64/semantics/index.ts";
import { cacheFolder } from "../src/cli/cache-folder.ts";
import { interpreterModule } from "../src/cpu/execute/loop.ts";
import { DEFAULT_COMMAND_LINE } from "../src/guest/debian/command-line.ts";
import { guestFiles } from "../src/guest/node/guests.ts";
import { readReport } from "../src/lab/report/report-file.ts";
import type { Host, LinuxRun } from "../src/lab/report/run.ts";
import { engine } from "../src/wasm/engine.ts";
import { comparePrograms, missingForPrograms } from "./programs.ts";

const REPEATS = 3;
const cli = fileURLToPath(new URL("../bin/spevisor.js", import.meta.url));

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] as number;

function row(...cells: readonly string[]): void {
  console.log(cells.map((cell, i) => (i === 0 ? cell.padEnd(44) : cell.padStart(16))).join(""));
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`;

type HostMachine = NonNullable<Host["machine"]>;

interface RunRecord {
  readonly run: LinuxRun;
  readonly host: HostMachine;
}

/** One run of the command line: how long it took, and what it says of itself. */
const run = (...args: readonly string[]) => runWith(undefined, ...args);

/** @param input what is its standard input */
function runWith(
  input: Buffer | undefined,
  ...args: readonly string[]
): { readonly ms: number; readonly record: RunRecord; readonly out: string } {
  const folder = mkdtempSync(join(tmpdir(), "spevisor-bench-"));
  try {
    const json = join(folder, "run.json");
    const startedMs = performance.now();
    const done = spawnSync(process.execPath, [cli, "run", "--json", json, ...args], {
      stdio: [input === undefined ? "ignore" : "pipe", "pipe", "inherit"],
      ...(input === undefined ? {} : { input }),
    });
    const ms = performance.now() - startedMs;
    if (done.status !== 0) throw new Error(`spevisor run ${args.join(" ")} ended with ${done.status}`);
    const { runs, host } = readReport(readFileSync(json, "utf8"), json);
    const record = { run: runs[0] as LinuxRun, host: host.machine as HostMachine };
    return { ms, record, out: done.stdout.toString("utf8") };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Boots the same files on QEMU's virt machine up to init's shell; milliseconds. */
function bootQemu(image: string, initrd: string): Promise<number> {
  const machine = [
    "-M",
    "virt,gic-version=3",
    "-cpu",
    "cortex-a76",
    "-m",
    "512M",
    "-nographic",
    "-nic",
    "none",
  ];
  const startedMs = performance.now();
  return new Promise((resolve, reject) => {
    const child = spawn(
      "qemu-system-aarch64",
      [...machine, "-kernel", image, "-initrd", initrd, "-append", DEFAULT_COMMAND_LINE],
      { stdio: ["pipe", "pipe", "ignore"] },
    );
    let said = "";
    child.on("error", reject);
    child.on("exit", () => reject(new Error("QEMU ended before the guest was ready")));
    child.stdout.on("data", (data: Buffer) => {
      said = (said + data.toString("latin1")).slice(-4096);
      if (!said.includes("here is a shell")) return;
      child.removeAllListeners("exit");
      child.kill("SIGKILL");
      resolve(performance.now() - startedMs);
    });
  });
}

const made: number[] = [];
for (let i = 0; i < 5; i++) {
  const startedMs = performance.now();
  const handlers = new Handlers(ALL_ROWS, (of) => (SEMANTICS as Record<string, Semantics>)[of.name]);
  new engine.Module(interpreterModule(handlers, { memoryPages: 1 }));
  made.push(performance.now() - startedMs);
}
row("", "here", "QEMU", "ratio");
row("the interpreter is made", `${median(made).toFixed(0)} ms`);

const guest = await guestFiles("bookworm", cacheFolder(process.env));
if (guest === undefined) {
  console.log("No guest to boot: npx spevisor guest fetch");
  process.exit(2);
}
const cold = Array.from({ length: REPEATS }, () => run("--no-cache", "--", "true"));
const hasQemu = spawnSync("qemu-system-aarch64", ["--version"]).status === 0;
const qemu: number[] = [];
if (hasQemu) for (let i = 0; i < REPEATS; i++) qemu.push(await bootQemu(guest.image, guest.initrd));
else console.log("QEMU is not installed: apt-get install qemu-system-arm");
const coldMs = median(cold.map(({ ms }) => ms));
row(
  "cold boot of Debian's guest to a command",
  seconds(coldMs),
  ...(hasQemu ? [seconds(median(qemu)), `${(coldMs / median(qemu)).toFixed(2)} times`] : []),
);
row("  instructions a second while it boots", `${median(cold.map(({ record }) => record.host.mips))} MIPS`);
run("--", "true");
const warm = Array.from({ length: 5 }, () => run("--", "true"));
row("a command from a kept boot (goal: 2 s)", seconds(median(warm.map(({ ms }) => ms))));
const work = "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done; head -c 4000000 /dev/zero | sha256sum";
const busy = Array.from({ length: REPEATS }, () => run("--", "sh", "-c", work));
row("  a loop of sh, and sha256sum of 4 MB", `${median(busy.map(({ record }) => record.host.mips))} MIPS`);
const missing = missingForPrograms();
if (missing !== undefined) console.log(`Programs in the guest are not compared: ${missing} not installed`);
else {
  console.log(
    "Programs in the guest, and on QEMU's user-mode emulation, which translates and emulates no MMU",
  );
  const programs = comparePrograms((command, path) => {
    const { record, out } = runWith(readFileSync(path), "--", "sh", "-c", command);
    return { out, ms: record.host.runNs / 1e6, instructions: record.host.instructions };
  });
  for (const { what, mips, hereMs, qemuMs } of programs)
    row(`  ${what}`, `${mips.toFixed(0)} MIPS`, seconds(qemuMs), `${(hereMs / qemuMs).toFixed(1)} times`);
}
