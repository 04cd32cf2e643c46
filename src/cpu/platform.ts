/** What a core is plugged into. */
import type { Encoding } from "../arm/registers.ts";
import type { Ipn, Pfn } from "../common/address.ts";
import type { Stage2Config } from "../mmu/config.ts";
import type { TableMemory } from "../mmu/table-memory.ts";

/** What a TLBI names: everything, a page (VA[55:12]), or the ASID in bits 63:48 of a register. */
export type TlbiTarget =
  | { readonly kind: "all" }
  | { readonly kind: "page"; readonly page: number }
  | { readonly kind: "asid"; readonly register: bigint };

/** What reaches all cores. */
export type Broadcast =
  | { readonly kind: "tlb"; readonly what: TlbiTarget }
  | { readonly kind: "instructions" }
  | { readonly kind: "event" };

export interface CorePlatform {
  /** Stage 2 as VTCR_EL2 and VTTBR_EL2 select it. */
  readonly stage2: Stage2Config;
  /** Physical memory as the MMU's walks see it; pages with content are views of the linear memory. */
  readonly physical: TableMemory<Pfn>;
  /** The content of a physical page, in the linear memory, whoever wants to write to it. */
  contentOf(frame: Pfn): Uint32Array;
  /** Whether memory is behind a page of IPA space. */
  isMemory(page: Ipn): boolean;
  /** Affinity of this PE: MPIDR_EL1. */
  readonly mpidr: bigint;
  /** Whether an access to this system register traps to the hypervisor: the PMU's (MDCR_EL2.TPM), and SPE's as it likes. */
  traps(encoding: Encoding, isRead: boolean): boolean;
  /**
   * Whether others are behind this vCPU: what they could tell the time by (counters, timers, interrupts to them, devices) must
   * wait for them.
   */
  isAhead(): boolean;
  /** Whether an access to this system register must not be made yet: it waits for those who are behind, say. */
  mustWait(encoding: Encoding): boolean;
  /** Whether CNTKCTL_EL1's event stream has made an event since this was last asked. */
  streamed(): boolean;
  /** Whether stores to a page of the linear memory must be told: somebody waits in WFE for one. */
  isWatched(page: number): boolean;
  /** A store to a watched page has happened. */
  stored(at: number, bytes: number): void;
  /** System registers that the hypervisor or its devices hold. Undefined, false: none of theirs. */
  readRegister(encoding: Encoding): bigint | undefined;
  writeRegister(encoding: Encoding, value: bigint): boolean;
  /** TLBI, IC and SEV are for every core of the machine, this one included. */
  broadcast(what: Broadcast): void;
}
