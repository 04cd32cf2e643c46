/**
 * Records of a program that is known: what perf in the guest has recorded, and Debian's perf on this computer decodes, is right to the
 * physical page.
 */
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runInGuest, scratchFolder } from "./guest/cli.ts";
import { guestFor } from "./guest/guests.ts";
import { archive, buildProfiled, hasCrossCompiler } from "./guest/programs.ts";
import { has } from "./oracles.ts";

const missing = !hasCrossCompiler
  ? "gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
  : has("perf")
    ? undefined
    : "linux-perf";
if (missing !== undefined) console.log(`guest, SPE records: skipped, needs: apt-get install ${missing}`);
const guest = missing === undefined ? await guestFor("guest, SPE records") : undefined;
const MINUTES = 60_000;
const scratch = scratchFolder("guest-spe");
afterAll(scratch.remove);

/** A record as `perf report -D` prints it. */
interface Printed {
  readonly context: number;
  readonly pc: bigint;
  readonly target: bigint | undefined;
  readonly va: bigint | undefined;
  readonly pa: bigint | undefined;
  readonly op: string;
  readonly events: readonly string[];
}

const address = (text: string, name: string): bigint | undefined => {
  const found = new RegExp(`^${name} 0x([0-9a-f]+)`, "m").exec(text);
  return found === null ? undefined : BigInt(`0x${found[1]}`);
};

/** The records in perf's text: each ends with its timestamp. */
function recordsOf(dump: string): readonly Printed[] {
  const packets = [...dump.matchAll(/^\. +[0-9a-f]{8}: {2}(?:[0-9a-f]{2} )+ *(\S.*)$/gm)].map(
    ([, text = ""]) => text,
  );
  const records: Printed[] = [];
  let text = "";
  for (const packet of packets) {
    expect(packet).not.toMatch(/Bad packet/);
    if (packet === "PAD") continue;
    text += `${packet}\n`;
    if (!packet.startsWith("TS ")) continue;
    records.push({
      context: Number(/^CONTEXT (0x[0-9a-f]+) el1/m.exec(text)?.[1]),
      pc: address(text, "PC") ?? 0n,
      target: address(text, "TGT"),
      va: address(text, "VA"),
      pa: address(text, "PA"),
      op: /^(LD|ST|B|AT|OTHER)\b.*/m.exec(text)?.[0].trim() ?? "",
      events: /^EV (.*)/m.exec(text)?.[1]?.trim().split(" ") ?? [],
    });
    text = "";
  }
  return records;
}

const perf = (...argv: string[]): string => {
  const { status, stdout, stderr } = spawnSync("perf", argv, { encoding: "utf8", maxBuffer: 2 ** 30 });
  expect(status, stderr).toBe(0);
  return stdout;
};

describe.skipIf(guest === undefined)("a program's records", { timeout: 5 * MINUTES }, () => {
  let programs = "";
  beforeAll(async () => {
    programs = await archive(scratch.at("programs.tar"), { profiled: buildProfiled(scratch.at("profiled")) });
  });
  const beside = (script: string, options: readonly string[]) =>
    runInGuest(["sh", "-c", `cd /tmp && tar x && ${script}`], options, { input: { file: programs } });

  it("name its instructions, what they access and where they branch to, and its symbols", async () => {
    const out = scratch.at("known");
    const event = "arm_spe/ts_enable=1,pa_enable=1,load_filter=1,store_filter=1,branch_filter=1,jitter=1/";
    const {
      out: said,
      err,
      code,
    } = await beside(
      `perf record -o /out/perf.data -m ,8M -e ${event} -- ./profiled known 2>/tmp/err || cat /tmp/err >&2`,
      ["--bare-metal", "--cpus", "2", "--out", out],
    );
    expect(code, err).toBe(0);
    const numberOf = (what: string): bigint =>
      BigInt(`0x${new RegExp(`^${what} (\\w+)`, "m").exec(said)?.[1]}`);
    const pid = Number(/^pid (\d+)/m.exec(said)?.[1]);
    const array = numberOf("array");
    const pages = new Map(
      [...said.matchAll(/^page (\w+) (\w+)/gm)].map(([, va, pa]) => [BigInt(`0x${va}`), BigInt(`0x${pa}`)]),
    );
    const records = recordsOf(perf("report", "-D", "-i", `${out}/perf.data`)).filter(
      ({ context }) => context === pid,
    );
    /** Up to the next function, or as far as any of them is long. */
    const within = (name: string) => {
      const first = numberOf(name);
      const others = ["stride", "calls", "called"].map(numberOf).filter((start) => start > first);
      const end = [first + 0x80n, ...others].reduce((least, at) => (at < least ? at : least));
      return records.filter(({ pc }) => pc >= first && pc < end);
    };

    // 245,760 turns of six instructions, two of them a load and a branch: one in 1,024 or so of those, with jitter.
    const stride = within("stride");
    const loads = stride.filter(({ op }) => op === "LD GP-REG");
    const branches = stride.filter(({ op }) => op === "B COND");
    expect(loads.length + branches.length).toBe(stride.length);
    expect(Math.abs(loads.length - branches.length)).toBeLessThan(5 * Math.sqrt(stride.length));
    expect(stride.length).toBeGreaterThan(300);
    for (const { va = 0n, pa, events } of loads) {
      expect((va - array) % 128n).toBe(0n);
      expect(va >= array && va < array + 4096n * 128n).toBe(true);
      expect(pa).toBe((pages.get(va & ~0xfffn) ?? -1n) + (va & 0xfffn));
      expect(events).toEqual(expect.arrayContaining(["RETIRED", "L1D-ACCESS", "TLB-ACCESS"]));
    }
    // 512 KiB in steps of two lines do not fit into 64 KiB: of what the models see of it an eighth stays (src/cpu/spe/bias.test.ts).
    expect(loads.filter(({ events }) => events.includes("L1D-REFILL")).length).toBeGreaterThan(
      0.75 * loads.length,
    );
    for (const { pc, target, events } of branches) {
      expect(events.includes("NOT-TAKEN")).toBe(target === undefined);
      if (target !== undefined) expect(target < pc && pc - target < 0x40n).toBe(true);
    }
    // Of calls three turns in four go into the function.
    const returns = within("called").filter(({ op }) => op === "B IND");
    const calls = within("calls");
    const intoCalled = calls.filter(({ target }) => target === numberOf("called"));
    expect(returns.length).toBeGreaterThan(50);
    expect(intoCalled.length).toBeGreaterThan(50);
    for (const { target } of returns) expect(intoCalled.map(({ pc }) => pc + 4n)).toContain(target);

    mkdirSync(`${out}/symfs/tmp`, { recursive: true });
    copyFileSync(scratch.at("profiled"), `${out}/symfs/tmp/profiled`);
    const symbols = perf(
      "script",
      "-i",
      `${out}/perf.data`,
      "--itrace=i1i",
      "--symfs",
      `${out}/symfs`,
      "-F",
      "tid,ip,sym",
    )
      .split("\n")
      .filter((line) => line.trim().startsWith(`${pid} `));
    const named = (name: string) => symbols.filter((line) => line.trim().endsWith(` ${name}`)).length;
    expect([named("stride"), named("called")]).toEqual([stride.length, within("called").length]);
  });

  it("find the line that two threads share without need (perf c2c)", async () => {
    const out = scratch.at("shared");
    // Where perf finds it here, too: of 6.1's c2c report SIGPIPE is the end if addr2line has no file.
    const program = scratch.at("profiled");
    const { out: said } = await beside(
      `mkdir -p ${dirname(program)} && mv profiled ${program} && perf c2c record -o /out/perf.data -- ${program} share 2>/dev/null`,
      ["--cpus", "2", "--out", out],
    );
    const line = /line (\w+)/.exec(said)?.[1];
    const report = perf("c2c", "report", "-i", `${out}/perf.data`, "--stdio");
    const table = report.slice(report.indexOf("Shared Data Cache Line Table"));
    expect(/^ +0 +0x([0-9a-f]+) .* (\d+\.\d+)%/m.exec(table)?.[1]).toBe(line);
    expect(Number(/^ +0 +0x[0-9a-f]+ +\S+ +\d+ +(\d+\.\d+)%/m.exec(table)?.[1])).toBeGreaterThan(90);
  });
});
