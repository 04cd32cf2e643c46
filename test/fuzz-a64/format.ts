/** What goes to the oracle and what comes back: struct input and struct output of runner.c, little-endian. */

/** Where code, the code of branches, and data lie in the case's address space: 2 MiB that break everywhere else. */
export const PLACES = {
  code: 0x30_0000_0000n,
  codeBytes: 0x5_0000,
  slotWords: 8,
  branches: 0x30_1000_0000n,
  branchesBytes: 0x20_0000,
  data: 0x30_1030_0000n,
  dataBytes: 0x2000,
} as const;

export const INPUT = {
  X: 0,
  SP: 248,
  NZCV: 256,
  FPCR: 260,
  FPSR: 264,
  MEMORY_SEED: 268,
  V: 272,
  WORDS: 784,
  COUNT: 816,
  BRANCHES: 820,
  BYTES: 824,
} as const;

/** Instructions of a case at most: BRK follows them. */
export const MOST_WORDS = PLACES.slotWords - 1;

export const OUTPUT = {
  X: 0,
  SP: 248,
  PC: 256,
  NZCV: 264,
  FPSR: 268,
  SIGNAL: 272,
  MEMORY: 276,
  V: 280,
  BYTES: 792,
} as const;

/** Linux's numbers. SIGPROF ends a case that goes on and on: a branch to itself, say. */
export const SIGNAL = { ILL: 4, TRAP: 5, BUS: 7, SEGV: 11, PROF: 27 } as const;

/** BRK #0, which ends a case. */
export const BREAK = 0xd420_0000;

/** PC at which case `index` of a batch starts. */
export const startOf = (index: number, branches: boolean): bigint =>
  branches
    ? PLACES.branches + BigInt(PLACES.branchesBytes / 2)
    : PLACES.code + BigInt(index * 4 * PLACES.slotWords);

/** Data memory before a case; seeds are not 0. */
export function fillData(words: Uint32Array, from: number, count: number, state: number): number {
  let seed = state;
  for (let i = 0; i < count; i++) {
    seed ^= seed << 13;
    seed ^= seed >>> 17;
    seed ^= seed << 5;
    words[from + i] = seed;
  }
  return seed;
}

export const SUM_START = 0x811c9dc5;

export function sumData(words: Uint32Array, from: number, count: number, start: number): number {
  let h = start;
  for (let i = 0; i < count; i++) h = Math.imul(h ^ words[from + i]!, 0x01000193);
  return h;
}
