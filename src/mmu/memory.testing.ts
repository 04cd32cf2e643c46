/** Table memory for tests: pages appear when an allocator hands them out, and nothing is behind any other. */
import type { TableWriter } from "./build.ts";
import type { TableMemory } from "./table-memory.ts";

export class TestMemory implements TableMemory, TableWriter {
  readonly memory = this;
  readonly pages = new Map<number, Uint32Array>();
  /** Calls of `wrote`, in order. */
  readonly writes: number[] = [];
  private next: number;
  private readonly granulePages: number;

  constructor(granulePages = 1, firstPage = 0x100) {
    this.granulePages = granulePages;
    this.next = firstPage;
  }

  page(pageNumber: number): Uint32Array | undefined {
    return this.pages.get(pageNumber);
  }

  wrote(pageNumber: number): void {
    this.writes.push(pageNumber);
  }

  /** Pages that exist from now on, zeroed. */
  add(first: number, pages: number): void {
    for (let page = first; page < first + pages; page++) this.pages.set(page, new Uint32Array(1024));
  }

  allocateTablePage(): number {
    const page = this.next;
    this.next += this.granulePages;
    this.add(page, this.granulePages);
    // The builder must not rely on zeroed memory.
    for (let i = 0; i < this.granulePages; i++) this.pages.get(page + i)?.fill(0xdeadbeef);
    return page;
  }

  free(pages: readonly number[]): void {
    for (const first of pages)
      for (let page = first; page < first + this.granulePages; page++) this.pages.delete(page);
  }
}
