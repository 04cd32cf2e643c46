import {
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { concat } from "../../common/bytes.ts";
import { UserError } from "../../common/errors.ts";
import { END, file, header, pax } from "../tar.testing.ts";
import { TarReader } from "../tar.ts";
import { checkOut, OutDirectory, OutFailed } from "./out.ts";

const scratch = mkdtempSync(join(tmpdir(), "out-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
let folder = "";
let out = "";
let count = 0;
beforeEach(() => {
  folder = join(scratch, `${count++}`);
  out = join(folder, "out");
  mkdirSync(folder);
  writeFileSync(join(folder, "secret"), "secret");
});

/** Takes an archive in; the problems with it. */
function take(...parts: readonly Uint8Array[]): readonly string[] {
  const directory = new OutDirectory(out);
  new TarReader(directory).push(concat([...parts, END]));
  directory.finish();
  return directory.problems;
}
const textOf = (name: string): string => readFileSync(join(out, name), "utf8");
/** All names below a folder; readdir's own "recursive" would follow links. */
const all = (below = ""): string[] =>
  readdirSync(join(out, below), { withFileTypes: true })
    .flatMap((entry) => {
      const name = join(below, entry.name);
      return entry.isDirectory() ? [name, ...all(name)] : [name];
    })
    .sort();
const directory = (name: string, mode = 0o755): Uint8Array => header({ name, type: "5", mode });
const symlink = (name: string, target: string): Uint8Array => header({ name, type: "2", target });

it("makes what the archive has, with modes, times and links", () => {
  const problems = take(
    directory("./", 0o700),
    header({ name: "./d/", type: "5", mode: 0o555, mtime: 1_500_000_000 }),
    ...pax({ mtime: "1600000000.25" }),
    ...file("./d/a", "text", { mode: 0o640 }),
    symlink("./l", "d/a"),
    header({ name: "./h", type: "1", target: "./d/a" }),
    ...file("./\xe9", "odd"),
    ...file("./empty", "", { mode: 0 }),
  );
  expect(problems).toEqual([]);
  expect(textOf("d/a")).toBe("text");
  const a = statSync(join(out, "d/a"));
  expect([a.mode & 0o7777, a.mtimeMs, a.nlink]).toEqual([0o640, 1_600_000_000_250, 2]);
  const d = statSync(join(out, "d"));
  expect([d.mode & 0o7777, d.mtimeMs]).toEqual([0o555, 1_500_000_000_000]);
  expect(readlinkSync(join(out, "l"))).toBe("d/a");
  expect(statSync(join(out, "empty")).mode & 0o777).toBe(0);
  expect(readFileSync(Buffer.from(`${out}/\xe9`, "latin1"), "utf8")).toBe("odd");
  // A second time: all is there already, and a directory of it cannot be written to.
  expect(
    take(
      directory("./d/", 0o555),
      ...file("./d/a", "again"),
      header({ name: "./h", type: "1", target: "./d/a" }),
    ),
  ).toEqual([]);
  expect([textOf("d/a"), textOf("h"), statSync(join(out, "d")).mode & 0o777]).toEqual([
    "again",
    "again",
    0o555,
  ]);
  expect(all().filter((name) => name.includes("spevisor"))).toEqual([]);
});

it("leaves zeros out of files, which have all their bytes", () => {
  const zeros = "\0".repeat(300_000);
  expect(take(...file("a", `${zeros}end`), ...file("b", `x${zeros}`))).toEqual([]);
  expect([textOf("a"), textOf("b")]).toEqual([`${zeros}end`, `x${zeros}`]);
});

it("replaces what had a name, and does not write through it", () => {
  mkdirSync(join(out, "full"), { recursive: true });
  writeFileSync(join(out, "full", "x"), "mine");
  writeFileSync(join(out, "plain"), "old");
  linkSync(join(folder, "secret"), join(out, "hard"));
  for (const name of ["link", "directory"]) symlinkSync(join(folder, "secret"), join(out, name));
  const problems = take(
    ...file("plain", "new"),
    ...file("hard", "new"),
    ...file("link", "new"),
    directory("directory"),
    ...file("directory/x", "new"),
    ...file("full", "new"),
    symlink("full", "nowhere"),
  );
  expect(problems).toEqual(['"full": a directory has its name', '"full": a directory has its name']);
  for (const name of ["plain", "hard", "link", "directory/x"]) expect(textOf(name)).toBe("new");
  expect([textOf("full/x"), readFileSync(join(folder, "secret"), "utf8")]).toEqual(["mine", "secret"]);
});

describe("a hostile archive", () => {
  const untouched = (): void => {
    expect(readFileSync(join(folder, "secret"), "utf8")).toBe("secret");
    expect(readdirSync(folder).sort()).toEqual(["out", "secret"]);
    expect(statSync(join(folder, "secret")).nlink).toBe(1);
  };

  it.each(["../x", "a/../../x", "..", "./..", "/etc/x", "//x", "/", "a/b/../../../x"])(
    "%j leads nowhere",
    (name) => {
      const problems = take(
        directory("a"),
        ...pax({ path: name }),
        ...file("innocent", "evil"),
        ...file("last", "fine"),
        ...pax({ path: name }),
        header({ name: "d", type: "5" }),
        ...pax({ path: name }),
        symlink("l", "x"),
      );
      expect(problems).toHaveLength(3);
      expect([all(), textOf("last")]).toEqual([["a", "last"], "fine"]);
      untouched();
    },
  );

  it("does not get out through links, its own or those of an earlier run", () => {
    mkdirSync(out);
    symlinkSync("..", join(out, "earlier"));
    const problems = take(
      symlink("up", ".."),
      symlink("root", "/"),
      ...file("up/x", "evil"),
      ...file("earlier/secret", "evil"),
      directory("up/d"),
      ...file("root/tmp/x", "evil"),
      header({ name: "stolen", type: "1", target: "up/secret" }),
      header({ name: "stolen", type: "1", target: "../secret" }),
      header({ name: "stolen", type: "1", target: join(folder, "secret") }),
    );
    expect(problems).toHaveLength(6);
    expect(problems.at(-1)).toBe("and 2 more like these");
    expect(all()).toEqual(["earlier", "root", "up"]);
    // A link to a link is none to what that points to.
    expect(take(header({ name: "h", type: "1", target: "up" }))).toHaveLength(1);
    untouched();
  });

  it("makes no devices, and nothing that runs with another's rights", () => {
    const problems = take(
      header({ name: "sda", type: "4" }),
      header({ name: "pipe", type: "6" }),
      ...file("su", "", { mode: 0o6755 }),
      directory("sticky", 0o3777),
    );
    expect(problems).toEqual(['"sda": a device, pipe or socket', '"pipe": a device, pipe or socket']);
    expect(["su", "sticky"].map((name) => lstatSync(join(out, name)).mode & 0o7777)).toEqual([0o755, 0o777]);
  });

  it("says nothing to a terminal with its names", () => {
    const [problem] = take(...file("\x1b[2J\n/../x\xe2\x80\xae", ""));
    expect(problem).toBe('"?[2J?/../x?": a name that leads out of the directory');
  });

  it("may have a name that is too long, or one that is a file's and a directory's", () => {
    const problems = take(
      ...pax({ path: "n".repeat(300) }),
      ...file("x", ""),
      ...file("a", "file"),
      ...file("a/b", "below"),
      ...file("no/such", ""),
    );
    expect(problems).toHaveLength(3);
    expect(textOf("a")).toBe("file");
  });

  it("that ends in a file's middle leaves nothing of it", () => {
    const taken = new OutDirectory(out);
    const [start, text] = file("a", "x".repeat(1024)) as [Uint8Array, Uint8Array];
    new TarReader(taken).push(concat([...file("b", "whole"), start, text.subarray(0, 700)]));
    expect(all()).toHaveLength(2);
    taken.finish();
    expect(all()).toEqual(["b"]);
  });
});

it("says that the device is full, ends, and leaves nothing that is not whole", () => {
  // A file system that is full is not to be had everywhere: its error is.
  const taken = new OutDirectory(out, (fd: number, bytes: unknown) => {
    const text = Buffer.from(bytes as Uint8Array).toString();
    if (text !== "text") throw Object.assign(new Error("full"), { code: "ENOSPC" });
    return writeSync(fd, text);
  });
  const reader = new TarReader(taken);
  reader.push(concat(file("fits", "text")));
  expect(() => reader.push(concat(file("does not", "more")))).toThrow(
    new OutFailed("no space left on the device"),
  );
  taken.discard();
  expect(all()).toEqual(["fits"]);
  expect(textOf("fits")).toBe("text");
});

describe("a place is looked at before anything is made:", () => {
  it.each([
    ["secret", /is no directory/],
    ["secret/x", /secret is no directory/],
    ["dangling", /is a link to nothing/],
  ])("%s", (name, words) => {
    symlinkSync("nowhere", join(folder, "dangling"));
    let error: unknown;
    try {
      checkOut(join(folder, name));
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(UserError);
    expect((error as UserError).what).toMatch(words);
  });

  it("one that is not there is fine, and is not made yet", () => {
    checkOut(join(folder, "a", "b", "c"));
    checkOut(folder);
    expect(readdirSync(folder)).toEqual(["secret"]);
  });
});
