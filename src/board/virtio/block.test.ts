import { describe, expect, it } from "vitest";
import { type Disk, DiskError, SECTOR_BYTES, VirtioBlock } from "./block.ts";
import { Driver, Ram, REG } from "./driver.testing.ts";
import { u32At, u32Bytes, u64At } from "./memory.ts";
import { VirtioMmio } from "./mmio.ts";

const IN = 0;
const OUT = 1;
const FLUSH = 4;
const GET_ID = 8;
const OK = 0;
const IOERR = 1;
const UNSUPP = 2;

class MemoryDisk implements Disk {
  readonly bytes: Uint8Array;
  readonly readOnly: boolean;
  flushes = 0;
  broken = false;

  constructor(sectors: number, readOnly = false) {
    this.bytes = Uint8Array.from({ length: sectors * SECTOR_BYTES }, (_, i) => i / SECTOR_BYTES);
    this.readOnly = readOnly;
  }
  get sectors(): number {
    return this.bytes.length / SECTOR_BYTES;
  }
  #check(): void {
    if (this.broken) throw new DiskError("broken");
  }
  read(sector: number, count: number): Uint8Array {
    this.#check();
    return this.bytes.slice(sector * SECTOR_BYTES, (sector + count) * SECTOR_BYTES);
  }
  write(sector: number, bytes: Uint8Array): void {
    this.#check();
    this.bytes.set(bytes, sector * SECTOR_BYTES);
  }
  flush(): void {
    this.#check();
    this.flushes++;
  }
}

const FEATURE_FLUSH = 1n << 9n;

function machine(disk = new MemoryDisk(300), id = "disk-0", features = FEATURE_FLUSH) {
  const ram = new Ram(4 * 1024 ** 2);
  const mmio = new VirtioMmio(new VirtioBlock(disk, id), ram, () => undefined);
  const driver = new Driver(mmio, ram);
  driver.start({ features });
  const header = (type: number, sector: number): Uint8Array =>
    Uint8Array.of(
      ...u32Bytes(type),
      0,
      0,
      0,
      0,
      ...u32Bytes(sector),
      ...u32Bytes(Math.floor(sector / 2 ** 32)),
    );
  /** A request as virtio_blk makes it: what was read, and the status. */
  const request = (type: number, sector: number, readBytes: number, data?: Uint8Array) => {
    const status = driver.in(1);
    const read = driver.request(0, [
      driver.out(header(type, sector)),
      ...(data === undefined ? [] : [driver.out(data)]),
      ...(readBytes === 0 ? [] : [driver.in(readBytes)]),
      status,
    ]);
    return { data: read.subarray(0, readBytes), status: driver.ram.read(status.ipa, 1)?.[0] };
  };
  return { disk, driver, mmio, request, header };
}

it("says how large it is, and what a request may be", () => {
  const { mmio, driver } = machine();
  const config = Uint8Array.from({ length: 24 }, (_, i) => Number(mmio.read(REG.config + i, 1)));
  expect(u64At(config, 0)).toBe(300);
  expect(mmio.read(REG.config, 8)).toBe(300n);
  expect([u32At(config, 8), u32At(config, 12), u32At(config, 20)]).toEqual([65536, 126, 512]);
  expect(driver.offered & 0xffffffn).toBe(0b10_0100_0110n);
  expect(mmio.read(REG.config + 1000, 4)).toBe(0n);
});

describe("requests", () => {
  it("read sectors, also many at a time", () => {
    const { request, disk } = machine();
    expect(request(IN, 7, 1024)).toEqual({ data: disk.bytes.slice(7 * 512, 9 * 512), status: OK });
    expect(request(IN, 0, 300 * 512)).toEqual({ data: disk.bytes, status: OK });
  });

  it("write sectors, and flush", () => {
    const { request, disk } = machine();
    const data = new Uint8Array(70_144).fill(0xa5);
    expect(request(OUT, 3, 0, data).status).toBe(OK);
    expect(disk.bytes.subarray(3 * 512, 3 * 512 + data.length)).toEqual(data);
    expect(disk.bytes[3 * 512 - 1]).toBe(2);
    expect(disk.bytes[3 * 512 + data.length]).toBe(140);
    expect(request(FLUSH, 0, 0).status).toBe(OK);
    expect(disk.flushes).toBe(1);
  });

  it("are stable as soon as they end for a driver that cannot flush", () => {
    const { request, disk } = machine(new MemoryDisk(300), "", 0n);
    expect(request(OUT, 3, 0, new Uint8Array(512)).status).toBe(OK);
    expect(disk.flushes).toBe(1);
    expect(request(IN, 3, 512).status).toBe(OK);
    expect(disk.flushes).toBe(1);
  });

  it("give the serial number, and refuse what is not there", () => {
    const { request } = machine();
    const { data, status } = request(GET_ID, 0, 20);
    expect([new TextDecoder().decode(data), status]).toEqual(["disk-0".padEnd(20, "\0"), OK]);
    expect(request(13, 0, 0).status).toBe(UNSUPP);
  });

  it("outside of the disk, of half sectors, or of a broken medium are I/O errors", () => {
    const { request, disk } = machine();
    expect(request(IN, 299, 1024).status).toBe(IOERR);
    expect(request(IN, 2 ** 52, 512).status).toBe(IOERR);
    expect(request(IN, 0, 100).status).toBe(IOERR);
    expect(request(OUT, 300, 0, new Uint8Array(512)).status).toBe(IOERR);
    disk.broken = true;
    expect(request(IN, 0, 512).status).toBe(IOERR);
    expect(request(OUT, 0, 0, new Uint8Array(512)).status).toBe(IOERR);
    expect(request(FLUSH, 0, 0).status).toBe(IOERR);
  });

  it("cannot write to a read-only disk", () => {
    const { request, driver, disk } = machine(new MemoryDisk(4, true));
    expect(driver.offered & (1n << 5n)).toBe(1n << 5n);
    const before = disk.bytes.slice();
    expect(request(OUT, 0, 0, new Uint8Array(512)).status).toBe(IOERR);
    expect(disk.bytes).toEqual(before);
  });

  it("may be cut into buffers in any way", () => {
    const { driver, header, disk } = machine();
    const whole = header(OUT, 1);
    const answer = driver.request(0, [
      driver.out(whole.subarray(0, 5)),
      driver.out(Uint8Array.of(...whole.subarray(5), ...new Uint8Array(100).fill(1))),
      driver.out(new Uint8Array(412).fill(2)),
      driver.in(1),
    ]);
    expect([...answer]).toEqual([OK]);
    expect([...disk.bytes.subarray(611, 613)]).toEqual([1, 2]);
    const { ipa } = driver.in(513);
    driver.request(0, [
      driver.out(header(IN, 1)),
      { ipa, bytes: 200, write: true },
      { ipa: ipa + 200, bytes: 313, write: true },
    ]);
    expect(driver.ram.read(ipa, 513)).toEqual(Uint8Array.of(...disk.bytes.subarray(512, 1024), OK));
  });

  it("without a header or a status break the device", () => {
    for (const cut of [0, 1]) {
      const { driver, header, mmio } = machine();
      driver.add(0, cut === 0 ? [driver.out(header(IN, 0))] : [driver.out(new Uint8Array(15)), driver.in(1)]);
      expect(mmio.brokenBecause).toMatch("without header or status");
    }
  });
});
