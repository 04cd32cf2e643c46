import { mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, expect, it } from "vitest";
import { sourceVersion } from "../cache-folder.ts";
import { RowStore, rowFolder } from "./store.ts";
import { type CellTask, keyOf } from "./task.ts";

const root = mkdtempSync(join(tmpdir(), "spevisor-cache-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

let folder = "";
let tests = 0;
let warnings: string[] = [];
beforeEach(() => {
  folder = join(root, String(tests++));
  warnings = [];
});
const open = (version: string) => new RowStore(folder, version, (text) => warnings.push(text));

const input = { number: 5, cell: { bufferMiB: 4 } };
const TASK: CellTask = { kind: "ask", input, files: [], label: "one" };

it("finds a row under the same kind, input and version only, whatever the task is called", () => {
  const store = open("v1");
  const key = keyOf(TASK);
  expect(store.get(key)).toBeUndefined();
  const row = { text: '{"ns":1}', tookMs: 12 };
  store.put(key, row);
  expect(store.get(keyOf({ ...TASK, label: "other" }))).toEqual(row);
  expect(open("v1").get(key)).toEqual(row);
  expect(store.get(keyOf({ ...TASK, kind: "bar" }))).toBeUndefined();
  expect(store.get(keyOf({ ...TASK, input: { ...input, number: 6 } }))).toBeUndefined();
  expect(open("v2").get(key)).toBeUndefined();
  expect(warnings).toEqual([]);
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

it("warns once where it cannot write, and fails nothing", () => {
  writeFileSync(folder, "a file");
  const store = open("v1");
  store.put("0123", { text: "1", tookMs: 0 });
  store.put("0123", { text: "1", tookMs: 0 });
  expect(store.get("0123")).toBeUndefined();
  expect(warnings).toHaveLength(1);
});

it("is in the folder that the XDG specification names", () => {
  expect(rowFolder({ XDG_CACHE_HOME: "/c" })).toBe(join("/c", "spevisor", "cells"));
  expect(rowFolder({})).toMatch(/\.cache.spevisor.cells$/);
});

it("names a version of the source that stays while the source does", () => {
  expect(sourceVersion()).toMatch(/^[0-9a-f]{32}$/);
  expect(sourceVersion()).toBe(sourceVersion());
});
