/** What a command leaves in /out comes back, on kernels with and without 9P; how it ends does not matter. */
import { createHash } from "node:crypto";
import {
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import { runAsTyped, runInGuest, scratchFolder } from "./guest/cli.ts";
import { guestFor } from "./guest/guests.ts";

const bookworm = await guestFor("guest, --out");
const trixie = await guestFor("guest, --out on trixie", "trixie");
const generic = await guestFor("guest, --out and --share", "bookworm", "generic");
const MINUTES = 60_000;
const scratch = scratchFolder("guest-out");
afterAll(scratch.remove);

const run = (script: string, options: readonly string[]) => runInGuest(["sh", "-c", script], options);
/** What a first run says. */
const quiet = (err: string): string => err.replace(/^spevisor: (booting|fetching).*\n/gm, "");

for (const [suite, guest] of [
  ["bookworm", bookworm],
  ["trixie", trixie],
] as const)
  it.skipIf(guest === undefined)(`--out brings files back (${suite})`, { timeout: 3 * MINUTES }, async () => {
    const folder = scratch.at(`${suite}/made/anew`);
    const script = `cd /out; mkdir -p a/b; echo hi >a/b/c; chmod 640 a/b/c; ln a/b/c hard; ln -s a/b/c soft
      printf x >"$(printf 'caf\\351')"; head -c 5000000 /dev/urandom >big; sha256sum <big
      truncate -s 20M sparse; echo end >>sparse; touch -d '2001-02-03 04:05:06' a/b; chmod 500 a; echo done >&2`;
    const { code, out, err } = await run(script, ["--suite", suite, "--out", folder]);
    expect({ code, err: quiet(err) }).toEqual({ code: 0, err: "done\n" });
    const at = (name: string): string => `${folder}/${name}`;
    expect(readFileSync(at("a/b/c"), "utf8")).toBe("hi\n");
    expect([statSync(at("hard")).ino, statSync(at("hard")).mode & 0o7777]).toEqual([
      statSync(at("a/b/c")).ino,
      0o640,
    ]);
    expect(readlinkSync(at("soft"))).toBe("a/b/c");
    expect(readFileSync(Buffer.from(at("caf\xe9"), "latin1"), "utf8")).toBe("x");
    expect(
      `${createHash("sha256")
        .update(readFileSync(at("big")))
        .digest("hex")}  -\n`,
    ).toBe(out);
    const sparse = statSync(at("sparse"));
    expect([sparse.size, sparse.blocks * 512 < 2 ** 20]).toEqual([20 * 2 ** 20 + 4, true]);
    expect(statSync(at("a/b")).mtime.toISOString()).toBe("2001-02-03T04:05:06.000Z");
    expect(statSync(at("a")).mode & 0o7777).toBe(0o500);
  });

describe.skipIf(bookworm === undefined)("--out", { timeout: 5 * MINUTES }, () => {
  it("comes with the command's status, and its output", async () => {
    const { code, out, err } = await run("echo x >/out/x; echo said; exit 7", [
      "--out",
      scratch.at("status"),
    ]);
    expect({ code, out, err: quiet(err) }).toEqual({ code: 7, out: "said\n", err: "" });
    expect(readdirSync(scratch.at("status"))).toEqual(["x"]);
  });

  it("comes when --timeout is over, of a command that still runs, and of one that left others running", async () => {
    const forever = "echo x >/out/x; while :; do :; done";
    // It counts from a process's start.
    const late = await runAsTyped(["sh", "-c", forever], ["--timeout", "6", "--out", scratch.at("late")]);
    expect(late).toMatchObject({ code: 124, err: expect.stringContaining("--timeout is over") });
    expect(readFileSync(scratch.at("late/x"), "utf8")).toBe("x\n");
    const left = await run("sleep 1000 & echo x >/out/x", ["--out", scratch.at("left")]);
    expect([left.code, readdirSync(scratch.at("left"))]).toEqual([0, ["x"]]);
  });

  it("takes the place of files that are there, and leaves the others", async () => {
    for (const name of ["there", "other"]) {
      const { code } = await run(`echo ${name} >/out/x; echo ${name} >/out/${name}`, [
        "--out",
        scratch.at("twice"),
      ]);
      expect(code).toBe(0);
    }
    expect(readdirSync(scratch.at("twice")).sort()).toEqual(["other", "there", "x"]);
    expect(readFileSync(scratch.at("twice/x"), "utf8")).toBe("other\n");
  });

  it("says what cannot come, and ends with 125 where the command did not fail itself", async () => {
    const pipe = await run("mkfifo /out/pipe; echo x >/out/x; ln -s /etc/passwd /out/l", [
      "--out",
      scratch.at("some"),
    ]);
    expect(pipe.err).toContain(`--out ${scratch.at("some")}: "./pipe": a device, pipe or socket`);
    expect([pipe.code, readdirSync(scratch.at("some")).sort()]).toEqual([125, ["l", "x"]]);
    expect(lstatSync(scratch.at("some/l")).isSymbolicLink()).toBe(true);
    const off = await run("poweroff -f", ["--out", scratch.at("off")]);
    expect([off.code, off.err]).toEqual([125, expect.stringContaining("the guest is off")]);
    const gone = await run("rmdir /out; exit 3", ["--out", scratch.at("gone")]);
    expect([gone.code, gone.err]).toEqual([3, expect.stringContaining("could not read all of /out")]);
  });

  it("is asked of a guest that was saved, too", async () => {
    const saved = scratch.at("saved.snapshot");
    const options = ["--save-snapshot", saved, "--out", scratch.at("before")];
    expect((await run("echo one >/out/one", options)).code).toBe(0);
    expect((await run("echo two >/out/two", ["--snapshot", saved, "--out", scratch.at("after")])).code).toBe(
      0,
    );
    expect(readdirSync(scratch.at("before"))).toEqual(["one"]);
    expect(readdirSync(scratch.at("after")).sort()).toEqual(["one", "two"]);
  });

  it("does not hear an archive that nobody asked for, and refuses one that is none", async () => {
    // Root in the guest may end whoever answers there, and take the port.
    const script = `port=$(grep -l org.spevisor.out /sys/class/virtio-ports/*/name); port=/dev/$(basename $(dirname $port))
      kill -9 $(ls -l /proc/[0-9]*/fd/3 2>/dev/null | grep "$port$" | sed 's,.*/proc/\\([0-9]*\\)/.*,\\1,') 2>/dev/null
      (read line; head -c 100000 /dev/urandom) <>$port >&0 & sleep 0.1`;
    const { code, err } = await run(script, ["--out", scratch.at("hostile")]);
    expect([code, err]).toEqual([125, expect.stringContaining("the guest's archive is damaged")]);
    expect(existsSync(scratch.at("hostile")) ? readdirSync(scratch.at("hostile")) : []).toEqual([]);
  });

  it("is refused before anything runs where it cannot be", async () => {
    writeFileSync(scratch.at("file"), "");
    const { code, out, err } = await run("echo no", ["--out", scratch.at("file/below")]);
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err).toContain("is no directory");
  });
});

it.skipIf(generic === undefined)("--out and --share at a time", { timeout: 3 * MINUTES }, async () => {
  writeFileSync(scratch.at("input"), "input");
  const options = ["--share", `${scratch.at("")}:/here:ro`, "--out", scratch.at("both")];
  const { code, err } = await run("cp /here/input /out/output", options);
  expect({ code, err: quiet(err) }).toEqual({ code: 0, err: "" });
  expect(readFileSync(scratch.at("both/output"), "utf8")).toBe("input");
});
