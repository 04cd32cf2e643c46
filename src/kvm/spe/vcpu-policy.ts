/**
 * What the policy is told of one vCPU, and asked: each event with its line of the trace, the context that it may call, and
 * what holds where it has no handler.
 */
import type { Ipn } from "../../common/address.ts";
import type { Timeline } from "../../common/timeline.ts";
import type { NotifierEvent } from "../../host/mm.ts";
import {
  DONE,
  type EnableOutcome,
  type MapOutcome,
  type PolicyHandlers,
  type SpeBuffer,
  type SpuStage2Fault,
} from "./policy.ts";
import { type PolicySubject, VcpuPolicyContext } from "./policy-context.ts";

const WITHHELD = { kind: "withheld" } as const;

export class VcpuPolicy {
  readonly context: VcpuPolicyContext;
  readonly #spe: PolicySubject;
  readonly #handlers: PolicyHandlers;

  constructor(spe: PolicySubject) {
    this.#spe = spe;
    this.#handlers = spe.vmSpe.handlers;
    this.context = new VcpuPolicyContext(spe, spe.owner.timeline);
  }

  // ---- The vCPU ----

  /** KVM_RUN begins: the vCPU is on this CPU (kvm_arch_vcpu_load). */
  load(): void {
    this.#tell(() => this.#handlers.onVcpuLoad?.(this.context));
  }

  /** KVM_RUN returns to user space (kvm_arch_vcpu_put). */
  put(): void {
    this.#tell(() => this.#handlers.onVcpuPut?.(this.context));
  }

  /** The guest was left for a reason, by the name that reports have of it. */
  exited(reason: string): void {
    if (this.#handlers.onGuestExit === undefined) return;
    this.#tell(() => this.#handlers.onGuestExit?.(reason, this.context));
  }

  /** A timer that the policy has armed is due. */
  timer(tag: string): void {
    this.event("onTimer", { tag });
    this.#tell(() => this.#handlers.onTimer?.(tag, this.context));
  }

  /** Does what the vCPU's host worker has begun by now. */
  background(): void {
    const { vmSpe, owner } = this.#spe;
    if (vmSpe.workers.nextNs(owner.index) > owner.timeline.nowNs) return;
    vmSpe.workers.runDue(owner, owner.timeline.nowNs, (tag, timeline) => {
      this.#tell(() => this.#handlers.onBackground?.(tag, new VcpuPolicyContext(this.#spe, timeline)));
    });
  }

  // ---- Its buffer ----

  /** The guest's write is about to enable a buffer: may the hardware go on? */
  bufferEnabled(buffer: SpeBuffer): EnableOutcome {
    this.event("onBufferEnabled", { pages: buffer.pages });
    return this.#spe.vmSpe.ask(
      () => this.#handlers.onBufferEnabled?.(buffer, this.context) ?? DONE,
      WITHHELD,
    );
  }

  bufferDisabled(buffer: SpeBuffer): void {
    this.event("onBufferDisabled", { pages: buffer.pages });
    this.#tell(() => this.#handlers.onBufferDisabled?.(buffer, this.context));
  }

  bufferFull(buffer: SpeBuffer): void {
    this.event("onBufferFull", {});
    this.#tell(() => this.#handlers.onBufferFull?.(buffer, this.context));
  }

  /** The hardware has reached the policy's limit: may it go on? */
  limitReached(buffer: SpeBuffer): EnableOutcome {
    this.event("onHardwareLimit", { pages: buffer.pages });
    return this.#spe.vmSpe.ask(
      () => this.#handlers.onHardwareLimit?.(buffer, this.context) ?? DONE,
      WITHHELD,
    );
  }

  stage2Fault(fault: SpuStage2Fault): MapOutcome {
    this.event("onStage2Fault", { page: fault.page, onWalk: fault.onWalk ? 1 : 0 });
    const outcome = this.#spe.vmSpe.ask(() => this.#handlers.onStage2Fault?.(fault, this.context), undefined);
    return outcome ?? this.context.mapFault(fault);
  }

  // ---- Its memory ----

  /** The host has invalidated pages that the policy holds; told when the work that is going on is over. */
  invalidated(first: Ipn, pages: number, event: NotifierEvent, timeline: Timeline): void {
    if (this.#handlers.onInvalidated === undefined) return;
    this.#spe.vmSpe.events.tell(() => {
      this.event("onInvalidated", { first, pages, event });
      this.#tell(() =>
        this.#handlers.onInvalidated?.(first, pages, event, new VcpuPolicyContext(this.#spe, timeline)),
      );
    });
  }

  #tell(handler: () => void): void {
    this.#spe.vmSpe.ask(handler, undefined);
  }

  /** A line of the trace at the vCPU's instant. */
  event(name: string, detail: Record<string, number | string>): void {
    const { vmSpe, owner } = this.#spe;
    vmSpe.vm.trace?.({ atNs: owner.timeline.nowNs, vcpu: owner.index, what: "event", name, detail });
  }
}
