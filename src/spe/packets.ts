/**
 * Headers of the packets that a record consists of (Arm DDI 0487, "Statistical Profiling Extension Sample Record
 * Specification"). Bits 5:4 of a header say how long its payload is: 1 << size bytes.
 */
export const PACKET = {
  padding: 0x00,
  end: 0x01,
  timestamp: 0x71,
  /** With the payload size in bits 5:4. */
  events: 0x42,
  dataSource: 0x43,
  contextEl1: 0x64,
  contextEl2: 0x65,
  opOther: 0x48,
  opLoadStore: 0x49,
  opBranch: 0x4a,
  /** With a counter number in bits 2:0. */
  counter: 0x98,
  /** With an address number in bits 2:0. */
  address: 0xb0,
  /** A prefix that extends a counter or address number: bits 1:0 are bits 4:3 of the number. */
  extended: 0x20,
} as const;

export const COUNTER = { total: 0, issue: 1, translation: 2 } as const;
export const ADDRESS = { pc: 0, target: 1, va: 2, pa: 3, previousTarget: 4 } as const;

/** Bits of an address packet's top byte: the security state NS and, at bits 6:5 (62:61 of the payload), the EL. */
export const NON_SECURE = 0x80;
export const EL_SHIFT = 5;
