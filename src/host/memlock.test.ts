import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Memlock, UNLIMITED } from "./memlock.ts";

describe("memlock", () => {
  it("counts the high-water mark against the limit, not what is locked now", () => {
    const memlock = new Memlock(100);
    expect(memlock.lock(80)).toEqual({ kind: "locked" });
    memlock.unlock(80);
    expect(memlock.currentBytes).toBe(0);
    expect(memlock.markBytes).toBe(80);
    // Below the mark nothing is new to the limit, even one that was lowered since.
    memlock.limitBytes = 10;
    expect(memlock.lock(80)).toEqual({ kind: "locked" });
    expect(memlock.lock(1)).toEqual({ kind: "over", byBytes: 71 });
  });

  it("says by how much the limit falls short, and changes nothing", () => {
    const memlock = new Memlock(100);
    memlock.lock(60);
    expect(memlock.lock(50)).toEqual({ kind: "over", byBytes: 10 });
    expect(memlock.currentBytes).toBe(60);
    expect(memlock.markBytes).toBe(60);
    memlock.limitBytes += 10;
    expect(memlock.lock(50)).toEqual({ kind: "locked" });
    expect(memlock.markBytes).toBe(110);
  });

  it("checks a configuration by what it could ever lock", () => {
    const memlock = new Memlock(100);
    memlock.lock(90);
    expect(memlock.wouldFit(100)).toBe(true);
    expect(memlock.wouldFit(101)).toBe(false);
    expect(new Memlock(UNLIMITED).wouldFit(2 ** 50)).toBe(true);
  });

  it("never lets the mark pass the limit, and a raise by the shortfall is always enough", () => {
    fc.assert(
      fc.property(fc.nat(1_000), fc.array(fc.integer({ min: -400, max: 400 })), (limit, changes) => {
        const memlock = new Memlock(limit);
        let most = 0;
        for (const change of changes) {
          if (change < 0) memlock.unlock(Math.min(-change, memlock.currentBytes));
          else {
            const before = memlock.currentBytes;
            const result = memlock.lock(change);
            const fits = before + change <= Math.max(most, memlock.limitBytes);
            expect(result.kind).toBe(fits ? "locked" : "over");
            if (result.kind === "over") {
              expect(memlock.currentBytes).toBe(before);
              memlock.limitBytes += result.byBytes;
              expect(memlock.lock(change).kind).toBe("locked");
              expect(memlock.markBytes).toBe(memlock.limitBytes);
            }
          }
          most = Math.max(most, memlock.currentBytes);
          expect(memlock.markBytes).toBe(most);
          expect(memlock.markBytes).toBeLessThanOrEqual(memlock.limitBytes);
        }
      }),
    );
  });
});
