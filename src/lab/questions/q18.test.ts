import { expect, it } from "vitest";
import { askHere } from "../../../test/questions.ts";
import { q18 } from "./q18.ts";
import { preCopy } from "./q18-precopy.ts";

it("resends more where pinned pages are always dirty, and never ends on a slow link", () => {
  const { charts, headline } = askHere(q18);
  const stop = (way: string): number =>
    charts[0]?.series.find(({ name }) => name === `${way}, 1 Gb/s`)?.points.at(-1)?.[1] as number;
  expect(stop("always dirty")).toBeGreaterThan(2 * stop("exit at enable"));
  expect(headline).toContain("does not end");
});

it("turns with the cost of a return to user space", () => {
  expect(askHere(q18).headline).toContain("which is cheap");
  expect(askHere(q18, { userExit: 100 }).headline).toContain("which is dear");
});

it("counts a migration's rounds", () => {
  const migration = {
    memoryBytes: 1000,
    bytesPerSecond: 100,
    dirtyBytesPerSecond: 10,
    downtimeNs: 0.2e9,
    mostRounds: 30,
  };
  const none = { alwaysBytes: 0, writtenBytesPerSecond: 0, mostWrittenBytes: 0 };
  // 1,000, then 100, then 10, which take 10 s, 1 s and 0.1 s.
  expect(preCopy(migration, none)).toEqual({
    rounds: 2,
    converged: true,
    runningNs: 11e9,
    stoppedNs: 0.1e9,
    resentBytes: 110,
    bufferBytes: 0,
  });
  const always = preCopy(migration, { ...none, alwaysBytes: 50 });
  expect(always).toMatchObject({ rounds: 30, converged: false, bufferBytes: 1500 });
  expect(
    preCopy(migration, { ...none, writtenBytesPerSecond: 1, mostWrittenBytes: 5 }).bufferBytes,
  ).toBeLessThan(7);
});
