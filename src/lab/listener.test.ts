import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Timeline } from "../common/timeline.ts";
import type { Machine } from "../vmm/machine.ts";
import { SpanListener } from "./listener.ts";

/** What the listener hears of a machine. */
function heard() {
  const timeline = new Timeline("vcpu 0");
  const truth: { onBlackout?: (startNs: number, endNs: number) => void } = {};
  const spe: {
    onPinned?: (pages: number, atNs: number) => void;
    onBuffer?: (vcpu: number, on: boolean, atNs: number) => void;
    pinnedPages: number;
  } = { pinnedPages: 0 };
  const listener = new SpanListener();
  const also: string[] = [];
  timeline.onCharge = (kind) => also.push(kind);
  listener.attach({ vcpus: [{ index: 0, timeline, truth }], spe } as unknown as Machine);
  return { timeline, truth, spe, listener, also };
}

describe("what charts need of a run", () => {
  it("are stretches by kind, as they were charged", () => {
    const h = heard();
    h.timeline.charge("pin", 5_000);
    h.timeline.charge("guestRun", 90_000);
    h.timeline.charge("pin", 5_000);
    h.timeline.charge("walk", 2_000);
    expect(h.listener.spans()).toEqual([
      { vcpu: 0, kind: "pin", startNs: 0, endNs: 5_000 },
      { vcpu: 0, kind: "pin", startNs: 95_000, endNs: 100_000 },
      { vcpu: 0, kind: "walk", startNs: 100_000, endNs: 102_000 },
    ]);
    // Whoever listened before hears on.
    expect(h.also).toEqual(["pin", "guestRun", "pin", "walk"]);
  });

  it("are blackouts, and the time the buffer was on", () => {
    const h = heard();
    h.spe.onBuffer?.(0, true, 100);
    h.truth.onBlackout?.(200, 300);
    h.truth.onBlackout?.(200, 500);
    h.spe.onBuffer?.(0, false, 900);
    expect(h.listener.spans()).toEqual([
      { vcpu: 0, kind: "blackout", startNs: 200, endNs: 500 },
      { vcpu: 0, kind: "buffer-on", startNs: 100, endNs: 900 },
    ]);
  });

  it("stay below their cap however many stretches there are, and lose no end", () => {
    const h = heard();
    for (let i = 0; i < 60_000; i++) {
      h.timeline.charge("pin", 100);
      h.timeline.charge("guestRun", 5_000);
    }
    const spans = h.listener.spans();
    expect(spans.length).toBeLessThanOrEqual(12_000);
    expect(spans[0]?.startNs).toBe(0);
    expect(spans.at(-1)?.endNs).toBe(h.timeline.nowNs - 5_000);
    spans.slice(1).forEach((span, i) => {
      expect(span.startNs).toBeGreaterThan(spans[i]?.endNs as number);
    });
  });

  it("never lose the peak of what was pinned", () => {
    fc.assert(
      fc.property(fc.nat(19_999), fc.integer({ min: 101, max: 1_000_000 }), (at, peak) => {
        const h = heard();
        for (let i = 0; i < 20_000; i++) h.spe.onPinned?.(i === at ? peak : i % 100, i * 700);
        const steps = h.listener.pinnedOverTime();
        expect(steps.length).toBeLessThanOrEqual(4_001);
        expect(Math.max(...steps.map(([, bytes]) => bytes))).toBe(peak * 4096);
        steps.slice(1).forEach(([atNs], i) => {
          expect(atNs).toBeGreaterThanOrEqual(steps[i]?.[0] as number);
        });
      }),
      { numRuns: 20 },
    );
  });
});
