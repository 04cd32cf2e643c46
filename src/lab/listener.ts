/** What the charts of one run need, collected while it runs: at most a few ten thousand stretches. */
import { PAGE_BYTES } from "../common/address.ts";
import type { TimeKind } from "../common/timeline.ts";
import type { Machine } from "../vmm/machine.ts";
import type { Span, SpanKind } from "./report/detail.ts";

/** Stretches kept; beyond that, stretches of a kind that lie close together are told as one. */
const MOST_SPANS = 12_000;
const MOST_STEPS = 4_000;

const SPAN_OF: Readonly<Partial<Record<TimeKind, SpanKind>>> = {
  walk: "walk",
  pin: "pin",
  unpin: "unpin",
  stage2: "stage2",
  exit: "exit",
  irq: "irq",
  idle: "idle",
};

interface OpenSpan {
  vcpu: number;
  kind: SpanKind;
  startNs: number;
  endNs: number;
}

/**
 * Listens to a machine. Stretches of a kind closer together than the resolution become one, and the resolution doubles
 * whenever there are too many: what is dropped is never longer than a pixel of the whole run.
 */
export class SpanListener {
  #spans: OpenSpan[] = [];
  #resolutionNs = 10_000;
  /** The newest stretch of each kind, by vCPU. */
  readonly #last: Partial<Record<SpanKind, OpenSpan>>[] = [];
  readonly #onSince = new Map<number, number>();
  #pinned: [number, number][] = [];
  #pinnedResolutionNs = 1;

  attach(machine: Machine): void {
    for (const vcpu of machine.vcpus) {
      const also = vcpu.timeline.onCharge;
      vcpu.timeline.onCharge = (kind, startNs, endNs) => {
        also?.(kind, startNs, endNs);
        const span = SPAN_OF[kind];
        if (span !== undefined) this.#add(vcpu.index, span, startNs, endNs);
      };
      vcpu.truth.onBlackout = (startNs, endNs) => this.#add(vcpu.index, "blackout", startNs, endNs);
    }
    machine.spe.onBuffer = (vcpu, on, atNs) => {
      if (on) this.#onSince.set(vcpu, atNs);
      else this.#add(vcpu, "buffer-on", this.#onSince.get(vcpu) ?? atNs, atNs);
    };
    // What was set up before time begins is held from its first instant.
    if (machine.spe.pinnedPages > 0) this.#pin(0, machine.spe.pinnedPages * PAGE_BYTES);
    machine.spe.onPinned = (pages, atNs) => this.#pin(atNs, pages * PAGE_BYTES);
  }

  spans(): Span[] {
    return this.#spans.map((span) => ({ ...span }));
  }

  pinnedOverTime(): [number, number][] {
    return [...this.#pinned].sort((a, b) => a[0] - b[0]);
  }

  #add(vcpu: number, kind: SpanKind, startNs: number, endNs: number): void {
    let lasts = this.#last[vcpu];
    if (lasts === undefined) {
      lasts = {};
      this.#last[vcpu] = lasts;
    }
    const last = lasts[kind];
    if (last !== undefined && startNs - last.endNs <= this.#resolutionNs) {
      last.endNs = Math.max(last.endNs, endNs);
      return;
    }
    const span = { vcpu, kind, startNs, endNs };
    lasts[kind] = span;
    this.#spans.push(span);
    if (this.#spans.length > MOST_SPANS) this.#coarsen();
  }

  #coarsen(): void {
    this.#resolutionNs *= 8;
    const spans = this.#spans;
    this.#spans = [];
    this.#last.length = 0;
    for (const span of spans) this.#add(span.vcpu, span.kind, span.startNs, span.endNs);
  }

  #pin(atNs: number, bytes: number): void {
    const last = this.#pinned.at(-1);
    // Only the peak inside of one resolution step is kept, so that no pin goes unseen.
    if (last !== undefined && atNs - last[0] < this.#pinnedResolutionNs) {
      last[1] = Math.max(last[1], bytes);
      return;
    }
    this.#pinned.push([atNs, bytes]);
    if (this.#pinned.length <= MOST_STEPS) return;
    this.#pinnedResolutionNs = Math.max(1_000, this.#pinnedResolutionNs * 4);
    const all = this.#pinned;
    this.#pinned = [];
    for (const [at, value] of all) this.#pin(at, value);
  }
}
