/** Making a long run small enough to draw without hiding anything in it. */
import type { Span } from "./detail.ts";

/**
 * At most about `budget` spans: neighbours of one kind on one vCPU are joined where the gap between them is
 * smallest. Nothing disappears: what was covered stays covered, only short gaps are drawn over.
 * @returns the spans, and the longest gap that was drawn over (0 where nothing was joined)
 */
export function thinSpans(
  spans: readonly Span[],
  budget: number,
): { spans: readonly Span[]; joinedGapNs: number } {
  if (spans.length <= budget) return { spans, joinedGapNs: 0 };
  const rows = new Map<string, Span[]>();
  for (const span of spans) {
    const key = `${span.vcpu} ${span.kind}`;
    const row = rows.get(key);
    if (row === undefined) rows.set(key, [span]);
    else row.push(span);
  }
  const gaps: number[] = [];
  for (const row of rows.values()) {
    row.sort((a, b) => a.startNs - b.startNs);
    for (let i = 1; i < row.length; i++)
      gaps.push(Math.max(0, (row[i] as Span).startNs - (row[i - 1] as Span).endNs));
  }
  gaps.sort((a, b) => a - b);
  const joinedGapNs = gaps[Math.min(gaps.length - 1, spans.length - budget - 1)] ?? 0;
  const thinned: Span[] = [];
  for (const row of rows.values()) {
    let open = row[0] as Span;
    for (const span of row.slice(1)) {
      if (span.startNs - open.endNs <= joinedGapNs)
        open = { ...open, endNs: Math.max(open.endNs, span.endNs) };
      else {
        thinned.push(open);
        open = span;
      }
    }
    thinned.push(open);
  }
  return { spans: thinned, joinedGapNs };
}

type Step = readonly [number, number];

/** At most about `budget` steps: of each stretch of time its first, lowest and highest step stay. */
export function thinSteps(steps: readonly Step[], budget: number): readonly Step[] {
  const first = steps[0];
  const last = steps.at(-1);
  if (steps.length <= budget || first === undefined || last === undefined) return steps;
  const stretchNs = (last[0] - first[0]) / Math.max(1, Math.floor(budget / 3));
  const kept = new Set<Step>([first, last]);
  let endNs = Number.NEGATIVE_INFINITY;
  let low = first;
  let high = first;
  for (const step of steps) {
    if (step[0] >= endNs) {
      kept.add(low).add(high).add(step);
      endNs = step[0] + stretchNs;
      low = step;
      high = step;
    }
    if (step[1] < low[1]) low = step;
    if (step[1] > high[1]) high = step;
  }
  kept.add(low).add(high);
  return steps.filter((step) => kept.has(step));
}
