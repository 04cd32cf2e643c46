/** What counts as agreeing. */
import { expect, it } from "vitest";
import { agreementOf } from "./agreement.ts";

const machine: Parameters<typeof agreementOf>[0] = {
  scenario: "a",
  policy: "fault",
  profile: "thread-normal",
  guestWallNs: 1_000_000,
  bufferEnables: 7,
  bufferDisables: 7,
  pins: 0,
  unpins: 0,
  pagesPinned: 0,
  tablePagesPinned: 0,
  recordStage2Faults: 0,
  blackouts: { count: 0, totalNs: 0, longestNs: 0, instructions: 0 },
  samples: {
    selected: 100,
    written: 100,
    filtered: 0,
    collided: 0,
    lostInBlackout: 0,
    lostWhileFull: 0,
    truncated: 0,
  },
  exitReasons: {},
};
const model = machine;
const rowOf = (run: typeof model, what: string) =>
  agreementOf(machine, run).rows.find((row) => row.what === what);

it("counts must be equal, and what depends on time within 5 %", () => {
  expect(agreementOf(machine, model).agrees).toBe(true);
  expect(rowOf({ ...model, guestWallNs: 1_050_000 }, "wall time, ns")?.agrees).toBe(true);
  expect(rowOf({ ...model, guestWallNs: 1_050_001 }, "wall time, ns")?.agrees).toBe(false);
  expect(rowOf({ ...model, bufferEnables: 8 }, "enables")).toMatchObject({ rule: "equal", agrees: false });
  expect(agreementOf(machine, { ...model, bufferEnables: 8 }).agrees).toBe(false);
});

it("of exits those count that are SPE's", () => {
  const reasons = { MMIO: 12, PMBIRQ: 1, "MSR PMBPTR_EL1": 2, "host timer": 3 } as const;
  const { rows } = agreementOf({ ...machine, exitReasons: reasons }, model);
  expect(rows.filter(({ what }) => what.startsWith("exits")).map(({ what }) => what)).toEqual([
    "exits: MSR PMBPTR_EL1",
    "exits: PMBIRQ",
    "exits: host timer",
  ]);
});
