import { expect, it } from "vitest";
import { askHere } from "../../../test/questions.ts";
import { q15 } from "./q15.ts";

it("finds nothing to share between per-CPU buffers, and memlock in proportion to the vCPUs", () => {
  const { charts } = askHere(q15);
  const last = (chart: number, policy: string): number =>
    charts[chart]?.series.find(({ name }) => name === policy)?.points.at(-1)?.[1] as number;
  expect(last(0, "pin-on-enable")).toBeGreaterThan(2 * last(0, "until-changed"));
  const [[, single] = [0, 0], ...more] = charts[1]?.series[1]?.points ?? [];
  for (const [vcpus, bytes] of more) {
    expect(bytes / single).toBeGreaterThan(0.95 * Number(vcpus));
    expect(bytes / single).toBeLessThan(1.05 * Number(vcpus));
  }
});

it("turns with the cost of a pin", () => {
  const at = (factor: number) => askHere(q15, { pinPage: factor, unpinPage: factor }).headline;
  expect(at(1)).toMatch(/v6 [^;]*not usable/);
  expect(at(0.001)).not.toContain("not usable");
});
