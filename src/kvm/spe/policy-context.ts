/**
 * The context that a policy calls: it does the work through host/ and stage 2, charges it, traces it, and refuses
 * what would break an invariant. One for each vCPU; background work gets one on the worker's timeline.
 */
import { vpnOf } from "../../common/address.ts";
import type { Timeline } from "../../common/timeline.ts";
import type { PageSet } from "../guest-pages.ts";
import type { Vcpu } from "../vcpu.ts";
import {
  type BufferWalk,
  DONE,
  type Done,
  type MapOutcome,
  type OverMemlock,
  type PinOutcome,
  type PolicyContext,
  type SpeBuffer,
  type SpuStage2Fault,
  type WalkFault,
} from "./policy.ts";

/** A policy asked for something that would break an invariant: its author's mistake. */
export class PolicyRefused extends Error {
  override readonly name = "PolicyRefused";
  constructor(policy: string, call: string, why: string) {
    super(`policy ${policy}: ${call} refused: ${why}`);
  }
}

export class VcpuPolicyContext implements PolicyContext {
  readonly #vcpu: Vcpu;
  readonly #timeline: Timeline;

  constructor(vcpu: Vcpu, timeline: Timeline) {
    this.#vcpu = vcpu;
    this.#timeline = timeline;
  }

  get vcpu(): number {
    return this.#vcpu.index;
  }

  get nowNs(): number {
    return this.#timeline.nowNs;
  }

  get pinned(): PageSet {
    return this.#vcpu.spe.holdings.pins.set;
  }

  get maxBufferPages(): number {
    return this.#vcpu.spe.holdings.maxBufferPages;
  }

  get memlock() {
    const { limitBytes, currentBytes, markBytes } = this.#vcpu.vm.memlock;
    return { limitBytes, currentBytes, markBytes };
  }

  get buffer(): SpeBuffer | undefined {
    return this.#vcpu.spe.enabledBuffer;
  }

  walk(buffer: SpeBuffer): BufferWalk | WalkFault {
    const { spe } = this.#vcpu;
    const startNs = this.nowNs;
    const result = spe.walker.walk(buffer, spe.regime(), this.#timeline);
    this.#spent(startNs);
    if (result.kind === "unbacked") {
      this.#call("walk", { pages: buffer.pages, unbacked: result.page });
      // A table or a page outside of every memslot: the SPU would get an external abort, told at stage 1.
      return {
        kind: "stage1-fault",
        firstPage: buffer.firstPage,
        fault: {
          stage: 1,
          kind: "external",
          level: 3,
          onWalk: false,
          vpn: vpnOf(buffer.pointer),
          ipn: undefined,
          write: true,
        },
      };
    }
    this.#call("walk", { pages: buffer.pages, result: result.kind });
    return result;
  }

  pin(pages: PageSet): PinOutcome {
    const { spe } = this.#vcpu;
    const missing = pages.minus(this.pinned);
    if (missing.isEmpty) return { kind: "done" };
    this.#mayHold(`pin of ${missing.pages} pages`, missing.pages, this.pinned.pages + spe.bouncePages);
    return this.#pin(missing);
  }

  unpin(pages: PageSet): void {
    const { spe, vm } = this.#vcpu;
    const startNs = this.nowNs;
    const gone = spe.holdings.pins.unpin(pages, this.#timeline);
    if (gone.isEmpty) return;
    this.#spent(startNs);
    spe.holdings.withdrawReports(gone);
    vm.statistics.unpins += 1;
    vm.statistics.pagesUnpinned += gone.pages;
    this.#call("unpin", { pages: gone.pages });
  }

  map(pages: PageSet): MapOutcome {
    const { vm } = this.#vcpu;
    const startNs = this.nowNs;
    const outcome = vm.stage2.map(pages, this.#timeline);
    this.#spent(startNs);
    this.#call("map", { pages: pages.pages, outcome: outcome.kind });
    return outcome;
  }

  report(walk: BufferWalk): void {
    const { spe, vm } = this.#vcpu;
    if (!this.pinned.covers(walk.all))
      throw new PolicyRefused(vm.policy.name, "report", "not every page of the walk is pinned");
    if (!vm.stage2.maps(walk.all))
      throw new PolicyRefused(vm.policy.name, "report", "not every page of the walk is mapped at stage 2");
    spe.holdings.report(walk);
    this.#call("report", { pages: walk.pages.pages, tables: walk.tables.pages });
  }

  mapFault(fault: SpuStage2Fault): MapOutcome {
    const { vm } = this.#vcpu;
    // The table pages are only read; the SPU writes to the buffer.
    const outcome = vm.stage2.fault(fault.page, true, this.#timeline);
    this.#call("mapFault", { page: fault.page, outcome: outcome.kind });
    return outcome;
  }

  setHardwareLimit(limit: bigint | undefined): void {
    if (limit !== undefined && (limit & 0xfffn) !== 0n)
      throw new PolicyRefused(this.#vcpu.vm.policy.name, "setHardwareLimit", "the limit is not page-aligned");
    this.#vcpu.spe.setHardwareLimit(limit);
    this.#call("setHardwareLimit", { limit: limit === undefined ? "guest" : `0x${limit.toString(16)}` });
  }

  bounce(pages: number | undefined): Done | OverMemlock {
    const { spe, vm } = this.#vcpu;
    if (pages === (spe.bouncePages === 0 ? undefined : spe.bouncePages)) return DONE;
    const call = `bounce of ${pages} pages`;
    if (pages !== undefined) {
      // One page might have no room for a record behind the pointer's offset in it.
      if (!Number.isSafeInteger(pages) || pages < 2)
        throw new PolicyRefused(vm.policy.name, call, "a bounce buffer has two pages or more");
      this.#mayHold(call, pages, this.pinned.pages);
    }
    const startNs = this.nowNs;
    const outcome = spe.bounce(pages, this.#timeline);
    this.#spent(startNs);
    // What the policy has done about memory so far was for this; from now on records are copied.
    if (spe.bouncePages > 0) spe.accounts.hadFirstPin = true;
    this.#call("bounce", { pages: pages ?? 0, outcome: outcome.kind });
    return outcome;
  }

  resume(): void {
    if (this.#vcpu.spe.resume()) this.#call("resume", {});
  }

  trapBuffer(on: boolean): void {
    this.#vcpu.spe.trapBuffer(on, this.#timeline);
    this.#call("trapBuffer", { on: on ? 1 : 0 });
  }

  armTimer(atNs: number, tag: string): void {
    this.#timeline.charge("irq", this.#vcpu.vm.costs.armTimer);
    this.#vcpu.armTimer(Math.ceil(atNs), tag);
    this.#call("armTimer", { atNs, tag });
  }

  background(work: (ctx: PolicyContext) => void): void {
    const { vm } = this.#vcpu;
    this.#call("background", {});
    // A worker that is busy already needs no waking.
    vm.worker.skipTo("idle", this.nowNs + vm.costs.workerWake);
    vm.workerLock.hold(vm.worker, "exclusive", () => work(new VcpuPolicyContext(this.#vcpu, vm.worker)));
  }

  pinMemslots(): PinOutcome {
    const { vm } = this.#vcpu;
    if (vm.started) throw new PolicyRefused(vm.policy.name, "pinMemslots", "the guest runs already");
    const all = vm.memslots.allPages();
    const missing = all.minus(this.pinned);
    const pinned = missing.isEmpty ? DONE : this.#pin(missing);
    return pinned.kind === "done" ? this.map(all) : pinned;
  }

  prefault(): void {
    this.#vcpu.vm.prefault(this.#timeline);
    this.#call("prefault", { pages: this.#vcpu.vm.memslots.pages });
  }

  note(text: string): void {
    this.#vcpu.vm.trace?.({ atNs: this.nowNs, vcpu: this.vcpu, what: "note", name: text });
  }

  #mayHold(call: string, more: number, held: number): void {
    const { spe, vm } = this.#vcpu;
    if (!spe.holdings.mayHold(held + more))
      throw new PolicyRefused(
        vm.policy.name,
        call,
        `with ${held} held that is more than the maximum buffer and its tables`,
      );
  }

  /** Pins pages of which none is pinned. */
  #pin(pages: PageSet): PinOutcome {
    const { spe, vm } = this.#vcpu;
    const startNs = this.nowNs;
    const outcome = spe.holdings.pins.pin(pages, this.#timeline);
    if (outcome.kind === "done") {
      vm.statistics.pins += 1;
      vm.statistics.pagesPinned += pages.pages;
      for (const run of pages.runs)
        if (run.list.areTables) vm.statistics.tablePagesPinned += run.to - run.from;
    }
    this.#spent(startNs);
    this.#call("pin", { pages: pages.pages, outcome: outcome.kind });
    return outcome;
  }

  /** What the policy did since `startNs` was on the vCPU's own time, or in the background. */
  #spent(startNs: number): void {
    if (this.#timeline === this.#vcpu.timeline) this.#vcpu.spe.accounts.spent(this.nowNs - startNs);
  }

  #call(name: string, detail: Record<string, number | string>): void {
    this.#vcpu.vm.trace?.({ atNs: this.nowNs, vcpu: this.vcpu, what: "call", name, detail });
  }
}
