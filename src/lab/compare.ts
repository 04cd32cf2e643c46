/**
 * Two policies over one setting, event by event: where they first differ, and what each costs from there on. A trace
 * can have millions of events, so each policy runs twice: once for a fingerprint of each stretch, to find where they
 * part, and once to add up what comes before and after.
 */
import type { CostProfile } from "../host/costs.ts";
import { costTable } from "../host/costs.ts";
import type { PinPolicy } from "../kvm/spe/policy.ts";
import {
  type Background,
  type Charges,
  charge,
  type GuestEvent,
  type HostKind,
  type Step,
  type Stretch,
  StretchListener,
} from "./compare/stretches.ts";
import { type BareMetalOutcome, runBareMetal, runVm, type Setting } from "./experiment.ts";
import { modelRecordOf } from "./record.ts";
import { checkRun } from "./report/report-file.ts";
import { COMPARE_SCHEMA, type ModelRun } from "./report/run.ts";

/** Steps of one name after events of one kind. */
export interface StepTotal extends Step {
  readonly event: GuestEvent;
}

/** What a part of a run adds up to, over all vCPUs. */
export interface Totals {
  readonly events: Readonly<Record<GuestEvent, number>>;
  readonly charges: Charges;
  readonly steps: readonly StepTotal[];
  readonly blackouts: { readonly count: number; readonly ns: number };
}

/** One of the two policies. */
export interface Side {
  /** Its name, with its place where both have the same. */
  readonly policy: string;
  readonly trapsBuffer: boolean;
  readonly run: ModelRun;
  /** Up to where each vCPU first differs, and from there on. */
  readonly before: Totals;
  readonly after: Totals;
  /** The first stretches of the vCPU that parts first, from where it does; as many as were asked for. */
  readonly next: readonly Stretch[];
  /** What the host's worker did: it takes host CPU and stops no vCPU. */
  readonly background: Background;
}

export interface Comparison {
  readonly schema: typeof COMPARE_SCHEMA;
  readonly scenario: string;
  readonly profile: string;
  /** The first event after which calls or charges differ; null: there is none. */
  readonly part: { readonly vcpu: number; readonly event: GuestEvent; readonly ordinal: number } | null;
  readonly sides: readonly [Side, Side];
}

/** 32 bits of FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv), from a basis. */
function fnv1a(text: string, basis: number): number {
  let hash = basis;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

/** 53 bits that two stretches share if and, but for chance, only if the same was called and charged in both. */
function fingerprint({ event, steps, blackouts }: Stretch): number {
  const text = JSON.stringify([event, steps, blackouts]);
  return fnv1a(text, 0x811c9dc5) * 2 ** 21 + (fnv1a(text, 0x2f0b4c47) >>> 11);
}

/** Totals while they are added up. */
class Sum {
  readonly #events: Record<GuestEvent, number> = { start: 0, enable: 0, disable: 0 };
  readonly #charges: Partial<Record<HostKind, number>> = {};
  readonly #steps = new Map<string, { -readonly [key in keyof StepTotal]: StepTotal[key] }>();
  readonly #blackouts = { count: 0, ns: 0 };

  add({ event, steps, blackouts }: Stretch): void {
    this.#events[event] += 1;
    this.#blackouts.count += blackouts.count;
    this.#blackouts.ns += blackouts.ns;
    for (const { name, count, pages, charges } of steps) {
      charge(this.#charges, charges);
      const key = `${event} ${name}`;
      const total = this.#steps.get(key) ?? { event, name, count: 0, pages: 0, charges: {} };
      this.#steps.set(key, total);
      total.count += count;
      total.pages += pages;
      charge(total.charges, charges);
    }
  }

  totals(): Totals {
    return {
      events: this.#events,
      charges: this.#charges,
      steps: [...this.#steps.values()],
      blackouts: this.#blackouts,
    };
  }
}

/** Runs a policy and hands out its stretches. */
function listen(setting: Setting, policy: PinPolicy, profile: CostProfile, tell: (stretch: Stretch) => void) {
  const listener = new StretchListener(tell);
  const outcome = runVm(setting, policy, costTable(profile), "kept", {
    trace: listener.trace,
    attach: (machine) => listener.attach(machine),
  });
  listener.finish();
  return { outcome, background: listener.background };
}

/** Fingerprints of each vCPU's stretches. */
function fingerprints(setting: Setting, policy: PinPolicy, profile: CostProfile): readonly number[][] {
  const prints: number[][] = Array.from({ length: setting.schedule.vcpus }, () => []);
  const { outcome } = listen(setting, policy, profile, (stretch) =>
    prints[stretch.vcpu]?.push(fingerprint(stretch)),
  );
  outcome.machine.destroy();
  return prints;
}

/** How many stretches of each vCPU are the same in both; all of them where it never parts. */
const sameStretches = (a: readonly number[][], b: readonly number[][]): number[] =>
  a.map((prints, vcpu) => {
    const others = b[vcpu] ?? [];
    const first = prints.findIndex((print, i) => print !== others[i]);
    return first >= 0 ? first : others.length > prints.length ? prints.length : Number.POSITIVE_INFINITY;
  });

/** A side whose `next` is not chosen yet: the stretches of every vCPU from where it parts. */
interface Added extends Omit<Side, "next"> {
  readonly next: readonly (readonly Stretch[])[];
}

function addUp(
  setting: Setting,
  policy: PinPolicy,
  profile: CostProfile,
  bareMetal: BareMetalOutcome,
  same: readonly number[],
  limit: number,
): Added {
  const before = new Sum();
  const after = new Sum();
  const seen = same.map(() => 0);
  const next: Stretch[][] = same.map(() => []);
  const { outcome, background } = listen(setting, policy, profile, (stretch) => {
    const { vcpu } = stretch;
    const index = seen[vcpu] as number;
    seen[vcpu] = index + 1;
    const parted = index >= (same[vcpu] as number);
    (parted ? after : before).add(stretch);
    const own = next[vcpu] as Stretch[];
    if (parted && own.length < limit) own.push(stretch);
  });
  const run = checkRun(
    modelRecordOf(outcome, {
      setting,
      policy: policy.name,
      profile: profile.name,
      bareMetal,
    }),
  );
  outcome.machine.destroy();
  return {
    policy: policy.name,
    trapsBuffer: policy.trapsBuffer,
    run,
    before: before.totals(),
    after: after.totals(),
    next,
    background,
  };
}

/** Sentences tell of where they part and of the first enable after that: two events later at most. */
const FEWEST_KEPT = 3;

/** How many runs a comparison takes. */
export const COMPARE_RUNS = 5;

/**
 * Compares two policies over one setting at a profile's costs. What the guest waits for takes as long as it did.
 * Yields after each of COMPARE_RUNS runs, so that whoever waits can be told.
 * @param limit how many stretches are kept from where they part
 */
export function* comparing(
  setting: Setting,
  policies: readonly [PinPolicy, PinPolicy],
  profile: CostProfile,
  limit: number,
): Generator<void, Comparison> {
  const [a, b] = policies;
  const bareMetal = runBareMetal(setting, costTable(profile), "kept");
  yield;
  const printsOfA = fingerprints(setting, a, profile);
  yield;
  const same = sameStretches(printsOfA, fingerprints(setting, b, profile));
  yield;
  const kept = Math.max(FEWEST_KEPT, limit);
  const addedA = addUp(setting, a, profile, bareMetal, same, kept);
  yield;
  const addedB = addUp(setting, b, profile, bareMetal, same, kept);
  yield;
  const firstNs = (vcpu: number): number =>
    Math.min(...[addedA, addedB].map(({ next }) => next[vcpu]?.[0]?.atNs ?? Number.POSITIVE_INFINITY));
  const first = same
    .map((_, vcpu) => vcpu)
    .reduce((best, vcpu) => (firstNs(vcpu) < firstNs(best) ? vcpu : best), 0);
  const at = addedA.next[first]?.[0] ?? addedB.next[first]?.[0];
  const side = (added: Added, place: string): Side => ({
    ...added,
    policy: a.name === b.name ? `${a.name} (${place})` : added.policy,
    next: added.next[first] ?? [],
  });
  return {
    schema: COMPARE_SCHEMA,
    scenario: setting.scenario,
    profile: profile.name,
    part: at === undefined ? null : { vcpu: first, event: at.event, ordinal: at.ordinal },
    sides: [side(addedA, "1st"), side(addedB, "2nd")],
  };
}

/** The whole comparison at once. */
export function compare(...args: Parameters<typeof comparing>): Comparison {
  const steps = comparing(...args);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}
