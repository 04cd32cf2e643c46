/**
 * What a hypervisor did between two of the guest's own events. The guest turns its buffer on and off whatever the
 * policy, so the n-th enable of a vCPU is the same event in any two runs of a setting: a stretch is everything that
 * was called and charged on a vCPU from one of these events to the next. A listener, which keeps one stretch a vCPU.
 */
import { type OnCharge, TIME_KINDS, type TimeKind } from "../../common/timeline.ts";
import type { TraceEvent } from "../../kvm/trace.ts";
import type { Machine } from "../../vmm/machine.ts";

/** What the hypervisor's time went to: all kinds but the guest's own. */
export type HostKind = Exclude<TimeKind, "guestRun" | "idle">;
export const HOST_KINDS: readonly HostKind[] = TIME_KINDS.filter(
  (kind): kind is HostKind => kind !== "guestRun" && kind !== "idle",
);

/** ns by kind. */
export type Charges = Readonly<Partial<Record<HostKind, number>>>;

/** One kind of call, exit or event, and all that it charged. */
export interface Step {
  /** A call's name ("pin"), an exit's reason ("MSR PMBLIMITR_EL1"), or an event's ("onStage2Fault"). */
  readonly name: string;
  readonly count: number;
  /** Pages that the calls were about; 0 where that says nothing. */
  readonly pages: number;
  readonly charges: Charges;
}

/** The guest's event that a stretch begins with; `start`: none yet. */
export type GuestEvent = "start" | "enable" | "disable";

export interface Stretch {
  readonly vcpu: number;
  readonly event: GuestEvent;
  /** Which enable or disable of this vCPU it is, from 1; 0 for the start. */
  readonly ordinal: number;
  readonly atNs: number;
  /** Pages that the vCPU's policy held pinned when the event came. */
  readonly heldPages: number;
  readonly steps: readonly Step[];
  readonly blackouts: { readonly count: number; readonly ns: number };
}

export const nsOf = (charges: Charges): number =>
  HOST_KINDS.reduce((sum, kind) => sum + (charges[kind] ?? 0), 0);

interface OpenStep {
  name: string;
  count: number;
  pages: number;
  charges: Partial<Record<HostKind, number>>;
}

/** Steps by name, in the order in which they first came. */
class Steps {
  readonly byName = new Map<string, OpenStep>();

  step(name: string): OpenStep {
    let step = this.byName.get(name);
    if (step === undefined) {
      step = { name, count: 0, pages: 0, charges: {} };
      this.byName.set(name, step);
    }
    return step;
  }

  take(other: Steps): void {
    for (const { name, count, pages, charges } of other.byName.values()) {
      const step = this.step(name);
      step.count += count;
      step.pages += pages;
      charge(step.charges, charges);
    }
  }
}

/** Adds charges to others. */
export function charge(to: Partial<Record<HostKind, number>>, more: Charges): void {
  for (const kind of HOST_KINDS) {
    const ns = more[kind];
    if (ns !== undefined) to[kind] = (to[kind] ?? 0) + ns;
  }
}

/** An exit and everything until the next one. */
interface Group {
  readonly reason: string;
  readonly atNs: number;
  readonly heldPages: number;
  readonly steps: Steps;
  /** The latest exit in it: more than one where user space had to raise memlock and the guest's write came again. */
  exit: string;
  again: boolean;
  /** The guest's event that this exit brought has been told. */
  told: boolean;
}

/** A vCPU's stretch that has not ended, and what the vCPU has seen before. */
interface OpenStretch {
  readonly vcpu: number;
  event: GuestEvent;
  ordinal: number;
  atNs: number;
  heldPages: number;
  steps: Steps;
  blackouts: { count: number; ns: number };
  group: Group | undefined;
  /** Charged, and not known yet by what. */
  pending: Partial<Record<HostKind, number>>;
  readonly seen: { enable: number; disable: number };
}

/** The exit that brings a trapped enable or disable. */
const SWITCHING = "MSR PMBLIMITR_EL1";
const RAISED = "KVM_EXIT_RLIMIT";
/** What the host did outside of any exit. */
const OUTSIDE = "other";
const TIMER = "timer";

/** Calls that were made on the host's workers, and what they charged there. */
export interface Background {
  readonly steps: readonly Step[];
  readonly charges: Charges;
}

export class StretchListener {
  readonly #tell: (stretch: Stretch) => void;
  readonly #vcpus: OpenStretch[] = [];
  #machine: Machine | undefined;
  readonly #background = new Steps();
  readonly #backgroundCharges: Partial<Record<HostKind, number>> = {};

  constructor(tell: (stretch: Stretch) => void) {
    this.#tell = tell;
  }

  /** For Listeners.attach: what came before was setting up. */
  attach(machine: Machine): void {
    this.#machine = machine;
    for (const { index, truth } of machine.vcpus) {
      const state: OpenStretch = {
        vcpu: index,
        event: "start",
        ordinal: 0,
        atNs: 0,
        heldPages: this.#held(index),
        steps: new Steps(),
        blackouts: { count: 0, ns: 0 },
        group: undefined,
        pending: {},
        seen: { enable: 0, disable: 0 },
      };
      this.#vcpus.push(state);
      truth.onBlackout = (startNs, endNs) => {
        state.blackouts.count += 1;
        state.blackouts.ns += endNs - startNs;
      };
    }
    machine.spe.onBuffer = (vcpu, on, atNs) => this.#switched(this.#vcpus[vcpu] as OpenStretch, on, atNs);
    const charged: OnCharge = (kind, startNs, endNs) => {
      if (kind !== "idle" && kind !== "guestRun")
        charge(this.#backgroundCharges, { [kind]: endNs - startNs });
    };
    machine.spe.workers.onCharge = charged;
    machine.host.onCharge = charged;
  }

  /** For Listeners.trace. */
  readonly trace = (event: TraceEvent): void => {
    const state = this.#vcpus[event.vcpu];
    if (state === undefined) return;
    const { name, detail } = event;
    switch (event.what) {
      case "charge":
        this.#charged(state, name as HostKind, detail?.["ns"] as number);
        return;
      case "exit":
        this.#exit(state, name, event.atNs);
        return;
      case "event":
        this.#event(state, name, event.atNs);
        return;
      case "call":
        this.#called(state, name, Number(detail?.["pages"] ?? 0), event.atNs);
        return;
      case "note":
      case "host":
        return;
    }
  };

  /** The run is over: tells the last stretches and listens no more. */
  finish(): void {
    for (const state of this.#vcpus) {
      this.#closeGroup(state);
      this.#tellOf(state);
    }
    if (this.#machine !== undefined) this.#machine.spe.onBuffer = undefined;
    this.#vcpus.length = 0;
  }

  /** What was done beside the vCPUs so far. */
  get background(): Background {
    return { steps: [...this.#background.byName.values()], charges: { ...this.#backgroundCharges } };
  }

  #held(vcpu: number): number {
    return this.#machine?.vcpus[vcpu]?.spe.holdings.pins.set.pages ?? 0;
  }

  #charged(state: OpenStretch, kind: HostKind, ns: number): void {
    // What a world switch costs belongs to it; what else is charged, to the call that it turns out to be of.
    const to = kind === "exit" && state.group !== undefined ? state.group : undefined;
    charge(to === undefined ? state.pending : to.steps.step(to.exit).charges, { [kind]: ns });
  }

  #settle(state: OpenStretch, name: string): OpenStep {
    const step = (state.group?.steps ?? state.steps).step(name);
    charge(step.charges, state.pending);
    state.pending = {};
    return step;
  }

  #settleExit(state: OpenStretch): void {
    if (nsOf(state.pending) > 0) this.#settle(state, state.group?.exit ?? OUTSIDE);
  }

  #exit(state: OpenStretch, reason: string, atNs: number): void {
    this.#settleExit(state);
    const { group } = state;
    if (group !== undefined && (group.again || reason === RAISED)) {
      group.again = reason === RAISED;
      group.exit = reason;
    } else this.#open(state, reason, atNs);
    (state.group as Group).steps.step(reason).count += 1;
  }

  #open(state: OpenStretch, reason: string, atNs: number): void {
    this.#closeGroup(state);
    state.group = {
      reason,
      exit: reason,
      atNs,
      heldPages: this.#held(state.vcpu),
      steps: new Steps(),
      again: false,
      told: false,
    };
  }

  #closeGroup(state: OpenStretch): void {
    this.#settleExit(state);
    if (state.group !== undefined) state.steps.take(state.group.steps);
    state.group = undefined;
  }

  #event(state: OpenStretch, name: string, atNs: number): void {
    switch (name) {
      case "onBufferEnabled":
      case "onBufferDisabled":
        this.#settleExit(state);
        return;
      case "onTimer": {
        const { pending } = state;
        state.pending = {};
        this.#open(state, TIMER, atNs);
        state.pending = pending;
        this.#settle(state, TIMER).count += 1;
        return;
      }
      case "copied":
        this.#settle(state, "copy").count += 1;
        return;
      default:
        this.#settleExit(state);
        (state.group?.steps ?? state.steps).step(name).count += 1;
    }
  }

  #called(state: OpenStretch, name: string, pages: number, atNs: number): void {
    // The worker's calls come with the worker's instant.
    const inBackground = atNs !== this.#machine?.vcpus[state.vcpu]?.timeline.nowNs;
    const step = inBackground ? this.#background.step(name) : this.#settle(state, name);
    step.count += 1;
    step.pages += pages;
  }

  /** The guest's event. Where it trapped, the exit that brought it and what KVM did for it is its own. */
  #switched(state: OpenStretch, on: boolean, atNs: number): void {
    let { group } = state;
    if (group?.reason !== SWITCHING || group.told) {
      this.#closeGroup(state);
      group = undefined;
    }
    this.#tellOf(state);
    const event = on ? "enable" : "disable";
    state.seen[event] += 1;
    state.event = event;
    state.ordinal = state.seen[event];
    state.atNs = group?.atNs ?? atNs;
    state.heldPages = group?.heldPages ?? this.#held(state.vcpu);
    state.steps = new Steps();
    state.blackouts = { count: 0, ns: 0 };
    if (group !== undefined) group.told = true;
  }

  #tellOf({ vcpu, event, ordinal, atNs, heldPages, steps, blackouts }: OpenStretch): void {
    this.#tell({ vcpu, event, ordinal, atNs, heldPages, steps: [...steps.byName.values()], blackouts });
  }
}
