/** What a comparison comes to, in sentences; every figure in them is computed. */
import { formatNs } from "../../common/sizes.ts";
import type { Comparison, Side, Totals } from "../compare.ts";
import { samplesLost } from "../report/frontier.ts";
import { counted, formatCount, formatFactor, formatShare, listed } from "../report/words.ts";
import { type GuestEvent, nsOf, type Step, type Stretch } from "./stretches.ts";

const pages = (n: number): string => counted(n, "page");

/** Calls as verbs; what is not here is told by its name. */
const VERBS: Readonly<Record<string, (step: Step) => string>> = {
  walk: (step) => `walks the tables of ${pages(step.pages)}`,
  pin: (step) => `pins ${pages(step.pages)}`,
  unpin: (step) => `unpins ${pages(step.pages)}`,
  map: (step) => `maps ${pages(step.pages)} at stage 2`,
  mapFault: (step) => `maps the page of ${counted(step.count, "stage-2 fault")}`,
  copy: (step) => `copies records to the guest${times(step.count)}`,
  timer: (step) => `serves ${counted(step.count, "timer")}`,
  armTimer: (step) => `arms a timer${times(step.count)}`,
  background: (step) => `hands ${counted(step.count, "piece")} of work to the worker`,
  setHardwareLimit: () => "moves the hardware's limit",
};

const times = (n: number): string => (n === 1 ? "" : ` ${formatCount(n)} times`);

/** Whether a step is an exit from the guest, by its reason. */
export const isExit = (name: string): boolean =>
  /^(MSR|MRS|KVM_EXIT|PMBIRQ|DABT|HVC|host timer|preempted)/.test(name);

/** An exit's reason as its own words, a call's or an event's name as it is. */
export const stepName = (name: string): string =>
  isExit(name) ? `exit ${name}` : name === "map" ? "map at stage 2" : name;

function told(step: Step): string {
  const ns = nsOf(step.charges);
  const what =
    VERBS[step.name]?.(step) ??
    (isExit(step.name)
      ? `exits for ${step.name}${times(step.count)}`
      : `does ${step.name}${times(step.count)}`);
  return ns === 0 ? what : `${what} (${formatNs(ns)})`;
}

/** "enable 2", "enable 2 of vCPU 1", "the start". */
export function eventName(
  { event, ordinal, vcpu }: Pick<Stretch, "event" | "ordinal" | "vcpu">,
  several: boolean,
): string {
  const name = event === "start" ? "the start" : `${event} ${formatCount(ordinal)}`;
  return several ? `${name} of vCPU ${vcpu}` : name;
}

const same = (a: Step | undefined, b: Step | undefined): boolean => JSON.stringify(a) === JSON.stringify(b);

/** Reports and events: they charge nothing, and what is done about them is told by itself. */
const isSilent = ({ name, charges }: Step): boolean =>
  name === "report" || (name.startsWith("on") && nsOf(charges) === 0);

/** What one did in a stretch that the other one did not do just so, the costliest first. */
function differing(own: Stretch, other: Stretch | undefined): Step[] {
  const otherStep = (name: string) => other?.steps.find((step) => step.name === name);
  return own.steps
    .filter((step) => !isSilent(step) && !same(step, otherStep(step.name)))
    .sort((a, b) => nsOf(b.charges) - nsOf(a.charges));
}

/** "keeps the 32,835 pages that it has pinned": what an enable does not have to do. */
function kept(own: Stretch): string | undefined {
  const pins = own.steps.some(({ name }) => name === "pin");
  return own.event === "enable" && own.heldPages > 0 && !pins
    ? `keeps the ${pages(own.heldPages)} that it has pinned`
    : undefined;
}

/** Steps that one sentence can hold. */
const MOST_STEPS = 4;

function doing(side: Side, own: Stretch, other: Stretch | undefined): string {
  const steps = differing(own, other);
  const shown = steps.slice(0, MOST_STEPS).map(told);
  const held = kept(own);
  const parts = [...(held === undefined ? [] : [held]), ...shown];
  if (steps.length > MOST_STEPS) parts.push(`${steps.length - MOST_STEPS} more things`);
  return parts.length === 0 ? `${side.policy} does none of this` : `${side.policy} ${listed(parts)}`;
}

/** "A does this; B does that" at the same event of both. */
function atEvent(sides: Comparison["sides"], index: number): string | undefined {
  const [a, b] = sides;
  const [inA, inB] = [a.next[index], b.next[index]];
  if (inA === undefined || inB === undefined) return undefined;
  const [first, second] = [doing(a, inA, inB), doing(b, inB, inA)];
  return first.endsWith("does none of this") ? `${second}; ${first}` : `${first}; ${second}`;
}

const afterEvents = ({ steps }: Totals, event: GuestEvent): number =>
  steps.filter((step) => step.event === event).reduce((sum, { charges }) => sum + nsOf(charges), 0);

const severalVcpus = ({ sides: [{ run }] }: Comparison): boolean => run.vcpus.length > 1;

function together(of: Comparison): string {
  const [a, b] = of.sides;
  const took = ({ policy, run }: Side) =>
    `${policy} takes ${formatNs(run.guestWallNs)} (${formatFactor(run.slowdown)} times bare metal)`;
  const laterNs = a.run.guestWallNs - b.run.guestWallNs;
  const apart =
    laterNs === 0
      ? "they end at the same instant"
      : `${laterNs > 0 ? a.policy : b.policy} ends ${formatNs(Math.abs(laterNs))} later`;
  return `${took(a)}, ${took(b)}: ${apart}.`;
}

function parting(of: Comparison): string[] {
  const { part, sides } = of;
  const [a, b] = sides;
  if (part === null) {
    const { enable, disable } = a.before.events;
    return [
      `They never part: every call and every charge of ${a.policy} and ${b.policy} is the same at each of ${counted(enable, "enable")} and ${counted(disable, "disable")}.`,
    ];
  }
  const several = severalVcpus(of);
  const [inA, inB] = [a.next[0], b.next[0]];
  if (inA === undefined || inB === undefined)
    return [`They part at ${eventName(part, several)}: only one of them has it.`];
  const until =
    part.event === "start"
      ? "They differ from the start, before the first enable"
      : `They do the same until ${eventName(part, several)}, ${formatNs(inA.atNs)} in`;
  const there = atEvent(sides, 0);
  const sentences = [`${until}. There ${there}.`];
  // What one has left undone at a disable shows at the enable after it.
  const followers = a.next.findIndex((stretch, i) => i > 0 && stretch.event === "enable");
  const follower = followers > 0 ? a.next[followers] : undefined;
  if (part.event !== "enable" && follower !== undefined) {
    const then = atEvent(sides, followers);
    if (then !== undefined) sentences.push(`At ${eventName(follower, several)} ${then}.`);
  }
  return sentences;
}

/** "each of 99 enables costs A 24.4 ms and B 79 µs": of each kind of event that makes a difference. */
function fromThere(of: Comparison): string[] {
  if (of.part === null) return [];
  const [a, b] = of.sides;
  const each: string[] = [];
  for (const event of ["enable", "disable"] as const) {
    const [countA, countB] = [a.after.events[event], b.after.events[event]];
    const [nsA, nsB] = [afterEvents(a.after, event), afterEvents(b.after, event)];
    if (nsA === nsB || countA === 0 || countB === 0) continue;
    const many =
      countA === countB ? formatCount(countA) : `${formatCount(countA)} (or ${formatCount(countB)})`;
    each.push(
      `each of ${many} ${event}s costs ${a.policy} ${formatNs(nsA / countA)} and ${b.policy} ${formatNs(nsB / countB)}`,
    );
  }
  const differenceNs = nsOf(a.after.charges) - nsOf(b.after.charges);
  if (differenceNs === 0) return ["From there the hypervisor takes as long for both."];
  const [more, sign] = differenceNs > 0 ? [a, 1] : [b, -1];
  const laterNs = sign * (a.run.guestWallNs - b.run.guestWallNs);
  const sum = `${formatNs(Math.abs(differenceNs))} more for ${more.policy}`;
  const end = severalVcpus(of)
    ? ", over all vCPUs"
    : laterNs > 0
      ? `, which ends ${formatNs(laterNs)} later`
      : ", though it does not end later";
  const total = `the hypervisor takes ${sum}${end}.`;
  const sentences = [
    each.length === 0
      ? `From there ${total}`
      : `From there on, with all that comes until the next event, ${each.join("; ")}. In all ${total}`,
  ];
  if (severalVcpus(of)) return sentences;
  const notable = (ns: number): boolean => Math.abs(ns) > Math.abs(differenceNs) * NOTABLE;
  const ranNs = a.run.guestRunNs - b.run.guestRunNs;
  const sleptNs = a.run.idleNs - b.run.idleNs;
  const shorter = (ns: number): string => `${formatNs(Math.abs(ns))} less under ${(ns < 0 ? a : b).policy}`;
  if (notable(ranNs)) sentences.push(`The guest itself runs ${shorter(ranNs)}.`);
  if (notable(sleptNs))
    sentences.push(`The guest sleeps ${shorter(sleptNs)}: what the hypervisor does meanwhile delays nobody.`);
  return sentences;
}

/** A difference in the guest's own time is told where it is more than this part of what the hypervisor takes. */
const NOTABLE = 0.05;

function setup({ sides }: Comparison): string[] {
  const with_ = sides.filter(({ run }) => run.setupNs > 0);
  return with_.map(
    ({ policy, run }) =>
      `${policy} takes ${formatNs(run.setupNs)} of setting up before the guest's first instruction, which is no part of its time.`,
  );
}

function untrapped({ sides }: Comparison): string[] {
  return sides
    .filter(({ trapsBuffer }) => !trapsBuffer)
    .map(
      ({ policy }) =>
        `${policy} does not trap the buffer registers: it hears of no enable and no disable, so what it does is compared by its exits and their charges.`,
    );
}

function losses({ sides }: Comparison): string[] {
  if (sides.every(({ run }) => samplesLost(run) === 0 && run.blackouts.count === 0)) return [];
  const parts = sides.map(({ policy, run }) => {
    const lost = samplesLost(run);
    const share = lost === 0 ? "no sample" : `${formatShare(lost, run.samples.selected)} of the samples`;
    const { count, totalNs } = run.blackouts;
    const blackouts =
      count === 0 ? "" : `, with ${counted(count, "blackout")} of ${formatNs(totalNs)} in all`;
    return `${policy} loses ${share}${blackouts}`;
  });
  return [`${parts.join("; ")}.`];
}

function background({ sides }: Comparison): string[] {
  return sides
    .filter(({ background: { charges } }) => nsOf(charges) > 0)
    .map(({ policy, background: { charges, steps } }) => {
      const calls = steps
        .filter(({ name }) => name !== "report")
        .map(({ name, count }) => `${stepName(name)}${times(count)}`);
      return `In the background ${policy} has ${formatNs(nsOf(charges))} of work done${calls.length === 0 ? "" : ` (${listed(calls)})`}: host CPU that stops no vCPU.`;
    });
}

/** What the comparison comes to, the most important first. */
export const sentencesOf = (of: Comparison): string[] => [
  together(of),
  ...setup(of),
  ...untrapped(of),
  ...parting(of),
  ...fromThere(of),
  ...losses(of),
  ...background(of),
];
