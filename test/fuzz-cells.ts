/** Fuzzers as cells of a sweep (src/cli/sweep/cell.ts): so many cases from a seed on, and what was found. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { UserError } from "../src/common/errors.ts";
import { fuzz } from "./fuzz-a64/fuzz.ts";
import { buildRunner, missingTools } from "./fuzz-a64/oracle.ts";
import { fuzzRecordings } from "./fuzz-recordings/fuzz.ts";
import { HostileCaseFailed, HostileGuests } from "./fuzz-spe/hostile.ts";

/** What a fuzzer has found; `found` is the first of it in words. */
interface Found {
  readonly cases: number;
  readonly mismatches: number;
  readonly found: string | null;
}

async function fuzzA64(cases: number, seed: number, sequences: boolean): Promise<Found> {
  const missing = missingTools();
  if (missing !== undefined)
    throw new UserError(`fuzzing A64 needs qemu-aarch64 and a cross compiler: ${missing}`);
  const directory = mkdtempSync(join(tmpdir(), "spevisor-fuzz-"));
  try {
    const result = await fuzz({ runner: buildRunner(directory), total: cases, seed, sequences });
    const [first] = result.mismatches;
    const found =
      first === undefined ? null : `${first.rows.join(", ")}: ${first.differences.slice(0, 3).join("; ")}`;
    return { cases: result.cases, mismatches: result.mismatched, found };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function fuzzRecordingCases(cases: number, seed: number): Promise<Found> {
  try {
    await fuzzRecordings(seed, cases);
    return { cases, mismatches: 0, found: null };
  } catch (error) {
    // The first one ends it: what comes after is drawn from the same stream.
    return { cases, mismatches: 1, found: error instanceof Error ? error.message : String(error) };
  }
}

function fuzzHostile(cases: number, seed: number): Found {
  const guests = new HostileGuests();
  let mismatches = 0;
  let found: string | null = null;
  for (let i = 0; i < cases; i++)
    try {
      guests.run(seed + i);
    } catch (error) {
      if (!(error instanceof HostileCaseFailed)) throw error;
      mismatches += 1;
      found ??= error.message;
    }
  return { cases, mismatches, found };
}

/** Runs a cell. @throws UserError where what it compares with is not installed */
export async function runFuzzCell(target: string, cases: number, seed: number): Promise<Found> {
  switch (target) {
    case "a64":
      return fuzzA64(cases, seed, false);
    case "a64-sequences":
      return fuzzA64(cases, seed, true);
    case "recordings":
      return fuzzRecordingCases(cases, seed);
    case "hostile-guests":
      return fuzzHostile(cases, seed);
    default:
      throw new UserError(`there is no fuzzer "${target}"`);
  }
}
