/**
 * A scenario of the property tests: guests, a host and what it does, as plain values. The same seed gives the same
 * scenario, and a scenario the same run.
 */
import { hex } from "../../common/address.ts";
import type { GuestPageBytes } from "../../guest/memory.ts";
import type { GuestAction, Script } from "../../guest/scripted-core.ts";
import type { CostTable } from "../../host/costs.ts";
import type { Backing } from "../../host/mm.ts";
import type { PressureEvent } from "../../host/pressure.ts";

/** One of the guest's address spaces: its tables' pool, and what is mapped before time begins. */
export interface AddressSpace {
  readonly vaBits: number;
  readonly half: "lower" | "upper";
  readonly hardwareUpdates: boolean;
  readonly pool: readonly number[];
  readonly setup: readonly (GuestAction & { kind: "edit" })[];
}

export interface InvariantScenario {
  readonly seed: number;
  readonly memoryPages: number;
  readonly backing: Backing;
  /** Pages of guest memory (from its first) whose frames lie in ZONE_MOVABLE. */
  readonly movable: { readonly first: number; readonly pages: number };
  readonly costs: CostTable;
  readonly irqLatencyNs: number;
  readonly maxBufferBytes: number | undefined;
  readonly memlockBytes: number;
  readonly memlockMaxBytes: number;
  readonly pageBytes: GuestPageBytes;
  readonly storeRecords: boolean;
  /** Guest memory is present and mapped before the first run. */
  readonly touched: boolean;
  readonly spaces: readonly AddressSpace[];
  /** One for each vCPU; all start in address space 0. */
  readonly scripts: readonly Script[];
  readonly pressure: readonly PressureEvent[];
  /** User space unmaps single pages of guest memory at these instants. */
  readonly munmaps: readonly { readonly atNs: number; readonly page: number }[];
}

/** An action on one line. */
function describeAction(action: GuestAction): string {
  switch (action.kind) {
    case "write":
      return `${action.register} = ${hex(action.value)}`;
    case "read":
      return `read ${action.register}`;
    case "run":
      return `run ${action.ns} ns`;
    case "sleep":
      return `sleep ${action.ns} ns`;
    case "el":
      return `EL${action.el}`;
    case "touch":
      return `${action.write ? "store to" : "load from"} page ${hex(action.page)}`;
    case "store":
      return `page ${hex(action.page)} word ${action.word} = ${hex(action.value)}`;
    case "edit":
      return `${action.output === undefined ? "unmap" : "map"} ${action.entries} at ${hex(action.first)}, level ${action.level}${action.output === undefined ? "" : `, to page ${hex(action.output)}`}, in space ${action.space}`;
    case "space":
      return `TTBR of space ${action.space}`;
    default:
      return action.kind;
  }
}

/** What a scenario is, in a few lines, for whoever replays it. */
export function describeScenario(scenario: InvariantScenario): string[] {
  const { scripts, spaces } = scenario;
  const bytes = (value: number | undefined): string =>
    value === undefined ? "no limit" : `${value / 4096} pages`;
  return [
    `${scenario.memoryPages} pages of guest memory, backing ${scenario.backing}, ${scenario.touched ? "mapped" : "absent"} at the start; movable: ${scenario.movable.pages} from ${scenario.movable.first}`,
    `maximum buffer ${bytes(scenario.maxBufferBytes)}, memlock ${bytes(scenario.memlockBytes)} to ${bytes(scenario.memlockMaxBytes)}, PMBIRQ after ${scenario.irqLatencyNs} ns`,
    ...spaces.flatMap((space, i) => [
      `space ${i}: ${scenario.pageBytes / 1024}K granule, ${space.vaBits} bits, ${space.half} half${space.hardwareUpdates ? ", HA and HD" : ""}, tables in ${space.pool.map(hex).join(" ")}`,
      ...space.setup.map((edit) => `  ${describeAction(edit)}`),
    ]),
    ...scripts.flatMap((script, i) => [
      `vCPU ${i}, at PMBIRQ (at most ${script.mostInterrupts} times): ${script.handler.map(describeAction).join("; ")}`,
      ...script.actions.map((action) => `  ${describeAction(action)}`),
    ]),
    ...scenario.pressure.map(
      (event) => `host at ${event.atNs} ns: ${event.kind} ${event.pages} from ${event.first}`,
    ),
    ...scenario.munmaps.map(({ atNs, page }) => `host at ${atNs} ns: munmap of page ${page}`),
  ];
}
