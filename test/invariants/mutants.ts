/**
 * Mutants of the product, made from outside by putting another method into a class for a while. Each breaks one
 * invariant as a plausible mistake would; the property tests must notice.
 */
import { Frames } from "../../src/host/frames.ts";
import { Memlock } from "../../src/host/memlock.ts";
import { HostMm, type MmuNotifier } from "../../src/host/mm.ts";
import { SpeDevice } from "../../src/kvm/spe/attributes.ts";
import { BounceBuffer } from "../../src/kvm/spe/bounce-buffer.ts";
import { BufferWalker } from "../../src/kvm/spe/buffer-walk.ts";
import { GroundTruth } from "../../src/kvm/spe/ground-truth.ts";
import { Holdings } from "../../src/kvm/spe/holdings.ts";
import { PinnedPages } from "../../src/kvm/spe/pinned-pages.ts";
import { VcpuSpe } from "../../src/kvm/spe/vcpu-spe.ts";
import { Stage2 } from "../../src/kvm/stage2.ts";
import type { InvariantNumber } from "../../src/lab/invariants/broken.ts";
import { TranslatedRecords } from "../../src/spe/record-memory.ts";

export interface Mutant {
  readonly name: string;
  readonly breaks: InvariantNumber;
  /** Puts the mutation in; what it returns takes it out again. */
  install(): () => void;
}

/** Replaces a property of a prototype. */
function replaced<T extends object, K extends keyof T>(
  prototype: T,
  key: K,
  descriptor: (original: PropertyDescriptor) => PropertyDescriptor,
): () => void {
  const original = Object.getOwnPropertyDescriptor(prototype, key);
  if (original === undefined) throw new Error(`${String(key)} is no longer there to be replaced`);
  Object.defineProperty(prototype, key, { configurable: true, ...descriptor(original) });
  return () => Object.defineProperty(prototype, key, original);
}

/** A method that does something else. */
const method = <T extends object, K extends keyof T>(prototype: T, key: K, value: T[K]): (() => void) =>
  replaced(prototype, key, () => ({ value, writable: true }));

export const MUTANTS: readonly Mutant[] = [
  {
    name: "table pages are walked but left out of what is pinned",
    breaks: 1,
    install() {
      const { walk } = BufferWalker.prototype;
      return method(BufferWalker.prototype, "walk", function (this: BufferWalker, ...args) {
        const found = walk.apply(this, args);
        return found.kind === "walked" ? { ...found, all: found.pages } : found;
      });
    },
  },
  {
    name: "the notifier unmaps pinned pages, too",
    breaks: 1,
    install: () => method(PinnedPages.prototype, "has", () => false),
  },
  {
    name: "a pin is kept after MADV_DONTNEED: nobody looks at the end of an invalidation",
    breaks: 1,
    install() {
      const { register } = HostMm.prototype;
      return method(HostMm.prototype, "register", function (this: HostMm, notifier: MmuNotifier) {
        register.call(this, {
          invalidateRangeStart: (...args) => notifier.invalidateRangeStart(...args),
          invalidateRangeEnd: () => undefined,
        });
      });
    },
  },
  {
    name: "what is reported need not be mapped at stage 2",
    breaks: 1,
    install: () => method(Stage2.prototype, "maps", () => true),
  },
  {
    name: "a kept walk is taken for good although the guest has edited its tables",
    breaks: 1,
    install: () => method(Frames.prototype, "wrote", () => undefined),
  },
  {
    name: "the TLB is not invalidated when stage 2 changes",
    breaks: 2,
    install: () => method(TranslatedRecords.prototype, "invalidateByIpa", () => undefined),
  },
  {
    name: "the notifier leaves every mapping in place",
    breaks: 2,
    install: () => method(Stage2.prototype, "unmap", () => undefined),
  },
  {
    name: "teardown forgets to unpin",
    breaks: 3,
    install: () => method(VcpuSpe.prototype, "teardown", () => undefined),
  },
  {
    name: "a bounce buffer is not given back",
    breaks: 3,
    install: () => method(BounceBuffer.prototype, "free", () => undefined),
  },
  {
    name: "memlock is not accounted",
    breaks: 3,
    install() {
      const undo = [
        method(Memlock.prototype, "lock", () => ({ kind: "locked" })),
        method(Memlock.prototype, "unlock", () => undefined),
      ];
      return () => {
        for (const each of undo) each();
      };
    },
  },
  {
    name: "memlock ignores its limit",
    breaks: 3,
    install() {
      const { lock } = Memlock.prototype;
      return method(Memlock.prototype, "lock", function (this: Memlock, bytes: number) {
        const { limitBytes } = this;
        this.limitBytes = Number.POSITIVE_INFINITY;
        const result = lock.call(this, bytes);
        this.limitBytes = limitBytes;
        return result;
      });
    },
  },
  {
    name: "what a blackout loses is not counted",
    breaks: 4,
    install() {
      const { unsampled } = GroundTruth.prototype;
      return method(GroundTruth.prototype, "unsampled", function (this: GroundTruth, ...args) {
        const { lostInBlackout } = this;
        unsampled.apply(this, args);
        this.lostInBlackout = lostInBlackout;
      });
    },
  },
  {
    name: "a full buffer passes for a blackout",
    breaks: 4,
    install() {
      const { guestView } = VcpuSpe.prototype;
      return method(VcpuSpe.prototype, "guestView", function (this: VcpuSpe) {
        return guestView.call(this) === "full" ? "on" : guestView.call(this);
      });
    },
  },
  {
    name: "a policy may pin as much as it likes",
    breaks: 5,
    install: () => method(Holdings.prototype, "mayHold", () => true),
  },
  {
    name: "the maximum buffer size is ignored",
    breaks: 5,
    install: () =>
      replaced(SpeDevice.prototype, "attributes", (original) => ({
        get(this: SpeDevice) {
          return { ...original.get?.call(this), maxBufferBytes: undefined };
        },
      })),
  },
];
