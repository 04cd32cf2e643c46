/**
 * Match rules: how a policy that keeps its pins decides, from PMBPTR and LIMIT alone, that an enable needs no work.
 * All of them trust what they matched; what a guest may do meanwhile is another question.
 */
import { hold } from "../../kvm/spe/hold.ts";
import {
  DONE,
  type EnableOutcome,
  type PinPolicy,
  type PolicyContext,
  type SpeBuffer,
} from "../../kvm/spe/policy.ts";

export type RuleName = "exact" | "containment" | "union" | "area";
export const RULES: readonly RuleName[] = ["exact", "containment", "union", "area"];

/** Pages [from, to) of the guest's VA space. */
interface PageRange {
  readonly from: number;
  readonly to: number;
}

const rangeOf = ({ firstPage, pages }: SpeBuffer): PageRange => ({ from: firstPage, to: firstPage + pages });
const holds = (held: PageRange, wanted: PageRange): boolean =>
  held.from <= wanted.from && wanted.to <= held.to;
const touches = (a: PageRange, b: PageRange): boolean => a.from <= b.to && b.from <= a.to;
const bufferOf = ({ from, to }: PageRange): SpeBuffer => ({
  pointer: BigInt(from) << 12n,
  limit: BigInt(to) << 12n,
  firstPage: from,
  pages: to - from,
});

/** What a vCPU holds, and the registers that it was pinned for. */
interface Held extends PageRange {
  readonly pointer: bigint;
  readonly limit: bigint;
}

/** Whether an enable is covered by what is held. */
function matches(rule: RuleName, held: Held, buffer: SpeBuffer): boolean {
  if (rule === "exact") return held.pointer === buffer.pointer && held.limit === buffer.limit;
  return holds(held, rangeOf(buffer));
}

/**
 * What is to be held when nothing matched. `union`: also what is held, if the new range touches it. `area`: perf wakes
 * its reader at half the buffer, so a range that starts on a page is taken for the first half, and as much again behind
 * it for the second.
 */
function wanted(rule: RuleName, held: Held | undefined, buffer: SpeBuffer): PageRange {
  const asked = rangeOf(buffer);
  const near = held !== undefined && touches(held, asked);
  switch (rule) {
    case "exact":
    case "containment":
      return asked;
    case "union":
      return near ? { from: Math.min(held.from, asked.from), to: Math.max(held.to, asked.to) } : asked;
    case "area": {
      if (near) return { from: Math.min(held.from, asked.from), to: Math.max(held.to, asked.to) };
      return buffer.pointer % 4096n === 0n ? { from: asked.from, to: asked.to + buffer.pages } : asked;
    }
  }
}

/** Walks, pins and maps a range, and gives back what lies outside of it. */
function holdOnly(range: PageRange, ctx: PolicyContext): EnableOutcome {
  const walk = ctx.walk(bufferOf(range));
  if (walk.kind !== "walked") return walk;
  ctx.unpin(ctx.pinned.minus(walk.all));
  return hold(walk, ctx);
}

/** Keeps the pins and pins anew where the rule finds no match. `onEnable` is told of each enable. */
export const matchRule = (rule: RuleName, onEnable: (hit: boolean) => void): PinPolicy => ({
  name: `match-${rule}`,
  summary: `Keeps its pins; an enable is taken for covered by the rule "${rule}".`,
  origin: "Written for this question; exact is what was proposed in July 2022.",
  tradeOff: "The more a rule covers, the fewer pins, and the more is held.",
  trapsBuffer: true,
  create() {
    const held = new Map<number, Held>();
    return {
      onBufferEnabled(buffer, ctx) {
        const before = held.get(ctx.vcpu);
        const hit = before !== undefined && matches(rule, before, buffer);
        if (hit) {
          onEnable(true);
          return DONE;
        }
        // As it was proposed: another buffer, so the one before is let go as a whole.
        if (rule === "exact") ctx.unpin(ctx.pinned);
        let range = wanted(rule, before, buffer);
        let outcome = holdOnly(range, ctx);
        // A guess that stage 1 does not bear out.
        if (outcome.kind === "stage1-fault") {
          range = rangeOf(buffer);
          outcome = holdOnly(range, ctx);
        }
        if (outcome.kind === "done") {
          onEnable(false);
          held.set(ctx.vcpu, { ...range, pointer: buffer.pointer, limit: buffer.limit });
        } else if (before !== undefined && (rule === "exact" || !holds(range, before))) {
          // Part of it was given back. (Where memlock has to be raised, the same enable comes again.)
          held.delete(ctx.vcpu);
        }
        return outcome;
      },
      onInvalidated: (_first, _pages, _event, ctx) => void held.delete(ctx.vcpu),
    };
  },
});
