/**
 * The bar's matrix under `adaptive`: which cells it misses, and in what, is kept in bar/adaptive.json and compared. Whoever mends one
 * takes it out there; nobody breaks another one unseen.
 *
 *     npx vitest run test/bar.test.ts                          the quick cells
 *     SPEVISOR_BAR=all npx vitest run test/bar.test.ts         all of them (minutes)
 *     SPEVISOR_BAR=write npx vitest run test/bar.test.ts       writes the list anew
 */
import { readFileSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { judgeCell, labelOfCell } from "../src/cli/bar/cell.ts";
import { adaptive } from "../src/kvm/spe/policies/adaptive.ts";
import { effortOf } from "../src/lab/bar/cell.ts";
import { barMatrix, type MatrixCell, NAMED_CELLS } from "../src/lab/bar/matrix.ts";

const FILE = new URL("bar/adaptive.json", import.meta.url);
/** Clauses missed ("slowdown, lost"), by the cell's options and profile; what is not here is met. */
type Misses = Readonly<Record<string, string>>;

const which = process.env["SPEVISOR_BAR"];
const known = JSON.parse(readFileSync(FILE, "utf8")) as Misses;

/** A cell that takes a tenth of a second: few samples on all vCPUs together, and as few that it is compared with. */
const isQuick = ({ cell }: MatrixCell): boolean => {
  const { samples, vcpuSeconds } = effortOf(cell);
  return vcpuSeconds > 0 && vcpuSeconds < 0.5 && samples < 250_000;
};

const labelOf = ({ cell, profile }: MatrixCell): string => labelOfCell(cell, profile);

function missedIn(cells: readonly MatrixCell[]): Record<string, string> {
  const missed: Record<string, string> = {};
  for (const of of cells) {
    const { judged } = judgeCell(of.cell, adaptive, of.profile);
    const clauses = Object.values(judged).flatMap(({ findings }) => findings.map(({ clause }) => clause));
    if (clauses.length > 0) missed[labelOf(of)] = [...new Set(clauses)].join(", ");
  }
  return missed;
}

describe("the bar's matrix", () => {
  const all = [...barMatrix().cells, ...NAMED_CELLS];

  it("has no cell twice, and every cell that is known to be missed", () => {
    const labels = all.map(labelOf);
    expect(new Set(labels).size).toBe(labels.length);
    expect(labels).toEqual(expect.arrayContaining(Object.keys(known)));
  });

  it("is missed by adaptive where it is known to, and nowhere else", { timeout: 600_000 }, () => {
    const cells = which === undefined ? all.filter(isQuick) : all;
    const missed = missedIn(cells);
    if (which === "write") writeFileSync(FILE, `${JSON.stringify(missed, null, 2)}\n`);
    const labels = new Set(cells.map(labelOf));
    const expected = Object.fromEntries(Object.entries(known).filter(([label]) => labels.has(label)));
    expect(cells.length).toBeGreaterThan(30);
    expect(missed).toEqual(which === "write" ? missed : expected);
  });
});
