/**
 * Damaged recordings: thousands of mutations of the shipped files. Each must give a UserError or a result, in bounded
 * time and memory; what comes of a cut file is part of what comes of the whole one, with a warning.
 *
 *   FUZZ_SEED=7 FUZZ_COUNT=20000 npx vitest run test/perf-fuzz.test.ts
 */
import { describe, expect, it } from "vitest";
import { UserError } from "../src/common/errors.ts";
import { randomStream } from "../src/common/random.ts";
import { readRuns } from "../src/guest/recording/read.ts";
import { bytesSource } from "../src/perf/byte-source.ts";
import { fuzzRecordings } from "./fuzz-recordings/fuzz.ts";
import { bytesOf, RECORDINGS, readBytes } from "./perf-recordings.ts";

const { FUZZ_SEED = "1", FUZZ_COUNT = "2000" } = process.env;
const SEED = Number(FUZZ_SEED);
const COUNT = Number(FUZZ_COUNT);
/** The files are small; whoever needs this long for one is as good as hanging. */
const LIMIT_MS = 5_000;
/** What reading thousands of files one after the other may add to the process. */
const LIMIT_BYTES = 400e6;

describe("damaged recordings", () => {
  it(`gives a UserError or a result for ${COUNT} mutations (seed ${SEED})`, {
    timeout: 600_000,
  }, async () => {
    const rssBefore = process.memoryUsage().rss;
    const { tally, slowestMs } = await fuzzRecordings(SEED, COUNT);
    console.log(
      `perf-fuzz: ${[...tally].map(([outcome, n]) => `${n} ${outcome}`).join(", ")}; slowest ${Math.round(slowestMs)} ms`,
    );
    expect(slowestMs).toBeLessThan(LIMIT_MS);
    expect(process.memoryUsage().rss - rssBefore).toBeLessThan(LIMIT_BYTES);
    // Mutations that are all refused at the door, or all harmless, would test nothing.
    for (const outcome of ["refused", "read, with warnings", "read"])
      expect(tally.get(outcome) ?? 0, outcome).toBeGreaterThan(COUNT / 50);
  });

  it.each(RECORDINGS)("gives of a cut %s a part of the whole, with a warning", async (name) => {
    const bytes = bytesOf(name);
    const random = randomStream(SEED);
    const atOf = (line: string): number => Number(line.split(" ")[1]);
    // Times count from the first one read, which may be another one in a part: compare without them.
    const timeless = (line: string): string => line.replace(/^(\w+) \S+ /, "$1 ");
    const whole = await readBytes(name, bytes);
    for (let i = 0; i < 20; i++) {
      const cut = bytes.subarray(0, random.integer(1200, bytes.length - 1));
      let part: Awaited<ReturnType<typeof readBytes>>;
      try {
        part = await readBytes(name, cut);
      } catch (error) {
        expect(error).toBeInstanceOf(UserError);
        continue;
      }
      // A pipe that ends between two records cannot be told from one that ends there.
      if (!part.report.pipe) expect(part.report.warnings.length).toBeGreaterThan(0);
      const left = new Map<string, number>();
      for (const line of whole.lines) left.set(timeless(line), (left.get(timeless(line)) ?? 0) + 1);
      for (const line of part.lines) {
        const count = left.get(timeless(line)) ?? 0;
        expect(count, line).toBeGreaterThan(0);
        left.set(timeless(line), count - 1);
      }
      for (const [n, line] of part.lines.entries())
        if (n > 0) expect(atOf(line)).toBeGreaterThanOrEqual(atOf(part.lines[n - 1] as string));
    }
  });

  it("refuses noise", async () => {
    const random = randomStream(SEED);
    for (let i = 0; i < 200; i++) {
      const noise = Uint8Array.from({ length: random.integer(0, 3000) }, () => random.integer(0, 255));
      await expect(readRuns(bytesSource("noise", noise))).rejects.toBeInstanceOf(UserError);
      // The same behind a magic that promises more.
      noise.set(new TextEncoder().encode("PERFILE2").subarray(0, noise.length));
      await expect(readRuns(bytesSource("noise", noise))).rejects.toBeInstanceOf(UserError);
    }
  });
});
