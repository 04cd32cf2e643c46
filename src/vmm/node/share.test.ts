import { execFileSync } from "node:child_process";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
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

it("changes nothing in a read-only share", () => {
  const path = fresh();
  writeFileSync(join(path, "f"), "text");
  const { client, root } = connect(path, true);
  const fid = client.walk(root, "f");
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
