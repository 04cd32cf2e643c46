/** LD1 to LD4 and ST1 to ST4: one access to all of a structure's bytes, then register by register. */
import type { Emit, Fields, Semantics, SemanticsOptions, Special } from "../../emit.ts";
import { SP_BASE } from "../../emit.ts";
import { loadFrom, replaceLane, storeTo } from "./lanes.ts";

/** Registers and elements of a structure by opcode: LD4, LD1 x4, LD3, LD1 x3, LD1 x1, LD2, LD1 x2. */
const STRUCTURES: Readonly<Record<number, readonly [registers: number, elements: number]>> = {
  0: [4, 4],
  2: [4, 1],
  4: [3, 3],
  6: [3, 1],
  7: [1, 1],
  8: [2, 2],
  10: [2, 1],
};

/** Adds to the base what a post-indexed form says: Xm, or with Rm = 31 the bytes that were accessed. */
const POST: Special = { name: "byImmediate", values: 2, of: (f) => (f.Rm === 31 ? 1 : 0) };

function postIndex(e: Emit, bytes: number): void {
  if (!e.has("byImmediate")) return;
  const { f } = e;
  e.getX("Rn");
  if (e.field("byImmediate") === 1) f.i64.const(bytes);
  else e.getX("Rm");
  f.i64.add();
  e.setX("Rn");
}

function multiple(e: Emit): void {
  e.fpAccess();
  const { f } = e;
  const [registers, elements] = STRUCTURES[e.field("opcode")] ?? [1, 1];
  const size = e.field("size");
  const registerBytes = 8 << e.field("Q");
  const bytes = registers * registerBytes;
  const isLoad = e.field("L") === 1;
  const at = f.local.take("i32");
  e.base();
  if (isLoad) e.readAddress(bytes, { element: 1 << size });
  else e.writeAddress(bytes, { element: 1 << size });
  f.local.set(at);
  const lanes = registerBytes >> size;
  for (let r = 0; r < registers; r++) {
    if (elements === 1) {
      if (isLoad) {
        f.local.get(at);
        if (registerBytes === 16) f.v128.load(r * 16);
        else f.v128.load64Zero(r * 8);
        e.setV("Rt", r);
      } else {
        f.local.get(at);
        if (registerBytes === 16) {
          e.getV("Rt", r);
          f.v128.store(r * 16);
        } else {
          e.getD("Rt", r);
          f.i64.store(r * 8);
        }
      }
      continue;
    }
    if (isLoad) {
      f.v128.const(0, 0, 0, 0);
      for (let lane = 0; lane < lanes; lane++) {
        f.local.get(at);
        loadFrom(f, size, "u", (lane * elements + r) << size);
        replaceLane(f, size, lane);
      }
      e.setV("Rt", r);
    } else
      for (let lane = 0; lane < lanes; lane++) {
        f.local.get(at);
        const register = e.vAddress("Rt", r);
        loadFrom(f, size, "u", register + (lane << size));
        storeTo(f, size, (lane * elements + r) << size);
      }
  }
  postIndex(e, bytes);
  f.local.release(at);
}

/** The size of a single structure's elements: opcode<2:1>, 64 bits where size<0> says so. */
const singleSize = ({ opcode, size }: Fields): number => {
  const scale = opcode >> 1;
  return scale === 2 && (size & 1) === 1 ? 3 : scale;
};
const ESIZE: Special = { name: "esize", values: 4, of: singleSize };
/** How many registers there are, less one. */
const MORE: Special = { name: "more", values: 4, of: ({ opcode, R }) => 2 * (opcode & 1) + R };

/** The lane: Q:S:size, as far as the size leaves bits for it. */
const laneOf = (f: Fields): number => ((f.Q << 3) | (f.S << 2) | f.size) >> singleSize(f);

function single(e: Emit): void {
  e.fpAccess();
  const { f } = e;
  const size = e.field("esize");
  const registers = e.field("more") + 1;
  const isLoad = e.field("L") === 1;
  const bytes = registers << size;
  const at = f.local.take("i32");
  const lane = (r: number): number => {
    const offset = e.vAddress("Rt", r);
    e.aux(0);
    f.i32.const(size);
    f.i32.shl();
    f.i32.add();
    return offset;
  };
  e.base();
  if (isLoad) e.readAddress(bytes, { element: 1 << size });
  else e.writeAddress(bytes, { element: 1 << size });
  f.local.set(at);
  for (let r = 0; r < registers; r++) {
    if (isLoad) {
      const offset = lane(r);
      f.local.get(at);
      loadFrom(f, size, "u", r << size);
      storeTo(f, size, offset);
    } else {
      f.local.get(at);
      const offset = lane(r);
      loadFrom(f, size, "u", offset);
      storeTo(f, size, r << size);
    }
  }
  postIndex(e, bytes);
  f.local.release(at);
}

function replicate(e: Emit): void {
  e.fpAccess();
  const { f } = e;
  const size = e.field("size");
  const registers = 2 * e.field("o0") + e.field("R") + 1;
  const bytes = registers << size;
  const at = f.local.take("i32");
  e.base();
  e.readAddress(bytes, { element: 1 << size });
  f.local.set(at);
  for (let r = 0; r < registers; r++) {
    f.local.get(at);
    const { v128 } = f;
    [v128.load8Splat, v128.load16Splat, v128.load32Splat, v128.load64Splat][size]!.call(v128, r << size);
    e.setVector("Rt", e.field("Q"), r);
  }
  postIndex(e, bytes);
  f.local.release(at);
}

const plain = (emit: (e: Emit) => void, more: SemanticsOptions = {}): Semantics => ({
  ...more,
  special: [SP_BASE, ...(more.special ?? [])],
  emit,
});
const post = (emit: (e: Emit) => void, more: SemanticsOptions = {}): Semantics =>
  plain(emit, { ...more, special: [POST, ...(more.special ?? [])] });
const SINGLE = { aux: [laneOf], special: [ESIZE, MORE] };

export const SIMD_MEMORY = {
  LDST_multiple: plain(multiple),
  LDST_multiple_post: post(multiple),
  LDST_single: plain(single, SINGLE),
  LDST_single_post: post(single, SINGLE),
  LD_replicate: plain(replicate),
  LD_replicate_post: post(replicate),
} satisfies Record<string, Semantics>;
