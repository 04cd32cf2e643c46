/** Which cells go on from one state. */
import { expect, it } from "vitest";
import { POLICIES } from "../../kvm/spe/policies/index.ts";
import { cellsOf, labelOf } from "./cells.ts";
import { LINUX_SCENARIOS } from "./scenarios/index.ts";
import { startingAlike, startsLater } from "./shared-start.ts";

const groupsOf = (...names: string[]): string[][] =>
  startingAlike(
    cellsOf({
      scenarios: LINUX_SCENARIOS.filter(({ name }) => names.includes(name)),
      policies: ["adaptive", "fault"],
      profiles: ["thread-normal", "thread-debug"],
    }),
  ).map((group) => group.map(labelOf));

it("puts the machines of one command and profile together, the VM with free SPE among them, and bare metal apart", () => {
  expect(groupsOf("thread-like")).toEqual([
    ["free-spe", "adaptive", "fault"].map((name) => `thread-like, ${name}, thread-normal`),
    ["free-spe", "adaptive", "fault"].map((name) => `thread-like, ${name}, thread-debug`),
    ["thread-like, bare metal"],
  ]);
});

it.each(["vcpus-2", "ksm"])("leaves those of %s alone, which cannot be saved without a trace", (name) => {
  expect(groupsOf(name).every(({ length }) => length === 1)).toBe(true);
});

it("has every cell once, however many there are", () => {
  const cells = cellsOf({
    scenarios: LINUX_SCENARIOS,
    policies: POLICIES.map(({ name }) => name),
    profiles: ["thread-normal", "thread-debug"],
  });
  const grouped = startingAlike(cells).flat();
  expect(new Set(grouped)).toEqual(new Set(cells));
  expect(grouped).toHaveLength(cells.length);
});

it("starts policies by themselves that act before the guest does", () => {
  expect(POLICIES.filter((policy) => !startsLater(policy)).map(({ name }) => name)).toEqual([
    "prefault",
    "whole-guest",
  ]);
});
