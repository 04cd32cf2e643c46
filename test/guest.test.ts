/** Commands in Debian's guest, as somebody types them: words, streams, statuses, and Debian's own programs. */
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Ended, runAsTyped, scratchFolder, spevisor } from "./guest/cli.ts";
import { guestFor } from "./guest/guests.ts";

const bookworm = await guestFor("guest");
const MINUTES = 60_000;
const scratch = scratchFolder("guest");
afterAll(scratch.remove);

/** The exit code, and nothing on standard error that the command did not write. */
const ended = (code: number, out: string, err = "") => ({ code, out, err });
const shell = (script: string, options: readonly string[] = []): Promise<Ended> =>
  runAsTyped(["sh", "-c", script], options);

describe.skipIf(bookworm === undefined)("a command in Debian's guest", { timeout: 5 * MINUTES }, () => {
  it("prints what it prints, and nothing else is printed", async () => {
    const { code, out, err } = await runAsTyped(["uname", "-a"]);
    expect(out).toMatch(
      /^Linux spevisor \d+\.\d+\.\d+-\d+-cloud-arm64 #1 SMP Debian [^\n]* aarch64 GNU\/Linux\n$/,
    );
    expect(out).toContain(` ${bookworm?.manifest.release} `);
    // A first run boots the guest.
    expect({ code, err: err.replace(/^spevisor: booting.*\n/gm, "") }).toEqual({ code: 0, err: "" });
  });

  it("gives its exit status, 127 where there is no such command, and 128 + n after signal n", async () => {
    expect(await shell("exit 7")).toEqual(ended(7, ""));
    expect(await runAsTyped(["false"])).toEqual(ended(1, ""));
    expect(await runAsTyped(["nonesuch", "a"])).toMatchObject({
      code: 127,
      out: "",
      err: expect.stringContaining("nonesuch: not found"),
    });
    expect(await shell("kill -9 $$")).toMatchObject({ code: 137, out: "" });
    expect(await shell("kill -TERM $$")).toMatchObject({ code: 143, out: "" });
  });

  it("gets its words as they are, and keeps its streams apart", async () => {
    const words = ["a b", "", "'", '"$HOME"', "\\n", "*", "ü🙂", "-x", "$(id)"];
    expect(await runAsTyped(["printf", "<%s>\\n", ...words])).toEqual(
      ended(0, words.map((word) => `<${word}>\n`).join("")),
    );
    expect(await shell("echo out; echo err >&2; echo more")).toEqual(ended(0, "out\nmore\n", "err\n"));
  });

  it("reads standard input: a pipe, a file, nothing", async () => {
    expect(await runAsTyped(["cat"], [], { input: "hello\n" })).toEqual(ended(0, "hello\n"));
    expect(await runAsTyped(["wc", "-c"])).toEqual(ended(0, "0\n"));
    const bytes = Uint8Array.from({ length: 1_000_000 }, (_, i) => (i * i) >> 3);
    writeFileSync(scratch.at("million"), bytes);
    const sum = createHash("sha256").update(bytes).digest("hex");
    expect(await runAsTyped(["sha256sum"], [], { input: { file: scratch.at("million") } })).toEqual(
      ended(0, `${sum}  -\n`),
    );
    // A command that reads nothing of it ends all the same.
    expect(await runAsTyped(["true"], [], { input: { file: scratch.at("million") } })).toEqual(ended(0, ""));
  });

  it("reads more than the port holds at once, from a file and from a pipe", async () => {
    const text = "0123456789abcde\n".repeat(200_000);
    writeFileSync(scratch.at("big"), text);
    const sum = `${createHash("sha256").update(text).digest("hex")}  -\n`;
    expect(await runAsTyped(["sha256sum"], [], { input: text })).toEqual(ended(0, sum));
    expect(await runAsTyped(["sha256sum"], [], { input: { file: scratch.at("big") } })).toEqual(
      ended(0, sum),
    );
  });

  it("writes more than a pipe holds", async () => {
    const { code, out } = await shell("seq 1 300000");
    expect(code).toBe(0);
    expect(out).toBe(Array.from({ length: 300_000 }, (_, i) => `${i + 1}\n`).join(""));
  });

  it("may end the machine: off is 0, a panic and a reboot are 125, --timeout is 124", async () => {
    expect(await runAsTyped(["poweroff", "-f"])).toMatchObject({
      code: 0,
      err: expect.stringContaining("the guest has powered off"),
    });
    const panic = await shell("echo c >/proc/sysrq-trigger");
    expect(panic.code).toBe(125);
    expect(panic.err).toContain("Kernel panic - not syncing: sysrq triggered crash");
    expect(panic.err).toContain("its kernel has panicked");
    expect(await runAsTyped(["reboot", "-f"])).toMatchObject({
      code: 125,
      err: expect.stringContaining("reboot: Restarting system"),
    });
    expect(await shell("while :; do :; done", ["--timeout", "5"])).toMatchObject({
      code: 124,
      err: expect.stringContaining("--timeout is over"),
    });
  });
});

const SHELL_CHECKS = [
  ...["checksums", "compression", "archives", "sorting", "awk_numbers", "finding", "forking", "modules"],
  ...["sleeping", "perf_stat"],
];

describe.skipIf(bookworm === undefined)("Debian's own programs", { timeout: 5 * MINUTES }, () => {
  let lines: readonly string[] = [];
  beforeAll(async () => {
    const file = fileURLToPath(new URL("./guest/checks.sh", import.meta.url));
    const { code, out, err } = await runAsTyped(["sh", "-s", ...SHELL_CHECKS], [], { input: { file } });
    lines = out.split("\n");
    // What a check prints says why it failed.
    if (code !== 0 || out.includes("failed")) console.log(out, err);
  }, 5 * MINUTES);

  it.each(SHELL_CHECKS)("%s", (check) => expect(lines).toContain(`${check} ok`));
});

it("says which mirror does not answer where there is no guest", { timeout: MINUTES }, async () => {
  const env = { XDG_CACHE_HOME: scratch.at("empty"), SPEVISOR_MIRROR: "http://127.0.0.1:9/debian" };
  const { code, out, err } = await spevisor(["run", "--", "true"], { env });
  expect(err).toContain("127.0.0.1:9");
  expect(err).not.toMatch(/\n\s+at /);
  expect({ code, out }).toEqual({ code: 2, out: "" });
});
