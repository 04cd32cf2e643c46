import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Driver, Ram, REG } from "../driver.testing.ts";
import { u32At } from "../memory.ts";
import { VirtioMmio } from "../mmio.ts";
import { FLAGS, P9Client } from "./client.testing.ts";
import { holdsToContract } from "./contract.testing.ts";
import { Virtio9p } from "./device.ts";
import { MemoryFiles } from "./memory-files.testing.ts";
import { MessageWriter, T } from "./messages.ts";
import { P9Server } from "./server.ts";
import { agreesWithPosix } from "./sessions.testing.ts";

const connect = (files = new MemoryFiles()) => {
  const server = new P9Server(files);
  const client = new P9Client((message) => server.answer(message));
  client.version(8192);
  return { server, client, files, root: client.attach() };
};

describe("over files in memory", () => {
  holdsToContract(() => {
    const server = new P9Server(new MemoryFiles());
    return (message) => server.answer(message);
  });
});

it("agrees with POSIX on files that are open while they are renamed, replaced and removed", () => {
  agreesWithPosix(() => {
    const server = new P9Server(new MemoryFiles());
    return (message) => server.answer(message);
  }, 150);
});

describe("over virtio", () => {
  const machine = () => {
    const ram = new Ram(8 * 1024 ** 2);
    const files = new MemoryFiles();
    const mmio = new VirtioMmio(new Virtio9p("share", files), ram, () => undefined);
    const driver = new Driver(mmio, ram);
    driver.start({ features: 1n });
    // p9_virtio_request: buffers of a page at most.
    const send = (message: Uint8Array, room = 16_384): Uint8Array => {
      const half = Math.ceil(message.length / 2);
      return driver.request(0, [
        driver.out(message.subarray(0, half)),
        driver.out(message.subarray(half)),
        driver.in(7),
        driver.in(room - 7),
      ]);
    };
    return { mmio, driver, files, send };
  };

  it("is a share with a tag", () => {
    const { mmio, driver } = machine();
    expect(driver.get(REG.deviceId)).toBe(9);
    expect(mmio.read(REG.config, 2)).toBe(5n);
    const tag = Uint8Array.from({ length: 5 }, (_, i) => Number(mmio.read(REG.config + 2 + i, 1)));
    expect(new TextDecoder().decode(tag)).toBe("share");
    expect(() => new Virtio9p("", new MemoryFiles())).toThrow(RangeError);
  });

  it("answers requests, and an error where the answer has no room", () => {
    const { send } = machine();
    const client = new P9Client((message) => send(message));
    expect(client.version(8192)).toEqual({ messageBytes: 8192, version: "9P2000.L" });
    const root = client.attach();
    const fid = client.walk(root, "");
    client.create(fid, "f", FLAGS.RDWR);
    const data = Uint8Array.from({ length: 8000 }, (_, i) => i);
    expect(client.write(fid, 0, data)).toBe(8000);
    expect(client.read(fid, 0, 8000)).toEqual(data);
    const tight = new P9Client((message) => send(message, 11));
    expect(() => tight.attributes(fid)).toThrow("EIO");
    expect(() => tight.read(99, 0, 8000)).toThrow("EBADF");
  });

  it("breaks on a request without room for any answer", () => {
    const { mmio, driver } = machine();
    driver.add(0, [driver.out(new MessageWriter().u32(0).message(T.CLUNK, 1))]);
    expect(mmio.brokenBecause).toMatch("without room");
  });

  it("closes what the guest had open when the guest resets", () => {
    const { send, files, driver } = machine();
    const client = new P9Client((message) => send(message));
    client.version(8192);
    client.create(client.attach(), "f", FLAGS.RDWR);
    expect(files.openHandles).toBe(1);
    driver.set(REG.status, 0);
    expect(files.openHandles).toBe(0);
  });
});

describe("a session", () => {
  it("agrees on a version and a size", () => {
    const { client } = connect();
    expect(client.version(1 << 30)).toEqual({ messageBytes: 512 * 1024, version: "9P2000.L" });
    expect(client.version(8192, "9P2000")).toEqual({ messageBytes: 8192, version: "unknown" });
    expect(() => client.version(100)).toThrow("EPROTO");
  });

  it("ends with a new version: all fids are gone, and their files closed", () => {
    const { client, files, root } = connect();
    client.create(root, "f", FLAGS.RDWR);
    client.version(8192);
    expect(files.openHandles).toBe(0);
    expect(() => client.attributes(root)).toThrow("EBADF");
  });

  it("keeps replies below its size", () => {
    const { client, root } = connect();
    client.create(root, "f", FLAGS.RDWR);
    client.write(root, 0, new Uint8Array(8000));
    client.write(root, 8000, new Uint8Array(8000));
    expect(client.read(root, 0, 0xffff_ffff)).toHaveLength(8192 - 11);
    expect(() => client.write(root, 0, new Uint8Array(9000))).toThrow("EPROTO");
  });

  it("refuses what it does not have, and grants locks", () => {
    const { client, root } = connect();
    const w = (): MessageWriter => new MessageWriter();
    expect(() => client.rpc(T.AUTH, w().u32(1).text("root").text("").u32(0))).toThrow("EOPNOTSUPP");
    expect(() => client.rpc(T.MKNOD, w().u32(root).text("sda").u32(0o60000).u32(8).u32(0).u32(0))).toThrow(
      "EPERM",
    );
    expect(() => client.rpc(T.XATTRWALK, w().u32(root).u32(9).text("security.selinux"))).toThrow(
      "EOPNOTSUPP",
    );
    expect(() => client.rpc(200, w().u32(root))).toThrow("EOPNOTSUPP");
    client.rpc(T.FLUSH, w().u16(3));
    const lock = w().u32(root).u8(1).u32(0).u64(0n).u64(0n).u32(1).text("guest");
    expect(client.rpc(T.LOCK, lock).u8()).toBe(0);
    const asked = w().u32(root).u8(1).u64(5n).u64(6n).u32(7).text("guest");
    const reply = client.rpc(T.GETLOCK, asked);
    expect([reply.u8(), reply.u64(), reply.u64(), reply.u32(), reply.text()]).toEqual([
      2,
      5n,
      6n,
      7,
      "guest",
    ]);
  });

  it("leaves fids alone when a walk ends early, and gives none away twice", () => {
    const { client, root } = connect();
    client.makeDirectory(root, "d");
    expect(client.tryWalk(root, ["d", "missing"])).toBeUndefined();
    const walkTo = (fid: number) => client.rpc(T.WALK, new MessageWriter().u32(root).u32(fid).u16(0));
    walkTo(7);
    expect(() => walkTo(7)).toThrow("EBADF");
    client.clunk(7);
    walkTo(7);
    expect(() =>
      client.tryWalk(
        root,
        Array.from({ length: 17 }, () => "d"),
      ),
    ).toThrow("EINVAL");
    expect(() => client.makeDirectory(root, "x".repeat(256))).toThrow("ENAMETOOLONG");
  });

  it("looks at what a fid was opened for", () => {
    const { client, root } = connect();
    const fid = client.walk(root, "");
    client.create(fid, "f", FLAGS.WRONLY);
    expect(() => client.read(fid, 0, 1)).toThrow("EBADF");
    expect(() => client.open(fid, FLAGS.RDONLY)).toThrow("EBADF");
    const reader = client.walk(root, "f");
    expect(() => client.read(reader, 0, 1)).toThrow("EBADF");
    client.open(reader, FLAGS.RDONLY);
    expect(() => client.write(reader, 0, Uint8Array.of(1))).toThrow("EBADF");
    const directory = client.walk(root, "");
    expect(() => client.open(directory, FLAGS.RDWR)).toThrow("EISDIR");
    client.open(directory, FLAGS.RDONLY);
    expect(() => client.read(directory, 0, 1)).toThrow("EISDIR");
    expect(() => client.readDirectory(reader)).toThrow("EBADF");
  });

  it("goes on from a saved state with its files open again", () => {
    const { client, server, files, root } = connect();
    const fid = client.walk(root, "");
    client.create(fid, "f", FLAGS.RDWR);
    client.write(fid, 0, Uint8Array.of(1, 2, 3));
    const directory = client.walk(root, "");
    client.open(directory, FLAGS.RDONLY);
    const [first] = client.readDirectory(directory, 0n, 30);
    const copy = new P9Server(files);
    copy.restore(JSON.parse(JSON.stringify(server.save())));
    expect(copy.save()).toEqual(server.save());
    const there = new P9Client((message) => copy.answer(message));
    expect([...there.read(fid, 0, 9)]).toEqual([1, 2, 3]);
    expect(there.readDirectory(directory, first?.cookie).map(({ name }) => name)).toEqual(["..", "f"]);
  });

  it("does not say that a file is on the disk that restoring did not find again", () => {
    const { client, server, files, root } = connect();
    const fid = client.walk(root, "");
    client.create(fid, "f", FLAGS.RDWR);
    const state = server.save();
    client.remove(fid);
    const copy = new P9Server(files);
    copy.restore(state);
    const there = new P9Client((message) => copy.answer(message));
    expect(() => there.rpc(T.FSYNC, new MessageWriter().u32(fid).u32(0))).toThrow("EBADF");
    there.rpc(T.FSYNC, new MessageWriter().u32(root).u32(0));
  });

  it("keeps no more names than a million or so, however often a directory is opened", () => {
    const files = new MemoryFiles();
    const names = Array.from({ length: 300_000 }, (_, i) => `${i}`);
    files.list = () => names;
    const { client, root } = connect(files);
    const opened = Array.from({ length: 5 }, () => client.walk(root, ""));
    for (const fid of opened) client.open(fid, FLAGS.RDONLY);
    const read = (fid: number) => client.readDirectory(fid, 0n, 30);
    for (const fid of opened.slice(0, 4)) read(fid);
    const [last] = opened.slice(4);
    expect(() => read(last!)).toThrow("ENOMEM");
    // Read again from the start, a directory's names take the place of those it had.
    client.clunk(opened[0]!);
    read(last!);
    read(last!);
  });
});

it("answers any message, and says how long its answer is", () => {
  const types = fc.constantFrom(...Object.values(T), 0, 7, 255);
  const request = fc.tuple(types, fc.uint8Array({ maxLength: 64 }), fc.integer({ min: -3, max: 3 }));
  // Small numbers first: they are fids that exist.
  const named = fc
    .tuple(types, fc.nat(3), fc.uint8Array({ maxLength: 48 }))
    .map(([type, fid, rest]) => [type, Uint8Array.of(fid, 0, 0, 0, ...rest), 0] as const);
  fc.assert(
    fc.property(fc.array(fc.oneof(request, named), { maxLength: 40 }), (messages) => {
      const files = new MemoryFiles();
      const server = new P9Server(files);
      const client = new P9Client((message) => server.answer(message));
      client.version(8192);
      client.rpc(T.ATTACH, new MessageWriter().u32(1).u32(0xffff_ffff).text("").text("").u32(0));
      for (const [type, body, wrong] of messages) {
        const message = new MessageWriter().bytes(body).message(type, 5);
        message[0] = (message[0] ?? 0) + wrong;
        const answer = server.answer(message);
        expect(u32At(answer, 0)).toBe(answer.length);
        expect(answer.length).toBeLessThanOrEqual(512 * 1024);
      }
      client.version(8192);
      expect(files.openHandles).toBe(0);
      expect(client.attributes(client.attach()).qid.type).toBe(0x80);
    }),
    { numRuns: 300 },
  );
});
