/** The same run twice is the same run, also where a snapshot lies between; and snapshots that are refused. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { crc32, gunzipSync, gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readReport } from "../src/lab/report/report-file.ts";
import { type Ended, runInGuest, scratchFolder } from "./guest/cli.ts";
import { guestFor } from "./guest/guests.ts";

const guest = await guestFor("guest, snapshots");
const MINUTES = 60_000;
const scratch = scratchFolder("guest-snapshots");
afterAll(scratch.remove);

/** Looks at clocks, at what is drawn, at processes that take turns, and at the kernel's own counters. */
const COMMAND = [
  "sh",
  "-c",
  `date +%s; cut -d ' ' -f 1 /proc/uptime; head -c 32 /dev/urandom | sha256sum; mktemp -u
   for i in 1 2 3 4; do (sleep 0.0$i; seq $i 500 | md5sum) & done; wait
   grep -E 'ttyAMA0|arch_timer|virtio' /proc/interrupts; grep ctxt /proc/stat
   perf stat -x, -e cycles:u,instructions:k true`,
];

/** What a run came to, but for what is this computer's own. */
async function measured(command: readonly string[], options: readonly string[]) {
  const json = scratch.at("run.json");
  const { code, out, err } = await runInGuest(command, ["--json", json, ...options]);
  expect(code, err).toBe(0);
  const { host, ...report } = readReport(readFileSync(json, "utf8"), json);
  return { started: host.machine?.snapshot, run: { out, err, report } };
}

describe.skipIf(guest === undefined)("a run", { timeout: 10 * MINUTES }, () => {
  for (const cpus of ["1", "2"])
    it(`on ${cpus} vCPUs is the same every time, booted or from a snapshot`, async () => {
      const options = ["--cpus", cpus];
      const cold = await measured(COMMAND, [...options, "--no-cache"]);
      expect(cold.started).toBe("none");
      expect(cold.run.out).toContain("arch_timer");
      // The first boots anew and makes the snapshot if there is none.
      await measured(["true"], options);
      for (const again of ["once", "twice"]) {
        const warm = await measured(COMMAND, options);
        expect(warm.started, again).toBe("restored");
        expect(warm.run, again).toEqual(cold.run);
      }
    });

  it("under another policy, with other costs and limits of the host goes on from the same boot", async () => {
    await measured(["true"], []);
    const other = ["--policy", "window", "--profile", "thread-debug", "--memlock", "8M"];
    const { started, run } = await measured(["true"], other);
    expect(started).toBe("restored");
    expect(run.report.runs[0]).toMatchObject({ policy: "window", profile: "thread-debug" });
  });

  it("with another seed draws other numbers, and does the rest alike", async () => {
    const command = ["sh", "-c", "uname -v; head -c 16 /dev/urandom | xxd -p"];
    const [one, two] = [await runInGuest(command), await runInGuest(command, ["--seed", "2", "--no-cache"])];
    const [version, random] = one.out.split("\n");
    expect(one.code).toBe(0);
    expect(random).toMatch(/^[0-9a-f]{32}$/);
    expect(two.out.split("\n")[0]).toBe(version);
    expect(two.out.split("\n")[1]).toMatch(/^[0-9a-f]{32}$/);
    expect(two.out.split("\n")[1]).not.toBe(random);
  });
});

const CHECKSUM_AT = "spevisor snapshot\n".length + 4;
const BODY = CHECKSUM_AT + 4;

/** A snapshot as another build would have written it: whole, with a right checksum (src/vmm/node/snapshot-file.ts). */
function ofAnotherBuild(file: Buffer): Buffer {
  const headBytes = file.readUInt32LE(BODY);
  const headAt = BODY + 4;
  const head = JSON.parse(gunzipSync(file.subarray(headAt, headAt + headBytes)).toString("utf8")) as object;
  const packed = gzipSync(JSON.stringify({ ...head, build: "another" }));
  const numbers = Buffer.alloc(8);
  numbers.writeUInt32LE(packed.length, 4);
  const body = Buffer.concat([numbers.subarray(4), packed, file.subarray(headAt + headBytes)]);
  numbers.writeUInt32LE(crc32(body), 0);
  return Buffer.concat([file.subarray(0, CHECKSUM_AT), numbers.subarray(0, 4), body]);
}

/** The file with one bit the other way round. */
function flipped(file: Buffer, at: number, bit: number): Buffer {
  const copy = Buffer.from(file);
  copy[at] = (copy[at] ?? 0) ^ (1 << bit);
  return copy;
}

describe.skipIf(guest === undefined)("--save-snapshot and --snapshot", { timeout: 10 * MINUTES }, () => {
  const saved = scratch.at("saved.snapshot");
  let file = Buffer.alloc(0);
  beforeAll(async () => {
    const script = "echo prepared >/tmp/state; sleep 1000 <&- >&- 2>&- & echo $! >/tmp/sleeper";
    expect(await runInGuest(["sh", "-c", script], ["--save-snapshot", saved])).toEqual({
      code: 0,
      out: "",
      err: "",
    });
    file = readFileSync(saved);
  }, 5 * MINUTES);

  it("a machine goes on where it was saved, as often as one likes", async () => {
    for (const again of ["once", "twice"])
      expect(
        await runInGuest(
          ["sh", "-c", "cat /tmp/state; kill -0 $(cat /tmp/sleeper) && echo x >>/tmp/state"],
          ["--snapshot", saved],
        ),
        again,
      ).toEqual({ code: 0, out: "prepared\n", err: "" });
    expect(readFileSync(saved).equals(file)).toBe(true);
  });

  it("may be saved anew from a restored machine", async () => {
    const second = scratch.at("second.snapshot");
    const add = await runInGuest(
      ["sh", "-c", "echo more >>/tmp/state"],
      ["--snapshot", saved, "--save-snapshot", second],
    );
    expect(add).toEqual({ code: 0, out: "", err: "" });
    expect(await runInGuest(["cat", "/tmp/state"], ["--snapshot", second])).toEqual({
      code: 0,
      out: "prepared\nmore\n",
      err: "",
    });
  });

  it("a machine with a disk is saved as it is when its command has ended", async () => {
    const [disk, file] = [scratch.at("disk"), scratch.at("disk.snapshot")];
    writeFileSync(disk, Buffer.alloc(1024 ** 2));
    const script = "echo written >/dev/vda; echo prepared >/tmp/state";
    const made = await runInGuest(["sh", "-c", script], ["--disk", disk, "--save-snapshot", file]);
    expect(made).toEqual({ code: 0, out: "", err: "" });
    const again = await runInGuest(
      ["sh", "-c", "cat /tmp/state; head -n1 /dev/vda"],
      ["--disk", disk, "--snapshot", file],
    );
    expect(again).toEqual({ code: 0, out: "prepared\nwritten\n", err: "" });
    expect(readFileSync(disk, "latin1").slice(0, 8)).toBe("written\n");
  });

  const refusals: readonly (readonly [string, () => Buffer, RegExp])[] = [
    ["an empty file", () => Buffer.alloc(0), /it is empty/],
    ["the first line alone", () => file.subarray(0, 18), /cut short/],
    ["half of the header", () => file.subarray(0, 40), /cut short/],
    ["half of the file", () => file.subarray(0, file.length >> 1), /cut short/],
    ["all but the last byte", () => file.subarray(0, -1), /cut short/],
    ["a byte more", () => Buffer.concat([file, Buffer.alloc(1)]), /damaged/],
    ["a bit of the first line", () => flipped(file, 3, 5), /no snapshot/],
    ["a bit of the format's number", () => flipped(file, 19, 0), /format/],
    ["a bit of the checksum", () => flipped(file, CHECKSUM_AT + 7, 3), /damaged/],
    ["a bit of the head's length", () => flipped(file, BODY + 1, 6), /damaged/],
    ["a bit of the head", () => flipped(file, BODY + 99, 2), /damaged/],
    ["a bit in the middle of the pages", () => flipped(file, file.length >> 1, 7), /damaged/],
    ["the last bit", () => flipped(file, file.length - 1, 7), /damaged/],
    ["another build's", () => ofAnotherBuild(file), /another version/],
  ];
  it("a file that is not whole, or not this version's, is refused with words", async () => {
    const damaged = scratch.at("damaged.snapshot");
    for (const [what, make, words] of refusals) {
      writeFileSync(damaged, make());
      refused(await runInGuest(["true"], ["--snapshot", damaged]), what, words);
    }
  });

  it("options that a made machine cannot take are refused with words", async () => {
    for (const [option, value] of [
      ["--cpus", "2"],
      ["--memory", "1G"],
      ["--seed", "2"],
      ["--suite", "trixie"],
      ["--append", "quiet"],
      ["--rtc", "now"],
      ["--share", scratch.at("")],
      ["--disk", saved],
    ] as const)
      refused(await runInGuest(["true"], ["--snapshot", saved, option, value]), option, new RegExp(option));
    refused(await runInGuest(["true"], ["--snapshot", scratch.at("nonesuch")]), "nonesuch", /no such file/);
  });

  it("nothing is left where a snapshot cannot be written", async () => {
    const nowhere = scratch.at("nonesuch/a.snapshot");
    refused(
      await runInGuest(["true"], ["--save-snapshot", nowhere]),
      "a folder that is not there",
      /nonesuch/,
    );
    expect(existsSync(scratch.at("nonesuch"))).toBe(false);
    const before = readdirSync(scratch.at(""));
    refused(await runInGuest(["true"], ["--save-snapshot", scratch.at("")]), "a folder", /snapshot/);
    expect(readdirSync(scratch.at(""))).toEqual(before);
  });
});

function refused({ code, out, err }: Ended, what: string, words: RegExp): void {
  expect(err, what).toMatch(words);
  expect(err, what).not.toMatch(/\n\s+at |a bug of ours/);
  expect({ code, out }, what).toEqual({ code: 2, out: "" });
}
