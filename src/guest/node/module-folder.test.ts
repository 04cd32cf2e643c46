import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { UserError } from "../../common/errors.ts";
import { kernelModules } from "../debian/modules.ts";
import { fakeModule } from "./fake-mirror.testing.ts";
import { openModules } from "./module-folder.ts";

const scratch = mkdtempSync(join(tmpdir(), "module-folder-"));
afterAll(() => rmSync(scratch, { recursive: true }));
const at = (name: string): string => join(scratch, name);
const put = (name: string, content: Uint8Array | string): void => {
  mkdirSync(dirname(at(name)), { recursive: true });
  writeFileSync(at(name), content);
};

put("root/lib/modules/6.1-x/kernel/fs/9p/9p.ko", fakeModule(["depends=9pnet"]));
put("root/lib/modules/6.1-x/kernel/net/9pnet.ko", fakeModule(["depends="]));
put("root/lib/modules/6.1-x/modules.builtin", "kernel/drivers/char/virtio_console.ko\n");
symlinkSync("lib", at("root/usr"));
symlinkSync("..", at("root/lib/modules/6.1-x/build"));
// As an unpacked package of sid's has it: no list of depmod's, the kernel beside its modules.
put("sid/usr/lib/modules/7.2+deb14-arm64/kernel/drivers/virtio/virtio_mmio.ko", fakeModule([]));
put("sid/usr/lib/modules/7.2+deb14-arm64/vmlinuz", "MZ");
put("build/include/config/kernel.release", "6.18.0-rc1\n");
put("build/Kbuild", "");
put("build/kernel/sched/core.c", "");
put("build/drivers/block/virtio_blk.ko", fakeModule([]));
put("two/lib/modules/6.1/kernel/a.ko", fakeModule([]));
put("two/lib/modules/6.2/kernel/a.ko", fakeModule([]));
put("empty/kernel/x.c", "");
put("nothing/file", "");

it.each([
  ["root/lib/modules/6.1-x", "6.1-x", ["9p", "9pnet"]],
  ["root/lib/modules", "6.1-x", ["9p", "9pnet"]],
  ["root/lib", "6.1-x", ["9p", "9pnet"]],
  ["root", "6.1-x", ["9p", "9pnet"]],
  ["sid", "7.2+deb14-arm64", ["virtio_mmio"]],
  ["sid/usr/lib/modules/7.2+deb14-arm64", "7.2+deb14-arm64", ["virtio_mmio"]],
  ["build", "6.18.0-rc1", ["virtio_blk"]],
])("finds a kernel's modules: %s", async (folder, release, loadable) => {
  const found = openModules(at(folder));
  expect(found.release).toBe(release);
  const modules = await kernelModules(found.files);
  expect(modules.loadable).toEqual(loadable);
});

it.each([
  ["missing", /--modules .*missing: there is no such folder/],
  ["nothing/file", /it is not a folder/],
  ["nothing", /no kernel's modules are in it/],
  ["empty", /no module is in it/],
  ["two", /modules of several kernels: 6\.1, 6\.2\nName one, such as .*6\.1/],
])("refuses what has none, or too many: %s", (folder, message) => {
  expect(() => openModules(at(folder))).toThrow(UserError);
  expect(() => openModules(at(folder))).toThrow(message);
});
