import { expect, it } from "vitest";
import { askHere } from "../../../test/questions.ts";
import { profileNamed } from "../../cli/lab.ts";
import { q08 } from "./q08.ts";
import { costTablesOf } from "./question.ts";

it("loses more samples to late interrupts and to a busy host, and v6 none at all", () => {
  const costTables = costTablesOf(profileNamed);
  const cells = q08.cells() as { sweep: string; policy: string; bufferBytes: number; irqLatencyNs: number }[];
  const lost = (of: (cell: (typeof cells)[number]) => boolean): number[] =>
    cells.filter(of).map((cell) => {
      const row = q08.run(cell, costTables) as { lost: number; selected: number };
      return row.lost / row.selected;
    });
  const [soon, later, latest] = lost(({ sweep }) => sweep === "latency");
  expect(later).toBeGreaterThan(3 * (soon as number));
  expect(latest).toBeGreaterThan(2 * (later as number));
  const host = lost(({ sweep }) => sweep === "host");
  expect(host.at(-1)).toBeGreaterThan(1.2 * (host[0] as number));
  expect(lost((c) => c.policy === "pin-on-enable" && c.bufferBytes === 4 * 1024 ** 2)).toEqual([0]);
});

it("prefers blackouts only for big buffers when pins are cheap", () => {
  expect(askHere(q08).headline).toContain("at every size from 256 KiB on if the interrupt comes after 2 µs");
  expect(askHere(q08, { pinPage: 0.1 }).headline).not.toContain("at every size");
});
