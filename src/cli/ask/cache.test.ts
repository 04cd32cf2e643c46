import { mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { sourceVersion } from "../cache-folder.ts";
import { RowCache, rowFolder } from "./cache.ts";
import type { CellTask } from "./cell.ts";

const root = mkdtempSync(join(tmpdir(), "spevisor-cache-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

let folder = "";
let tests = 0;
let warnings: string[] = [];
beforeEach(() => {
  folder = join(root, String(tests++));
  warnings = [];
});
const open = (version: string) => new RowCache(folder, version, (text) => warnings.push(text));

const TASK: CellTask = { questions: "file:///q.ts", number: 5, cell: { bufferMiB: 4 }, perturbation: {} };

describe("a kept row", () => {
  it("is found under the same question, cell, costs and version only", async () => {
    const cache = open("v1");
    expect(await cache.get(TASK)).toBeUndefined();
    await cache.put(TASK, '{"ns":1}');
    expect(await cache.get({ ...TASK })).toBe('{"ns":1}');
    expect(await open("v1").get(TASK)).toBe('{"ns":1}');
    expect(await cache.get({ ...TASK, number: 6 })).toBeUndefined();
    expect(await cache.get({ ...TASK, cell: { bufferMiB: 8 } })).toBeUndefined();
    expect(await cache.get({ ...TASK, perturbation: { exit: 2 } })).toBeUndefined();
    expect(await open("v2").get(TASK)).toBeUndefined();
    expect(warnings).toEqual([]);
  });

  it("does not depend on the order in which costs were named, nor on factors of one", async () => {
    const cache = open("v1");
    await cache.put({ ...TASK, perturbation: { exit: 2, tlbi: 3, drain: 1 } }, "2");
    expect(await cache.get({ ...TASK, perturbation: { tlbi: 3, exit: 2 } })).toBe("2");
    await cache.put(TASK, "1");
    expect(await cache.get({ ...TASK, perturbation: { exit: 1 } })).toBe("1");
  });
});

it("keeps the rows of the versions that were used last", () => {
  for (const [i, version] of ["v1", "v2", "v3"].entries()) {
    open(version);
    utimesSync(join(folder, version), 1_000 + i, 1_000 + i);
  }
  open("v1");
  expect(readdirSync(folder).sort()).toEqual(["v1", "v2", "v3"]);
  open("v4");
  expect(readdirSync(folder).sort()).toEqual(["v1", "v3", "v4"]);
});

it("warns once where it cannot write, and fails nothing", async () => {
  writeFileSync(folder, "a file");
  const cache = open("v1");
  await cache.put(TASK, "1");
  await cache.put(TASK, "1");
  expect(await cache.get(TASK)).toBeUndefined();
  expect(warnings).toHaveLength(1);
});

it("is in the folder that the XDG specification names", () => {
  expect(rowFolder({ XDG_CACHE_HOME: "/c" })).toBe(join("/c", "spevisor", "answers"));
  expect(rowFolder({})).toMatch(/\.cache.spevisor.answers$/);
});

it("names a version of the source that stays while the source does", () => {
  expect(sourceVersion()).toMatch(/^[0-9a-f]{32}$/);
  expect(sourceVersion()).toBe(sourceVersion());
});
