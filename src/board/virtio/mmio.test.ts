import { describe, expect, it } from "vitest";
import { FEATURE } from "./device.ts";
import { type Buffer, Driver, RAM_BASE, Ram, REG } from "./driver.testing.ts";
import { VirtioEntropy } from "./entropy.ts";
import { u16Bytes, u32Bytes } from "./memory.ts";
import { VirtioMmio } from "./mmio.ts";

function machine(fill: (bytes: Uint8Array) => void = (bytes) => bytes.fill(7)) {
  const ram = new Ram(1024 ** 2);
  const line = { high: false, rises: 0 };
  const mmio = new VirtioMmio(new VirtioEntropy(fill), ram, (high) => {
    if (high && !line.high) line.rises++;
    line.high = high;
  });
  return { ram, line, mmio, driver: new Driver(mmio, ram) };
}

const NEEDS_RESET = 0x40;

describe("the registers", () => {
  it("say what is there", () => {
    const { driver } = machine();
    expect(driver.get(REG.magic)).toBe(0x7472_6976);
    expect(driver.get(REG.version)).toBe(2);
    expect(driver.get(REG.deviceId)).toBe(4);
    expect(driver.offered).toBe(FEATURE.VERSION_1 | FEATURE.EVENT_IDX | FEATURE.INDIRECT_DESC);
    driver.set(REG.queueSel, 0);
    expect(driver.get(REG.queueNumMax)).toBe(64);
    driver.set(REG.queueSel, 1);
    expect(driver.get(REG.queueNumMax)).toBe(0);
    // vm_get_shm_region: a length of all ones is no region.
    expect(driver.get(0x0b0)).toBe(0xffff_ffff);
    expect(driver.get(0x0b4)).toBe(0xffff_ffff);
  });

  it("refuse features that were not offered, and a driver without VERSION_1", () => {
    const { driver } = machine();
    expect(driver.start({ features: 1n << 5n })).toBe(false);
    expect(driver.start()).toBe(true);
    driver.set(REG.status, 0);
    driver.set(REG.status, 3);
    driver.set(REG.status, 3 | 8);
    expect(driver.get(REG.status)).toBe(3);
  });

  it("are as after power-on after a reset", () => {
    const { driver, mmio, line } = machine();
    const fresh = mmio.save();
    driver.start();
    driver.request(0, [driver.in(8)]);
    expect(line.high).toBe(true);
    driver.set(REG.status, 0);
    expect(mmio.save()).toEqual(fresh);
    expect(line.high).toBe(false);
  });

  it("are words: other widths read as 0 and write nothing", () => {
    const { mmio, driver } = machine();
    expect(mmio.read(REG.magic, 1)).toBe(0n);
    mmio.write(REG.status, 1, 1n);
    expect(driver.get(REG.status)).toBe(0);
  });
});

describe.each([
  { eventIndex: false, indirect: false },
  { eventIndex: true, indirect: false },
  { eventIndex: false, indirect: true },
  { eventIndex: true, indirect: true },
])("a queue with event index $eventIndex, indirect tables $indirect", (options) => {
  it("serves chains in order, round and round, and holds the line until it is acknowledged", () => {
    let drawn = 0;
    const { driver, line } = machine((bytes) => {
      for (const i of bytes.keys()) bytes[i] = drawn++;
    });
    driver.start({ ...options, queueSize: 4 });
    const buffers = [driver.in(3), driver.in(2)];
    for (let i = 0; i < 20; i++) {
      const from = drawn;
      expect(driver.request(0, buffers)).toEqual(Uint8Array.from([0, 1, 2, 3, 4].map((n) => from + n)));
      expect(line.high).toBe(true);
      expect(driver.get(REG.interruptStatus)).toBe(1);
      driver.set(REG.interruptAck, 1);
      expect(line.high).toBe(false);
    }
  });

  it("goes round when its indexes do", () => {
    const { driver } = machine();
    driver.start({ ...options, queueSize: 2 });
    const buffer = driver.in(1);
    for (let i = 0; i < 0x1_0003; i++) driver.request(0, [buffer]);
    expect(driver.get(REG.status) & NEEDS_RESET).toBe(0);
  });
});

it("is told of a full ring once, and serves all of it", () => {
  const { driver } = machine();
  driver.start({ queueSize: 8 });
  const buffer = driver.in(1);
  const queue = driver.queue(0);
  // As virtio_ring does in a batch: add all, kick once.
  for (let i = 0; i < 8; i++) queue.add([buffer]);
  driver.set(REG.queueNotify, 0);
  for (let i = 0; i < 8; i++) expect(queue.take()?.bytes).toBe(1);
  expect(queue.take()).toBeUndefined();
  // The device wants to hear of the next one.
  expect(driver.request(0, [buffer])).toEqual(Uint8Array.of(7));
});

it("raises no interrupt that the driver does not want", () => {
  const { driver, line, ram } = machine();
  driver.start({ eventIndex: false });
  const noInterrupt = u16Bytes(1);
  ram.write(driver.queue(0).availableRing, noInterrupt);
  driver.request(0, [driver.in(1)]);
  expect(line.high).toBe(false);
  driver.start({ eventIndex: true });
  // used_event: not before the fourth.
  ram.write(driver.queue(0).availableRing + 4 + 2 * driver.queue(0).size, u16Bytes(3));
  const buffer = driver.in(1);
  for (let i = 0; i < 3; i++) driver.add(0, [buffer]);
  expect(line.high).toBe(false);
  driver.add(0, [buffer]);
  expect(line.high).toBe(true);
});

it("serves buffers that were there before DRIVER_OK", () => {
  const { driver } = machine();
  driver.start();
  const { descriptors, availableRing, usedRing } = driver.queue(0);
  const { ipa } = driver.in(4);
  driver.set(REG.status, 0);
  driver.set(REG.driverFeaturesSel, 1);
  driver.set(REG.driverFeatures, 1);
  driver.set(REG.status, 3 | 8);
  for (const [register, value] of [
    [REG.queueNum, 4],
    [REG.queueDesc, descriptors],
    [REG.queueDriver, availableRing],
    [REG.queueDevice, usedRing],
    [REG.queueReady, 1],
  ] as const)
    driver.set(register, value);
  driver.ram.write(descriptors, Uint8Array.of(...u32Bytes(ipa), 0, 0, 0, 0, ...u32Bytes(4), 2, 0, 0, 0));
  driver.ram.write(availableRing, Uint8Array.of(0, 0, 1, 0, 0, 0));
  driver.set(REG.queueNotify, 0);
  expect(driver.ram.read(ipa, 4)).toEqual(new Uint8Array(4));
  driver.set(REG.status, 3 | 8 | 4);
  expect(driver.ram.read(ipa, 4)).toEqual(Uint8Array.of(7, 7, 7, 7));
});

/** Sets up a started device with one chain of raw descriptors, and notifies it. */
function withDescriptors(descriptors: readonly (readonly [number, number, number, number])[], head = 0) {
  const made = machine();
  const { driver, ram } = made;
  driver.start({ queueSize: 4 });
  const { descriptors: table, availableRing } = driver.queue(0);
  for (const [i, [ipa, bytes, flags, next]] of descriptors.entries())
    ram.write(
      table + 16 * i,
      Uint8Array.of(
        ...u32Bytes(ipa),
        ...u32Bytes(Math.floor(ipa / 2 ** 32)),
        ...u32Bytes(bytes),
        ...u16Bytes(flags),
        ...u16Bytes(next),
      ),
    );
  ram.write(availableRing + 4, u16Bytes(head));
  ram.write(availableRing + 2, u16Bytes(1));
  driver.set(REG.queueNotify, 0);
  return made;
}

const AT = RAM_BASE + 0x8_0000;
describe("a broken ring breaks its device until the next reset", () => {
  const cases: readonly [string, readonly (readonly [number, number, number, number])[], number, RegExp][] = [
    ["a loop", [[AT, 1, 3, 0]], 0, /loop/],
    ["a head outside", [], 4, /descriptor 4 of 4/],
    ["a next outside", [[AT, 1, 3, 77]], 0, /descriptor 77 of 4/],
    [
      "a readable buffer after a writable one",
      [
        [AT, 1, 3, 1],
        [AT, 1, 0, 0],
      ],
      0,
      /after one to write/,
    ],
    ["an address that is no memory", [[0x1000, 8, 2, 0]], 0, /not in memory/],
    ["an address above 2^53", [[2 ** 60, 8, 2, 0]], 0, /not in memory/],
    ["a chain of 4 GiB", [[AT, 0xffff_ffff, 2, 0]], 0, /more than/],
    ["an empty indirect table", [[AT, 0, 4, 0]], 0, /table of 0 bytes/],
    ["an indirect table that goes on", [[AT, 16, 5, 1]], 0, /goes on/],
    ["an indirect table in itself", [[RAM_BASE, 16, 4, 0]], 0, /may be none/],
  ];
  it.each(cases)("%s", (_, descriptors, head, why) => {
    const { driver, mmio, line } = withDescriptors(descriptors, head);
    expect(mmio.brokenBecause).toMatch(why);
    expect(driver.get(REG.status)).toBe(0x4f);
    expect([line.high, driver.get(REG.interruptStatus)]).toEqual([true, 2]);
    // Nothing more happens, whatever the guest does but reset.
    const before = driver.ram.accesses;
    driver.set(REG.queueReady, 1);
    driver.set(REG.queueNotify, 0);
    driver.set(REG.status, 0xf);
    expect(driver.ram.accesses).toBe(before);
    expect(driver.start()).toBe(true);
    expect(driver.request(0, [driver.in(2)])).toEqual(Uint8Array.of(7, 7));
  });

  it("more chains than the queue has entries", () => {
    const { driver, ram, mmio } = machine();
    driver.start({ queueSize: 4 });
    ram.write(driver.queue(0).availableRing + 2, u16Bytes(5));
    driver.set(REG.queueNotify, 0);
    expect(mmio.brokenBecause).toMatch("5 chains available in a queue of 4");
  });

  it.each([
    ["0 entries", REG.queueNum, 0],
    ["3 entries", REG.queueNum, 3],
    ["more entries than there may be", REG.queueNum, 128],
    ["a table that is not aligned", REG.queueDesc, RAM_BASE + 8],
  ])("%s", (_, register, value) => {
    const { driver } = machine();
    driver.set(REG.status, 3);
    driver.set(register, value);
    driver.set(REG.queueReady, 1);
    expect(driver.get(REG.status) & NEEDS_RESET).toBe(NEEDS_RESET);
    expect(driver.get(REG.queueReady)).toBe(0);
  });

  it("a used ring over the available index, which the device itself would move on", () => {
    const { driver, ram } = machine();
    driver.start({ eventIndex: false, queueSize: 4 });
    driver.set(REG.queueReady, 0);
    const { availableRing } = driver.queue(0);
    driver.set(REG.queueDevice, availableRing);
    driver.set(REG.queueReady, 1);
    const { ipa } = driver.in(4);
    ram.write(
      driver.queue(0).descriptors,
      Uint8Array.of(...u32Bytes(ipa), 0, 0, 0, 0, 4, 0, 0, 0, 2, 0, 0, 0),
    );
    ram.write(availableRing + 2, u16Bytes(3));
    const before = ram.accesses;
    driver.set(REG.queueNotify, 0);
    expect(ram.accesses - before).toBeLessThan(200);
  });
});

it("goes on from a saved state in the middle of a batch as if nothing had been", () => {
  const { driver, mmio, ram } = machine();
  driver.start({ queueSize: 8 });
  const buffers: Buffer[] = [driver.in(4)];
  for (let i = 0; i < 5; i++) driver.request(0, buffers);
  const copy = new VirtioMmio(new VirtioEntropy((bytes) => bytes.fill(9)), ram, () => undefined);
  copy.restore(JSON.parse(JSON.stringify(mmio.save())));
  expect(JSON.stringify(copy.save())).toBe(JSON.stringify(mmio.save()));
  Object.assign(driver, { mmio: copy });
  expect(driver.request(0, buffers)).toEqual(Uint8Array.of(9, 9, 9, 9));
});
