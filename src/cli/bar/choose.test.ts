import { describe, expect, it } from "vitest";
import { barMatrix, NAMED_CELLS } from "../../lab/bar/matrix.ts";
import { SCENARIOS } from "../../lab/scenarios.ts";
import { chooseCases } from "./choose.ts";

const BOTH = ["thread-normal", "thread-debug"];

describe("without options", () => {
  it("the matrix, the cells with names, all scenarios and recordings are run, and it is said what is not", async () => {
    const { choices, notes, paths } = await chooseCases({ seed: 3 }, BOTH);
    const { cells } = barMatrix();
    const ofKind = (kind: string) => choices.filter(({ setting }) => setting.kind === kind);
    expect(ofKind("cell")).toHaveLength(cells.length + NAMED_CELLS.length);
    expect(ofKind("scenario")).toHaveLength(2 * SCENARIOS.length);
    expect(ofKind("recording").length).toBeGreaterThanOrEqual(2 * paths.size);
    expect(
      choices.every(({ setting }) => (setting.kind === "cell" ? setting.cell : setting).seed === 3),
    ).toBe(true);
    expect(notes[0]).toMatch(/^The matrix: 80 of 122,880 combinations/);
  });

  it("at one profile only its cells are run", async () => {
    const { choices } = await chooseCases({ seed: 1 }, ["thread-debug"]);
    expect(new Set(choices.map(({ profile }) => profile))).toEqual(new Set(["thread-debug"]));
  });
});

describe("options", () => {
  it("combine with all sessions where no scenario is named", async () => {
    const { choices } = await chooseCases({ seed: 1, buffer: [8192, 16_384], vcpus: [1, 2] }, BOTH);
    expect(choices).toHaveLength(8 * 2 * 2 * 2);
  });

  it("leave scenarios as they are where none of them makes cells, and take sessions of any length", async () => {
    const { choices } = await chooseCases({ seed: 1, scenario: ["thread-a", "system-7ms"] }, [
      "thread-debug",
    ]);
    expect(choices.map(({ setting }) => setting)).toEqual([
      { kind: "scenario", name: "thread-a", seed: 1 },
      { kind: "cell", cell: expect.objectContaining({ scenario: "system-7ms", vcpus: null }) },
    ]);
  });
});
