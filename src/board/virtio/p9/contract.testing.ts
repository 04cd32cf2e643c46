/** For tests: what every file system behind a 9P server must do, as a client sees it. */
import { beforeEach, describe, expect, it } from "vitest";
import { FLAGS, P9Client } from "./client.testing.ts";
import { MessageWriter, T } from "./messages.ts";

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const DIRECTORY = 0o040000;
const REGULAR = 0o100000;

/** @param connect a fresh, empty share: how to send a message to it */
export function holdsToContract(connect: () => (message: Uint8Array) => Uint8Array): void {
  let client: P9Client;
  let root: number;
  beforeEach(() => {
    client = new P9Client(connect());
    client.version(131_072);
    root = client.attach();
  });

  const fileWith = (name: string, text: string): void => {
    const fid = client.walk(root, "");
    client.create(fid, name, FLAGS.RDWR);
    client.write(fid, 0, encode(text));
    client.clunk(fid);
  };
  const textOf = (path: string): string => {
    const fid = client.walk(root, path);
    client.open(fid, FLAGS.RDONLY);
    const text = decode(client.read(fid, 0, 1000));
    client.clunk(fid);
    return text;
  };
  const namesIn = (path: string): string[] => {
    const fid = client.walk(root, path);
    client.open(fid, FLAGS.RDONLY);
    const names = client.readDirectory(fid).map(({ name }) => name);
    client.clunk(fid);
    return names.sort();
  };

  it("makes, writes and reads files", () => {
    fileWith("a", "hello");
    expect(textOf("a")).toBe("hello");
    const fid = client.walk(root, "a");
    client.open(fid, FLAGS.RDWR);
    expect(client.write(fid, 3, encode("p me"))).toBe(4);
    expect(decode(client.read(fid, 0, 100))).toBe("help me");
    expect(decode(client.read(fid, 5, 100))).toBe("me");
    expect(client.read(fid, 7, 100)).toHaveLength(0);
    const { mode, size, links } = client.attributes(fid);
    expect([mode & 0o170000, mode & 0o777, size, links]).toEqual([REGULAR, 0o644, 7n, 1n]);
    client.rpc(T.FSYNC, new MessageWriter().u32(fid).u32(0));
  });

  it("truncates on opening and with setattr, and grows with zeroes", () => {
    fileWith("a", "hello");
    const fid = client.walk(root, "a");
    client.setAttributes(fid, 8, { size: 7n });
    expect(textOf("a")).toBe("hello\0\0");
    client.setAttributes(fid, 8, { size: 2n });
    expect(textOf("a")).toBe("he");
    client.open(fid, FLAGS.WRONLY | FLAGS.TRUNC);
    expect(textOf("a")).toBe("");
    client.setAttributes(fid, 8, { size: 3n });
    expect(textOf("a")).toBe("\0\0\0");
  });

  it("creates with and without O_EXCL", () => {
    fileWith("a", "old");
    const fid = client.walk(root, "");
    expect(() => client.create(fid, "a", FLAGS.RDWR | FLAGS.EXCL)).toThrow("EEXIST");
    client.create(fid, "a", FLAGS.RDWR);
    expect(decode(client.read(fid, 0, 10))).toBe("old");
  });

  it("changes modes and times", () => {
    fileWith("a", "");
    const fid = client.walk(root, "a");
    client.setAttributes(fid, 1 | 0x20 | 0x100, { mode: 0o600, mtime: [1_000_000_000n, 500_000_000n] });
    const { mode, times } = client.attributes(fid);
    expect([mode & 0o777, times[1]]).toEqual([0o600, [1_000_000_000n, 500_000_000n]]);
    client.setAttributes(fid, 0x20, {});
    expect(client.attributes(fid).times[1]).not.toEqual([1_000_000_000n, 500_000_000n]);
  });

  it("makes and lists directories, piece by piece too", () => {
    client.makeDirectory(root, "d", 0o750);
    fileWith("f", "");
    client.makeSymlink(root, "l", "f");
    const fid = client.walk(root, "");
    client.open(fid, FLAGS.RDONLY);
    const whole = client.readDirectory(fid);
    expect(Object.fromEntries(whole.map(({ name, type }) => [name, type]))).toEqual({
      ".": 4,
      "..": 4,
      d: 4,
      f: 8,
      l: 10,
    });
    const pieces: string[] = [];
    for (let cookie = 0n; ; ) {
      const [entry, ...more] = client.readDirectory(fid, cookie, 30);
      if (entry === undefined) break;
      expect(more).toEqual([]);
      pieces.push(entry.name);
      cookie = entry.cookie;
    }
    expect(pieces).toEqual(whole.map(({ name }) => name));
    expect(client.attributes(client.walk(root, "d")).mode).toBe(DIRECTORY | 0o750);
    expect(whole.find(({ name }) => name === "f")?.qid.path).toBe(
      client.attributes(client.walk(root, "f")).qid.path,
    );
  });

  it("keeps links, which it does not follow", () => {
    fileWith("f", "text");
    client.makeSymlink(root, "l", "f");
    const fid = client.walk(root, "l");
    expect(client.readLink(fid)).toBe("f");
    expect(client.attributes(fid).qid.type).toBe(2);
    expect(() => client.open(fid, FLAGS.RDONLY)).toThrow();
    expect(() => client.readLink(client.walk(root, "f"))).toThrow("EINVAL");
    client.link(root, client.walk(root, "f"), "g");
    expect(textOf("g")).toBe("text");
    expect(client.attributes(client.walk(root, "g")).links).toBe(2n);
  });

  it("renames, and fids stay with their files", () => {
    client.makeDirectory(root, "d");
    const d = client.walk(root, "d");
    fileWith("a", "one");
    const a = client.walk(root, "a");
    client.renameAt(root, "a", d, "b");
    expect(textOf("d/b")).toBe("one");
    expect(client.attributes(a).size).toBe(3n);
    const deep = client.walk(root, "d/b");
    client.rename(d, root, "e");
    expect(client.attributes(deep).size).toBe(3n);
    expect(namesIn("e")).toEqual([".", "..", "b"]);
    fileWith("c", "three");
    client.renameAt(root, "c", d, "b");
    expect(textOf("e/b")).toBe("three");
    expect(() => client.renameAt(root, "e", d, "inside")).toThrow("EINVAL");
  });

  it("removes files and directories, each in its way; an open file lives on", () => {
    client.makeDirectory(root, "d");
    fileWith("a", "alive");
    const fid = client.walk(root, "a");
    client.open(fid, FLAGS.RDWR);
    expect(() => client.unlinkAt(root, "a", 0x200)).toThrow("ENOTDIR");
    expect(() => client.unlinkAt(root, "d")).toThrow(/EISDIR|EPERM/);
    client.unlinkAt(root, "a");
    expect(decode(client.read(fid, 0, 10))).toBe("alive");
    expect(client.attributes(fid).size).toBe(5n);
    const inside = client.walk(root, "d");
    client.create(inside, "x", FLAGS.WRONLY);
    expect(() => client.unlinkAt(root, "d", 0x200)).toThrow("ENOTEMPTY");
    client.remove(inside);
    expect(() => client.attributes(inside)).toThrow("EBADF");
    client.unlinkAt(root, "d", 0x200);
    expect(namesIn("")).toEqual([".", ".."]);
  });

  describe("a fid is its file, open or not, whatever took its name:", () => {
    const MODE_AND_SIZE = 1 | 8;
    /** A fid as Linux keeps it for a name, and an open one. */
    const opened = (name: string): { named: number; open: number } => {
      const open = client.walk(root, name);
      client.open(open, FLAGS.RDWR);
      return { named: client.walk(root, name), open };
    };
    const state = (fid: number): string => {
      const { mode, size } = client.attributes(fid);
      return `${(mode & 0o777).toString(8)} ${size}`;
    };
    const stateOf = (path: string): string => state(client.walk(root, path));
    /** What becomes of a file under a fid: by whichever of its fids it is changed, it is that file that changes. */
    const ways: Readonly<
      Record<string, () => { readonly fids: number[]; readonly now: string | undefined }>
    > = {
      "one that was unlinked": () => {
        const { named, open } = opened("a");
        client.unlinkAt(root, "a");
        return { fids: [open, named], now: undefined };
      },
      "one that was removed by another fid": () => {
        const { named, open } = opened("a");
        client.remove(client.walk(root, "a"));
        return { fids: [open, named], now: undefined };
      },
      "one that was renamed": () => {
        const { named, open } = opened("a");
        client.renameAt(root, "a", root, "b");
        return { fids: [open, named], now: "b" };
      },
      "one that another was renamed over": () => {
        const { named, open } = opened("a");
        fileWith("other", "");
        client.renameAt(root, "other", root, "a");
        client.unlinkAt(root, "a");
        return { fids: [open, named], now: undefined };
      },
      "one whose directory was renamed": () => {
        client.makeDirectory(root, "d");
        client.renameAt(root, "a", client.walk(root, "d"), "a");
        const { named, open } = opened("d/a");
        client.renameAt(root, "d", root, "e");
        client.makeDirectory(root, "d");
        return { fids: [open, named], now: "e/a" };
      },
      "one that lost one of two names": () => {
        const { named, open } = opened("a");
        client.link(root, named, "b");
        client.unlinkAt(root, "a");
        return { fids: [open, named], now: "b" };
      },
      "a copy of a fid whose file was unlinked": () => {
        const { named, open } = opened("a");
        client.unlinkAt(root, "a");
        return { fids: [open, client.walk(named, "")], now: undefined };
      },
    };
    it.each(Object.keys(ways))("%s", (way) => {
      fileWith("a", "old");
      const { fids, now } = ways[way]!();
      // What takes the name must stay as it is.
      fileWith("a", "the new one");
      for (const [i, fid] of fids.entries()) {
        client.setAttributes(fid, MODE_AND_SIZE, { mode: 0o600 + i, size: BigInt(i + 1) });
        client.setAttributes(fid, 0x20 | 0x100, { mtime: [7n, 0n] });
        for (const same of fids) expect(state(same)).toBe(`60${i} ${i + 1}`);
        if (now !== undefined) expect(stateOf(now)).toBe(`60${i} ${i + 1}`);
      }
      expect(stateOf("a")).toBe("644 11");
      expect(client.attributes(client.walk(root, "a")).times[1]?.[0]).not.toBe(7n);
      // Open anew, as Linux does for /proc/self/fd/N.
      const again = client.walk(fids[1]!, "");
      client.open(again, FLAGS.RDWR | FLAGS.TRUNC);
      client.write(again, 0, encode("reopened"));
      expect(decode(client.read(fids[0]!, 0, 100))).toBe("reopened");
      expect(textOf("a")).toBe("the new one");
    });

    it("without a name, what needs one fails and does nothing", () => {
      fileWith("a", "old");
      const { named, open } = opened("a");
      client.unlinkAt(root, "a");
      fileWith("a", "new");
      expect(() => client.link(root, named, "b")).toThrow("ENOENT");
      expect(() => client.rename(named, root, "b")).toThrow("ENOENT");
      expect(() => client.remove(client.walk(named, ""))).toThrow("ENOENT");
      client.clunk(open);
      // Nobody has it any more.
      expect(() => client.attributes(named)).toThrow("ENOENT");
      expect(() => client.setAttributes(named, 1, { mode: 0 })).toThrow("ENOENT");
      expect(() => client.open(named, FLAGS.RDONLY)).toThrow("ENOENT");
      expect([namesIn(""), textOf("a")]).toEqual([[".", "..", "a"], "new"]);
    });

    it("a directory that was removed is neither its successor nor a place for files", () => {
      client.makeDirectory(root, "d", 0o755);
      const [open, named] = [client.walk(root, "d"), client.walk(root, "d")];
      client.open(open, FLAGS.RDONLY);
      client.unlinkAt(root, "d", 0x200);
      client.makeDirectory(root, "d", 0o711);
      client.setAttributes(named, 1, { mode: 0o700 });
      expect([state(open).slice(0, 3), stateOf("d").slice(0, 3)]).toEqual(["700", "711"]);
      expect(() => client.readDirectory(open)).toThrow("ENOENT");
      expect(() => client.makeDirectory(named, "x")).toThrow("ENOENT");
      expect(() => client.create(named, "x", FLAGS.RDWR)).toThrow("ENOENT");
      expect(() => client.renameAt(root, "d", named, "x")).toThrow("ENOENT");
      expect(() => client.walk(named, "..")).toThrow("ENOENT");
    });

    it("a rename between two names of one file leaves both", () => {
      fileWith("a", "text");
      client.link(root, client.walk(root, "a"), "b");
      const named = client.walk(root, "a");
      client.renameAt(root, "a", root, "b");
      client.renameAt(root, "a", root, "a");
      expect(namesIn("")).toEqual([".", "..", "a", "b"]);
      client.unlinkAt(root, "b");
      expect(state(named)).toBe("644 4");
      expect(() => client.renameAt(root, "gone", root, "gone")).toThrow("ENOENT");
    });

    it("a file that is open to be read is not truncated by a name that has gone to another", () => {
      fileWith("a", "old");
      const open = client.walk(root, "a");
      client.open(open, FLAGS.RDONLY);
      client.unlinkAt(root, "a");
      fileWith("a", "precious");
      client.setAttributes(open, 8, { size: 1n });
      expect([state(open), textOf("a")]).toEqual(["644 1", "precious"]);
    });
  });

  it("has names and links that are not UTF-8", () => {
    const [name, moved] = ["caf\xe9", "\xff\xfe\x80"];
    fileWith(name, "text");
    client.makeDirectory(root, "d\xe9");
    client.makeSymlink(root, "l\xe9", `d\xe9/${moved}`);
    client.renameAt(root, name, client.walk(root, "d\xe9"), moved);
    expect(namesIn("")).toEqual([".", "..", "d\xe9", "l\xe9"]);
    expect(namesIn("d\xe9")).toEqual([".", "..", moved]);
    expect(textOf(`d\xe9/${moved}`)).toBe("text");
    expect(client.readLink(client.walk(root, "l\xe9"))).toBe(`d\xe9/${moved}`);
    client.unlinkAt(client.walk(root, "d\xe9"), moved);
    expect(() => client.makeDirectory(root, "\xe9".repeat(256))).toThrow("ENAMETOOLONG");
    client.makeDirectory(root, "\xe9".repeat(255));
  });

  describe("stays inside", () => {
    it("of the root, which is its own parent", () => {
      const top = client.attributes(root).qid;
      for (const path of ["..", "../..", "../../.."])
        expect(client.attributes(client.walk(root, path)).qid).toEqual(top);
      expect(() => client.walk(root, "../etc")).toThrow("ENOENT");
    });

    it.each(["", ".", "..", "../x", "a/b", "/etc/passwd", "/", "a\0b"])("of names: not %j", (name) => {
      client.makeDirectory(root, "a");
      const fid = (): number => client.walk(root, "");
      expect(() => client.create(fid(), name, FLAGS.RDWR)).toThrow("EINVAL");
      expect(() => client.makeDirectory(root, name)).toThrow("EINVAL");
      expect(() => client.makeSymlink(root, name, "x")).toThrow("EINVAL");
      expect(() => client.renameAt(root, "a", root, name)).toThrow("EINVAL");
      expect(() => client.renameAt(root, name, root, "x")).toThrow("EINVAL");
      expect(() => client.unlinkAt(root, name)).toThrow("EINVAL");
      expect(() => client.link(root, root, name)).toThrow("EINVAL");
      if (name !== "..") expect(() => client.tryWalk(root, [name])).toThrow(/ENOENT|EINVAL/);
    });

    it("when there are links on the way", () => {
      client.makeSymlink(root, "etc", "/etc");
      client.makeSymlink(root, "up", "../../..");
      for (const link of ["etc", "up"]) {
        // A walk goes to the link, and no further.
        expect(client.tryWalk(root, [link, "passwd"])).toBeUndefined();
        const fid = client.walk(root, link);
        expect(() => client.tryWalk(fid, ["passwd"])).toThrow(/ELOOP|ENOTDIR/);
        expect(() => client.create(fid, "evil", FLAGS.RDWR)).toThrow(/ELOOP|ENOTDIR/);
        expect(() => client.makeDirectory(fid, "evil")).toThrow(/ELOOP|ENOTDIR/);
        expect(() => client.unlinkAt(fid, "passwd")).toThrow(/ELOOP|ENOTDIR/);
        expect(() => client.renameAt(fid, "passwd", root, "mine")).toThrow(/ELOOP|ENOTDIR/);
      }
    });

    it("when a directory becomes a link behind a fid", () => {
      client.makeDirectory(root, "d");
      const d = client.walk(root, "d");
      const inside = client.walk(root, "d");
      client.create(inside, "passwd", FLAGS.RDWR);
      const before = client.walk(root, "d/passwd");
      client.clunk(inside);
      client.unlinkAt(d, "passwd");
      client.unlinkAt(root, "d", 0x200);
      client.makeSymlink(root, "d", "/etc");
      expect(() => client.open(before, FLAGS.RDONLY)).toThrow("ENOENT");
      expect(() => client.create(d, "evil", FLAGS.RDWR)).toThrow("ENOENT");
    });
  });

  it("says how much room there is", () => {
    const reply = client.rpc(T.STATFS, new MessageWriter().u32(root));
    reply.u32();
    const [blockBytes, blocks, free] = [reply.u32(), reply.u64(), reply.u64()];
    expect(blockBytes).toBeGreaterThan(0);
    expect(blocks).toBeGreaterThanOrEqual(free);
    expect(reply.malformed).toBe(false);
  });
}
