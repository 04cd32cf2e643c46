/** How a walk reads and updates tables. Nesting of stages is a TableMemory that itself goes through stage 2. */
import type { Access } from "./access.ts";
import type { Fault } from "./fault.ts";

/**
 * Memory that holds tables, by 4 KiB page number in the space that the tables' own addresses are in (IPA for a
 * guest's stage 1, PA for stage 2).
 */
export interface TableMemory<Page extends number = number> {
  /**
   * The page's 1024 words, little-endian and live: an update of a descriptor is written straight into them.
   * @param access `walk` from the MMU (with `write` before it updates a descriptor), `inspect` from software.
   * @returns a fault where the read itself does not translate, undefined where no memory is behind that page.
   */
  page(pageNumber: Page, access: Access): Uint32Array | Fault | undefined;
  /** Called after a walk or a builder changed descriptors of this page. */
  wrote(pageNumber: Page): void;
}

/** Words of u32 in a 4 KiB page. */
export const PAGE_WORDS = 1024;
