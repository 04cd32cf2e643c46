/**
 * The walker against QEMU: a bare-metal program at EL2 sets up generated regimes and tables and runs AT
 * instructions; PAR_EL1 must be what the walker says, and the tables must be left as the walker leaves them.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hex } from "../src/common/address.ts";
import { isFault } from "../src/mmu/fault.ts";
import { MMU_FEATURES } from "../src/mmu/implementation.ts";
import { EXCLUSIONS } from "./walker-qemu/exclusions.ts";
import { type Case, type CpuUnderTest, encodeCase, generateCase } from "./walker-qemu/generate.ts";
import { Unknowable } from "./walker-qemu/machine.ts";
import { buildPayload, missingTools, runPayload } from "./walker-qemu/qemu.ts";
import { answerOf, checksum, EXCEPTION, type Outcome, outcomeOf } from "./walker-qemu/simulate.ts";

/** FEAT_PAN3 came with QEMU 8.0. */
const CPUS: readonly CpuUnderTest[] = [
  { name: "max", features: { ...MMU_FEATURES, epan: false }, has52Bits: true },
  {
    name: "neoverse-n1",
    features: { ...MMU_FEATURES, epan: false, e0pd: false, smallTables: false },
    has52Bits: false,
  },
];
const CASES = 4000;
const QUERIES = 30;

const missing = missingTools();
if (missing !== undefined) console.log(`walker-qemu: skipped, needs QEMU and a cross compiler: ${missing}`);

interface Expectation {
  readonly from: Case;
  readonly outcomes: readonly Outcome[];
  readonly sum: bigint;
}

/** Cases with what the walker says of them, and the payload's input. */
function prepare(cpu: CpuUnderTest): { expectations: Expectation[]; input: bigint[] } {
  const input: bigint[] = [];
  const expectations: Expectation[] = [];
  for (let seed = 1; expectations.length < CASES; seed++) {
    try {
      const from = generateCase(seed, { ...cpu, updatesAlways: seed % 4 === 0 }, QUERIES);
      const memory = from.machine.contents();
      const outcomes = from.queries.map((query) => outcomeOf(from, query, "store"));
      expectations.push({ from, outcomes, sum: checksum(from, memory) });
      input.push(...encodeCase(from, memory));
    } catch (error) {
      if (!(error instanceof Unknowable)) throw error;
    }
  }
  return { expectations, input: [BigInt(CASES), ...input] };
}

const described = (outcome: Outcome): string =>
  isFault(outcome)
    ? `stage ${outcome.stage} ${outcome.kind} level ${outcome.level}${outcome.onWalk ? " on a walk" : ""}`
    : "translated";

/** An exception's syndrome, reduced to its status code. */
const reduced = (word: bigint): bigint =>
  word >= EXCEPTION && word >> 48n === 0xeeeen ? EXCEPTION | (word & 0x3fn) : word;

describe.skipIf(missing !== undefined)("the walker and QEMU's AT instructions", () => {
  let directory = "";
  let elf = "";
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "walker-qemu-"));
    elf = buildPayload(directory);
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  it.each(CPUS)("agree on $name", async (cpu) => {
    const { expectations, input } = prepare(cpu);
    const answers = await runPayload(elf, cpu.name, input, directory);
    expect(answers.length).toBe(CASES * (QUERIES + 1));

    const seen = new Map<string, number>();
    const count = (what: string): void => void seen.set(what, (seen.get(what) ?? 0) + 1);
    const differences: string[] = [];
    let at = 0;
    for (const { from, outcomes, sum } of expectations) {
      outcomes.forEach((outcome, i) => {
        const answer = reduced(answers[at++] as bigint);
        const expected = answerOf(outcome);
        count(described(outcome));
        let compared = ~0n;
        for (const exclusion of EXCLUSIONS) {
          const ignored = exclusion.ignored(outcome, from, expected);
          if ((answer ^ expected) & ignored) count(exclusion.name);
          compared &= ~ignored;
        }
        if (((answer ^ expected) & compared) === 0n) return;
        const query = from.queries[i];
        differences.push(
          `seed ${from.seed}: AT ${query?.operation} ${hex(query?.address ?? 0n)}: QEMU ${hex(answer)}, walker ${hex(expected)} (${described(outcome)})`,
        );
      });
      if (answers[at++] !== sum) differences.push(`seed ${from.seed}: the tables differ afterwards`);
    }
    expect(differences).toEqual([]);

    // What a run must have met to mean anything. Stage 2 seldom has a bad root and a way to it but on a walk.
    for (const kind of ["translation", "address-size", "access-flag", "permission"])
      for (const stage of [1, 2])
        for (const level of stage === 1 && (kind === "translation" || kind === "address-size")
          ? [0, 1, 2, 3]
          : [1, 2, 3])
          expect(
            seen.get(`stage ${stage} ${kind} level ${level}`) ?? 0,
            `stage ${stage} ${kind} level ${level}`,
          ).toBeGreaterThan(3);
    for (const what of [
      "translation level 0",
      "translation level 3",
      "address-size level 0",
      "access-flag level 3",
      "permission level 1",
      "permission level 3",
      "external level 1",
    ])
      expect(seen.get(`stage 2 ${what} on a walk`) ?? 0, `${what} on a walk`).toBeGreaterThan(10);
    expect(seen.get("translated")).toBeGreaterThan(5000);
    for (const { name } of EXCLUSIONS)
      expect(seen.get(name), `"${name}" is not needed any more`).toBeGreaterThan(0);
  });
});
