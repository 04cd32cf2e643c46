import { linkSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { UserError } from "../../common/errors.ts";
import { openDisks, parseDisk } from "./disk-options.ts";

const scratch = mkdtempSync(join(tmpdir(), "disk-options-"));
afterAll(() => rmSync(scratch, { recursive: true }));

describe("--disk", () => {
  const there = ["a.img", "odd,readonly", "host:ro", "c.img"];
  const parsed = (text: string) => parseDisk(text, (path) => there.includes(path));
  it.each([
    ["a.img", "a.img", "writable", false],
    ["new.img", "new.img", "writable", false],
    ["a.img,readonly", "a.img", "readonly", false],
    ["a.img,ro", "a.img", "readonly", false],
    ["a.img,readonly=on", "a.img", "readonly", false],
    ["a.img,readonly=off", "a.img", "writable", false],
    ["a.img,snapshot", "a.img", "snapshot", false],
    ["a.img,snapshot=on,format=raw", "a.img", "snapshot", true],
    ["file=a.img,if=virtio,format=raw", "a.img", "writable", true],
    ["a.img:ro", "a.img", "readonly", false],
    ["a.img:rw", "a.img", "writable", false],
    // Names that look like options.
    ["odd,readonly", "odd,readonly", "writable", false],
    ["host:ro", "host:ro", "writable", false],
    ["host:ro,snapshot", "host:ro", "snapshot", false],
    ["odd,,readonly,snapshot", "odd,readonly", "snapshot", false],
    ["x:ro", "x:ro", "writable", false],
  ])("%s", (text, path, mode, raw) => expect(parsed(text)).toEqual({ path, mode, raw }));

  it.each([
    ["a.img,readonly,snapshot", /cannot be readonly and snapshot at once/],
    ["a.img:rw,readonly", /cannot be readonly and writable at once/],
    ["a.img,readonly=yes", /readonly is on or off, and not "yes"/],
    [
      "a.img,format=qcow2",
      /"qcow2" images are not read here\n.*qemu-img convert -f qcow2 -O raw a\.img disk\.img/,
    ],
    ["a.img,cache=none", /there is no option "cache=none"\nWrite --disk FILE/],
    ["a.img,", /there is no option ""/],
    [",readonly", /no file/],
  ])("%s is refused", (text, message) => {
    expect(() => parsed(text)).toThrow(UserError);
    expect(() => parsed(text)).toThrow(message);
  });
});

it("disks that share a file do not write to it", () => {
  const [path, other] = [join(scratch, "one"), join(scratch, "same")];
  writeFileSync(path, new Uint8Array(4096).fill(7));
  linkSync(path, other);
  for (const pair of [
    [path, path],
    [path, `${other},readonly`],
    [`${path},snapshot`, other],
  ])
    expect(() => openDisks(pair)).toThrow(/it is a disk already/);
  const disks = openDisks([`${path},readonly`, `${other},snapshot`]);
  expect(disks.map(({ mode }) => mode)).toEqual(["readonly", "snapshot"]);
  for (const { close } of disks) close();
  expect(() => openDisks([`${path},readonly`, join(scratch, "none")])).toThrow(
    /--disk .*none: there is no such file/,
  );
});
