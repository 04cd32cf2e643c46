import { beforeAll, beforeEach, expect, it } from "vitest";
import { ROWS, type RowName } from "../../a64/encodings/index.ts";
import { LOG } from "../../a64/state.ts";
import { type Bare, bareCore, DATA } from "../core.testing.ts";
import { VCPU_AREA } from "../memory.ts";

const KINDS = new Map<number, string>([
  [LOG.READ, "load"],
  [LOG.WRITE, "store"],
  [LOG.READ | LOG.WRITE, "atomic"],
]);

let bare: Bare;

/** The log of the last run. */
let log = 0;
const endOfLog = (): number => bare.core.state.get32("LOG_AT");

beforeAll(() => {
  bare = bareCore();
  const { core } = bare;
  log = core.state.base + VCPU_AREA.LOG;
  core.watcher = {
    isWatching: true,
    levelChanges: () => undefined,
    enter: () => {
      core.state.set32("LOG_AT", log);
      return core.code.careful.run(core.state.base);
    },
    begins: () => undefined,
    ends: () => undefined,
    skips: () => undefined,
  };
});

beforeEach(() => {
  bare.core.state.setX(1, DATA);
});

/** Executes one word, with X1 the address of data, and tells its accesses, addresses from there on. */
function accessesOf(word: number): readonly (readonly [va: number, bytes: number, kind: string])[] {
  const { view } = bare.memory;
  expect(bare.execute([word >>> 0])).toBe(undefined);
  const found: (readonly [number, number, string])[] = [];
  for (let at = log; at < endOfLog(); at += LOG.ENTRY_BYTES) {
    const what = view.getUint32(at + LOG.WHAT, true);
    if (what === 0) continue;
    const va = Number(view.getBigUint64(at + LOG.ADDRESS, true) - DATA);
    found.push([va, what & LOG.SIZE, KINDS.get(what & (LOG.READ | LOG.WRITE)) as string]);
  }
  return found;
}

/** Rn is X1, Rt is X3, Rt2 is X4, Rs is X6. */
const word = (name: RowName, more = 0): number => {
  const { value, fields } = ROWS[name] as {
    value: number;
    fields: Record<string, { low: number } | undefined>;
  };
  const at = (field: string, n: number) => (fields[field] === undefined ? 0 : n << fields[field].low);
  return value | at("Rn", 1) | at("Rt", 3) | at("Rt2", 4) | at("Rs", 6) | more;
};
const WORDS = 2 << 30;
const DOUBLES = 3 << 30;

it.each([
  ["LDR X3, [X1, #8]", word("LDR_imm_unsigned", DOUBLES | (1 << 10)), [8, 8, "load"]],
  ["LDRB W3, [X1], #1", word("LDR_post", 1 << 12), [0, 1, "load"]],
  ["STR W3, [X1, #-4]!", word("STR_pre", WORDS | (0x1fc << 12)), [-4, 4, "store"]],
  ["STP X3, X4, [X1, #16]", word("STP_offset", WORDS | (2 << 15)), [16, 16, "store"]],
  ["LDP W3, W4, [X1]", word("LDP_offset"), [0, 8, "load"]],
  ["LDXR X3, [X1]", word("LDXR", DOUBLES), [0, 8, "load"]],
  ["LDADD W6, W3, [X1]", word("LDADD", WORDS), [0, 4, "atomic"]],
  ["CASP X6, X7, X4, X5, [X1]", (word("CASP") & ~31) | 4 | (1 << 30), [0, 16, "atomic"]],
  ["STR Q3, [X1]", word("STR_fp_imm_unsigned") | (1 << 23), [0, 16, "store"]],
  ["LD1 {V3.16B-V6.16B}, [X1]", word("LDST_multiple", (1 << 30) | (1 << 22) | (2 << 12)), [0, 64, "load"]],
] as const)("%s makes one access", (_text, instruction, access) => {
  expect(accessesOf(instruction)).toEqual([access]);
});

it("an access that is not granted is none", () => {
  // With the MMU off memory is Device memory: an alignment fault.
  bare.core.state.setX(1, DATA + 1n);
  expect(bare.execute([word("LDR_imm_unsigned", DOUBLES)])).not.toBe(undefined);
  expect(endOfLog()).toBe(log);
});

it("what makes no access is not told of", () => {
  expect(accessesOf(ROWS.ADD_imm.value)).toEqual([]);
  expect(accessesOf(word("PRFM_imm"))).toEqual([]);
});
