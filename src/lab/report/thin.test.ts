import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Span, SpanKind } from "./detail.ts";
import { thinSpans, thinSteps } from "./thin.ts";

const KINDS: readonly SpanKind[] = ["buffer-on", "pin", "blackout"];

/** Spans of a run: on one vCPU those of one kind do not overlap. */
const spans = fc
  .array(
    fc.record({
      vcpu: fc.nat(1),
      kind: fc.constantFrom(...KINDS),
      gapNs: fc.integer({ min: 1, max: 10_000 }),
      lengthNs: fc.integer({ min: 1, max: 10_000 }),
    }),
    { minLength: 1, maxLength: 120 },
  )
  .map((parts) => {
    const ends = new Map<string, number>();
    return parts.map(({ vcpu, kind, gapNs, lengthNs }): Span => {
      const startNs = (ends.get(`${vcpu} ${kind}`) ?? 0) + gapNs;
      ends.set(`${vcpu} ${kind}`, startNs + lengthNs);
      return { vcpu, kind, startNs, endNs: startNs + lengthNs };
    });
  });

const same = (a: Span, b: Span) => a.vcpu === b.vcpu && a.kind === b.kind;

describe("thinSpans", () => {
  it("leaves what fits as it is", () => {
    fc.assert(
      fc.property(spans, (all) => {
        expect(thinSpans(all, all.length)).toEqual({ spans: all, joinedGapNs: 0 });
      }),
    );
  });

  it("keeps to its budget, or to one span for each row", () => {
    fc.assert(
      fc.property(spans, fc.integer({ min: 1, max: 60 }), (all, budget) => {
        const rows = new Set(all.map((span) => `${span.vcpu} ${span.kind}`)).size;
        expect(thinSpans(all, budget).spans.length).toBeLessThanOrEqual(Math.max(budget, rows));
      }),
    );
  });

  it("covers all that was covered, and no gap longer than it says", () => {
    fc.assert(
      fc.property(spans, fc.integer({ min: 1, max: 60 }), (all, budget) => {
        const { spans: thinned, joinedGapNs } = thinSpans(all, budget);
        for (const span of all)
          expect(
            thinned.some(
              (drawn) => same(drawn, span) && drawn.startNs <= span.startNs && drawn.endNs >= span.endNs,
            ),
          ).toBe(true);
        for (const drawn of thinned) {
          const inside = all
            .filter((span) => same(span, drawn) && span.startNs >= drawn.startNs && span.endNs <= drawn.endNs)
            .sort((a, b) => a.startNs - b.startNs);
          for (const [i, span] of inside.slice(1).entries())
            expect(span.startNs - (inside[i] as Span).endNs).toBeLessThanOrEqual(joinedGapNs);
        }
      }),
    );
  });
});

describe("thinSteps", () => {
  const steps = fc
    .array(fc.tuple(fc.integer({ min: 1, max: 1000 }), fc.nat(1_000_000)), { minLength: 1, maxLength: 500 })
    .map((parts) => {
      let atNs = 0;
      return parts.map(([gapNs, bytes]): [number, number] => {
        atNs += gapNs;
        return [atNs, bytes];
      });
    });

  it("keeps first, last, highest and lowest, in order and within about its budget", () => {
    fc.assert(
      fc.property(steps, fc.integer({ min: 3, max: 100 }), (all, budget) => {
        const thinned = thinSteps(all, budget);
        const bytesOf = (list: readonly (readonly [number, number])[]) => list.map(([, bytes]) => bytes);
        expect(thinned[0]).toEqual(all[0]);
        expect(thinned.at(-1)).toEqual(all.at(-1));
        expect(Math.max(...bytesOf(thinned))).toBe(Math.max(...bytesOf(all)));
        expect(Math.min(...bytesOf(thinned))).toBe(Math.min(...bytesOf(all)));
        expect(thinned.map(([atNs]) => atNs)).toEqual(
          [...thinned.map(([atNs]) => atNs)].sort((a, b) => a - b),
        );
        expect(thinned.length).toBeLessThanOrEqual(budget + 8);
      }),
    );
  });
});
