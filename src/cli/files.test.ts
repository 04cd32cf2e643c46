import { spawnSync } from "node:child_process";
import {
  closeSync,
  constants,
  lstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { beginFile } from "./files.ts";

const folder = mkdtempSync(join(tmpdir(), "files-"));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string): string => join(folder, name);

it("a file has its name when it is whole, and none before", () => {
  const file = beginFile(at("whole"));
  file.write("content");
  expect(readdirSync(folder)).not.toContain("whole");
  file.commit();
  file.discard();
  expect(readdirSync(folder)).toContain("whole");
  const other = beginFile(at("other"));
  other.write("half");
  expect(readdirSync(folder).some((name) => name.startsWith(".other"))).toBe(true);
  other.discard();
  expect(readdirSync(folder).filter((name) => name !== "pipe")).toEqual(["whole"]);
});

const haveFifos = spawnSync("mkfifo", [at("pipe")]).status === 0;
if (!haveFifos) console.log("files.test.ts: a pipe in a file's place skipped, needs mkfifo");

it.skipIf(!haveFifos)("what is no file stays what it is, and gets the content", () => {
  // Open for both, so that neither end waits for the other.
  const fd = openSync(at("pipe"), constants.O_RDWR);
  try {
    const file = beginFile(at("pipe"));
    file.write("content");
    file.commit();
    file.discard();
    expect(lstatSync(at("pipe")).isFIFO()).toBe(true);
    const bytes = Buffer.alloc(100);
    expect(bytes.toString("utf8", 0, readSync(fd, bytes))).toBe("content");
  } finally {
    closeSync(fd);
    rmSync(at("pipe"));
  }
});
