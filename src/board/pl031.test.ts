import { expect, it } from "vitest";
import { Pl031 } from "./pl031.ts";

const R = { DR: 0, MR: 4, LR: 8, CR: 0xc, IMSC: 0x10, RIS: 0x14, MIS: 0x18, ICR: 0x1c } as const;
const START = 1_700_000_000;

function clock() {
  const world = { seconds: START, line: false };
  const rtc = new Pl031({
    seconds: () => world.seconds,
    irq: (high) => {
      world.line = high;
    },
  });
  return { world, rtc };
}

it("is found by Linux's AMBA bus as an Arm PL031", () => {
  const { rtc } = clock();
  const word = (at: number): number =>
    [0, 1, 2, 3].reduce((sum, i) => sum | (rtc.read(at + 4 * i) << (8 * i)), 0);
  expect(word(0xfe0) & 0xf_ffff).toBe(0x4_1031);
  expect(word(0xff0) >>> 0).toBe(0xb105_f00d);
});

it("counts seconds from the machine's time, and from where the guest sets it", () => {
  const { world, rtc } = clock();
  expect(rtc.read(R.DR)).toBe(START);
  world.seconds += 2.9;
  expect(rtc.read(R.DR)).toBe(START + 2);
  rtc.write(R.LR, 1000);
  expect(rtc.read(R.DR)).toBe(1000);
  expect(rtc.read(R.LR)).toBe(1000);
  world.seconds += 5;
  expect(rtc.read(R.DR)).toBe(1005);
  rtc.write(R.LR, 0xffff_ffff);
  world.seconds += 2;
  expect(rtc.read(R.DR)).toBe(1);
});

it("rings when the counter comes to the match register, until the guest clears it", () => {
  const { world, rtc } = clock();
  rtc.write(R.CR, 1);
  expect(rtc.read(R.CR)).toBe(1);
  rtc.write(R.MR, START + 10);
  rtc.write(R.ICR, 1);
  rtc.write(R.IMSC, 1);
  expect(rtc.alarmSeconds).toBe(START + 10);
  world.seconds += 9.5;
  rtc.tick();
  expect(world.line).toBe(false);
  // Nobody looked at the very second: it has rung all the same.
  world.seconds += 3;
  rtc.tick();
  expect(world.line).toBe(true);
  expect(rtc.alarmSeconds).toBeUndefined();
  expect([rtc.read(R.RIS), rtc.read(R.MIS)]).toEqual([1, 1]);
  rtc.write(R.ICR, 1);
  expect([world.line, rtc.read(R.MIS)]).toEqual([false, 0]);
});

it("rings without a line while it is masked", () => {
  const { world, rtc } = clock();
  rtc.write(R.MR, START + 1);
  world.seconds += 1;
  expect([rtc.read(R.RIS), rtc.read(R.MIS), world.line]).toEqual([1, 0, false]);
  rtc.write(R.IMSC, 1);
  expect(world.line).toBe(true);
});

it("goes on from a saved state as if nothing had been", () => {
  const { world, rtc } = clock();
  rtc.write(R.LR, 500);
  rtc.write(R.MR, 503);
  rtc.write(R.IMSC, 1);
  const copy = clock();
  copy.rtc.restore(JSON.parse(JSON.stringify(rtc.save())));
  for (const { world: own, rtc: one } of [{ world, rtc }, copy]) {
    own.seconds += 2;
    expect([one.read(R.DR), own.line]).toEqual([502, false]);
    own.seconds += 1;
    one.tick();
    expect(own.line).toBe(true);
  }
});

it("rings as the counter is set to the match register, too", () => {
  const { world, rtc } = clock();
  rtc.write(R.MR, START + 100);
  rtc.write(R.IMSC, 1);
  expect(world.line).toBe(false);
  rtc.write(R.LR, START + 100);
  expect([world.line, rtc.read(R.RIS)]).toEqual([true, 1]);
});
