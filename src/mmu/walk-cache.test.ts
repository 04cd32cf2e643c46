import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { stage2Leaf } from "../arm/descriptors.ts";
import { HCR_EL2, VTCR_EL2 } from "../arm/registers-system.ts";
import { type Ipn, ipn, pfn } from "../common/address.ts";
import { INSPECT, WALK_READ, WALK_UPDATE } from "./access.ts";
import { mapRange, unmapRange } from "./build.ts";
import { stage2Config } from "./config.ts";
import { isFault } from "./fault.ts";
import { TestMemory } from "./memory.testing.ts";
import { throughStage2 } from "./translate.ts";
import { WalkCache } from "./walk-cache.ts";

/** Stage 2 over a few pages that collide in the cache, and physical pages behind them. */
function nested() {
  const config = stage2Config({
    HCR_EL2: HCR_EL2.with(0n, { VM: true }),
    VTCR_EL2: VTCR_EL2.with(0n, { T0SZ: 25, SL0: 1, PS: 5 }),
    VTTBR_EL2: 0x10_0000n,
  });
  const memory = new TestMemory(1, 0x200);
  memory.add(0x100, 1);
  memory.add(0x8000, 64);
  const cache = new WalkCache(config, memory);
  return { config, memory, cache, uncached: throughStage2(config, memory) };
}

const anyPage = fc.constantFrom(...[0, 1, 2, 256, 257, 512].map(ipn));
const anyFrame = fc.nat({ max: 63 }).map((n) => pfn(0x8000 + n));
const anyStep = fc.oneof(
  fc.record({ kind: fc.constant("map" as const), page: anyPage, frame: anyFrame, write: fc.boolean() }),
  fc.record({ kind: fc.constant("unmap" as const), page: anyPage }),
  fc.record({
    kind: fc.constant("look" as const),
    page: anyPage,
    access: fc.constantFrom(WALK_READ, WALK_UPDATE, INSPECT),
  }),
);

describe("a walk cache", () => {
  it("answers as stage 2 does, whatever is mapped and unmapped, if it is told as a TLB is", () => {
    fc.assert(
      fc.property(fc.array(anyStep, { maxLength: 40 }), (steps) => {
        const { config, memory, cache, uncached } = nested();
        for (const step of steps) {
          if (step.kind === "look") {
            expect(cache.page(step.page, step.access)).toEqual(uncached.page(step.page, step.access));
            continue;
          }
          // Break before make.
          unmapRange(config, memory, step.page, 1);
          cache.forget(step.page, 1);
          if (step.kind === "map")
            mapRange(config, memory, step.page, step.frame, 1, stage2Leaf({ read: true, write: step.write }));
        }
      }),
      { numRuns: 300 },
    );
  });

  it("holds no fault, and what it holds until it is told", () => {
    const { config, memory, cache } = nested();
    const at = (page: Ipn) => cache.page(page, WALK_READ);
    expect(isFault(at(ipn(1)) as never)).toBe(true);
    mapRange(config, memory, ipn(1), pfn(0x8001), 1, stage2Leaf({ read: true }));
    expect(at(ipn(1))).toBe(memory.pages.get(0x8001));
    unmapRange(config, memory, ipn(1), 1);
    expect(at(ipn(1))).toBe(memory.pages.get(0x8001));
    cache.forget(ipn(2), 10);
    expect(at(ipn(1))).toBe(memory.pages.get(0x8001));
    cache.forget(ipn(0), 2);
    expect(isFault(at(ipn(1)) as never)).toBe(true);
  });
});
