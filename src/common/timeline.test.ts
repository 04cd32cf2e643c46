import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BrokenInvariant } from "./errors.ts";
import { TIME_KINDS, Timeline, TimelineLock } from "./timeline.ts";

describe("a timeline", () => {
  it("is the sum of what was charged, whatever the order", () => {
    const charge = fc.record({ kind: fc.constantFrom(...TIME_KINDS), ns: fc.nat(2 ** 40) });
    fc.assert(
      fc.property(fc.array(charge), (charges) => {
        const timeline = new Timeline("t", 7);
        for (const { kind, ns } of charges) timeline.charge(kind, ns);
        const spent = TIME_KINDS.map((kind) => timeline.spentNs(kind));
        for (const [i, kind] of TIME_KINDS.entries())
          expect(spent[i]).toBe(charges.filter((c) => c.kind === kind).reduce((sum, c) => sum + c.ns, 0));
        expect(timeline.nowNs).toBe(7 + spent.reduce((sum, ns) => sum + ns, 0));
        expect(timeline.hypervisorNs()).toBe(
          timeline.nowNs - 7 - timeline.spentNs("guestRun") - timeline.spentNs("idle"),
        );
      }),
    );
  });

  it.each([0.5, -1, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53])("refuses a charge of %d ns", (ns) => {
    const timeline = new Timeline("t");
    expect(() => timeline.charge("pin", ns)).toThrow(BrokenInvariant);
    expect(timeline.nowNs).toBe(0);
  });

  it("tells of each stretch, and of none that takes no time", () => {
    const timeline = new Timeline("t");
    const told: unknown[] = [];
    timeline.onCharge = (...stretch) => told.push(stretch);
    timeline.charge("pin", 5);
    timeline.charge("walk", 0);
    timeline.skipTo("idle", 8);
    timeline.skipTo("idle", 3);
    expect(told).toEqual([
      ["pin", 0, 5],
      ["idle", 5, 8],
    ]);
  });

  it("forgets its preparation", () => {
    const timeline = new Timeline("t");
    timeline.charge("stage2", 9);
    timeline.restart();
    expect(timeline.nowNs).toBe(0);
    expect(timeline.spentNs("stage2")).toBe(0);
  });
});

describe("a lock between timelines", () => {
  const work = (timeline: Timeline, ns: number) => (): void => timeline.charge("pin", ns);

  it.each([
    ["exclusive", "exclusive", 60],
    ["exclusive", "shared", 60],
    ["shared", "exclusive", 60],
    ["shared", "shared", 0],
  ] as const)("held %s makes a %s taker wait %i ns", (first, second, waitNs) => {
    const lock = new TimelineLock("mmu_lock");
    const [a, b] = [new Timeline("a"), new Timeline("b", 40)];
    lock.hold(a, first, work(a, 100));
    lock.hold(b, second, work(b, 10));
    expect(b.spentNs("lockWait")).toBe(waitNs);
    expect(b.nowNs).toBe(40 + waitNs + 10);
  });

  it("is not waited for by one who comes before the hold, or after it", () => {
    const lock = new TimelineLock("mmu_lock");
    const a = new Timeline("a", 50);
    lock.hold(a, "exclusive", work(a, 100));
    const [early, late] = [new Timeline("early", 49), new Timeline("late", 150)];
    lock.hold(early, "exclusive", () => undefined);
    lock.hold(late, "exclusive", () => undefined);
    expect(early.spentNs("lockWait")).toBe(0);
    expect(late.spentNs("lockWait")).toBe(0);
  });

  it("makes a writer wait for the last of several readers", () => {
    const lock = new TimelineLock("mmap_lock");
    const [a, b, writer] = [new Timeline("a"), new Timeline("b", 20), new Timeline("w", 30)];
    lock.hold(a, "shared", work(a, 100));
    lock.hold(b, "shared", work(b, 300));
    lock.hold(writer, "exclusive", () => undefined);
    expect(writer.nowNs).toBe(320);
  });

  it("gives back what was done under it, and is not held by work that took no time", () => {
    const lock = new TimelineLock("mmu_lock");
    const [a, b] = [new Timeline("a"), new Timeline("b")];
    expect(lock.hold(a, "exclusive", () => 42)).toBe(42);
    lock.hold(b, "exclusive", work(b, 5));
    expect(b.spentNs("lockWait")).toBe(0);
  });
});
