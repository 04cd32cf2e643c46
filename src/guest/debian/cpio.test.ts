import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { type CpioEntry, cpioArchive } from "./cpio.ts";

const scratch = mkdtempSync(join(tmpdir(), "spevisor-cpio-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const haveCpio = spawnSync("cpio", ["--version"]).status === 0;
if (!haveCpio) console.log("cpio.test.ts: the comparison is skipped, needs: apt-get install cpio");

const text = (of: string): Uint8Array => new TextEncoder().encode(of);
const ENTRIES: readonly (readonly [string, CpioEntry])[] = [
  ["usr/bin/program", { kind: "file", mode: 0o755, content: text("odd") }],
  ["usr/bin/other", { kind: "file", mode: 0o600, content: new Uint8Array(5000).fill(7) }],
  ["bin", { kind: "link", target: "usr/bin" }],
  ["tmp", { kind: "directory", mode: 0o1777 }],
  ["empty", { kind: "file", mode: 0o644, content: new Uint8Array() }],
  ["dev/console", { kind: "character-device", mode: 0o600, major: 5, minor: 1 }],
];
const ARCHIVE = cpioArchive(new Map(ENTRIES));

it("is the same bytes whatever order entries come in", () => {
  expect(cpioArchive(new Map([...ENTRIES].reverse()))).toEqual(ARCHIVE);
});

describe.skipIf(!haveCpio)("cpio", () => {
  const cpio = (...args: readonly string[]): string => {
    const done = spawnSync("cpio", [...args], {
      input: ARCHIVE,
      cwd: scratch,
      env: { ...process.env, TZ: "UTC" },
    });
    expect(done.status, done.stderr.toString()).toBe(0);
    return done.stdout.toString();
  };

  it("lists what we wrote, folders before what is in them", () => {
    const rows = cpio("-itvn", "--quiet").trimEnd().split("\n");
    const shape = rows.map((row) => {
      const fields = row.trim().split(/\s+/);
      return `${fields[0]} ${row.slice(row.indexOf("1970") + 5)}`;
    });
    expect(shape).toEqual([
      "lrwxrwxrwx bin -> usr/bin",
      "drwxr-xr-x dev",
      "crw------- dev/console",
      "-rw-r--r-- empty",
      "drwxrwxrwt tmp",
      "drwxr-xr-x usr",
      "drwxr-xr-x usr/bin",
      "-rw------- usr/bin/other",
      "-rwxr-xr-x usr/bin/program",
    ]);
    expect(rows[2]).toMatch(/ 5, +1 /);
  });

  it("gets each file's content back", () => {
    expect(cpio("-i", "--quiet", "--to-stdout", "usr/bin/program")).toBe("odd");
    expect(cpio("-i", "--quiet", "--to-stdout", "usr/bin/other")).toBe("\u0007".repeat(5000));
    expect(cpio("-i", "--quiet", "--to-stdout", "empty")).toBe("");
  });
});
