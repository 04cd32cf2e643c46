/** `run --host-profile` on Debian's guest: a file that speedscope reads, the kernel's own symbols, and the same run. */
import { readFileSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import { readReport } from "../src/lab/report/report-file.ts";
import { SPEEDSCOPE } from "../src/lab/speedscope.testing.ts";
import { runInGuest, scratchFolder } from "./guest/cli.ts";
import { guestFor } from "./guest/guests.ts";

const guest = await guestFor("guest, host profile");
const MINUTES = 60_000;
const scratch = scratchFolder("guest-host-profile");
afterAll(scratch.remove);

async function reportOf(command: readonly string[], options: readonly string[]) {
  const json = scratch.at("run.json");
  const { code, err } = await runInGuest(command, [...options, "--json", json]);
  expect(code, err).toBe(0);
  return readReport(readFileSync(json, "utf8"), json);
}

describe.skipIf(guest === undefined)("a profile of the host's time", { timeout: 5 * MINUTES }, () => {
  const file = scratch.at("host.speedscope.json");
  /** Little more than one loop of the kernel, which fills 200 MiB with zeros. */
  const COMMAND = ["dd", "if=/dev/zero", "of=/dev/null", "bs=4M", "count=50"];

  it("has the kernel's loop before everything else, and no more time than the run; the run is the same", async () => {
    const plain = await reportOf(COMMAND, []);
    const profiled = await reportOf(COMMAND, ["--host-profile", file]);
    expect(profiled.runs).toEqual(plain.runs);
    const { profiles, shared } = SPEEDSCOPE.parse(JSON.parse(readFileSync(file, "utf8")));
    expect(profiles).toHaveLength(2);
    const [bySymbol, byPart] = [profiles[0]!, profiles[1]!];
    for (const { samples, weights, endValue } of profiles) {
      expect(samples).toHaveLength(weights.length);
      expect(Math.max(...samples.flat())).toBeLessThan(shared.frames.length);
      expect(weights.reduce((sum, ns) => sum + ns, 0)).toBeCloseTo(endValue, 0);
    }
    expect(byPart.endValue).toBeCloseTo(bySymbol.endValue, 0);
    expect(bySymbol.endValue).toBeLessThan(profiled.host.machine?.runNs ?? 0);
    const timeOf = new Map<string, number>();
    for (const [i, [, symbol]] of bySymbol.samples.entries()) {
      const name = shared.frames[symbol!]!.name;
      timeOf.set(name, (timeOf.get(name) ?? 0) + bySymbol.weights[i]!);
    }
    const [heaviest] = [...timeOf].sort(([, a], [, b]) => b - a);
    expect(heaviest?.[0]).toBe("__arch_clear_user");
  });
});
