import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";

const scratch = mkdtempSync(join(tmpdir(), "spevisor-init-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
const INIT = fileURLToPath(new URL("init.sh", import.meta.url));
const TEXT = readFileSync(INIT, "utf8");

const missing = ["sh", "setsid", "base64", "mktemp"].filter(
  (name) => spawnSync("sh", ["-c", `command -v ${name}`]).status !== 0,
);
if (missing.length > 0)
  console.log(`init.test.ts: skipped, needs: apt-get install util-linux coreutils dash (${missing})`);

/** init's functions without its doing, with ports and commands of ours. */
function functions(): string {
  const end = TEXT.indexOf("\nprepare\n");
  expect(end).toBeGreaterThan(0);
  return TEXT.slice(0, end)
    .replace(/^export PATH=.*$/m, "")
    .replaceAll("/run/command", join(scratch, "command"));
}

const haveBusybox = spawnSync("busybox", ["true"]).status === 0;

describe.skipIf(missing.length > 0)("init", () => {
  it("is a shell script, as far as a shell can tell without running it", () => {
    const [shell, ...args] = haveBusybox ? ["busybox", "sh"] : ["sh"];
    const done = spawnSync(shell as string, [...args, "-n", INIT], { encoding: "utf8" });
    expect(done.stderr).toBe("");
    expect(done.status).toBe(0);
    expect(TEXT.startsWith("#!/bin/busybox sh\n")).toBe(true);
  });

  /** What init says on the control port, and what a command's streams had. */
  function perform(
    doing: string,
    stdin = "",
  ): { readonly said: string; readonly out: string; readonly err: string } {
    const at = (name: string) => join(scratch, name);
    writeFileSync(at("stdin"), stdin);
    writeFileSync(
      at("init"),
      `${functions()}
stdin=${at("stdin")} stdout=${at("stdout")} stderr=${at("stderr")}
: >"$stdout"; : >"$stderr"
exec 3>${at("said")}
${doing}
`,
    );
    const done = spawnSync("sh", [at("init")], { encoding: "utf8", timeout: 20_000 });
    expect(done.status, done.stderr).toBe(0);
    const read = (name: string) => readFileSync(at(name), "utf8");
    return { said: read("said"), out: read("stdout"), err: read("stderr") };
  }
  const run = (script: string, stdin = "") => perform(`run ${Buffer.from(script).toString("base64")}`, stdin);

  it("runs a script with streams of its own and says how it ended", () => {
    expect(run("cat; echo 'a  b\\n' >&2; exit 3", "typed\n")).toEqual({
      said: "exit 3\n",
      out: "typed\n",
      err: expect.stringMatching(/^a {2}b/),
    });
    expect(run("true").said).toBe("exit 0\n");
    expect(run("kill -TERM $$").said).toBe("exit 143\n");
    expect(run("no-such-program").said).toBe("exit 127\n");
  });

  it("gives a script a session of its own, and not the control port", () => {
    expect(run("echo mischief >&3").said).toBe("exit 2\n");
    const [pid, session] = run('cut -d" " -f1,6 /proc/self/stat; echo $$').out.trim().split(/\s+/).slice(1);
    expect(session).toBe(pid);
  });

  it("refuses a script that is not base64", () => {
    expect(perform("run '%%%'").said).toBe("exit 126\n");
  });

  it("answers each line once, on one line", () => {
    const mounted = join(scratch, "mounted, with a space");
    const options = "trans=virtio,version=9p2000.L,msize=262144,cache=mmap,directio";
    const { said } = perform(`
answer true
fails() { echo 'first'; echo 'second' >&2; return 1; }
answer fails
answer false
answer set_size 24
answer share tag
mount() { echo "mount: $*"; return 1; }
modprobe() { :; }
grep() { :; }
answer share tag ${btoa(mounted)}
answer share tag ${btoa(mounted)} ro`);
    expect(said.split("\n")).toEqual([
      "ok",
      "error first second",
      "error false failed",
      "error size: needs ROWS COLS",
      "error share: needs TAG BASE64",
      `error mount: -t 9p -o ${options} tag ${mounted}`,
      `error mount: -t 9p -o ${options},ro tag ${mounted}`,
      "",
    ]);
  });

  it("finds a port by its name", () => {
    const { said } = perform(`
cd ${scratch} && mkdir -p ports/vport0p1 ports/vport0p2
echo org.spevisor.stdin >ports/vport0p1/name; echo org.spevisor.control >ports/vport0p2/name
${functions().slice(functions().indexOf("port() {"), functions().indexOf("# A port's name")).replace("/sys/class/virtio-ports/", "ports/")}
say "$(port control)"; say "$(port stdin)"; port other || say none`);
    expect(said).toBe("/dev/vport0p2\n/dev/vport0p1\nnone\n");
  });
});
