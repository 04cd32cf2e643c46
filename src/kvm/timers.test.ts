import { describe, expect, it } from "vitest";
import type { Encoding } from "../arm/registers.ts";
import { Timers } from "./timers.ts";

const TICK_NS = 16;
const timer = (crm: number) => ({
  tval: [3, 3, 14, crm, 0] as Encoding,
  ctl: [3, 3, 14, crm, 1] as Encoding,
  cval: [3, 3, 14, crm, 2] as Encoding,
});
const VIRTUAL = timer(3);
const PHYSICAL = timer(2);
const ALL = (1n << 64n) - 1n;

it("counts 62.5 million a second, in whole ticks", () => {
  const timers = new Timers();
  expect(timers.read([3, 3, 14, 0, 0], 0)).toBe(62_500_000n);
  for (const op2 of [1, 2]) {
    expect(timers.read([3, 3, 14, 0, op2], 15.9)).toBe(0n);
    expect(timers.read([3, 3, 14, 0, op2], 16)).toBe(1n);
    expect(timers.read([3, 3, 14, 0, op2], 1e9)).toBe(62_500_000n);
  }
});

it.each([
  ["virtual", VIRTUAL],
  ["physical", PHYSICAL],
] as const)("the %s timer's line is high from the tick of its compare value on", (which, { ctl, cval }) => {
  const timers = new Timers();
  const high = (nowNs: number): boolean => timers.lines(nowNs)[which];
  timers.write(cval, 100n, 0);
  expect([high(1e6), timers.nextEventNs(0)]).toEqual([false, Number.POSITIVE_INFINITY]);
  timers.write(ctl, 1n, 0);
  expect(timers.nextEventNs(0)).toBe(100 * TICK_NS);
  expect([high(100 * TICK_NS - 1), timers.read(ctl, 100 * TICK_NS - 1)]).toEqual([false, 1n]);
  expect([high(100 * TICK_NS), timers.read(ctl, 100 * TICK_NS)]).toEqual([true, 5n]);
  expect(timers.nextEventNs(100 * TICK_NS)).toBe(Number.POSITIVE_INFINITY);
  const other = which === "virtual" ? "physical" : "virtual";
  expect(timers.lines(1e9)[other]).toBe(false);
});

it("masks the line and not the status", () => {
  const timers = new Timers();
  timers.write(VIRTUAL.ctl, 3n, 0);
  expect(timers.lines(0).virtual).toBe(false);
  expect(timers.read(VIRTUAL.ctl, 0)).toBe(7n);
  expect(timers.nextEventNs(0)).toBe(Number.POSITIVE_INFINITY);
});

it("falls when it is set anew", () => {
  const timers = new Timers();
  timers.write(VIRTUAL.ctl, 1n, 0);
  expect(timers.lines(32).virtual).toBe(true);
  timers.write(VIRTUAL.tval, 10n, 32);
  expect(timers.lines(32).virtual).toBe(false);
  expect(timers.nextEventNs(32)).toBe(12 * TICK_NS);
});

describe("TVAL", () => {
  it("is what is left, of 32 bits with a sign", () => {
    const timers = new Timers();
    timers.write(VIRTUAL.tval, 50n, 10 * TICK_NS);
    expect(timers.read(VIRTUAL.cval, 0)).toBe(60n);
    expect(timers.read(VIRTUAL.tval, 20 * TICK_NS)).toBe(40n);
    expect(timers.read(VIRTUAL.tval, 61 * TICK_NS)).toBe(0xffff_ffffn);
    timers.write(VIRTUAL.tval, 0xffff_ffffn, 10 * TICK_NS);
    expect(timers.read(VIRTUAL.cval, 0)).toBe(9n);
    timers.write(VIRTUAL.tval, 0xffff_fffen, 0);
    expect(timers.read(VIRTUAL.cval, 0)).toBe(ALL - 1n);
  });
});

it("waits long enough for the largest compare value", () => {
  const timers = new Timers();
  timers.write(PHYSICAL.cval, ALL, 0);
  timers.write(PHYSICAL.ctl, 0xffff_fffdn, 0);
  expect(timers.read(PHYSICAL.ctl, 0)).toBe(1n);
  expect(timers.nextEventNs(0)).toBeGreaterThan(1e20);
  expect(timers.lines(1e15).physical).toBe(false);
});

it("says when the first of both goes off", () => {
  const timers = new Timers();
  for (const [{ ctl, cval }, ticks] of [
    [VIRTUAL, 70n],
    [PHYSICAL, 30n],
  ] as const) {
    timers.write(cval, ticks, 0);
    timers.write(ctl, 1n, 0);
  }
  expect(timers.nextEventNs(0)).toBe(30 * TICK_NS);
  expect(timers.nextEventNs(30 * TICK_NS)).toBe(70 * TICK_NS);
});

it("has no other registers, and none of the counters' can be written", () => {
  const timers = new Timers();
  for (const other of [
    [3, 3, 14, 2, 3],
    [3, 3, 14, 1, 0],
    [3, 4, 14, 2, 1],
    [3, 3, 13, 2, 1],
    [2, 3, 14, 2, 1],
  ] as Encoding[])
    expect([timers.read(other, 0), timers.write(other, 0n, 0)]).toEqual([undefined, false]);
  for (const op2 of [0, 1, 2]) expect(timers.write([3, 3, 14, 0, op2], 5n, 0)).toBe(false);
});

it("goes on from a saved state as if nothing had been", () => {
  const timers = new Timers();
  timers.write(VIRTUAL.cval, ALL, 0);
  timers.write(VIRTUAL.ctl, 3n, 0);
  timers.write(PHYSICAL.tval, 8n, 160);
  timers.write(PHYSICAL.ctl, 1n, 0);
  const copy = new Timers();
  copy.restore(JSON.parse(JSON.stringify(timers.save())));
  expect(copy.save()).toEqual(timers.save());
  expect(copy.nextEventNs(200)).toBe(18 * TICK_NS);
  expect(copy.read(VIRTUAL.cval, 0)).toBe(ALL);
});
