/**
 * A walk cache: where stage 2 has the guest's table pages. Most of a nested walk is stage 2 of each table that it reads.
 *
 * As architecture has it, what it holds stays good until a TLBI by IPA (or of the VMID) names it: faults are never held.
 */
import type { Ipn, Pfn } from "../common/address.ts";
import { type Access, WALK_READ } from "./access.ts";
import type { Stage2Config } from "./config.ts";
import { type Fault, isFault } from "./fault.ts";
import type { TableMemory } from "./table-memory.ts";
import { throughStage2, translate } from "./translate.ts";

/** A program walks through a few dozens of tables, most of them the kernel's. */
const ENTRIES = 256;
const EMPTY = -1;

/** Memory as stage 1's walks see it: `throughStage2`, with reads by the MMU from the cache. */
export class WalkCache implements TableMemory<Ipn> {
  readonly #stage2: Stage2Config;
  readonly #memory: TableMemory<Pfn>;
  readonly #uncached: TableMemory<Ipn>;
  readonly #ipns = new Float64Array(ENTRIES).fill(EMPTY);
  readonly #frames = new Float64Array(ENTRIES);

  constructor(stage2: Stage2Config, memory: TableMemory<Pfn>) {
    this.#stage2 = stage2;
    this.#memory = memory;
    this.#uncached = throughStage2(stage2, memory);
  }

  page(pageNumber: Ipn, access: Access): Uint32Array | Fault | undefined {
    if (access !== WALK_READ) return this.#uncached.page(pageNumber, access);
    const place = pageNumber % ENTRIES;
    if (this.#ipns[place] !== pageNumber) {
      const found = translate(this.#stage2, pageNumber, access, this.#memory);
      if (isFault(found)) return found;
      this.#ipns[place] = pageNumber;
      this.#frames[place] = found.outputPage;
    }
    return this.#memory.page(this.#frames[place] as Pfn, access);
  }

  wrote(pageNumber: Ipn): void {
    this.#uncached.wrote(pageNumber);
  }

  /** TLBI by IPA: forgets pages [first, first + pages). */
  forget(first: Ipn, pages: number): void {
    for (let place = 0; place < ENTRIES; place++) {
      const held = this.#ipns[place] as number;
      if (held >= first && held < first + pages) this.#ipns[place] = EMPTY;
    }
  }

  /** TLBI of everything. */
  flush(): void {
    this.#ipns.fill(EMPTY);
  }
}
