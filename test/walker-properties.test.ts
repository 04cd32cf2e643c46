/** Properties of the walker over the regimes and tables of the QEMU test: sound, and wrong in every way. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { HI, LO } from "../src/arm/descriptors.ts";
import { type Vpn, vpn, vpnOf } from "../src/common/address.ts";
import type { Access, Requester } from "../src/mmu/access.ts";
import { halfOf, type StageConfig } from "../src/mmu/config.ts";
import { type Fault, isFault } from "../src/mmu/fault.ts";
import { MMU_FEATURES } from "../src/mmu/implementation.ts";
import type { TableMemory } from "../src/mmu/table-memory.ts";
import { type Translation, throughStage2, translate } from "../src/mmu/translate.ts";
import { type RangeVisitor, visitRange } from "../src/mmu/visit.ts";
import { type Case, type CpuUnderTest, generateCase } from "./walker-qemu/generate.ts";
import { Unknowable } from "./walker-qemu/machine.ts";
import { outcomeOf } from "./walker-qemu/simulate.ts";

const CPU: CpuUnderTest = { name: "the walker's own", features: MMU_FEATURES, has52Bits: false };

const access: fc.Arbitrary<Access> = fc.record({
  by: fc.constantFrom<Requester[]>("fetch", "load", "store", "walk", "profiling-buffer", "at", "inspect"),
  el: fc.constantFrom<(0 | 1 | 2)[]>(0, 1, 1, 1, 2),
  write: fc.boolean(),
  pan: fc.boolean(),
});

const seed = fc.integer({ min: 1, max: 1_000_000 });

/** A case, or undefined where its tables lead to memory that the test cannot know. */
function caseOf(caseSeed: number, cpu = CPU): Case | undefined {
  return knowable(() => generateCase(caseSeed, cpu, 12));
}

function knowable<T>(compute: () => T): T | undefined {
  try {
    return compute();
  } catch (error) {
    if (error instanceof Unknowable) return undefined;
    throw error;
  }
}

/** One stage of a case, with the memory that its tables are in. */
interface Stage {
  readonly config: StageConfig;
  readonly memory: TableMemory;
}

function stageOf(from: Case, stage: 1 | 2, page: number): Stage {
  return stage === 2
    ? { config: from.stage2, memory: from.machine as TableMemory }
    : {
        config: halfOf(from.regime, vpn(page)),
        memory: throughStage2(from.stage2, from.machine) as TableMemory,
      };
}

/** A page's answer in a form that can be compared, whatever run it was told in. */
const told = (answer: Translation | Fault, page: number): string =>
  isFault(answer)
    ? `${answer.stage} ${answer.kind} ${answer.level} ${answer.onWalk} ${answer.write} ${answer.onWalk ? answer.ipn : (answer.vpn ?? answer.ipn) === page}`
    : `${answer.outputPage} ${answer.level} ${JSON.stringify(answer.attributes)}`;

/** What a visit tells, page by page. */
class Listener implements RangeVisitor {
  readonly answers: string[] = [];
  readonly tables: number[] = [];
  private readonly first: number;
  constructor(first: number) {
    this.first = first;
  }
  leaf: RangeVisitor["leaf"] = (first, output, pages, attributes, level) => {
    for (let i = 0; i < pages; i++)
      this.answers[first + i - this.first] = told(
        { outputPage: output + i, attributes, level, contiguous: false, leafPages: 1 },
        first + i,
      );
  };
  table = (page: number): void => void this.tables.push(page);
  hole: NonNullable<RangeVisitor["hole"]> = (first, pages, fault) => {
    expect(
      fault.onWalk && fault.stage === 2 && fault.vpn === undefined ? first : (fault.vpn ?? fault.ipn),
    ).toBe(first);
    for (let i = 0; i < pages; i++) {
      const page = first + i;
      this.answers[page - this.first] = told(
        fault.vpn !== undefined ? { ...fault, vpn: vpn(page) } : { ...fault, ipn: page as typeof fault.ipn },
        page,
      );
    }
  };
}

const contentsOf = ({ machine }: Case): bigint[] => machine.contents();

describe("a visit", () => {
  it("tells what as many translations tell, and leaves the tables as they do", () => {
    let visits = 0;
    let runs = 0;
    fc.assert(
      fc.property(
        seed,
        fc.constantFrom<(1 | 2)[]>(1, 2),
        access,
        fc.nat({ max: 11 }),
        fc.integer({ min: -40, max: 40 }),
        fc.integer({ min: 1, max: 400 }),
        (caseSeed, stage, by, query, offset, pages) => {
          const one = caseOf(caseSeed);
          const other = caseOf(caseSeed);
          if (one === undefined || other === undefined) return;
          const address = one.queries[query]?.address ?? 0n;
          let page: number = vpnOf(address);
          if (stage === 2) {
            const output = knowable(() =>
              translate(
                halfOf(one.regime, vpn(page)),
                vpn(page),
                { ...by, by: "inspect" },
                throughStage2(one.stage2, one.machine),
              ),
            );
            page = output === undefined || isFault(output) ? page % one.stage2.pages : output.outputPage;
          }
          // One half and one tag: a range does not go from one to another.
          const half = Math.floor(page / 2 ** 43);
          const first = Math.max(page + offset, half * 2 ** 43);
          const count = Math.min(pages, (half + 1) * 2 ** 43 - first);

          const expected = knowable(() => {
            const { config, memory } = stageOf(one, stage, first);
            return Array.from({ length: count }, (_, i) =>
              told(translate(config, first + i, by, memory), first + i),
            );
          });
          if (expected === undefined) return;
          const { config, memory } = stageOf(other, stage, first);
          const listener = new Listener(first);
          const counts = visitRange(config, first, count, by, memory, listener);
          expect(listener.answers).toEqual(expected);
          expect(contentsOf(other)).toEqual(contentsOf(one));
          expect(new Set(listener.tables).size).toBe(listener.tables.length);
          expect(counts.tablePages).toBe(listener.tables.length);
          visits++;
          runs += new Set(expected).size;
        },
      ),
      { numRuns: 1500 },
    );
    expect(visits).toBeGreaterThan(1200);
    expect(runs).toBeGreaterThan(visits);
  });
});

describe("the MMU's own updates", () => {
  it("set the access flag and the dirty state, and nothing else, only where the architecture asks for it", () => {
    const seen = { flags: 0, dirtied: 0 };
    fc.assert(
      fc.property(seed, access, (caseSeed, by) => {
        const from = caseOf(caseSeed, { ...CPU, updatesAlways: true });
        if (from === undefined) return;
        for (const query of from.queries) checkUpdate(from, vpnOf(query.address), by, seen);
      }),
      { numRuns: 1500 },
    );
    expect(seen.flags).toBeGreaterThan(100);
    expect(seen.dirtied).toBeGreaterThan(20);
  });
});

/** Translates one page and holds every change of every descriptor against the rules. */
function checkUpdate(from: Case, page: Vpn, by: Access, seen: { flags: number; dirtied: number }): void {
  const config = halfOf(from.regime, page);
  const before = new Map([...from.machine.pages].map(([at, words]) => [at, words.slice()]));
  const guest = throughStage2(from.stage2, from.machine);
  const answer = knowable(() => translate(config, page, by, guest));
  if (answer === undefined) return;
  for (const [at, words] of from.machine.pages) {
    const old = before.get(at);
    for (let index = 0; index < 1024; index++) {
      const word = words[index] as number;
      const was = old === undefined ? 0 : (old[index] as number);
      if (word === was) continue;
      expect(by.by).not.toBe("inspect");
      expect(index % 2, "the high half changed").toBe(0);
      expect((word ^ was) & ~(LO.accessFlag | LO.apReadOnly)).toBe(0);
      if ((word ^ was) & LO.accessFlag) {
        expect(word & LO.accessFlag, "the access flag was cleared").not.toBe(0);
        expect(config.hardwareAccessFlag || from.stage2.hardwareAccessFlag).toBe(true);
        seen.flags++;
      }
      if ((word ^ was) & LO.apReadOnly) {
        expect((words[index + 1] as number) & HI.dirtyBitModifier).not.toBe(0);
        // Stage 2 sets S2AP[1], because of a stage 1 descriptor that is updated; stage 1 clears AP[2].
        const stage2 = (word & LO.apReadOnly) !== 0;
        expect(stage2 ? from.stage2.hardwareDirtyState : config.hardwareDirtyState).toBe(true);
        if (!stage2) expect([by.write, by.by === "at", isFault(answer)]).toEqual([true, false, false]);
        seen.dirtied++;
      }
    }
  }
  if (isFault(answer)) return;
  // What the answer says is now in the tables.
  const inspected = translate(config, page, { ...by, by: "inspect" }, guest);
  expect(isFault(inspected) ? inspected : inspected.attributes).toMatchObject({
    accessed: answer.attributes.accessed,
    clean: answer.attributes.clean,
  });
  if (by.by !== "inspect") expect(answer.attributes.accessed).toBe(true);
  if (by.by !== "inspect" && by.by !== "at" && by.write) expect(answer.attributes.clean).toBe(false);
}

describe("the contiguous hint", () => {
  it("never changes a result", () => {
    let flipped = 0;
    fc.assert(
      fc.property(seed, (caseSeed) => {
        const plain = caseOf(caseSeed);
        const hinted = caseOf(caseSeed);
        if (plain === undefined || hinted === undefined) return;
        for (const words of hinted.machine.pages.values())
          for (let index = 0; index < 1024; index += 2)
            if (((words[index] as number) & LO.valid) !== 0) {
              words[index + 1] = ((words[index + 1] as number) ^ HI.contiguous) >>> 0;
              flipped++;
            }
        const stable = (from: Case): unknown =>
          knowable(() =>
            from.queries.map((query) =>
              JSON.stringify(outcomeOf(from, query, "store"), (key, value) =>
                key === "contiguous" ? undefined : value,
              ),
            ),
          );
        expect(stable(hinted)).toEqual(stable(plain));
      }),
      { numRuns: 400 },
    );
    expect(flipped).toBeGreaterThan(5000);
  });
});
