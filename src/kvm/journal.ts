/**
 * What has changed host memory and stage 2 of a VM whose guest does not profile: enough to bring both about again, frame by
 * frame and table by table, in a VM that was made alike.
 */
import type { Ipn } from "../common/address.ts";
import { Timeline } from "../common/timeline.ts";
import type { HostMm } from "../host/mm.ts";
import type { Memslots } from "./memslots.ts";
import type { Stage2 } from "./stage2.ts";

const KIND = { touchRead: 0, touchWrite: 1, faultRead: 2, faultWrite: 3, start: 4 } as const;

/** What a journal speaks of; a VM is it. */
interface GuestMemory {
  readonly mm: HostMm;
  readonly memslots: Memslots;
  readonly stage2: Stage2;
}

export class Journal {
  /** Kind, guest page and instant of each entry, flat. */
  readonly #entries: number[];

  constructor(entries: readonly number[] = []) {
    this.#entries = [...entries];
  }

  /** User space, or KVM itself, had the host make a guest page present. */
  touched(page: Ipn, write: boolean): void {
    this.#entries.push(write ? KIND.touchWrite : KIND.touchRead, page, 0);
  }

  /** A stage-2 fault was answered. */
  faulted(page: Ipn, write: boolean, atNs: number): void {
    this.#entries.push(write ? KIND.faultWrite : KIND.faultRead, page, atNs);
  }

  /** The policy's onVmStart ran. */
  started(): void {
    this.#entries.push(KIND.start, 0, 0);
  }

  save(): readonly number[] {
    return this.#entries;
  }

  /**
   * Does it all again.
   * @param start what `started` stands for
   */
  replay(vm: GuestMemory, start: () => void): void {
    const entries = this.#entries.splice(0);
    for (let i = 0; i < entries.length; i += 3) {
      const [kind, page, atNs] = entries.slice(i, i + 3) as [number, Ipn, number];
      if (kind === KIND.start) {
        start();
        this.started();
      } else if (kind >= KIND.faultRead) {
        vm.stage2.fault(page, kind === KIND.faultWrite, new Timeline("replay", atNs));
        this.faulted(page, kind === KIND.faultWrite, atNs);
      } else {
        const write = kind === KIND.touchWrite;
        vm.mm.faultIn(vm.memslots.hostPageOf(page), write, new Timeline("replay"));
        this.touched(page, write);
      }
    }
  }
}
