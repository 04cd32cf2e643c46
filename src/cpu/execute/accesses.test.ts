import { beforeAll, beforeEach, expect, it } from "vitest";
import { type AccessEmitter, softTlbAccess } from "../../a64/access.ts";
import { ROWS, type RowName } from "../../a64/encodings/index.ts";
import { type Bare, bareCore, DATA } from "../core.testing.ts";
import { IMPLEMENTATION } from "../implementation.ts";

/** Where the log of accesses lies in the linear memory: a page that the code does not know. How many there are, then each. */
const LOG_PAGE = 31;
const ENTRY_BYTES = 16;
const KINDS = ["load", "store", "atomic"] as const;

let log = 0;

/** As the soft TLB does it, and writes down {va, bytes, kind} of what was granted. */
const logged: AccessEmitter = (e, control, access) => {
  const { f } = e;
  const va = f.local.take("i64");
  const entry = f.local.take("i32");
  f.local.tee(va);
  softTlbAccess(e, control, access);
  const count = () => {
    f.i32.const(0);
    f.i32.load(log);
  };
  count();
  f.i32.const(ENTRY_BYTES);
  f.i32.mul();
  f.local.tee(entry);
  f.local.get(va);
  f.i64.store(log + 16);
  f.local.get(entry);
  f.i32.const(access.bytes);
  f.i32.store(log + 24);
  f.local.get(entry);
  f.i32.const(KINDS.indexOf(access.kind));
  f.i32.store(log + 28);
  f.i32.const(0);
  count();
  f.i32.const(1);
  f.i32.add();
  f.i32.store(log);
  f.local.release(va);
  f.local.release(entry);
};

let bare: Bare;

beforeAll(() => {
  // The page's address is the same for every core.
  log = bareCore().pages[LOG_PAGE]!.byteOffset;
  bare = bareCore(IMPLEMENTATION, logged);
});

beforeEach(() => {
  bare.memory.view.setUint32(log, 0, true);
  bare.core.state.setX(1, DATA);
});

/** Executes one word, with X1 the address of data, and tells its accesses, addresses from there on. */
function accessesOf(word: number): readonly (readonly [va: number, bytes: number, kind: string])[] {
  const { view } = bare.memory;
  expect(bare.execute([word >>> 0])).toBe(undefined);
  return Array.from({ length: view.getUint32(log, true) }, (_, i) => {
    const at = log + 16 + i * ENTRY_BYTES;
    const va = Number(view.getBigUint64(at, true) - DATA);
    return [va, view.getUint32(at + 8, true), KINDS[view.getUint32(at + 12, true)]!] as const;
  });
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
  expect(bare.memory.view.getUint32(log, true)).toBe(0);
});

it("what makes no access is not told of", () => {
  expect(accessesOf(ROWS.ADD_imm.value)).toEqual([]);
  expect(accessesOf(word("PRFM_imm"))).toEqual([]);
});
