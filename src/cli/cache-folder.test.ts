import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it, vi } from "vitest";
import { UserError } from "../common/errors.ts";
import { cacheFolder, lastingCacheFolder, sourceVersion } from "./cache-folder.ts";

const folder = mkdtempSync(join(tmpdir(), "spevisor-cache-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it("is the user's own, which is not made before something is kept", () => {
  const env = { XDG_CACHE_HOME: join(folder, "new") };
  expect(cacheFolder(env)).toBe(join(folder, "new/spevisor"));
  expect(lastingCacheFolder(env)).toBe(cacheFolder(env));
  expect(existsSync(cacheFolder(env))).toBe(false);
});

it("is a temporary one with one line about it where the user's cannot be made", () => {
  writeFileSync(join(folder, "file"), "");
  const env = { XDG_CACHE_HOME: join(folder, "file") };
  const written = vi.spyOn(process.stderr, "write").mockReturnValue(true);
  const instead = cacheFolder(env);
  expect(cacheFolder(env)).toBe(instead);
  expect(written.mock.calls.map(([text]) => text)).toEqual([
    `spevisor: nothing is kept for the next time (${join(folder, "file/spevisor")}: ${join(folder, "file")} is not a directory); XDG_CACHE_HOME names another folder\n`,
  ]);
  written.mockRestore();
  // Nobody else can put a guest there.
  expect(statSync(instead).mode & 0o777).toBe(0o700);
  rmSync(instead, { recursive: true });
  expect(lastingCacheFolder(env)).toBe(join(folder, "file/spevisor"));
});

it("refuses in a sentence where there is no place at all", () => {
  const env = { XDG_CACHE_HOME: join(folder, "file/other") };
  const before = process.env["TMPDIR"];
  process.env["TMPDIR"] = join(folder, "no/such");
  try {
    expect(() => cacheFolder(env)).toThrow(UserError);
  } finally {
    if (before === undefined) delete process.env["TMPDIR"];
    else process.env["TMPDIR"] = before;
  }
  expect(existsSync(join(folder, "no"))).toBe(false);
});

it("has one version for the same source", () => {
  expect(sourceVersion()).toMatch(/^[0-9a-f]{32}$/);
  expect(sourceVersion()).toBe(sourceVersion());
});
