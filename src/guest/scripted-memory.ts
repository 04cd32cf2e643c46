/**
 * Stage-1 tables of a scripted guest: a pool of pages that become tables, and edits of single descriptors through
 * whatever memory the caller has (stage 2 while the guest runs). Unlike mmu/build.ts it takes tables as they are: a
 * guest whose SPU wrote records over its own tables goes on editing the rubble.
 */
import { addressHi, addressLo, type LeafBits, LO } from "../arm/descriptors.ts";
import { TCR_EL1 } from "../arm/registers-system.ts";
import { type Ipn, ipn, type Vpn, vpn } from "../common/address.ts";
import type { Access } from "../mmu/access.ts";
import { relativePage, type Stage1Config, type Stage1Regime, stage1Regime } from "../mmu/config.ts";
import { isFault } from "../mmu/fault.ts";
import type { TableMemory } from "../mmu/table-memory.ts";
import { isTable, nextTable } from "../mmu/translate.ts";
import type { GuestPageBytes } from "./memory.ts";

const LOAD: Access = { by: "load", el: 1, write: false };
const STORE: Access = { by: "store", el: 1, write: true };

/** TCR_EL1.TG0 and TG1 by granule. */
const TG0: Readonly<Record<GuestPageBytes, number>> = { 4096: 0, 16384: 2, 65536: 1 };
const TG1: Readonly<Record<GuestPageBytes, number>> = { 4096: 2, 16384: 1, 65536: 3 };

export interface ScriptedTablesOptions {
  readonly pageBytes: GuestPageBytes;
  /** 64 - T0SZ and 64 - T1SZ. */
  readonly vaBits: number;
  /** Which half the tables translate; the other is switched off (EPD). */
  readonly half: "lower" | "upper";
  /** TCR_EL1.HA and HD: hardware sets access flag and dirty state. */
  readonly hardwareUpdates: boolean;
  /** First pages of granules that may become tables; the first is the root. */
  readonly pool: readonly number[];
}

/** How an edit ended. */
export type EditOutcome =
  | { readonly kind: "done" }
  /** The CPU's access to this page does not translate at stage 2: nothing changed, try again. */
  | { readonly kind: "stage2-fault"; readonly ipn: Ipn; readonly write: boolean }
  /** Tables lead out of memory, or the pool is empty: the edit is dropped. */
  | { readonly kind: "refused" };

const DONE: EditOutcome = { kind: "done" };
const REFUSED: EditOutcome = { kind: "refused" };

export class ScriptedTables {
  readonly regime: Stage1Regime;
  /** The half that is on. */
  readonly config: Stage1Config;
  readonly #pool: readonly number[];
  #used = 1;

  constructor(options: ScriptedTablesOptions) {
    const { pageBytes, half, pool } = options;
    this.#pool = pool;
    const root = BigInt(pool[0] ?? 0) << 12n;
    const upper = half === "upper";
    this.regime = stage1Regime({
      TCR_EL1: TCR_EL1.with(0n, {
        T0SZ: 64 - options.vaBits,
        T1SZ: 64 - options.vaBits,
        TG0: TG0[pageBytes],
        TG1: TG1[pageBytes],
        EPD0: upper,
        EPD1: !upper,
        IPS: 5,
        SH0: 3,
        SH1: 3,
        HA: options.hardwareUpdates,
        HD: options.hardwareUpdates,
      }),
      TTBR0_EL1: upper ? 0n : root,
      TTBR1_EL1: upper ? root : 0n,
      SCTLR_EL1: 1n | (1n << 2n) | (1n << 12n),
      MAIR_EL1: 0xffn,
    });
    this.config = upper ? this.regime.upper : this.regime.lower;
  }

  /** The page at an offset into the half. */
  pageAt(offset: number): Vpn {
    return vpn(this.config.firstPage + offset);
  }

  /** Whether a page may be a table's. */
  isTablePage(page: number): boolean {
    const { granulePages } = this.config;
    return this.#pool.some((first) => page >= first && page < first + granulePages);
  }

  /**
   * Makes the descriptor of a page at a level lead to `output`, or clears it. Tables on the way are made.
   * @param isRam whether a CPU access to the page has memory behind it
   */
  edit(
    memory: TableMemory<Ipn>,
    isRam: (page: Ipn) => boolean,
    page: Vpn,
    level: 1 | 2 | 3,
    leaf: (LeafBits & { readonly output: Ipn }) | undefined,
  ): EditOutcome {
    const { config } = this;
    const relative = relativePage(config, page, false);
    let at = config.startLevel as number;
    let word = config.rootWord + 2 * Math.floor(relative / (config.entryPages[at] as number));
    let table = ipn(config.rootPage + (word >>> 10));
    for (;;) {
      if (!isRam(table)) return REFUSED;
      const target = at >= level;
      const words = memory.page(table, target ? STORE : LOAD);
      if (words === undefined || isFault(words)) return { kind: "stage2-fault", ipn: table, write: target };
      const index = word & 1023;
      const lo = words[index] as number;
      if (target || (leaf === undefined && !isTable(lo, at)))
        return this.#write(memory, table, index, at, leaf);
      let next = nextTable(config, lo, words[index + 1] as number);
      if (!isTable(lo, at)) {
        const made = this.#makeTable(memory, isRam, table, index);
        if (typeof made !== "number") return made;
        next = made;
      }
      at += 1;
      word = 2 * ((relative / (config.entryPages[at] as number)) & config.indexMask);
      table = ipn(next + (word >>> 10));
    }
  }

  #write(
    memory: TableMemory<Ipn>,
    table: Ipn,
    index: number,
    level: number,
    leaf: (LeafBits & { readonly output: Ipn }) | undefined,
  ): EditOutcome {
    const words = memory.page(table, STORE);
    if (words === undefined || isFault(words)) return { kind: "stage2-fault", ipn: table, write: true };
    words[index] = leaf === undefined ? 0 : (addressLo(leaf.output) | leaf.lo | (level === 3 ? 3 : 1)) >>> 0;
    words[index + 1] = leaf === undefined ? 0 : (addressHi(leaf.output) | leaf.hi) >>> 0;
    memory.wrote(table);
    return DONE;
  }

  /** An empty table behind a descriptor; all of its pages can be reached before anything is written. */
  #makeTable(
    memory: TableMemory<Ipn>,
    isRam: (page: Ipn) => boolean,
    parent: Ipn,
    index: number,
  ): number | EditOutcome {
    const first = this.#pool[this.#used];
    if (first === undefined) return REFUSED;
    const pages = [parent, ...Array.from({ length: this.config.granulePages }, (_, i) => ipn(first + i))];
    for (const page of pages) {
      if (!isRam(page)) return REFUSED;
      const words = memory.page(page, STORE);
      if (words === undefined || isFault(words)) return { kind: "stage2-fault", ipn: page, write: true };
    }
    this.#used += 1;
    for (const page of pages) {
      const words = memory.page(page, STORE);
      if (words === undefined || isFault(words)) continue;
      if (page !== parent) words.fill(0);
      else {
        words[index] = (addressLo(first) | LO.valid | LO.tableOrPage) >>> 0;
        words[index + 1] = addressHi(first) >>> 0;
      }
      memory.wrote(page);
    }
    return first;
  }
}
