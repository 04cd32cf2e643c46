/** What `spevisor run` cannot work with: exit code 2, words that name it, and nothing left behind. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fakeImage } from "../src/guest/node/fake-mirror.testing.ts";
import { scratchFolder, spevisor } from "./guest/cli.ts";
import { guestFor } from "./guest/guests.ts";

const guest = await guestFor("guest, refusals with a kernel");
const MINUTES = 60_000;
const scratch = scratchFolder("guest-refusals");
afterAll(scratch.remove);

/** `spevisor run ARGV` in a folder whose files are the same afterwards. */
async function refused(argv: readonly string[], words: RegExp): Promise<void> {
  const files = (): readonly string[] => readdirSync(scratch.at(""), { recursive: true }).map(String).sort();
  const before = files();
  const { code, out, err } = await spevisor(["run", ...argv], { cwd: scratch.at("") });
  const what = argv.join(" ");
  expect(err, what).toMatch(words);
  expect(err, what).not.toMatch(/\n\s+at |a bug of ours/);
  expect({ code, out }, what).toEqual({ code: 2, out: "" });
  expect(files(), what).toEqual(before);
}

beforeAll(() => {
  const image = fakeImage();
  writeFileSync(scratch.at("Image"), image);
  writeFileSync(scratch.at("text"), "#!/bin/sh\n".repeat(1000));
  writeFileSync(scratch.at("empty"), "");
  writeFileSync(scratch.at("short"), image.subarray(0, 40));
  writeFileSync(scratch.at("half.gz"), gzipSync(image).subarray(0, -20));
  // One raw block, whose checksum is not that of its content: what a bit turned over comes to.
  const zstdHeader = [0x28, 0xb5, 0x2f, 0xfd, 0x64, (4096 - 256) & 0xff, (4096 - 256) >> 8];
  const rawBlock = [((4096 << 3) & 0xff) | 1, 4096 >> 5, 0];
  writeFileSync(scratch.at("flipped.zst"), Uint8Array.of(...zstdHeader, ...rawBlock, ...image, 1, 2, 3, 4));
  mkdirSync(scratch.at("folder"));
});

describe("spevisor run refuses", { timeout: 5 * MINUTES }, () => {
  it.each([
    [["--kernel", "nonesuch"], /--kernel nonesuch: there is no such file/],
    [["--kernel", "folder"], /--kernel folder: it is a directory/],
    [["--kernel", "text"], /--kernel text: .*Image/],
    [["--kernel", "empty"], /--kernel empty: /],
    [["--kernel", "short"], /--kernel short: /],
    [["--kernel", "half.gz"], /--kernel half\.gz: it is damaged/],
    [["--kernel", "flipped.zst"], /--kernel flipped\.zst: it is damaged \(.*checksum/],
    [["--kernel", "Image", "--initrd", "nonesuch"], /--initrd nonesuch: there is no such file/],
    [["--kernel", "Image", "--initrd", "text", "--", "true"], /a command needs spevisor's own RAM disk/],
    [["--kernel", "Image", "--dtb", "text"], /--dtb text: /],
    [["--kernel", "Image", "--disk", "nonesuch"], /nonesuch: there is no such file/],
    [["--kernel", "Image", "--disk", "folder"], /folder: it is a directory/],
    [["--kernel", "Image", "--share", "nonesuch"], /nonesuch: there is no such/],
    [["--kernel", "Image", "--share", "text"], /text: it is not a directory/],
    [["--kernel", "Image", "--snapshot", "text"], /--kernel.*snapshot/],
    [["--snapshot", "text"], /--snapshot text: no snapshot/],
    [["--snapshot", "nonesuch"], /--snapshot nonesuch: there is no such file/],
    [["--snapshot", "text", "--cpus", "2"], /--cpus/],
    [["--cpus", "0"], /--cpus/],
    [["--cpus", "17"], /--cpus/],
    [["--cpus", "two"], /--cpus/],
    [["--memory", "0"], /--memory/],
    [["--memory", "12banana"], /--memory/],
    [["--rtc", "nonsense"], /--rtc: "nonsense" is no date/],
    [["--seed", "-1"], /--seed/],
    [["--timeout", "soon"], /--timeout/],
    [["--suite", "nonesuch"], /nonesuch/],
    [["--policy", "nonesuch", "--kernel", "Image"], /nonesuch/],
    [["--profile", "nonesuch", "--kernel", "Image"], /nonesuch/],
    [["--kernel", "Image", "--json", "nonesuch/run.json"], /nonesuch/],
    [["--kernel", "Image", "--save-snapshot", "nonesuch/a"], /nonesuch/],
    [["--nonesuch"], /--nonesuch/],
  ] as const)("%j", (argv, words) => refused(argv, words));

  it("a command that the guest would read for minutes", async () => {
    await refused(["--", "echo", "x".repeat(70_000), "y".repeat(70_000)], /a command of 140\d+ characters/);
  });
});

describe.skipIf(guest === undefined)("spevisor run refuses, with a kernel", { timeout: 5 * MINUTES }, () => {
  it("memory that is too small for it", async () => {
    await refused(["--memory", "16M", "--", "true"], /16 MiB|--memory/);
    await refused(["--memory", "1M", "--", "true"], /1 MiB|--memory/);
  });

  it("a kernel that is cut short", async () => {
    writeFileSync(scratch.at("cut"), readFileSync(guest!.image).subarray(0, 1_000_000));
    await refused(["--kernel", scratch.at("cut")], /cut: cut short: 1000000 of \d+ bytes/);
  });
});
