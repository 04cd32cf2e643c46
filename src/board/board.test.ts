import { expect, it } from "vitest";
import { Board, type BoardOptions } from "./board.ts";
import { MAP, SPI, VIRTIO_TRANSPORTS } from "./memory-map.ts";

const VIRT = 0x7472_6976n;

function made(more: Partial<BoardOptions> = {}) {
  const lines = new Map<number, boolean>();
  const sent: number[] = [];
  const memory = new Uint8Array(4096);
  const board = new Board({
    memory: {
      read: (ipa, bytes) => (ipa + bytes <= memory.length ? memory.slice(ipa, ipa + bytes) : undefined),
      write: (ipa, data) => {
        if (ipa + data.length > memory.length) return false;
        memory.set(data, ipa);
        return true;
      },
    },
    irq: (spi, high) => lines.set(spi, high),
    serial: (byte) => sent.push(byte),
    seconds: () => 1_700_000_000,
    seed: 1,
    ports: [],
    disks: [],
    shares: [],
    ...more,
  });
  const read = (ipa: number, bytes = 4): bigint => board.access(ipa, bytes, false, 0n);
  const write = (ipa: number, value: number): bigint => board.access(ipa, 4, true, BigInt(value));
  return { board, lines, sent, read, write };
}
const disk = {
  disk: {
    sectors: 8,
    readOnly: false,
    read: () => new Uint8Array(512),
    write: () => undefined,
    flush: () => undefined,
  },
  id: "disk0",
};

it("has a UART and a clock where QEMU has them, with their interrupts", () => {
  const { lines, sent, read, write } = made();
  write(MAP.uart.base, 0x41);
  expect(sent).toEqual([0x41]);
  write(MAP.uart.base + 0x38, 0x20);
  expect(lines.get(SPI.uart)).toBe(true);
  expect(read(MAP.rtc.base)).toBe(1_700_000_000n);
  expect(read(MAP.uart.base + 0xff0, 1)).toBe(0x0dn);
});

it("has a virtio transport for each device: console, entropy, disks", () => {
  const { board, read } = made({
    ports: [{ name: "a", onData: () => undefined }],
    disks: [disk, disk],
  });
  const ids = [0, 1, 2, 3, 4].map((i) => {
    const base = MAP.virtio.base + i * MAP.virtio.bytes;
    return [read(base), read(base + 8)];
  });
  expect(board.transports).toBe(4);
  expect(ids).toEqual([
    [VIRT, 3n],
    [VIRT, 4n],
    [VIRT, 2n],
    [VIRT, 2n],
    [0n, 0n],
  ]);
});

it("has no console where no ports are wanted, and refuses more devices than it has transports", () => {
  expect(made().board.console).toBeUndefined();
  expect(made().board.transports).toBe(1);
  expect(() => made({ disks: Array(VIRTIO_TRANSPORTS).fill(disk) })).toThrow(/33 virtio devices/);
  expect(made({ disks: Array(VIRTIO_TRANSPORTS - 1).fill(disk) }).board.transports).toBe(VIRTIO_TRANSPORTS);
});

it("reads as zero where there is nothing", () => {
  const { read, write, lines, sent } = made();
  for (const ipa of [0, MAP.uart.base - 4, MAP.rtc.base + MAP.rtc.bytes, MAP.virtio.base - 4, 0x3fff_fff8]) {
    write(ipa, 0xffff_ffff);
    expect(read(ipa, 8)).toBe(0n);
  }
  expect([lines.size, sent]).toEqual([0, []]);
});

it("goes on from a saved state as if nothing had been", () => {
  const { board, write } = made({ disks: [disk] });
  board.uart.receive([1]);
  write(MAP.uart.base + 0x38, 0x10);
  write(MAP.rtc.base + 8, 1000);
  const copy = made({ disks: [disk] });
  copy.board.restore(JSON.parse(JSON.stringify(board.save())));
  expect(copy.board.save()).toEqual(board.save());
  expect([copy.lines.get(SPI.uart), copy.read(MAP.uart.base), copy.read(MAP.rtc.base)]).toEqual([
    true,
    1n,
    1000n,
  ]);
});
