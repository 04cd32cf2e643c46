/** Random scripts for a guest: profiling sessions with something in between, and what it does at PMBIRQ. */
import { PMSCR_EL1 } from "../../arm/registers.ts";
import { ipn, vpn } from "../../common/address.ts";
import { RAM_FIRST_IPN } from "../../guest/memory.ts";
import type { GuestAction, Script } from "../../guest/scripted-core.ts";
import type { Draw, Granule, Window } from "./draw.ts";
import { editAt } from "./generate-tables.ts";

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

export function scriptOf(draw: Draw, context: ScriptContext): Script {
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
  return oddity(draw, context, dice % ODDITIES, run);
}

const ODDITIES = 14;

/** What Linux would not do there, or seldom. */
function oddity(draw: Draw, context: ScriptContext, which: number, run: GuestAction): GuestAction[] {
  const { window, granule, pools, spaceCount } = context;
  switch (which) {
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

export const runNs = ({ actions }: Script): number =>
  actions.reduce(
    (sum, action) => sum + (action.kind === "run" || action.kind === "sleep" ? action.ns : 0),
    1_000,
  );
