/**
 * Scenarios from seeds: mostly guests that profile as one should, with something wrong now and then, small enough to
 * run in milliseconds.
 */
import { type LeafBits, stage1Leaf } from "../../arm/descriptors.ts";
import { PMSCR_EL1 } from "../../arm/registers.ts";
import { ipn, PAGE_BYTES, type Vpn, vpn } from "../../common/address.ts";
import { type RandomStream, randomStream } from "../../common/random.ts";
import { type GuestPageBytes, RAM_FIRST_IPN } from "../../guest/memory.ts";
import type { GuestAction, Script } from "../../guest/scripted-core.ts";
import { COST_NAMES, type CostTable } from "../../host/costs.ts";
import { HUGE_PAGES } from "../../host/frames.ts";
import type { Backing } from "../../host/mm.ts";
import { PRESSURE_KINDS, type PressureEvent } from "../../host/pressure.ts";
import type { AddressSpace, InvariantScenario } from "./scenario.ts";

/** Draws in words that read well. */
class Draw {
  readonly #random: RandomStream;
  constructor(seed: number) {
    this.#random = randomStream(seed);
  }
  integer(low: number, high: number): number {
    return this.#random.integer(low, high);
  }
  /** True `percent` times in a hundred. */
  chance(percent: number): boolean {
    return this.#random.integer(0, 99) < percent;
  }
  one<T>(choices: readonly [T, ...T[]]): T {
    return choices[this.#random.integer(0, choices.length - 1)] as T;
  }
}

interface Granule {
  readonly pageBytes: GuestPageBytes;
  /** 4 KiB pages in a granule. */
  readonly units: number;
  /** Input sizes with few levels and with many. */
  readonly vaBits: readonly [number, number];
  /** Pages that a last-level table maps. */
  readonly reach: number;
}

const GRANULES = {
  4096: { pageBytes: 4096, units: 1, vaBits: [39, 48], reach: 512 },
  16384: { pageBytes: 16384, units: 4, vaBits: [36, 47], reach: 8192 },
  65536: { pageBytes: 65536, units: 16, vaBits: [42, 48], reach: 131072 },
} as const satisfies Record<GuestPageBytes, Granule>;

/** A range of VA space, in pages, that buffers lie in. */
interface Window {
  readonly first: Vpn;
  readonly pages: number;
}

/** The scenario of a seed. */
export function scenarioOf(seed: number): InvariantScenario {
  const draw = new Draw(seed);
  // Much mapped and little allowed: who pins beyond the buffer meets the maximum.
  const roomy = draw.chance(8);
  const granule: Granule = GRANULES[roomy || draw.chance(75) ? 4096 : draw.one([16384, 65536] as const)];
  const memoryPages =
    roomy || draw.chance(35)
      ? draw.integer(HUGE_PAGES + 1, 1100)
      : Math.max(draw.integer(24, 160), granule.units * 24);
  const backing = draw.one<Backing>(["base", "base", "thp", "thp", "thp", "hugetlb-2M", "guest-memfd"]);
  const neat = roomy || draw.chance(65);
  const vcpus = draw.one([1, 2, 2, 3] as const);
  const spaceCount = draw.chance(15) ? 2 : 1;
  const half = draw.one(["lower", "upper", "upper"] as const);
  const windowPages = roomy ? draw.integer(200, 500) : windowSize(draw, granule, memoryPages);
  const pools = poolsOf(draw, granule, memoryPages, spaceCount);
  const spaces: AddressSpace[] = [];
  let window: Window = { first: vpn(0), pages: windowPages };
  for (let i = 0; i < spaceCount; i++) {
    const vaBits = draw.one([...granule.vaBits] as [number, number]);
    const pages = 2 ** (vaBits - 12);
    // Near the end of a last-level table, so that a buffer may need two.
    const offset =
      granule.reach * draw.integer(1, 5) -
      (draw.chance(50) ? draw.integer(0, Math.ceil(windowPages / granule.units)) * granule.units : 0);
    if (i === 0)
      window = { first: vpn((half === "upper" ? 2 ** 52 - pages : 0) + offset), pages: windowPages };
    spaces.push({
      vaBits: i === 0 ? vaBits : (spaces[0] as AddressSpace).vaBits,
      half,
      hardwareUpdates: draw.chance(25),
      pool: pools[i] as number[],
      setup: setupOf(draw, granule, window, memoryPages, pools[i] as number[], i, neat),
    });
  }
  const maxBufferBytes = roomy
    ? draw.integer(1, 8) * PAGE_BYTES
    : draw.chance(30)
      ? undefined
      : maxBufferOf(draw, windowPages);
  const needed = (maxBufferBytes ?? 0) * vcpus;
  const scripts = Array.from({ length: vcpus }, () =>
    scriptOf(draw, {
      granule,
      window,
      memoryPages,
      pools,
      spaceCount,
      neat,
      bufferPages: roomy ? (maxBufferBytes ?? 0) / PAGE_BYTES : windowPages,
    }),
  );
  const spanNs = Math.max(...scripts.map(runNs)) * 2;
  return {
    seed,
    memoryPages,
    backing,
    movable: draw.chance(30)
      ? { first: draw.integer(0, memoryPages / 2), pages: draw.integer(1, memoryPages / 2) }
      : { first: 0, pages: 0 },
    costs: costsOf(draw),
    irqLatencyNs: draw.one([0, 500, 2_000, 20_000]),
    maxBufferBytes,
    memlockBytes: draw.chance(55) ? draw.integer(0, windowPages + 4) * PAGE_BYTES : 1024 ** 3,
    memlockMaxBytes: draw.chance(95)
      ? Number.POSITIVE_INFINITY
      : needed + draw.integer(1, windowPages) * PAGE_BYTES,
    pageBytes: granule.pageBytes,
    storeRecords: draw.chance(70),
    touched: draw.chance(60),
    spaces,
    scripts,
    pressure: pressureOf(draw, memoryPages, spanNs),
    munmaps: munmapsOf(draw, memoryPages, pools.flat(), granule.units, spanNs),
  };
}

function windowSize(draw: Draw, granule: Granule, memoryPages: number): number {
  const most = Math.min(memoryPages, 640);
  const pages = draw.chance(75) ? draw.integer(2, 40) : draw.integer(40, Math.max(41, most));
  return Math.max(1, Math.ceil(Math.min(pages, most) / granule.units)) * granule.units;
}

/** Pages for tables: scattered over memory, in no address space twice. */
function poolsOf(draw: Draw, { units, pageBytes }: Granule, memoryPages: number, count: number): number[][] {
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
function editAt(
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
function setupOf(
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

function maxBufferOf(draw: Draw, windowPages: number): number {
  const pages = draw.chance(65)
    ? windowPages
    : draw.chance(50)
      ? draw.integer(1, 8)
      : draw.integer(1, windowPages + 8);
  return (pages > 511 ? pages + (pages % 2) : pages) * PAGE_BYTES;
}

function costsOf(draw: Draw): CostTable {
  const most = draw.one([0, 20, 300, 2_000]);
  const table: Partial<Record<string, number>> = {};
  for (const name of COST_NAMES) table[name] = draw.integer(0, most);
  return table as CostTable;
}

interface ScriptContext {
  readonly granule: Granule;
  readonly window: Window;
  readonly memoryPages: number;
  readonly pools: readonly (readonly number[])[];
  readonly spaceCount: number;
  readonly neat: boolean;
  /** Pages of the largest buffer that it asks for on purpose. */
  readonly bufferPages: number;
}

const write = (register: (GuestAction & { kind: "write" })["register"], value: bigint): GuestAction => ({
  kind: "write",
  register,
  value,
});

/** A pointer and a limit inside of the window. */
function bufferIn(
  draw: Draw,
  { window, bufferPages }: ScriptContext,
): { readonly pointer: bigint; readonly limit: bigint } {
  const from = draw.chance(60) ? 0 : draw.integer(0, window.pages - 1);
  const end = Math.min(window.pages, from + bufferPages);
  const to = draw.chance(60) ? end : draw.integer(from + 1, end);
  const offset = draw.chance(70) ? 0 : draw.integer(0, 63) * 64;
  return {
    pointer: (BigInt(window.first + from) << 12n) + BigInt(offset),
    limit: BigInt(window.first + to) << 12n,
  };
}

/** Any 64-bit value, or one that is nearly right. */
function hostile(draw: Draw, window: Window): bigint {
  const near =
    (BigInt(window.first + draw.integer(-2, window.pages + 2)) << 12n) + BigInt(draw.integer(0, 4095));
  const wild = (BigInt(draw.integer(0, 0x7fffffff)) << 33n) + BigInt(draw.integer(0, 0x7fffffff));
  return BigInt.asUintN(64, draw.chance(60) ? near : wild);
}

/** PMSIRR and PMSICR together: a new period takes effect with the next sample. */
function period(draw: Draw): GuestAction[] {
  const interval = draw.chance(3) ? 0 : 256 * draw.integer(1, draw.one([2, 8, 16]));
  const jitter = interval > 0 && draw.chance(12) ? 1n : 0n;
  return [
    write("PMSIRR_EL1", BigInt(interval) | jitter),
    write("PMSICR_EL1", BigInt(draw.chance(70) ? interval : draw.integer(0, interval))),
  ];
}

const filters = (draw: Draw): GuestAction[] =>
  draw.chance(75)
    ? [write("PMSFCR_EL1", 0n)]
    : [
        write("PMSLATFR_EL1", BigInt(draw.integer(1, 24))),
        write("PMSFCR_EL1", draw.chance(50) ? 4n : 2n | (BigInt(draw.integer(1, 7)) << 16n)),
      ];

function scriptOf(draw: Draw, context: ScriptContext): Script {
  const { neat } = context;
  const both = PMSCR_EL1.with(0n, { E0SPE: 1, E1SPE: 1, TS: 1 });
  const actions: GuestAction[] = [
    { kind: "el", el: draw.one([0, 1]) },
    ...period(draw),
    ...filters(draw),
    write("PMSCR_EL1", neat || draw.chance(80) ? both : BigInt(draw.integer(0, 3))),
  ];
  const sessions = draw.integer(2, 7);
  let buffer = bufferIn(draw, context);
  for (let i = 0; i < sessions; i++) {
    if (draw.chance(30)) buffer = bufferIn(draw, context);
    actions.push(
      write("PMBPTR_EL1", buffer.pointer),
      write("PMBLIMITR_EL1", buffer.limit | (draw.chance(3) ? 5n : 1n)),
    );
    const events = draw.integer(1, 5);
    for (let j = 0; j < events; j++) actions.push(...event(draw, context));
    if (draw.chance(85)) actions.push(write("PMBLIMITR_EL1", 0n));
    if (draw.chance(30)) actions.push(...event(draw, context));
  }
  return { actions, handler: handlerOf(draw, buffer), mostInterrupts: draw.integer(0, 6) };
}

/** What may happen between an enable and a disable. */
function event(draw: Draw, context: ScriptContext): GuestAction[] {
  const { window, granule, memoryPages, pools, spaceCount, neat } = context;
  const run: GuestAction = { kind: "run", ns: draw.integer(200, 12_000) };
  const dice = draw.integer(0, 99);
  if (dice < 45) return [run];
  if (dice < 62) {
    const { units } = granule;
    const granules = Math.ceil(window.pages / units);
    const from = draw.integer(0, granules - 1);
    const entries = draw.integer(1, Math.min(granules - from, draw.one([1, 3, 16])));
    const space = draw.integer(0, spaceCount - 1);
    const first = vpn(Math.floor(window.first / units) * units + from * units);
    const edit = editAt(draw, granule, first, entries, {
      memoryPages,
      pool: pools[space] as readonly number[],
      space,
      neat: draw.chance(80),
    });
    // Break before make, as the architecture demands; a careless guest leaves it out.
    return draw.chance(70)
      ? [{ ...edit, output: undefined }, { kind: "tlbi" }, edit, { kind: "tlbi" }, run]
      : [edit, run];
  }
  if (dice < 72)
    return [
      {
        kind: "touch",
        page: ipn(RAM_FIRST_IPN + draw.integer(0, memoryPages - 1)),
        write: draw.chance(60),
      },
    ];
  if (neat && dice < 84) return [write("PMBLIMITR_EL1", 0n), run];
  switch (dice % 14) {
    case 0:
      return [write("PMBPTR_EL1", hostile(draw, window)), run];
    case 1:
      return [write("PMBLIMITR_EL1", hostile(draw, window)), run];
    case 2:
      return [write("PMBSR_EL1", hostile(draw, window)), run];
    case 3:
      return [write("PMBSR_EL1", 1n << 17n), run];
    case 4:
      return [write("PMBSR_EL1", 0n), run];
    case 5:
      return [
        {
          kind: "read",
          register: draw.one([
            "PMBSR_EL1",
            "PMBPTR_EL1",
            "PMBLIMITR_EL1",
            "PMBIDR_EL1",
            "PMSIDR_EL1",
          ] as const),
        },
      ];
    case 6:
      // Discard mode.
      return [write("PMBLIMITR_EL1", 5n), run];
    case 7:
      return [
        {
          kind: "store",
          page: ipn(draw.one(pools[0] as [number, ...number[]]) + draw.integer(0, granule.units - 1)),
          word: draw.integer(0, 1023),
          value: draw.integer(0, 0x7fffffff) * 2 + draw.integer(0, 1),
        },
        run,
      ];
    case 8:
      return [{ kind: "el", el: draw.one([0, 1]) }, run];
    case 9:
      return [...period(draw), run];
    case 10:
      return [{ kind: "sleep", ns: draw.integer(100, 30_000) }];
    case 11:
      return [{ kind: "space", space: draw.integer(0, spaceCount - 1) }, run];
    case 12:
      return [write("PMSCR_EL1", BigInt(draw.integer(0, 3))), run];
    default:
      return [{ kind: draw.one(["hvc", "psb", "tlbi"]) }];
  }
}

/** What a guest does at PMBIRQ: start over, give up, only look, or nothing. */
function handlerOf(draw: Draw, buffer: { readonly pointer: bigint; readonly limit: bigint }): GuestAction[] {
  const look: GuestAction[] = [
    { kind: "read", register: "PMBSR_EL1" },
    { kind: "read", register: "PMBPTR_EL1" },
  ];
  const restart: GuestAction[] = [
    ...look,
    write("PMBPTR_EL1", buffer.pointer),
    write("PMBLIMITR_EL1", buffer.limit | 1n),
    write("PMBSR_EL1", 0n),
  ];
  switch (draw.integer(0, 6)) {
    case 0:
      return [...look, write("PMBLIMITR_EL1", 0n), write("PMBSR_EL1", 0n)];
    case 1:
      return look;
    case 2:
      return [write("PMBSR_EL1", 0n)];
    case 3:
      return [write("PMBSR_EL1", 0n), ...restart];
    default:
      return restart;
  }
}

const runNs = ({ actions }: Script): number =>
  actions.reduce(
    (sum, action) => sum + (action.kind === "run" || action.kind === "sleep" ? action.ns : 0),
    1_000,
  );

/** Sorted in time. */
function pressureOf(draw: Draw, memoryPages: number, spanNs: number): PressureEvent[] {
  const count = draw.chance(25) ? 0 : draw.integer(1, 30);
  const events = Array.from({ length: count }, (): PressureEvent => {
    const kind = draw.one(PRESSURE_KINDS as unknown as ["reclaim"]);
    const atNs = draw.integer(0, spanNs);
    if (kind === ("thp-collapse" as string))
      return { atNs, kind, first: HUGE_PAGES * draw.integer(0, 1), pages: HUGE_PAGES };
    const first = draw.integer(0, memoryPages - 1);
    return { atNs, kind, first, pages: draw.integer(1, draw.one([1, 8, memoryPages])) };
  });
  return events.sort((a, b) => a.atNs - b.atNs);
}

/** Never of pages that tables may be in: the guest's CPU has no business with these pages. */
function munmapsOf(
  draw: Draw,
  memoryPages: number,
  pool: readonly number[],
  units: number,
  spanNs: number,
): { atNs: number; page: number }[] {
  if (!draw.chance(6)) return [];
  const tables = new Set(pool.map((first) => Math.floor((first - RAM_FIRST_IPN) / units)));
  return Array.from({ length: draw.integer(1, 3) }, () => ({
    atNs: draw.integer(0, spanNs),
    page: draw.integer(0, memoryPages - 1),
  }))
    .filter(({ page }) => !tables.has(Math.floor(page / units)))
    .sort((a, b) => a.atNs - b.atNs);
}
