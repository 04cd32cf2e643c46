import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, describe, expect, it } from "vitest";
import { UserError } from "../../common/errors.ts";
import {
  fakeAr,
  fakeDeb,
  fakeElf,
  fakeImage,
  fakeModule,
  fakeProgram,
  fakeTar,
} from "../node/fake-mirror.testing.ts";
import { arMembers, contentOf, type DebFiles, unpackDeb } from "./deb.ts";
import { elfSection, neededLibraries } from "./elf.ts";
import { kernelImage, modulesOf } from "./kernel.ts";
import { kernelModules } from "./modules.ts";

const scratch = mkdtempSync(join(tmpdir(), "spevisor-deb-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const text = (of: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(of) as Uint8Array<ArrayBuffer>;
const said = (bytes: Uint8Array | undefined): string => new TextDecoder().decode(bytes);
const LONG = `usr/lib/${"long/".repeat(40)}name`;
const CONTENT = {
  "usr/bin/a": text("program"),
  "usr/bin/b": "a",
  [LONG]: text("found"),
  "usr/share/doc/a/copyright": text("left out"),
};

describe("an ar archive", () => {
  it("gives its members, the odd ones too", () => {
    const members = arMembers(fakeAr({ one: text("1"), two: text("22"), "three/": text("") }), "x.deb");
    expect([...members].map(([name, content]) => [name, said(content)])).toEqual([
      ["one", "1"],
      ["two", "22"],
      ["three", ""],
    ]);
  });

  it("is refused where it is none, or is cut short", () => {
    expect(() => arMembers(text("<html>"), "x.deb")).toThrow("x.deb: not a package");
    const whole = fakeAr({ one: text("1"), two: text("2222") });
    expect(() => arMembers(whole.slice(0, -2), "x.deb")).toThrow("x.deb: damaged at byte 70");
  });
});

describe("a package", () => {
  const check = (files: DebFiles): void => {
    expect([...files.keys()].sort()).toEqual(["usr/bin/a", "usr/bin/b", LONG].sort());
    expect(said(contentOf(files, "usr/bin/b"))).toBe("program");
    expect(said(contentOf(files, LONG))).toBe("found");
  };

  it("gives its files without documentation, with links followed", async () => {
    check(await unpackDeb(await fakeDeb(CONTENT), "x.deb"));
  });

  for (const { program, suffix } of [
    { program: "xz", suffix: "xz" },
    { program: "zstd", suffix: "zst" },
  ]) {
    const have = spawnSync(program, ["--version"]).status === 0;
    if (!have)
      console.log(`deb.test.ts: ${program} skipped, needs: apt-get install ${program}-utils or ${program}`);
    it.skipIf(!have)(`may be packed with ${program}`, async () => {
      const packed = spawnSync(program, ["-c"], { input: await fakeTar(CONTENT) }).stdout;
      check(await unpackDeb(fakeAr({ [`data.tar.${suffix}`]: packed }), "x.deb"));
    });
  }

  it("is refused where its data is damaged or not there", async () => {
    const packed = gzipSync(await fakeTar(CONTENT));
    await expect(unpackDeb(fakeAr({ "data.tar.gz": packed.subarray(0, 100) }), "x.deb")).rejects.toThrow(
      /^x\.deb: data\.tar\.gz is damaged/,
    );
    await expect(unpackDeb(fakeAr({ "control.tar.gz": packed }), "x.deb")).rejects.toThrow(
      "x.deb: has no data.tar",
    );
  });

  it("gives nothing for links that lead out of it, or around", async () => {
    const files = await unpackDeb(await fakeDeb({ a: "../../../b", c: "c", d: "/e", e: text("e") }), "x.deb");
    expect(contentOf(files, "a")).toBeUndefined();
    expect(contentOf(files, "c")).toBeUndefined();
    expect(said(contentOf(files, "d"))).toBe("e");
  });

  const dpkg = spawnSync("dpkg-deb", ["--version"]).status === 0;
  if (!dpkg) console.log("deb.test.ts: dpkg-deb skipped, needs: apt-get install dpkg");
  it.skipIf(!dpkg)("is one for dpkg-deb, too: ours are as Debian's", async () => {
    const file = join(scratch, "x.deb");
    writeFileSync(file, await fakeDeb(CONTENT));
    const done = spawnSync("dpkg-deb", ["--fsys-tarfile", file]);
    expect(done.status).toBe(0);
    check(await unpackDeb(fakeAr({ "data.tar": done.stdout }), "x.deb"));
  });
});

describe("an ELF file", () => {
  it("names the libraries it needs", () => {
    expect(neededLibraries(fakeProgram(["liba.so.1", "libb-2.so"]))).toEqual(["liba.so.1", "libb-2.so"]);
    expect(neededLibraries(text("#!/bin/sh\n"))).toEqual([]);
  });

  it("has no sections where it is cut short", () => {
    const file = fakeElf({ ".x": text("content") });
    expect(said(elfSection(file, ".x"))).toBe("content");
    expect(elfSection(file.slice(0, -1), ".x")).toBeUndefined();
    expect(elfSection(file, ".y")).toBeUndefined();
    new DataView(file.buffer).setUint16(0x3e, 0xfffe, true);
    expect(elfSection(file, ".x")).toBeUndefined();
  });
});

describe("a kernel package", () => {
  const IMAGE = fakeImage();
  const vmlinuz = (content: Uint8Array): DebFiles =>
    new Map([["boot/vmlinuz-6.1", { kind: "file", mode: 0o644, content }]]);

  /** drivers/firmware/efi/libstub/zboot-header.S: offset, size and the packer's name. */
  function zboot(how: string): Uint8Array {
    const packed = gzipSync(IMAGE);
    const file = new Uint8Array(64 + packed.length + 8);
    file.set(text("MZ\0\0zimg"));
    new DataView(file.buffer).setUint32(8, 64, true);
    new DataView(file.buffer).setUint32(12, packed.length, true);
    file.set(text(`${how}\0`), 24);
    file.set(packed, 64);
    return file;
  }

  it.each([
    ["raw", IMAGE],
    ["packed with gzip", gzipSync(IMAGE)],
    ["that unpacks itself under EFI", zboot("gzip")],
  ])("gives an Image that is %s", async (_, content) => {
    const { release, image } = await kernelImage(vmlinuz(content), "linux");
    expect(release).toBe("6.1");
    expect(Buffer.from(image).equals(Buffer.from(IMAGE))).toBe(true);
  });

  it("is refused where what it is packed in is damaged", async () => {
    const file = zboot("gzip");
    file.fill(0xff, 100, 110);
    await expect(kernelImage(vmlinuz(file), "linux")).rejects.toThrow(UserError);
    await expect(kernelImage(vmlinuz(file), "linux")).rejects.toThrow("linux: it is damaged");
    await expect(kernelImage(vmlinuz(text("MZ..zimg")), "linux")).rejects.toThrow(UserError);
    const module = { kind: "file", mode: 0o644, content: text("no xz file") } as const;
    const files: DebFiles = new Map([["lib/modules/6.1/loop.ko.xz", module]]);
    await expect(kernelModules(modulesOf(files, "6.1"))).rejects.toThrow(UserError);
  });

  it("may have modules that need each other, which no real one has", async () => {
    const module = (needs: string) =>
      ({ kind: "file", mode: 0o644, content: fakeModule([`depends=${needs}`]) }) as const;
    const packed: DebFiles = new Map([
      ["lib/modules/6.1/9p.ko", module("a")],
      ["lib/modules/6.1/a.ko", module("b")],
      ["lib/modules/6.1/b.ko", module("a")],
    ]);
    const { files } = await kernelModules(modulesOf(packed, "6.1"));
    expect(said(files.get("modules.dep"))).toBe("9p.ko: a.ko b.ko\na.ko: b.ko\nb.ko: a.ko\n");
  });

  it("is refused where there is no Image in it", async () => {
    await expect(kernelImage(new Map(), "linux")).rejects.toThrow("linux: has no boot/vmlinuz");
    await expect(kernelImage(vmlinuz(text("x".repeat(100))), "linux")).rejects.toThrow("is no arm64 Image");
    await expect(kernelImage(vmlinuz(zboot("lzo")), "linux")).rejects.toThrow("linux: is packed with lzo");
  });

  it("gives modules with all that they need, in an order that modprobe can load them in from the right", async () => {
    const module = (...info: readonly string[]) =>
      ({ kind: "file", mode: 0o644, content: fakeModule(info) }) as const;
    const folder = "usr/lib/modules/6.1+x";
    const packed: DebFiles = new Map([
      [`${folder}/fs/9p.ko`, module("alias=fs-9p", "depends=netfs,9pnet")],
      [`${folder}/net/9pnet_virtio.ko`, module("depends=virtio-ring,9pnet,virtio")],
      [`${folder}/net/9pnet.ko`, module("depends=")],
      [`${folder}/fs/netfs.ko`, module("depends=fscache")],
      [`${folder}/fs/fscache.ko`, module()],
      [`${folder}/virtio-ring.ko`, module("depends=virtio")],
      [`${folder}/virtio.ko`, module()],
      [`${folder}/other.ko`, module()],
      ["usr/lib/modules/6.1xx/dummy.ko", module()],
      [`${folder}/modules.builtin`, { kind: "file", mode: 0o644, content: text("kernel/virtio-blk.ko\n") }],
    ]);
    const { files, loadable, builtIn, absent } = await kernelModules(modulesOf(packed, "6.1+x"));
    expect(loadable).toEqual(["9p", "9pnet", "9pnet_virtio", "fscache", "netfs", "virtio", "virtio_ring"]);
    expect(builtIn).toEqual(["virtio_blk"]);
    expect(absent).toContain("dummy");
    expect(said(files.get("modules.dep")).split("\n")).toEqual([
      "fs/9p.ko: net/9pnet.ko fs/netfs.ko fs/fscache.ko",
      "net/9pnet.ko:",
      "net/9pnet_virtio.ko: net/9pnet.ko virtio-ring.ko virtio.ko",
      "fs/fscache.ko:",
      "fs/netfs.ko: fs/fscache.ko",
      "virtio.ko:",
      "virtio-ring.ko: virtio.ko",
      "",
    ]);
    expect(said(files.get("modules.alias"))).toBe("alias fs-9p 9p\n");
    expect(files.has("other.ko")).toBe(false);
  });

  it("gives what modules ask for only when they run: soft and weak dependencies, by name or by alias", async () => {
    const module = (...info: readonly string[]) =>
      ({ kind: "file", mode: 0o644, content: fakeModule(info) }) as const;
    const packed: DebFiles = new Map([
      [
        "lib/modules/6.1/kernel/fs/ext4/ext4.ko",
        module("softdep=pre: crypto-crc32c post: after", "depends="),
      ],
      ["lib/modules/6.1/kernel/fs/btrfs.ko", module("softdep=pre: blake2b-256", "softdep=pre: sum-of-sums")],
      ["lib/modules/6.1/kernel/fs/xfs.ko", module("weakdep=xxhash_64")],
      ["lib/modules/6.1/kernel/crypto/crc32c_generic.ko", module("alias=crypto-crc32c", "alias=crc32c")],
      [
        "lib/modules/6.1/kernel/arch/arm64/crypto/crc32c-ce.ko",
        module("alias=crypto-crc32c", "depends=simd"),
      ],
      ["lib/modules/6.1/kernel/crypto/simd.ko", module()],
      ["lib/modules/6.1/kernel/crypto/blake2b_generic.ko", module("alias=blake2b-256")],
      ["lib/modules/6.1/kernel/lib/xxhash-64.ko", module()],
      ["lib/modules/6.1/kernel/net/after.ko", module()],
      ["lib/modules/6.1/kernel/crypto/unwanted.ko", module("alias=crypto-other")],
    ]);
    const { files, loadable } = await kernelModules(modulesOf(packed, "6.1"));
    expect(loadable).toEqual(
      [
        "after",
        "blake2b_generic",
        "btrfs",
        "crc32c_ce",
        "crc32c_generic",
        "ext4",
        "simd",
        "xfs",
        "xxhash_64",
      ].sort(),
    );
    expect(said(files.get("modules.alias"))).toContain("alias crypto-crc32c crc32c_generic\n");
    // What is not needed is not loaded first.
    expect(said(files.get("modules.dep"))).toContain("kernel/fs/ext4/ext4.ko:\n");
  });
});
