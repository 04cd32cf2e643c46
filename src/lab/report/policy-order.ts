/** The policies that a reader should see first, and how charts tell all of them apart: by colour and by mark. */
import type { ModelRun } from "./run.ts";

/** Those that the choice is between, with what each is on the list, in the order in which they are shown. */
export const MAIN_POLICIES: readonly { readonly policy: string; readonly role: string }[] = [
  { policy: "pin-on-enable", role: "RFC v6: the buffer, at each enable" },
  { policy: "prefault", role: "RFC v7: all of the VM's memory, for good" },
  { policy: "adaptive", role: "a window, pinned by a host worker" },
  { policy: "bounce-ahead", role: "KVM's own memory, and a timer that copies" },
  { policy: "fault", role: "nothing: each missing page is a blackout" },
];

/** What was posted, and what is held against it. */
export const POSTED = "pin-on-enable";
export const RECOMMENDED = "adaptive";

const isMain = (policy: string): boolean => MAIN_POLICIES.some((main) => main.policy === policy);

/** The policies of runs: the main ones first, then the others in order of first appearance. */
export function policiesOf(runs: readonly ModelRun[]): string[] {
  const present = [...new Set(runs.map((run) => run.policy))];
  const main = MAIN_POLICIES.map(({ policy }) => policy).filter((policy) => present.includes(policy));
  return [...main, ...present.filter((policy) => !isMain(policy))];
}

/** The main ones among policies; all of them where fewer than two are. */
export function mainOf(policies: readonly string[]): string[] {
  const main = policies.filter(isMain);
  return main.length < 2 ? [...policies] : main;
}

/** How charts show a policy. */
export interface PolicyMark {
  /** A colour of the page's style sheet. */
  readonly color: string;
  /** An SVG path in a box of 16 by 16. */
  readonly path: string;
}

/** Shapes that stay apart in a few pixels and without colour: nobody needs more than there are policies. */
const MARKS: readonly string[] = [
  "M2 2h12v12H2Z",
  "M8 0l8 8l-8 8l-8 -8Z",
  "M8 1a7 7 0 1 1 0 14a7 7 0 1 1 0 -14Z",
  "M8 1l8 14H0Z",
  "M3 0l5 5l5 -5l3 3l-5 5l5 5l-3 3l-5 -5l-5 5l-3 -3l5 -5l-5 -5Z",
  "M6 0h4v6h6v4h-6v6h-4v-6h-6v-4h6Z",
  "M0 1h16L8 15Z",
  "M8 0l2.4 5.3l5.6 0.7l-4.1 3.9l1.1 5.9l-5 -2.8l-5 2.8l1.1 -5.9l-4.1 -3.9l5.6 -0.7Z",
  "M15 0v16L1 8Z",
  "M1 0l14 8L1 16Z",
  "M1 0h14L10 8l5 8H1l5 -8Z",
  "M0 1l8 5l8 -5v14l-8 -5l-8 5Z",
  "M4 1h8l4 7l-4 7H4L0 8Z",
  "M1 1h14v14H1ZM5 5v6h6V5Z",
  "M0 12a8 8 0 0 1 16 0Z",
  "M8 0a8 8 0 1 1 0 16a8 8 0 1 1 0 -16ZM8 4a4 4 0 1 0 0 8a4 4 0 1 0 0 -8Z",
];
const COLORS = 8;

/** By a policy's place among those of the page. Colours come again after eight, marks after sixteen. */
export const markOf = (index: number): PolicyMark => ({
  color: `var(--policy-${index % COLORS})`,
  path: MARKS[index % MARKS.length] as string,
});
