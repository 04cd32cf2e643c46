import { beforeAll, describe, expect, it } from "vitest";
import { formatNs } from "../common/sizes.ts";
import { PROFILES, THREAD_PROFILES } from "../host/profiles.ts";
import { sentencesOf } from "./compare/sentences.ts";
import { HOST_KINDS, nsOf } from "./compare/stretches.ts";
import { type Comparison, compare, type Side } from "./compare.ts";
import { policyNamed } from "./policies.ts";
import { SCENARIOS } from "./scenarios.ts";

const MIB = 1024 ** 2;
const profile = PROFILES.find(({ name }) => name === THREAD_PROFILES[0]) as (typeof PROFILES)[0];

const compared = (a: string, b: string, scenario: string, bufferBytes = 16 * MIB): Comparison => {
  const setting = SCENARIOS.find(({ name }) => name === scenario)?.setting(bufferBytes, 1);
  if (setting === undefined) throw new Error(`no scenario ${scenario}`);
  return compare(setting, [policyNamed(a), policyNamed(b)], profile, 4);
};

/** Every nanosecond of the record is in the sums before and after. */
function expectSums({ run, before, after }: Side): void {
  for (const kind of HOST_KINDS)
    expect([kind, (before.charges[kind] ?? 0) + (after.charges[kind] ?? 0)]).toEqual([
      kind,
      run[`${kind}Ns`],
    ]);
  for (const part of [before, after])
    for (const kind of HOST_KINDS)
      expect(part.steps.reduce((sum, { charges }) => sum + (charges[kind] ?? 0), 0)).toBe(
        part.charges[kind] ?? 0,
      );
  expect(before.events.enable + after.events.enable).toBe(run.bufferEnables);
  expect(before.events.disable + after.events.disable).toBe(run.bufferDisables);
  expect(before.blackouts.count + after.blackouts.count).toBe(run.blackouts.count);
}

describe("pin-on-enable and until-changed on the thread's first command", () => {
  let comparison: Comparison;
  beforeAll(() => {
    comparison = compared("pin-on-enable", "until-changed", "thread-a", 256 * MIB);
  });

  it("part at the first disable, where only one of them unpins", () => {
    expect(comparison.part).toEqual({ vcpu: 0, event: "disable", ordinal: 1 });
    const [a, b] = comparison.sides.map(({ next }) => next[0]);
    expect(a?.atNs).toBe(b?.atNs);
    expect(a?.steps.map(({ name }) => name)).toContain("unpin");
    expect(b?.steps.map(({ name }) => name)).not.toContain("unpin");
    expect(a?.heldPages).toBe(b?.heldPages);
    expect(comparison.sides[0].before.charges).toEqual(comparison.sides[1].before.charges);
  });

  it("differ at the next enable in what is pinned again", () => {
    const [a, b] = comparison.sides.map(({ next }) => next[1]);
    expect(a).toMatchObject({ event: "enable", ordinal: 2, heldPages: 0 });
    expect(a?.steps.find(({ name }) => name === "pin")?.pages).toBe(b?.heldPages);
    expect(b?.steps.find(({ name }) => name === "pin")).toBeUndefined();
  });

  it("are told in sentences whose figures are computed", () => {
    const [, part, then, fromThere] = sentencesOf(comparison);
    const [a, b] = comparison.sides;
    const unpin = a.next[0]?.steps.find(({ name }) => name === "unpin");
    const held = b.next[1]?.heldPages.toLocaleString("en");
    expect(part).toContain(`until disable 1, ${formatNs(a.next[0]?.atNs ?? 0)} in`);
    expect(part).toContain(`pin-on-enable unpins ${held} pages (${formatNs(nsOf(unpin?.charges ?? {}))})`);
    expect(then).toMatch(/^At enable 2 pin-on-enable pins /);
    expect(then).toContain(`until-changed keeps the ${held} pages that it has pinned`);
    expect(fromThere).toContain(`each of ${a.after.events.enable} enables costs pin-on-enable`);
    expect(fromThere).toContain(
      `${formatNs(nsOf(a.after.charges) - nsOf(b.after.charges))} more for pin-on-enable, which ends`,
    );
  });

  it("add up to their records", () => {
    for (const side of comparison.sides) expectSums(side);
  });

  it("end as far apart as their charges are", () => {
    const [a, b] = comparison.sides;
    const apart = nsOf(a.after.charges) - nsOf(b.after.charges);
    // The last disable comes after the command's end.
    const last = nsOf(a.after.charges) / a.after.events.disable;
    expect(Math.abs(a.run.guestWallNs - b.run.guestWallNs - apart)).toBeLessThan(last);
  });
});

describe("two policies", () => {
  it("never part where they are the same", () => {
    const comparison = compared("until-changed", "until-changed", "thread-b-sampling");
    const { part, sides } = comparison;
    expect(part).toBeNull();
    expect(sentencesOf(comparison).join(" ")).toMatch(/end at the same instant.*They never part/);
    for (const side of sides) {
      expectSums(side);
      expect(side.next).toEqual([]);
      expect(nsOf(side.after.charges)).toBe(0);
    }
  });

  it.each([
    ["adaptive", "fault", "thread-a-sampling"],
    ["prefault", "pin-on-enable", "thread-a-sampling"],
    ["bounce", "window", "migrating"],
    ["first-fault", "grace", "per-cpu"],
  ])("%s and %s on %s add up, too", (a, b, scenario) => {
    const comparison = compared(a, b, scenario);
    expect(comparison.part).not.toBeNull();
    for (const side of comparison.sides) {
      expectSums(side);
      expect(side.next.length).toBeLessThanOrEqual(4);
      expect(nsOf(side.background.charges)).toBe(side.run.backgroundNs);
    }
  });

  it("are told apart from what only the host's worker does", () => {
    const comparison = compared("adaptive", "fault", "thread-a-sampling");
    const [adaptive] = comparison.sides;
    const calls = adaptive.background.steps.reduce((sum, { count }) => sum + count, 0);
    expect(calls).toBeGreaterThan(0);
    expect(sentencesOf(comparison).at(-1)).toContain(
      `In the background adaptive has ${formatNs(adaptive.run.backgroundNs)} of work done`,
    );
  });

  it("part at the start where one does not trap, and are still told enable by enable", () => {
    const comparison = compared("prefault", "pin-on-enable", "thread-a");
    const { sides } = comparison;
    expect(sentencesOf(comparison).join(" ")).toContain("prefault does not trap the buffer registers");
    expect(sides[0].run.exitReasons).toEqual({});
    expect(sides.map(({ before, after }) => before.events.enable + after.events.enable)).toEqual([100, 100]);
  });
});
