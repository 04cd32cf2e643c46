import { execFileSync } from "node:child_process";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { FLAGS, P9Client } from "../../board/virtio/p9/client.testing.ts";
import { holdsToContract } from "../../board/virtio/p9/contract.testing.ts";
import { Failure } from "../../board/virtio/p9/file-system.ts";
import { P9Server } from "../../board/virtio/p9/server.ts";
import { agreesWithPosix } from "../../board/virtio/p9/sessions.testing.ts";
import { UserError } from "../../common/errors.ts";
import { openShare } from "./share.ts";

const scratch = mkdtempSync(join(tmpdir(), "share-"));
afterAll(() => rmSync(scratch, { recursive: true }));
let count = 0;
const fresh = (): string => {
  const path = join(scratch, `${count++}`);
  mkdirSync(path);
  return path;
};

describe("over a directory of the host", () => {
  holdsToContract(() => {
    const server = new P9Server(openShare(fresh(), { readOnly: false }));
    return (message) => server.answer(message);
  });
});

it("agrees with POSIX on files that are open while they are renamed, replaced and removed", () => {
  agreesWithPosix(() => {
    const server = new P9Server(openShare(fresh(), { readOnly: false }));
    return (message) => server.answer(message);
  }, 60);
});

const connect = (path: string, readOnly: boolean) => {
  const server = new P9Server(openShare(path, { readOnly }));
  const client = new P9Client((message) => server.answer(message));
  client.version(65_536);
  return { client, root: client.attach() };
};

describe("what lies outside", () => {
  let outside: string;
  let inside: string;
  beforeEach(() => {
    outside = fresh();
    writeFileSync(join(outside, "secret"), "secret");
    inside = join(outside, "inside");
    mkdirSync(inside);
  });

  it("is not reached through links that were there before, absolute or not", () => {
    symlinkSync(outside, join(inside, "absolute"));
    symlinkSync("..", join(inside, "relative"));
    symlinkSync(join(outside, "secret"), join(inside, "file"));
    const { client, root } = connect(inside, false);
    for (const name of ["absolute", "relative"]) {
      const fid = client.walk(root, name);
      expect(client.tryWalk(root, [name, "secret"])).toBeUndefined();
      expect(() => client.open(fid, FLAGS.RDONLY)).toThrow("ELOOP");
      expect(() => client.create(fid, "new", FLAGS.RDWR)).toThrow("ELOOP");
      expect(() => client.unlinkAt(fid, "secret")).toThrow("ELOOP");
      expect(() => client.renameAt(fid, "secret", root, "mine")).toThrow("ELOOP");
    }
    const file = client.walk(root, "file");
    expect(() => client.open(file, FLAGS.RDWR)).toThrow("ELOOP");
    expect(() => client.create(client.walk(root, ""), "file", FLAGS.RDWR | FLAGS.TRUNC)).toThrow("ELOOP");
    expect(() => client.setAttributes(file, 8, { size: 0n })).toThrow();
    expect(() => client.setAttributes(file, 1, { mode: 0o777 })).toThrow("EOPNOTSUPP");
    client.setAttributes(file, 0x20 | 0x100, { mtime: [1n, 0n] });
    expect(lstatSync(join(outside, "secret")).mtimeMs).toBeGreaterThan(1e12);
    // Another name for the link is a link again.
    client.link(root, file, "copy");
    expect(lstatSync(join(inside, "copy")).isSymbolicLink()).toBe(true);
    client.unlinkAt(root, "file");
    expect(readdirSync(outside).sort()).toEqual(["inside", "secret"]);
    expect(readFileSync(join(outside, "secret"), "utf8")).toBe("secret");
  });

  it("is not reached when somebody on the host puts a link where a directory was", () => {
    mkdirSync(join(inside, "d"));
    writeFileSync(join(inside, "d", "secret"), "mine");
    const { client, root } = connect(inside, false);
    const [directory, file] = [client.walk(root, "d"), client.walk(root, "d/secret")];
    rmSync(join(inside, "d"), { recursive: true });
    symlinkSync(outside, join(inside, "d"));
    expect(() => client.open(file, FLAGS.RDONLY)).toThrow("ELOOP");
    expect(() => client.setAttributes(file, 1, { mode: 0 })).toThrow("ELOOP");
    expect(() => client.create(directory, "evil", FLAGS.RDWR)).toThrow("ELOOP");
    expect(readdirSync(outside).sort()).toEqual(["inside", "secret"]);
  });

  it("is not named by a path, even if the server let one through", () => {
    const share = openShare(inside, { readOnly: false });
    for (const path of [["..", "secret"], [".."], ["../secret"], [""], ["a\0"]]) {
      expect(share.attributes(path)).toEqual(new Failure("EINVAL"));
      expect(share.removeFile(path)).toEqual(new Failure("EINVAL"));
      expect(share.open(path, { read: true, write: false, truncate: false, exclusive: false })).toEqual(
        new Failure("EINVAL"),
      );
    }
  });

  it("is not read through a handle that the share did not give", () => {
    const share = openShare(inside, { readOnly: false });
    expect(share.read(0, 0, 10)).toEqual(new Failure("EBADF"));
    expect(share.write(1, 0, new Uint8Array(1))).toEqual(new Failure("EBADF"));
  });
});

it("opens no pipe or device of the host, and does not wait for one", (context) => {
  const path = fresh();
  try {
    execFileSync("mkfifo", [join(path, "pipe")]);
  } catch {
    console.warn("skipped: no mkfifo here; install coreutils");
    context.skip();
  }
  const { client, root } = connect(path, false);
  for (const flags of [FLAGS.RDONLY, FLAGS.WRONLY, FLAGS.RDWR])
    expect(() => client.open(client.walk(root, "pipe"), flags)).toThrow("EACCES");
  expect(() => client.create(client.walk(root, ""), "pipe", FLAGS.RDWR)).toThrow("EACCES");
  expect(() => client.setAttributes(client.walk(root, "pipe"), 8, { size: 0n })).toThrow("EINVAL");
});

it("names are the host's, whatever bytes they have", () => {
  const path = fresh();
  const name = Buffer.concat([Buffer.from(`${path}/`), Buffer.from([0x63, 0xe9])]);
  writeFileSync(name, "there before");
  writeFileSync(join(path, "ü"), "");
  const { client, root } = connect(path, false);
  const list = client.walk(root, "");
  client.open(list, FLAGS.RDONLY);
  expect(
    client
      .readDirectory(list)
      .map((entry) => entry.name)
      .sort(),
  ).toEqual([".", "..", "c\xe9", "\xc3\xbc"]);
  const fid = client.walk(root, "c\xe9");
  client.open(fid, FLAGS.RDONLY);
  expect(Buffer.from(client.read(fid, 0, 99)).toString()).toBe("there before");
  client.create(client.walk(root, ""), "\xc3\xa9", FLAGS.RDWR);
  expect(readdirSync(path)).toContain("é");
});

it("finds what the host has put in a file's place when it is opened, while one that is open stays that one", () => {
  const path = fresh();
  writeFileSync(join(path, "f"), "old");
  const { client, root } = connect(path, false);
  const [named, open] = [client.walk(root, "f"), client.walk(root, "f")];
  client.open(open, FLAGS.RDWR);
  writeFileSync(join(path, "new"), "the new one");
  renameSync(join(path, "new"), join(path, "f"));
  client.setAttributes(named, 1 | 8, { mode: 0o600, size: 2n });
  expect([client.attributes(named).size, client.attributes(open).mode & 0o777]).toEqual([2n, 0o600]);
  expect(readFileSync(join(path, "f"), "utf8")).toBe("the new one");
  const again = client.walk(named, "");
  client.open(again, FLAGS.RDONLY);
  expect(Buffer.from(client.read(again, 0, 99)).toString()).toBe("the new one");
});

it("keeps times to the microsecond, before 1970 to the millisecond, and the time it is", () => {
  const path = fresh();
  const { client, root } = connect(path, false);
  client.makeDirectory(root, "d");
  client.makeSymlink(root, "l", "nowhere");
  client.create(client.walk(root, ""), "f", FLAGS.RDWR);
  for (const name of ["f", "d", "l"])
    for (const open of name === "l" ? [false] : [false, true]) {
      const fid = client.walk(root, name);
      if (open) client.open(fid, FLAGS.RDONLY);
      for (let us = 0n; us < 1_000_000n; us += 8_191n) {
        client.setAttributes(fid, 0x20 | 0x100, { mtime: [1_796_000_000n + us, us * 1000n + 999n] });
        expect(client.attributes(fid).times[1]).toEqual([1_796_000_000n + us, us * 1000n]);
      }
      client.setAttributes(fid, 0x20 | 0x100, { mtime: [-2n, 250_000_000n] });
      expect(client.attributes(fid).times[1]).toEqual([BigInt.asUintN(64, -2n), 250_000_000n]);
      const before = Date.now();
      client.setAttributes(fid, 0x20, {});
      const seconds = Number(client.attributes(fid).times[1]?.[0]);
      expect(seconds).toBeGreaterThanOrEqual(Math.floor(before / 1000) - 1);
      expect(seconds).toBeLessThanOrEqual(Date.now() / 1000 + 1);
    }
});

it("changes nothing in a read-only share", () => {
  const path = fresh();
  writeFileSync(join(path, "f"), "text");
  const { client, root } = connect(path, true);
  const fid = client.walk(root, "f");
  const open = client.walk(root, "f");
  client.open(open, FLAGS.RDONLY);
  const here = (): number => client.walk(root, "");
  for (const change of [
    () => client.open(client.walk(root, "f"), FLAGS.RDWR),
    () => client.open(client.walk(root, "f"), FLAGS.RDONLY | FLAGS.TRUNC),
    () => client.create(here(), "f", FLAGS.RDWR),
    () => client.create(here(), "g", FLAGS.RDONLY),
    () => client.makeDirectory(root, "d"),
    () => client.makeSymlink(root, "l", "f"),
    () => client.link(root, fid, "g"),
    () => client.renameAt(root, "f", root, "g"),
    () => client.setAttributes(fid, 8, { size: 0n }),
    () => client.setAttributes(open, 1, { mode: 0 }),
    () => client.unlinkAt(root, "f"),
    () => client.remove(client.walk(root, "f")),
  ])
    expect(change).toThrow("EROFS");
  client.open(fid, FLAGS.RDONLY);
  expect(new TextDecoder().decode(client.read(fid, 0, 10))).toBe("text");
  expect(readdirSync(path)).toEqual(["f"]);
});

it("refuses what is no directory, and says why", () => {
  const path = fresh();
  writeFileSync(join(path, "f"), "");
  for (const [name, why] of [
    ["missing", /there is no such directory/],
    ["f", /is not a directory/],
    ["f/x", /part of its path/],
  ] as const) {
    let error: unknown;
    try {
      openShare(join(path, name), { readOnly: false });
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(UserError);
    expect((error as UserError).what).toMatch(why);
    expect((error as UserError).remedy).not.toBe("");
  }
  expect(existsSync(join(path, "missing"))).toBe(false);
});
