/** The UART as Linux's drivers/tty/serial/amba-pl011.c drives it. */
import { describe, expect, it } from "vitest";
import { Pl011 } from "./pl011.ts";

const R = {
  DR: 0,
  FR: 0x18,
  IBRD: 0x24,
  LCRH: 0x2c,
  CR: 0x30,
  IFLS: 0x34,
  IMSC: 0x38,
  RIS: 0x3c,
  MIS: 0x40,
  ICR: 0x44,
};
const RXFE = 1 << 4;
const RXFF = 1 << 6;
const TXFE = 1 << 7;
const RX = 1 << 4;
const TX = 1 << 5;
const RT = 1 << 6;
const FEN = 0x70;

function uart() {
  const world = { sent: [] as number[], line: false };
  const device = new Pl011({
    transmit: (byte) => world.sent.push(byte),
    irq: (high) => {
      world.line = high;
    },
  });
  return { world, device };
}
/** With FIFOs on, and the receive interrupts that pl011_startup unmasks. */
function started() {
  const made = uart();
  made.device.write(R.LCRH, FEN);
  made.device.write(R.ICR, 0x7ff);
  made.device.write(R.IMSC, RT | RX);
  return made;
}
const bytes = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

it("is found by Linux's AMBA bus as a PL011 r1p5, whose FIFOs have 32 characters (get_fifosize_arm)", () => {
  const { device } = uart();
  const word = (at: number): number =>
    [0, 1, 2, 3].reduce((sum, i) => sum | (device.read(at + 4 * i) << (8 * i)), 0);
  expect(word(0xfe0)).toBe(0x0034_1011);
  expect(word(0xff0) >>> 0).toBe(0xb105_f00d);
});

it("sends each character at once: the transmit FIFO is always empty", () => {
  const { world, device } = uart();
  expect(device.read(R.FR)).toBe(TXFE | RXFE);
  for (const byte of [0x68, 0x169]) device.write(R.DR, byte);
  expect(world.sent).toEqual([0x68, 0x69]);
  expect(device.read(R.FR)).toBe(TXFE | RXFE);
});

it("interrupts for room to transmit while that is unmasked, until it is cleared", () => {
  const { world, device } = started();
  device.write(R.DR, 0x61);
  expect([world.line, device.read(R.RIS), device.read(R.MIS)]).toEqual([false, TX, 0]);
  device.write(R.IMSC, RT | RX | TX);
  expect([world.line, device.read(R.MIS)]).toEqual([true, TX]);
  device.write(R.ICR, TX);
  expect([world.line, device.read(R.RIS)]).toEqual([false, 0]);
});

describe("what is received", () => {
  it("interrupts, is read in order, and lets the line fall with its last character", () => {
    const { world, device } = started();
    device.receive([0x61, 0x62]);
    expect([world.line, device.read(R.MIS), device.read(R.FR)]).toEqual([true, RT, TXFE]);
    expect(device.read(R.DR)).toBe(0x61);
    expect(world.line).toBe(true);
    expect(device.read(R.DR)).toBe(0x62);
    expect([world.line, device.read(R.RIS), device.read(R.FR)]).toEqual([false, 0, TXFE | RXFE]);
    expect(device.read(R.DR)).toBe(0);
  });

  it.each([
    [0, 4],
    [1, 8],
    [2, 16],
    [3, 24],
    [4, 28],
  ])("raises the level interrupt with IFLS %d at %d characters, and takes it back below", (level, count) => {
    const { device } = started();
    device.write(R.IFLS, level << 3);
    device.receive(bytes(count - 1));
    expect(device.read(R.RIS) & RX).toBe(0);
    device.receive([7]);
    expect(device.read(R.RIS) & RX).toBe(RX);
    device.read(R.DR);
    expect(device.read(R.RIS) & RX).toBe(0);
  });

  it("is as much as the FIFO holds; the rest is lost", () => {
    const { device } = started();
    expect(device.room).toBe(32);
    device.receive(bytes(40));
    expect([device.room, device.read(R.FR)]).toEqual([0, TXFE | RXFF]);
    expect(bytes(33).map(() => device.read(R.DR))).toEqual([...bytes(32), 0]);
  });

  it("is one character without FIFOs", () => {
    const { device } = uart();
    device.receive([1, 2]);
    expect([device.room, device.read(R.FR), device.read(R.RIS)]).toEqual([0, TXFE | RXFF, RX | RT]);
    expect([device.read(R.DR), device.read(R.DR)]).toEqual([1, 0]);
  });

  it("interrupts anew after ICR, with the next character", () => {
    const { world, device } = started();
    device.receive([1]);
    device.write(R.ICR, RT | RX);
    expect([world.line, device.read(R.FR) & RXFE]).toEqual([false, 0]);
    device.receive([2]);
    expect(world.line).toBe(true);
  });

  it("interrupts nobody while it is masked", () => {
    const { world, device } = uart();
    device.receive([1]);
    expect([world.line, device.read(R.MIS)]).toEqual([false, 0]);
    device.write(R.IMSC, RX);
    expect(world.line).toBe(true);
  });
});

it("keeps what is written to its other registers", () => {
  const { device } = uart();
  expect([device.read(R.CR), device.read(R.IFLS)]).toEqual([0x300, 0x12]);
  for (const [offset, value] of [
    [R.IBRD, 0x1234],
    [R.LCRH, FEN],
    [R.CR, 0x301],
  ] as const) {
    device.write(offset, value);
    expect(device.read(offset)).toBe(value);
  }
  device.write(R.FR, 0xffff);
  device.write(0x80, 5);
  expect([device.read(R.FR), device.read(0x80)]).toEqual([TXFE | RXFE, 0]);
});

it("goes on from a saved state as if nothing had been", () => {
  const { device } = started();
  device.receive([5, 6, 7]);
  device.read(R.DR);
  device.write(R.IMSC, RT);
  const { world, device: copy } = uart();
  copy.restore(JSON.parse(JSON.stringify(device.save())));
  expect([world.line, copy.room, copy.read(R.DR), copy.read(R.DR)]).toEqual([true, 30, 6, 7]);
  expect(world.line).toBe(false);
});
