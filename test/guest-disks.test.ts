/** Disks in Debian's guest: file systems as mkfs makes them by default, partitions, several disks, and their modes. */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Kernel, Suite } from "../src/guest/debian/recipe.ts";
import { runInGuest, scratchFolder } from "./guest/cli.ts";
import { guestFor } from "./guest/guests.ts";
import { has } from "./oracles.ts";

const MINUTES = 60_000;
const MIB = 1024 ** 2;
const scratch = scratchFolder("guest-disks");
afterAll(scratch.remove);
const image = (name: string): string => scratch.at(`${name}.img`);

interface FileSystem {
  readonly name: string;
  readonly program: string;
  /** Debian's package of the program. */
  readonly from: string;
  readonly mib: number;
  /** Arguments; FOLDER and FILE stand for what goes in, and the image. */
  readonly argv: readonly string[];
  /** What /proc/mounts calls it. */
  readonly type: string;
  /** Whether it was made with files in it, and whether it can be written to. */
  readonly filled: boolean;
  readonly writable: boolean;
}

const made = (
  name: string,
  program: string,
  from: string,
  mib: number,
  argv: string,
  type: string,
  filled: boolean,
  writable = true,
): FileSystem => ({ name, program, from, mib, argv: argv.split(" "), type, filled, writable });

const ALL: readonly FileSystem[] = [
  made("ext4", "mkfs.ext4", "e2fsprogs", 64, "-q -d FOLDER FILE", "ext4", true),
  made(
    "ext4-plain",
    "mkfs.ext4",
    "e2fsprogs",
    64,
    "-q -O ^metadata_csum,^64bit -d FOLDER FILE",
    "ext4",
    true,
  ),
  made("ext2", "mkfs.ext2", "e2fsprogs", 32, "-q -d FOLDER FILE", "ext4", true),
  made("xfs", "mkfs.xfs", "xfsprogs", 320, "-q FILE", "xfs", false),
  made("btrfs", "mkfs.btrfs", "btrfs-progs", 200, "-q --rootdir FOLDER FILE", "btrfs", true),
  made("btrfs-sha256", "mkfs.btrfs", "btrfs-progs", 200, "-q --csum sha256 FILE", "btrfs", false),
  made("vfat", "mkfs.vfat", "dosfstools", 64, "FILE", "vfat", false),
  made(
    "squashfs",
    "mksquashfs",
    "squashfs-tools",
    0,
    "FOLDER FILE -quiet -no-progress",
    "squashfs",
    true,
    false,
  ),
  made(
    "squashfs-zstd",
    "mksquashfs",
    "squashfs-tools",
    0,
    "FOLDER FILE -quiet -no-progress -comp zstd",
    "squashfs",
    true,
    false,
  ),
];

const there = ALL.filter(({ program }) => has(program));
for (const from of new Set(ALL.filter((one) => !there.includes(one)).map((one) => one.from)))
  console.log(`guest-disks: file systems skipped, needs: apt-get install ${from}`);

beforeAll(() => {
  mkdirSync(scratch.at("folder/dir"), { recursive: true });
  writeFileSync(scratch.at("folder/a.txt"), "hello\n");
  writeFileSync(scratch.at("folder/dir/target"), "linked\n");
  symlinkSync("target", scratch.at("folder/dir/link"));
  for (const { name, program, mib, argv } of there) {
    const file = image(name);
    if (mib > 0) {
      writeFileSync(file, "");
      truncateSync(file, mib * MIB);
    }
    const words = argv.map((word) => word.replace("FOLDER", scratch.at("folder")).replace("FILE", file));
    const { status, stderr } = spawnSync(program, words, { encoding: "utf8" });
    if (status !== 0) throw new Error(`${program}: ${stderr}`);
    truncateSync(file, Math.ceil(readFileSync(file).length / 512) * 512);
  }
  mkdirSync(scratch.at("share"));
  writeFileSync(scratch.at("share/mounts.sh"), SCRIPT);
});

/** A line for each disk: its serial number, type, whether its file and link read right, whether what is written stays. */
const SCRIPT = `mkdir -p /tmp/m
for disk in "$@"; do
  if mount /dev/$disk /tmp/m 2>/tmp/why; then
    said="$disk $(cat /sys/block/$disk/serial) $(grep ' /tmp/m ' /proc/mounts | cut -d' ' -f3) $(cat /tmp/m/a.txt /tmp/m/dir/link 2>/dev/null | tr '\\n' ' ')"
    sum=$(head -c 700000 /dev/urandom | tee /tmp/m/new 2>/dev/null | md5sum); umount /tmp/m; echo 3 >/proc/sys/vm/drop_caches
    mount /dev/$disk /tmp/m; [ "$sum" = "$(md5sum </tmp/m/new 2>/dev/null)" ] && said="$said kept"
    echo "$said"; umount /tmp/m
  else echo "$disk $(cat /tmp/why) $(dmesg | tail -2)"; fi
done
`;

const letters = (count: number): readonly string[] =>
  [..."abcdefghijklmnop"].slice(0, count).map((letter) => `vd${letter}`);
const expected = there
  .map(({ type, filled, writable }, i) =>
    [
      `vd${"abcdefghijklmnop"[i]} disk${i} ${type} `,
      filled ? "hello linked " : "",
      writable ? " kept" : "",
    ].join(""),
  )
  .join("\n");

describe.each<[Suite, Kernel]>([
  ["bookworm", "cloud"],
  ["trixie", "generic"],
])("on the %s %s kernel", (suite, kernel) => {
  it("what mkfs makes by default is mounted without naming its type, and keeps what is written", {
    timeout: 10 * MINUTES,
  }, async (context) => {
    if ((await guestFor("guest-disks", suite, kernel)) === undefined) return context.skip();
    const disks = there.flatMap(({ name }) => ["--disk", `${image(name)},snapshot`]);
    const options = [
      "--suite",
      suite,
      ...(kernel === "generic" ? ["--share", scratch.at("share")] : []),
      ...disks,
    ];
    const input = kernel === "generic" ? {} : { input: SCRIPT };
    const script = kernel === "generic" ? ["/share/mounts.sh"] : ["-s"];
    const { code, out, err } = await runInGuest(["sh", ...script, ...letters(there.length)], options, input);
    expect(out.trimEnd(), err).toBe(expected.trimEnd());
    expect(code).toBe(0);
  });
});

const bookworm = await guestFor("guest-disks");

/** Four disks in one machine, and a script that looks at all of them. */
const FILES = ["text", "read", "snapshot", "swap"] as const;
const LOOK = `for d in vda vdb vdc; do head -c 1 /dev/$d; printf " $(cat /sys/block/$d/ro) $(cat /sys/block/$d/size)\\n"; done
printf 'from the guest' | dd of=/dev/vda bs=1 seek=1000000 conv=notrunc 2>/dev/null
for d in vdb vdc; do printf X | dd of=/dev/$d conv=notrunc 2>/dev/null; done
echo 3 >/proc/sys/vm/drop_caches; for d in vdb vdc; do head -c 1 /dev/$d; done; echo
cat /sys/block/vdb/vdb1/size /sys/block/vdb/vdb2/size; head -c 6 /dev/vdb2; echo
mkswap /dev/vdd >/dev/null && swapon /dev/vdd && cat /proc/swaps`;

/** A disk with two partitions, of which the second begins with its name. */
function partitioned(): Uint8Array {
  const disk = new Uint8Array(4 * MIB);
  const view = new DataView(disk.buffer);
  for (const [i, [first, sectors]] of [
    [2048, 2048],
    [4096, 4096],
  ].entries()) {
    disk[446 + 16 * i + 4] = 0x83;
    view.setUint32(446 + 16 * i + 8, first!, true);
    view.setUint32(446 + 16 * i + 12, sectors!, true);
  }
  disk.set([0x55, 0xaa], 510);
  disk.set(new TextEncoder().encode("second"), 4096 * 512);
  return disk;
}

describe.skipIf(bookworm === undefined)("disks", { timeout: 10 * MINUTES }, () => {
  const text = Buffer.alloc(4 * MIB, "spevisor disk\n");
  const snapshot = Buffer.alloc(64 * 512, "s");
  let lines: readonly string[] = [];
  beforeAll(async () => {
    const contents = [text, partitioned(), snapshot, Buffer.alloc(MIB)];
    for (const [i, name] of FILES.entries()) writeFileSync(image(name), contents[i]!);
    const modes = ["", ":ro", ",snapshot", ""];
    const disks = FILES.flatMap((name, i) => ["--disk", `${image(name)}${modes[i]}`]);
    const { code, out, err } = await runInGuest(["sh", "-c", LOOK], disks);
    expect(code, err).toBe(0);
    lines = out.replaceAll("\0", "0").split("\n");
  }, 5 * MINUTES);

  it("are in the order of their options, as large as their files, writable or read-only", () => {
    expect(lines.slice(0, 3)).toEqual(["s 0 8192", "0 1 8192", "s 0 64"]);
  });

  it("are written to, or read-only, or written to for one run", () => {
    expect(lines[3]).toBe("0X");
    text.write("from the guest", 1_000_000);
    expect(readFileSync(image("text")).equals(text)).toBe(true);
    expect(readFileSync(image("read")).equals(partitioned())).toBe(true);
    expect(readFileSync(image("snapshot")).equals(snapshot)).toBe(true);
  });

  it("that are partitioned have their partitions", () => {
    expect(lines.slice(4, 7)).toEqual(["2048", "4096", "second"]);
  });

  it("take a swap area", () => {
    expect(lines.slice(7).join("\n")).toMatch(/^\/dev\/vdd\s+partition\s+1020\s/m);
    expect(readFileSync(image("swap")).subarray(4086, 4096).toString("latin1")).toBe("SWAPSPACE2");
  });

  it("go on from a snapshot with what a snapshot disk had of its own, and only in the same modes", async () => {
    writeFileSync(image("base"), new Uint8Array(64 * 512));
    const disk = ["--disk", `${image("base")},snapshot`];
    const saved = scratch.at("disk.snapshot");
    await runInGuest(
      ["sh", "-c", "printf kept | dd of=/dev/vda conv=notrunc,fsync 2>/dev/null"],
      [...disk, "--save-snapshot", saved],
    );
    const again = await runInGuest(
      ["sh", "-c", "echo 3 >/proc/sys/vm/drop_caches; head -c 4 /dev/vda"],
      [...disk, "--snapshot", saved],
    );
    expect(again).toEqual({ code: 0, out: "kept", err: "" });
    const other = await runInGuest(["true"], ["--disk", image("base"), "--snapshot", saved]);
    expect(other).toMatchObject({
      code: 2,
      out: "",
      err: expect.stringContaining("it was saved with --disk (snapshot)"),
    });
  });
});
