/** Guests that write anything anywhere: a device may break until its next reset, and nothing else may. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Disk, VirtioBlock } from "./block.ts";
import { VirtioConsole } from "./console.ts";
import type { VirtioDevice } from "./device.ts";
import { Driver, RAM_BASE, Ram, REG } from "./driver.testing.ts";
import { VirtioEntropy } from "./entropy.ts";
import { u16Bytes, u32Bytes } from "./memory.ts";
import { VirtioMmio } from "./mmio.ts";
import { Virtio9p } from "./p9/device.ts";
import { MemoryFiles } from "./p9/memory-files.testing.ts";
import { MessageWriter, T } from "./p9/messages.ts";

const QUEUE_SIZE = 8;
const RAM_BYTES = 1024 ** 2;
/**
 * Accesses to memory for one register write at most. A notification serves as many chains as a queue has entries; a
 * chain has as many descriptors, is read or written in pieces of 64 KiB, and takes a few accesses to the rings. A
 * control message may be answered with three others.
 */
const MOST_ACCESSES = 128 * (128 * 3 + 64);

const disk: Disk = {
  sectors: 64,
  readOnly: false,
  read: (_, count) => new Uint8Array(count * 512),
  write: () => undefined,
  flush: () => undefined,
};
const port = (name: string) => ({ name, onData: () => undefined });

interface Subject {
  readonly name: string;
  /** The start of something that the device understands. */
  readonly request: fc.Arbitrary<Uint8Array>;
  readonly make: () => VirtioDevice;
  /** A request that every working device of this kind answers. */
  readonly works: (driver: Driver) => void;
}

const subjects: readonly Subject[] = [
  {
    name: "a disk",
    request: fc
      .tuple(fc.constantFrom(0, 1, 4, 8, 13), fc.nat(70), fc.nat(1100))
      .map(([type, sector, more]) =>
        Uint8Array.of(type, 0, 0, 0, 0, 0, 0, 0, sector, 0, 0, 0, 0, 0, 0, 0, ...new Uint8Array(more)),
      ),
    make: () => new VirtioBlock(disk),
    works: (driver) => {
      const status = driver.in(1);
      driver.ram.write(status.ipa, Uint8Array.of(99));
      driver.request(0, [driver.out(new Uint8Array(16)), driver.in(512), status]);
      expect(driver.ram.read(status.ipa, 1)?.[0]).toBe(0);
    },
  },
  {
    name: "an entropy source",
    request: fc.constant(new Uint8Array(0)),
    make: () => new VirtioEntropy((bytes) => bytes.fill(5)),
    works: (driver) => expect([...driver.request(0, [driver.in(2)])]).toEqual([5, 5]),
  },
  {
    name: "a console",
    request: fc
      .tuple(fc.nat(2), fc.nat(8), fc.nat(2))
      .map(([id, event, to]) => Uint8Array.of(id, 0, 0, 0, event, 0, to, 0)),
    make: () => {
      const device = new VirtioConsole({ ports: [port("console"), port("agent")], pendingBytes: 4096 });
      device.send(1, new Uint8Array(100));
      return device;
    },
    works: (driver) => {
      const buffer = driver.in(64);
      driver.add(2, [buffer]);
      driver.request(3, [driver.out(Uint8Array.of(...u32Bytes(0), ...u16Bytes(0), ...u16Bytes(1)))]);
      expect(driver.queue(2).take()?.bytes).toBe(8);
      expect(driver.ram.read(buffer.ipa, 8)).toEqual(Uint8Array.of(0, 0, 0, 0, 1, 0, 0, 0));
    },
  },
  {
    name: "a share",
    request: fc
      .tuple(fc.constantFrom(...Object.values(T)), fc.nat(3), fc.uint8Array({ maxLength: 48 }))
      .map(([type, fid, rest]) => new MessageWriter().u32(fid).bytes(rest).message(type, 1)),
    make: () => new Virtio9p("share", new MemoryFiles()),
    works: (driver) => {
      const message = new MessageWriter().u32(8192).text("9P2000.L").message(T.VERSION, 0xffff);
      expect(driver.request(0, [driver.out(message), driver.in(100)])[4]).toBe(T.VERSION + 1);
    },
  },
];

/** Addresses: in the rings, in other memory, at its end, outside. */
const address = fc.oneof(
  fc.nat(0x4_0000).map((at) => RAM_BASE + at),
  fc.constantFrom(RAM_BASE, RAM_BASE + RAM_BYTES - 4, RAM_BASE + RAM_BYTES, 0, 2 ** 52, 2 ** 63),
);
const length = fc.oneof(fc.nat(64), fc.constantFrom(0, 8, 11, 16, 512, 4096, 0x8_0000, 0xffff_ffff));
const register = fc.oneof(
  fc.constantFrom(...Object.values(REG)),
  fc.nat(0x7f).map((word) => 4 * word),
);
const value = fc.oneof(
  fc.nat(10),
  fc.integer({ min: 0, max: 0xffff_ffff }),
  fc.constantFrom(RAM_BASE, 0xf, 0x80),
);

const steps = fc.oneof(
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("register" as const), register, value }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("kick" as const), queue: fc.nat(6) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("descriptor" as const),
      queue: fc.nat(6),
      index: fc.nat(QUEUE_SIZE - 1),
      address,
      length,
      flags: fc.oneof(fc.nat(7), fc.nat(0xffff)),
      next: fc.oneof(fc.nat(QUEUE_SIZE), fc.nat(0xffff)),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("available" as const),
      queue: fc.nat(6),
      heads: fc.array(fc.nat(QUEUE_SIZE), { minLength: QUEUE_SIZE, maxLength: QUEUE_SIZE }),
      index: fc.oneof(fc.nat(12), fc.nat(0xffff)),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("memory" as const),
      address,
      bytes: fc.uint8Array({ maxLength: 64 }),
    }),
  },
);
const requestOf = (request: fc.Arbitrary<Uint8Array>) =>
  fc.record({
    kind: fc.constant("request" as const),
    queue: fc.nat(6),
    request,
    room: fc.constantFrom(0, 1, 11, 64, 513, 5000),
  });
type Of<A> = A extends fc.Arbitrary<infer S> ? S : never;
type Step = Of<typeof steps> | Of<ReturnType<typeof requestOf>>;

interface Rings {
  readonly descriptors: number;
  readonly availableRing: number;
}

const descriptor = (ipa: number, bytes: number, flags: number, next: number): Uint8Array =>
  Uint8Array.of(
    ...u32Bytes(ipa),
    ...u32Bytes(Math.floor(ipa / 2 ** 32)),
    ...u32Bytes(bytes),
    ...u16Bytes(flags),
    ...u16Bytes(next),
  );

/** A buffer to read and one to write, as the next chain of a queue. */
function putRequest(
  ram: Ram,
  mmio: VirtioMmio,
  index: number,
  rings: Rings,
  data: Uint8Array,
  room: number,
): void {
  const at = RAM_BASE + RAM_BYTES - 0x1_0000;
  ram.write(at, data);
  ram.write(rings.descriptors, descriptor(at, data.length, room > 0 ? 1 : 0, 1));
  ram.write(rings.descriptors + 16, descriptor(at + 0x8000, room, 2, 0));
  const next = mmio.save().queues[index]?.nextAvailable ?? 0;
  // Each entry of the ring names the same chain.
  ram.write(rings.availableRing + 2, Uint8Array.of(...u16Bytes(next + 1), ...new Uint8Array(2 * QUEUE_SIZE)));
}

function take(driver: Driver, mmio: VirtioMmio, rings: readonly Rings[], one: Step): void {
  const index = "queue" in one ? one.queue % rings.length : 0;
  const ring = rings[index] ?? { descriptors: 0, availableRing: 0 };
  switch (one.kind) {
    case "register":
      driver.set(one.register, one.value);
      break;
    case "kick":
      driver.set(REG.queueNotify, index);
      break;
    case "descriptor":
      driver.ram.write(
        ring.descriptors + 16 * one.index,
        descriptor(one.address, one.length, one.flags, one.next),
      );
      break;
    case "available":
      driver.ram.write(
        ring.availableRing + 2,
        Uint8Array.of(...u16Bytes(one.index), ...one.heads.flatMap((head) => [...u16Bytes(head)])),
      );
      break;
    case "memory":
      driver.ram.write(one.address, one.bytes);
      break;
    case "request":
      putRequest(driver.ram, mmio, index, ring, one.request, one.room);
      driver.set(REG.queueNotify, index);
      break;
  }
}

describe.each(subjects)("$name", ({ make, works, request }) => {
  const step = fc.oneof({ weight: 3, arbitrary: steps }, { weight: 2, arbitrary: requestOf(request) });

  it("never throws, does bounded work, and works again after a reset", () => {
    let broken = 0;
    let served = 0;
    fc.assert(
      fc.property(fc.array(step, { minLength: 5, maxLength: 60 }), fc.boolean(), (all, eventIndex) => {
        const ram = new Ram(RAM_BYTES);
        const mmio = new VirtioMmio(make(), ram, () => undefined);
        const driver = new Driver(mmio, ram);
        driver.start({ eventIndex, queueSize: QUEUE_SIZE, features: mmio.device.features & 2n });
        const rings = driver.queues.map(({ descriptors, availableRing }) => ({ descriptors, availableRing }));
        for (const one of all) {
          const before = ram.accesses;
          take(driver, mmio, rings, one);
          expect(ram.accesses - before).toBeLessThan(MOST_ACCESSES);
        }
        const saved = mmio.save();
        served += saved.queues.reduce((sum, { nextUsed }) => sum + nextUsed, 0);
        if (saved.brokenBecause !== undefined) broken++;
        // What is saved of it, however bad, can be restored.
        const copy = new VirtioMmio(make(), ram, () => undefined);
        copy.restore(JSON.parse(JSON.stringify(saved)));
        for (const one of [mmio, copy]) {
          const again = new Driver(one, ram);
          expect(again.start({ queueSize: QUEUE_SIZE, features: mmio.device.features & 2n })).toBe(true);
          works(again);
        }
      }),
      { numRuns: 400 },
    );
    // The guests are neither all harmless nor all nonsense.
    expect(broken).toBeGreaterThan(0);
    expect(served).toBeGreaterThan(0);
  });
});
