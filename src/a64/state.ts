/**
 * A vCPU's state in linear memory, declared once for TypeScript and for WebAssembly: byte offsets from the vCPU's base.
 *
 * Condition flags are kept as what they were computed from: N is the sign of NF, Z says that ZF is zero, V is the sign
 * of VF (all 64 bits wide, results of 32-bit operations sign-extended), C is CF, 0 or 1.
 */

/** Slots of the general registers, 8 bytes each. 30 is the link register, 31 reads as zero; SP is the current stack pointer. */
export const SLOT = { LINK: 30, ZR: 31, SP: 32 } as const;

let next = 0;
/** The next `bytes` of the layout, aligned to their size up to 16. */
function place(bytes: number, align = Math.min(bytes, 16)): number {
  const at = Math.ceil(next / align) * align;
  next = at + bytes;
  return at;
}

export const STATE = {
  /** X0 to X30, ZR, SP. */
  X: place(33 * 8, 8),
  PC: place(8),
  NF: place(8),
  ZF: place(8),
  VF: place(8),
  CF: place(4),
  /** PSTATE.EL: 0 or 1. */
  EL: place(4),
  /** PSTATE.SP: 0 uses SP_EL0 at EL1. */
  SPSEL: place(4),
  /** PSTATE.{D,A,I,F} at bits 9:6, as DAIF has them. */
  DAIF: place(4),
  /** PSTATE.PAN and PSTATE.UAO, 0 or 1 each. */
  PAN: place(4),
  UAO: place(4),
  /** PSTATE.SS and PSTATE.IL, 0 or 1 each. */
  SS: place(4),
  IL: place(4),
  /** FPCR and FPSR. */
  FPCR: place(4),
  FPSR: place(4),
  /** V0 to V31. */
  V: place(32 * 16, 16),
  /** System registers that instructions reach without leaving WebAssembly; 8 bytes each. */
  SP_EL0: place(8),
  SP_EL1: place(8),
  ELR_EL1: place(8),
  SPSR_EL1: place(8),
  TPIDR_EL0: place(8),
  TPIDRRO_EL0: place(8),
  TPIDR_EL1: place(8),
  ESR_EL1: place(8),
  FAR_EL1: place(8),
  VBAR_EL1: place(8),
  CONTEXTIDR_EL1: place(8),
  PAR_EL1: place(8),
  TTBR0_EL1: place(8),
  TTBR1_EL1: place(8),
  TCR_EL1: place(8),
  MAIR_EL1: place(8),
  SCTLR_EL1: place(8),
  CPACR_EL1: place(8),
  AFSR0_EL1: place(8),
  AFSR1_EL1: place(8),
  AMAIR_EL1: place(8),
  CNTKCTL_EL1: place(8),
  MDSCR_EL1: place(8),
  CSSELR_EL1: place(8),
  /** 1 while FP and SIMD instructions trap at the current exception level (CPACR_EL1.FPEN). */
  FP_TRAPS: place(4),
  /** 1 while a base SP must be aligned at the current exception level (SCTLR_EL1.SA, SA0). */
  SP_CHECKED: place(4),
  /** 1 while an interrupt waits that PSTATE.I would mask: IRQ at bit 7, FIQ at bit 6, as in DAIF. */
  IRQ_LINES: place(4),
  /** The exclusive monitor: 1 while it is set; the host address of its granule, and its size in bytes. */
  MONITOR_SET: place(4),
  MONITOR_ADDRESS: place(4),
  MONITOR_BYTES: place(4),
  /** Instructions that may still run: what the run was given less what has retired. */
  LEFT: place(4),
  /** Its time: the cycles of its timeline at which LEFT is 0, and those up to which it may read a counter. */
  CLOCK: place(8),
  HORIZON: place(8),
  /** log2 of the cycles in a tick of the counter. */
  TICK_SHIFT: place(4),
  /** While LEFT is 0 for another reason than the budget: what of it is left. */
  LEFT_SAVED: place(4),
  /** The soft TLB of the current regime, and of EL0 (for unprivileged accesses); the code map of the current regime. */
  DTLB: place(4),
  DTLB_EL0: place(4),
  CTLB: place(4),
  /** The event register of WFE and SEV. */
  EVENT: place(4),
  /** Why WebAssembly was left: see LEAVE. */
  REASON: place(4),
  /** The access that asks for help, or was prepared: its VA, its size in bytes, and its ACCESS bits. */
  SLOW_VA: place(8),
  SLOW_BYTES: place(4),
  SLOW_ACCESS: place(4),
  /** The host address at which the access is prepared (SCRATCH, or its own), or 0. */
  SLOW_AT: place(4),
  SCRATCH: place(64, 16),
  /** Where the next entry of the log of ops goes (LOG): a host address. */
  LOG_AT: place(4),
  /** The flags before the op that was logged last, as NF and the others. */
  LOG_CF: place(4),
  LOG_NF: place(8),
  LOG_ZF: place(8),
  LOG_VF: place(8),
  /** Operands and result of a floating-point operation on the slow path: see fp/entry.ts. */
  FP: place(64, 16),
} as const;

/** The size of a vCPU's state. */
export const STATE_BYTES = Math.ceil(next / 64) * 64;

/**
 * Tables that semantics look up, below the first vCPU: 256 bytes each, and a bit for each page of the linear memory that may have
 * decoded code.
 */
export const TABLES = { SBOX: 0x400, INVERSE_SBOX: 0x500, CODE_PAGES: 0x1000, END: 0x2_1000 } as const;

export type StateField = keyof typeof STATE;

/** Clocks that a core may have: instructions, of a cycle each, in a nanosecond. */
export const CLOCKS = [1, 2, 4] as const;
export type CyclesPerNs = (typeof CLOCKS)[number];
export const DEFAULT_CLOCK: CyclesPerNs = 2;

/**
 * A soft TLB: entries of {read tag, write tag, host address, what STRICT_TAG is good for, strict tag}; a tag is the VA of the
 * page, all bits of it. The strict tag is for pages whose accesses must be aligned by element: an entry has it or the others.
 * Each access looks into one place, so that a hit is one comparison. There are many more places than the few hundred pages that a
 * program and its kernel use at once, and what is mapped some MiB apart, as buffers and libraries are, does not share them
 * (DTLB_FOLD). Of two pages that share a place all the same the one that came first is in its other place (dtlbOtherIndex), where
 * WebAssembly looks before a walk is asked for: second-look.ts.
 */
export const DTLB = {
  ENTRIES: 8192,
  ENTRY_BYTES: 32,
  RTAG: 0,
  WTAG: 8,
  ADDRESS: 16,
  STRICT: 20,
  STRICT_TAG: 24,
  BYTES: 8192 * 32,
} as const;

/** How far apart the two bits of a VA are whose XOR is a bit of the entry's index: VA[24:12] and VA[37:25]. */
export const DTLB_FOLD = 13;

/** Which entry of a soft TLB a page has: VA[55:12], as a TLBI names it, whatever the tag in the bits above. */
export const dtlbIndexOfPage = (page: number): number =>
  (page % DTLB.ENTRIES) ^ (Math.floor(page / 2 ** DTLB_FOLD) % DTLB.ENTRIES);

/** Which entry of a soft TLB a VA's page has. */
export const dtlbIndexOf = (va: bigint): number => dtlbIndexOfPage(Number(BigInt.asUintN(56, va) >> 12n));

/** The other place of a page whose place is `index`. */
export const dtlbOtherIndex = (index: number): number => index ^ (DTLB.ENTRIES / 2);

/** What the strict tag of an entry is good for. */
export const STRICT = { READ: 1, WRITE: 2 } as const;

/**
 * A code map: entries of {VA of the page, the host address of its decoded instructions}. Its places are those of the next 16 MiB,
 * which is as much as a kernel's text has.
 */
export const CTLB = { ENTRIES: 4096, ENTRY_BYTES: 16, TAG: 0, DECODED: 8, BYTES: 4096 * 16 } as const;

/**
 * What tags hold where nothing is mapped, as bytes: the VA of page 0, so that no other page's accesses come near it. The
 * entries that page 0 itself would have hold EMPTY_OTHER instead: the VA of a page of other indices.
 */
export const EMPTY_BYTE = 0;
export const EMPTY_INDEX = 0;
export const EMPTY_OTHER = 0x1000n;

/** A decoded instruction: 16 bytes, 1,024 of them for a page and one that ends it. */
export const DECODED = {
  BYTES: 16,
  IN_PAGE: 1024,
  /** u16: the handler; what of the first word it is. */
  HANDLER: 0,
  HANDLER_MASK: 0xffff,
  /** u8 each: register slots, in the order in which the row names its registers. */
  SLOTS: 2,
  /** u8 each. */
  AUX: 6,
  /** i64. */
  IMM: 8,
  PAGE_BYTES: 1025 * 16,
} as const;

/**
 * For each decoded instruction a u32: how often it was jumped to, up to when that was told, or from BLOCKS on the number of the
 * block that begins there.
 */
export const ENTRY = { BYTES: 4, BLOCKS: 0x1_0000, MOST_BLOCKS: 0x8000 } as const;

/**
 * The log of what is executed while somebody wants to see each op: entries of {address, where, what}. An op's own entry has its
 * PC and the host address of the decoded instruction, and what is 0; those of its accesses follow it, with VA, the host address
 * of their bytes, and LOG.ACCESS with the size in bytes and the kind. Ops that have not happened are not there.
 */
export const LOG = {
  ENTRY_BYTES: 16,
  ADDRESS: 0,
  WHERE: 8,
  WHAT: 12,
  ACCESS: 1 << 31,
  /** An atomic access reads and writes. */
  READ: 1 << 30,
  WRITE: 1 << 29,
  /** Bytes; and log2 of those of an element, to which it is aligned or not. */
  SIZE: 0xff,
  ELEMENT_SHIFT: 8,
  ELEMENT: 0xf,
  /** Ops that may be executed before the log is read: none has more than 64 accesses. */
  OPS: 60,
  BYTES: 0x1_0000,
} as const;

/** Why WebAssembly was left. */
export const LEAVE = {
  /** The budget is spent, or a store in SCRATCH waits, or interrupts may be taken now. */
  BUDGET: 0,
  /** PC lies in a page that the code map does not have. */
  CODE: 1,
  /** What lies at PC is not decoded yet. */
  DECODE: 2,
  /** What begins at PC has been jumped to so often that it is worth being translated. */
  HOT: 3,
  /** An access (SLOW_*) needs the walk, or cannot be made in one piece. */
  ACCESS: 4,
  /** The instruction at PC is for TypeScript: system registers, exceptions, cache and TLB maintenance, ERET, WFI. */
  SYSTEM: 5,
  /** UNDEFINED. */
  UNDEFINED: 6,
  /** SP is not 16-byte aligned where it is a base and checked. */
  SP_ALIGNMENT: 7,
  /** FP or SIMD while it traps. */
  FP_TRAP: 8,
} as const;

/** What an access that needs help is. */
export const ACCESS = {
  WRITE: 1,
  /** LDTR, STTR: checked as EL0 would be. */
  UNPRIVILEGED: 2,
  /** Exclusive, acquire, release, atomic: must be aligned to its size. */
  ALIGNED: 4,
  /** A read-modify-write: needs both permissions, and cannot go to a device. */
  ATOMIC: 8,
  /** DC ZVA: Device memory is an alignment fault. Not cache maintenance where a fault is described (ESR_ELx.CM). */
  ZVA: 16,
  /**
   * One general register, not exclusive, no write-back: a stage-2 fault comes with a syndrome (ESR_EL2.ISV) by which a
   * hypervisor can carry the access out.
   */
  SYNDROME: 32,
  /** From here on log2 of the bytes of an element, to which the access is aligned where alignment is checked. */
  ELEMENT_SHIFT: 8,
} as const;
