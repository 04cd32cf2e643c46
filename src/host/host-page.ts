/** What the host knows of one of its pages: a frame, and bits. */

/** Bits of a host page's state. */
export const HOST_PAGE = {
  present: 1,
  writable: 2,
  /** Mapped by a PMD: one of 512. */
  huge: 4,
  swapped: 8,
  /** Its frame lies in ZONE_MOVABLE or a CMA area: a long-term pin must migrate it out first. */
  movable: 16,
  /** PROT_NONE for NUMA balancing: the next access faults and restores it. */
  numaHint: 32,
  mapped: 64,
  /** Shares a frame with other pages until written to (KSM). */
  ksm: 128,
} as const;

/** The frame of a page that has none. */
export const NO_FRAME = -1;
