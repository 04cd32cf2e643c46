import picocolors from "picocolors";
import { describe, expect, it } from "vitest";
import { syntheticRun } from "../../test/synthetic-runs.ts";
import { frontierOf, frontierVerdict } from "../lab/report/frontier.ts";
import { renderRuns } from "./tables.ts";

/** So many policies, of which each is better than the next in one thing or in all. */
const runs = (count: number) =>
  Array.from({ length: count }, (_, i) =>
    syntheticRun({
      policy: `pin-policy-${i}`,
      slowdown: 1 + ((i * 5) % count) / 10,
      pinnedByteSeconds: 4096 * 1000 * ((i * 7) % count),
      hostCpuNs: i * 1e6,
    }),
  );

const rendered = (count: number, widthColumns: number): string =>
  renderRuns(runs(count), { widthColumns, colors: picocolors.createColors(false) });

describe("the frontier on the terminal", () => {
  it.each([80, 100, 120, 160])("fits twelve policies into %i columns", (width) => {
    const lines = rendered(12, width).split("\n");
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(width);
  });

  it("gives every policy a row with what it trades, the frontier first", () => {
    const all = runs(12);
    const text = rendered(12, 160);
    const points = frontierOf({ scenario: "thread-a", profile: "thread-normal", runs: all }, all);
    for (const point of points) {
      const row = text
        .split("\n")
        .find((line) => line.includes(point.run.policy) && line.includes(frontierVerdict(point)));
      expect(row).toBeDefined();
    }
    expect(text.lastIndexOf("│ on the frontier")).toBeLessThan(text.indexOf("│ dominated by"));
    expect(text).toContain("host CPU");
  });

  it("has every column that it shows explained below", () => {
    const text = rendered(3, 160);
    const told = text.slice(text.indexOf("Columns")).replaceAll(/\n {4}/g, " ");
    const shown = [...text.matchAll(/^│ policy .*│$/gm)].flatMap(([line]) =>
      line.split("│").map((title) => title.trim()),
    );
    expect(shown.length).toBeGreaterThan(10);
    for (const title of shown) if (title !== "") expect(told).toContain(`- ${title}: `);
  });

  it("is left out where there are only two policies", () => {
    expect(rendered(2, 120)).not.toContain("on the frontier");
    expect(rendered(3, 120)).toContain("on the frontier");
  });
});
