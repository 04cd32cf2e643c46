/** The physical memory of the machine under test, as both QEMU and the walker see it. */
import type { Pfn } from "../../src/common/address.ts";
import type { TableMemory } from "../../src/mmu/table-memory.ts";

/** `-m 256M`: RAM from 1 GiB on, nothing behind it (`highmem=off`). */
const RAM_END_PAGE = 0x5_0000;
/** Tables live in the upper half of RAM; below are the payload, its input and its output. */
const ARENA_FIRST_PAGE = 0x4_8000;

/** A walk went where the test cannot know what it would read (the payload itself, flash, devices). */
export class Unknowable extends Error {}

export class Machine implements TableMemory<Pfn> {
  readonly pages = new Map<number, Uint32Array>();
  private nextPage = ARENA_FIRST_PAGE;

  page(pageNumber: number): Uint32Array | undefined {
    if (pageNumber >= RAM_END_PAGE) return undefined;
    if (pageNumber < ARENA_FIRST_PAGE) throw new Unknowable();
    let words = this.pages.get(pageNumber);
    if (words === undefined) {
      words = new Uint32Array(1024);
      this.pages.set(pageNumber, words);
    }
    return words;
  }

  wrote(): void {}

  /** Pages for a table of its own, aligned as asked. */
  allocate(pages: number, alignment: number): number {
    const first = Math.ceil(this.nextPage / alignment) * alignment;
    this.nextPage = first + pages;
    if (this.nextPage > RAM_END_PAGE) throw new Error("the arena is full");
    return first;
  }

  /** Every u64 of the arena that is not zero, as (address, value) pairs in order. */
  contents(): bigint[] {
    const pairs: bigint[] = [];
    for (const page of [...this.pages.keys()].sort((a, b) => a - b)) {
      const words = this.pages.get(page) as Uint32Array;
      for (let index = 0; index < 1024; index += 2) {
        const lo = words[index] as number;
        const hi = words[index + 1] as number;
        if (lo !== 0 || hi !== 0)
          pairs.push(BigInt(page * 4096 + index * 4), (BigInt(hi) << 32n) | BigInt(lo));
      }
    }
    return pairs;
  }
}
