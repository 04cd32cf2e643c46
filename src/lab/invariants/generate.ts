/**
 * Scenarios from seeds: mostly guests that profile as one should, with something wrong now and then, small enough to
 * run in milliseconds.
 */
import { PAGE_BYTES, vpn } from "../../common/address.ts";
import { RAM_FIRST_IPN } from "../../guest/memory.ts";
import { COST_NAMES, type CostTable } from "../../host/costs.ts";
import { HUGE_PAGES } from "../../host/frames.ts";
import type { Backing } from "../../host/mm.ts";
import { PRESSURE_KINDS, type PressureEvent } from "../../host/pressure.ts";
import { Draw, GRANULES, type Granule, type Window } from "./draw.ts";
import { runNs, scriptOf } from "./generate-script.ts";
import { poolsOf, setupOf } from "./generate-tables.ts";
import type { AddressSpace, InvariantScenario } from "./scenario.ts";

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
