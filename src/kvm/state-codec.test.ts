import { expect, it } from "vitest";
import { GuestPages, PageSet } from "./guest-pages.ts";
import { decodeState, type EncodedState, encodeState } from "./state-codec.ts";

const through = (state: unknown): unknown =>
  decodeState(JSON.parse(JSON.stringify(encodeState(state))) as EncodedState);

it("gives back numbers, infinities, bigints, maps and what is undefined", () => {
  const state = {
    small: -3,
    never: Number.POSITIVE_INFINITY,
    none: Number.NaN,
    pointer: (1n << 63n) | 5n,
    limit: undefined,
    nothing: null,
    byVcpu: new Map<number, unknown>([
      [0, { on: true }],
      [1, [1n, "a"]],
    ]),
    list: [[], {}],
  };
  expect(through(state)).toEqual(state);
});

it("gives back sets of pages, and a list once for all sets that are runs of it", () => {
  const list = (first: number, areTables: boolean): GuestPages =>
    new GuestPages(
      Int32Array.from({ length: 8 }, (_, i) => first + i),
      Int32Array.from({ length: 8 }, (_, i) => 100 + first + i),
      areTables,
    );
  const [buffer, tables] = [list(0, false), list(50, true)];
  const state = {
    some: PageSet.of([
      { list: buffer, from: 1, to: 3 },
      { list: tables, from: 0, to: 8 },
    ]),
    more: PageSet.of([{ list: buffer, from: 0, to: 8 }]),
    none: PageSet.empty,
  };
  const { some, more, none } = through(state) as typeof state;
  expect(none).toBe(PageSet.empty);
  expect(some.extents()).toEqual(state.some.extents());
  expect(some.runs[0]?.list).toBe(more.runs[0]?.list);
  expect(some.runs[1]?.list.areTables).toBe(true);
  expect([...(more.runs[0]?.list.host.pages ?? [])]).toEqual([...buffer.host.pages]);
});

it("refuses what has no such form", () => {
  expect(() => encodeState({ handler: () => 1 })).toThrow(/cannot be saved/);
  expect(() => encodeState([new Set()])).toThrow(/cannot be saved/);
});
