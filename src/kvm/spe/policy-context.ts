/**
 * The context that a policy calls: it does the work through host/ and stage 2, charges it, traces it, and refuses
 * what would break an invariant. One for each vCPU; background work gets one on its worker's timeline.
 */
import { vpnOf } from "../../common/address.ts";
import type { Timeline } from "../../common/timeline.ts";
import type { Stage1Regime } from "../../mmu/config.ts";
import type { PageSet } from "../guest-pages.ts";
import type { BufferAccounts } from "./buffer-accounts.ts";
import type { BufferWalker } from "./buffer-walk.ts";
import type { Holdings } from "./holdings.ts";
import type { SpeOwner } from "./owner.ts";
import {
  type BufferWalk,
  DONE,
  type Done,
  type MapOutcome,
  type OverMemlock,
  type PinOutcome,
  type PolicyContext,
  PolicyRefused,
  type SpeBuffer,
  type SpuStage2Fault,
  type WalkFault,
} from "./policy.ts";
import type { VmSpe } from "./vm-spe.ts";

/** What a context works on: the SPE of a vCPU. */
export interface PolicySubject {
  readonly vmSpe: VmSpe;
  readonly owner: SpeOwner;
  readonly holdings: Holdings;
  readonly accounts: BufferAccounts;
  readonly walker: BufferWalker;
  readonly enabledBuffer: SpeBuffer | undefined;
  /** The pages of the bounce buffer; 0 where there is none. */
  readonly bouncePages: number;
  regime(): Stage1Regime;
  setHardwareLimit(limit: bigint | undefined): void;
  /** Sets up a bounce buffer in the place of the one there is, or (undefined) none. */
  bounce(pages: number | undefined, timeline: Timeline): Done | OverMemlock;
  /** Lets a withheld buffer go on; false where there is none. */
  resume(): boolean;
  trapBuffer(on: boolean, timeline: Timeline): void;
}

export class VcpuPolicyContext implements PolicyContext {
  readonly #spe: PolicySubject;
  readonly #timeline: Timeline;

  constructor(spe: PolicySubject, timeline: Timeline) {
    this.#spe = spe;
    this.#timeline = timeline;
  }

  get vcpu(): number {
    return this.#spe.owner.index;
  }

  get nowNs(): number {
    return this.#timeline.nowNs;
  }

  get pinned(): PageSet {
    return this.#spe.holdings.pins.set;
  }

  get maxBufferPages(): number {
    return this.#spe.holdings.maxBufferPages;
  }

  get memlock() {
    const { limitBytes, currentBytes, markBytes } = this.#spe.vmSpe.memlock;
    return { limitBytes, currentBytes, markBytes };
  }

  get buffer(): SpeBuffer | undefined {
    return this.#spe.enabledBuffer;
  }

  walk(buffer: SpeBuffer): BufferWalk | WalkFault {
    const spe = this.#spe;
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
    const spe = this.#spe;
    const missing = pages.minus(this.pinned);
    if (missing.isEmpty) return { kind: "done" };
    this.#mayHold(`pin of ${missing.pages} pages`, missing.pages, this.pinned.pages + spe.bouncePages);
    return this.#pin(missing);
  }

  unpin(pages: PageSet): void {
    const spe = this.#spe;
    const { vmSpe } = spe;
    const startNs = this.nowNs;
    const gone = spe.holdings.pins.unpin(pages, this.#timeline);
    if (gone.isEmpty) return;
    this.#spent(startNs);
    spe.holdings.withdrawReports(gone);
    vmSpe.statistics.unpins += 1;
    vmSpe.statistics.pagesUnpinned += gone.pages;
    this.#call("unpin", { pages: gone.pages });
  }

  map(pages: PageSet): MapOutcome {
    const { vmSpe } = this.#spe;
    const startNs = this.nowNs;
    const outcome = vmSpe.vm.stage2.map(pages, this.#timeline);
    this.#spent(startNs);
    this.#call("map", { pages: pages.pages, outcome: outcome.kind });
    return outcome;
  }

  report(walk: BufferWalk): void {
    const spe = this.#spe;
    const { vmSpe } = spe;
    if (!this.pinned.covers(walk.all))
      throw new PolicyRefused(vmSpe.policy.name, "report", "not every page of the walk is pinned");
    if (!vmSpe.vm.stage2.maps(walk.all))
      throw new PolicyRefused(vmSpe.policy.name, "report", "not every page of the walk is mapped at stage 2");
    spe.holdings.report(walk);
    this.#call("report", { pages: walk.pages.pages, tables: walk.tables.pages });
  }

  mapFault(fault: SpuStage2Fault): MapOutcome {
    const { vmSpe } = this.#spe;
    // The table pages are only read; the SPU writes to the buffer.
    const outcome = vmSpe.vm.stage2.fault(fault.page, true, this.#timeline);
    this.#call("mapFault", { page: fault.page, outcome: outcome.kind });
    return outcome;
  }

  setHardwareLimit(limit: bigint | undefined): void {
    // One above all addresses is none below the guest's; a buffer may begin with the first page.
    if (limit !== undefined && (limit < 0n || (limit & 0xfffn) !== 0n))
      throw new PolicyRefused(
        this.#spe.vmSpe.policy.name,
        "setHardwareLimit",
        limit < 0n ? "the limit lies below address 0" : "the limit is not page-aligned",
      );
    this.#spe.setHardwareLimit(limit);
    this.#call("setHardwareLimit", { limit: limit === undefined ? "guest" : `0x${limit.toString(16)}` });
  }

  bounce(pages: number | undefined): Done | OverMemlock {
    const spe = this.#spe;
    const { vmSpe } = spe;
    if (pages === (spe.bouncePages === 0 ? undefined : spe.bouncePages)) return DONE;
    const call = `bounce of ${pages} pages`;
    if (pages !== undefined) {
      // One page might have no room for a record behind the pointer's offset in it.
      if (!Number.isSafeInteger(pages) || pages < 2)
        throw new PolicyRefused(vmSpe.policy.name, call, "a bounce buffer has two pages or more");
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
    if (this.#spe.resume()) this.#call("resume", {});
  }

  trapBuffer(on: boolean): void {
    this.#spe.trapBuffer(on, this.#timeline);
    this.#call("trapBuffer", { on: on ? 1 : 0 });
  }

  armTimer(atNs: number, tag: string): void {
    this.#timeline.charge("irq", this.#spe.vmSpe.vm.costs.armTimer);
    this.#spe.owner.armTimer(Math.ceil(atNs), tag);
    this.#call("armTimer", { atNs, tag });
  }

  background(tag: string): void {
    this.#call("background", { tag });
    this.#spe.vmSpe.workers.queue(this.vcpu, tag, this.nowNs);
  }

  pinMemslots(): PinOutcome {
    const { vmSpe } = this.#spe;
    if (vmSpe.started) throw new PolicyRefused(vmSpe.policy.name, "pinMemslots", "the guest runs already");
    const all = vmSpe.vm.memslots.allPages();
    const missing = all.minus(this.pinned);
    const pinned = missing.isEmpty ? DONE : this.#pin(missing);
    return pinned.kind === "done" ? this.map(all) : pinned;
  }

  prefault(): void {
    this.#spe.vmSpe.prefault(this.#timeline);
    this.#call("prefault", { pages: this.#spe.vmSpe.vm.memslots.pages });
  }

  note(text: string): void {
    this.#spe.vmSpe.vm.trace?.({ atNs: this.nowNs, vcpu: this.vcpu, what: "note", name: text });
  }

  #mayHold(call: string, more: number, held: number): void {
    const spe = this.#spe;
    const { vmSpe } = spe;
    if (!spe.holdings.mayHold(held + more))
      throw new PolicyRefused(
        vmSpe.policy.name,
        call,
        `with ${held} held that is more than the maximum buffer and its tables`,
      );
  }

  /** Pins pages of which none is pinned. */
  #pin(pages: PageSet): PinOutcome {
    const spe = this.#spe;
    const { vmSpe } = spe;
    const startNs = this.nowNs;
    const outcome = spe.holdings.pins.pin(pages, this.#timeline);
    if (outcome.kind === "done") {
      vmSpe.statistics.pins += 1;
      vmSpe.statistics.pagesPinned += pages.pages;
      for (const run of pages.runs)
        if (run.list.areTables) vmSpe.statistics.tablePagesPinned += run.to - run.from;
    }
    this.#spent(startNs);
    this.#call("pin", { pages: pages.pages, outcome: outcome.kind });
    return outcome;
  }

  /** What the policy did since `startNs` was on the vCPU's own time, or in the background. */
  #spent(startNs: number): void {
    if (this.#timeline === this.#spe.owner.timeline) this.#spe.accounts.spent(this.nowNs - startNs);
  }

  #call(name: string, detail: Record<string, number | string>): void {
    this.#spe.vmSpe.vm.trace?.({ atNs: this.nowNs, vcpu: this.vcpu, what: "call", name, detail });
  }
}
