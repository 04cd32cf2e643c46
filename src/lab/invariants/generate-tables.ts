/** Random stage-1 tables: where they lie, what is mapped before time begins, and edits of them. */
import { type LeafBits, stage1Leaf } from "../../arm/descriptors.ts";
import { ipn, type Vpn, vpn } from "../../common/address.ts";
import { RAM_FIRST_IPN } from "../../guest/memory.ts";
import type { GuestAction } from "../../guest/scripted-core.ts";
import { HUGE_PAGES } from "../../host/frames.ts";
import type { Draw, Granule, Window } from "./draw.ts";

/** Pages for tables: scattered over memory, in no address space twice. */
export function poolsOf(
  draw: Draw,
  { units, pageBytes }: Granule,
  memoryPages: number,
  count: number,
): number[][] {
  const granules = Math.floor(memoryPages / units);
  const taken = new Set<number>();
  const most = Math.floor(granules / count / 2);
  return Array.from({ length: count }, () => {
    const size = Math.min(most, draw.integer(pageBytes === 4096 ? 6 : 5, 10));
    const pool: number[] = [];
    while (pool.length < size) {
      const at = draw.integer(0, granules - 1);
      if (taken.has(at)) continue;
      taken.add(at);
      pool.push(RAM_FIRST_IPN + at * units);
    }
    return pool;
  });
}

const GOOD = stage1Leaf();
const LEAVES: readonly [LeafBits, ...LeafBits[]] = [
  GOOD,
  GOOD,
  GOOD,
  stage1Leaf({ readOnly: true }),
  stage1Leaf({ accessFlag: false }),
  stage1Leaf({ readOnly: true, dirtyBitModifier: true }),
];

type Edit = GuestAction & { kind: "edit" };

/** An edit of `entries` granules at a place in the window. */
export function editAt(
  draw: Draw,
  granule: Granule,
  first: Vpn,
  entries: number,
  context: {
    readonly memoryPages: number;
    readonly pool: readonly number[];
    readonly space: number;
    readonly neat: boolean;
  },
): Edit {
  const { units } = granule;
  const { memoryPages, pool, space, neat } = context;
  const base: Edit = { kind: "edit", space, first, entries, level: 3, output: undefined, leaf: GOOD };
  const granules = Math.floor(memoryPages / units);
  const ram = (room: number): number => RAM_FIRST_IPN + draw.integer(0, Math.max(0, granules - room)) * units;
  if (neat || draw.chance(60)) return { ...base, output: ipn(ram(entries)) };
  switch (draw.integer(0, 6)) {
    case 0:
      return base;
    case 1:
      return { ...base, output: ipn(ram(entries)), leaf: draw.one(LEAVES) };
    case 2:
      // The buffer over a table.
      return { ...base, entries: 1, output: ipn(draw.one(pool as [number, ...number[]])) };
    case 3:
      // Partly or wholly outside of every memslot.
      return { ...base, output: ipn(RAM_FIRST_IPN + (granules - draw.integer(0, entries)) * units) };
    case 4:
      return { ...base, output: ipn(RAM_FIRST_IPN - units * draw.integer(1, entries)) };
    case 5:
      // A block; what is beyond the end of memory is in no memslot.
      return {
        ...base,
        entries: 1,
        level: 2,
        output: ipn(RAM_FIRST_IPN + (granule.reach === HUGE_PAGES ? HUGE_PAGES * draw.integer(0, 1) : 0)),
      };
    default:
      return { ...base, entries: 1, output: ipn(ram(1)) };
  }
}

/** Maps the window by runs of random length. */
export function setupOf(
  draw: Draw,
  granule: Granule,
  window: Window,
  memoryPages: number,
  pool: readonly number[],
  space: number,
  neat: boolean,
): Edit[] {
  const { units } = granule;
  const edits: Edit[] = [];
  let at = Math.floor(window.first / units) * units;
  const end = window.first + window.pages;
  const longest = draw.one([1, 4, 64]);
  const context = { memoryPages, pool, space, neat };
  if (draw.chance(12))
    edits.push({
      ...editAt(draw, granule, vpn(at), 1, { ...context, neat: true }),
      level: 2,
      entries: 2,
      output: RAM_FIRST_IPN,
    });
  else
    while (at < end) {
      const entries = Math.min(draw.integer(1, longest), Math.ceil((end - at) / units));
      edits.push(editAt(draw, granule, vpn(at), entries, context));
      at += entries * units;
    }
  return edits;
}
