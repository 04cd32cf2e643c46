/** `ask` as a process of its own, over worker threads, with a cache folder of its own. */
import { spawn } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeEach, describe, expect, it, vi } from "vitest";
import { withoutProgress } from "./progress-lines.ts";

const file = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const SPEVISOR = [file("../bin/spevisor.js")];
const SAMPLE = [file("../scripts/typescript.js"), file("ask/sample-cli.ts")];

const folder = mkdtempSync(join(tmpdir(), "spevisor-ask-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let cwd = "";
let tests = 0;
beforeEach(() => {
  cwd = join(folder, String(tests++));
  mkdirSync(cwd);
});
const at = (name: string) => join(cwd, name);
const read = (name: string) => readFileSync(at(name), "utf8");

const { NO_COLOR: _, FORCE_COLOR: __, ...plainEnv } = process.env;

function start(program: readonly string[], argv: readonly string[], env: Record<string, string> = {}) {
  const child = spawn(process.execPath, [...program, "ask", ...argv], {
    cwd,
    env: { ...plainEnv, XDG_CACHE_HOME: at("cache"), ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let out = "";
  let err = "";
  child.stdout.on("data", (chunk) => (out += chunk));
  child.stderr.on("data", (chunk) => (err += chunk));
  const ended = new Promise<{ code: number | null; out: string; err: string }>((resolve) =>
    child.on("close", (code) => resolve({ code, out, err: withoutProgress(err) })),
  );
  return { child, ended };
}
const sample = (...argv: string[]) => start(SAMPLE, argv).ended;

/** Every file under a folder. */
const filesUnder = (path: string): string[] =>
  existsSync(path)
    ? readdirSync(path, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name))
    : [];
const keptRows = () => filesUnder(at("cache")).filter((path) => !path.endsWith(".tmp"));

describe("ask", () => {
  it("gives the same bytes from one thread without a cache, from several, and from the cache", async () => {
    const cold = await sample("1", "2", "--json", "-", "--no-cache", "--jobs", "1");
    expect(cold).toMatchObject({ code: 0, err: "" });
    expect(keptRows()).toEqual([]);
    const filling = await sample("1", "2", "--json", "-", "--jobs", "3");
    expect(filling).toEqual(cold);
    const warm = await sample("2", "1", "--json", "-");
    expect(warm).toEqual({ ...cold, err: "7 of 7 cells from the cache\n" });
  });

  it("does so for a question of the product, too", async () => {
    const [cold, warm] = await Promise.all(
      [["--no-cache", "--jobs", "1"], []].map(
        (flags) => start(SPEVISOR, ["20", "--json", "-", ...flags]).ended,
      ),
    );
    expect(cold).toMatchObject({ code: 0, err: "" });
    expect(warm).toEqual(cold);
  });

  it("computes a damaged row anew", async () => {
    const first = await sample("1", "--json", "-");
    const [damaged] = keptRows();
    chmodSync(damaged as string, 0o644);
    writeFileSync(damaged as string, '{"exitsNs":1}');
    const second = await sample("1", "--json", "-");
    expect(second).toEqual({ ...first, err: "2 of 3 cells from the cache\n" });
  });

  it("keeps rows at other costs apart, and says which costs were multiplied", async () => {
    const own = JSON.parse((await sample("1", "--json", "-")).out);
    const costs = await sample("1", "--json", "-", "--costs", "exit=10,walkTable=2");
    expect(costs.err).toBe("");
    const times10 = JSON.parse(costs.out);
    expect(times10.costFactors).toEqual({ exit: 10, walkTable: 2 });
    const exitNs = (of: typeof own) => of.questions[0].cells[0].row.exitsNs;
    expect(exitNs(times10)).toBe(10 * exitNs(own));
    expect((await sample("1", "--costs", "exit=10")).out).toContain("Costs multiplied: exit × 10");
  });

  it("says how long the cells of each question took that were run", async () => {
    expect((await sample("1", "--times")).err).toMatch(/^ +\d+\.\d s {2}1\. Cheap\n$/);
    expect((await sample("1", "--times")).err).toBe("3 of 3 cells from the cache\n");
  });

  it("stops at once when interrupted, leaves no file, and goes on from the rows it had", async () => {
    writeFileSync(at("hold"), "");
    const env = { SPEVISOR_TEST_HOLD: at("hold") };
    const argv = ["2", "--json", at("never.json"), "--jobs", "1"];
    const { child, ended } = start(SAMPLE, argv, env);
    // Cells 1 to 3 are done, the fourth waits.
    await vi.waitUntil(() => keptRows().length === 3, { timeout: 30_000 });
    child.kill("SIGINT");
    expect(await ended).toMatchObject({ code: 130, out: "" });
    expect(readdirSync(cwd).sort()).toEqual(["cache", "hold"]);
    rmSync(at("hold"));
    const { code, err } = await start(SAMPLE, argv, env).ended;
    expect({ code, err }).toEqual({
      code: 0,
      err: `3 of 4 cells from the cache\nwritten: ${at("never.json")}\n`,
    });
  });

  it("runs without a place for a cache, and says so once", async () => {
    writeFileSync(at("cache"), "a file where the folder should be");
    const { code, out, err } = await sample("1", "2");
    expect({ code, lines: err.trim().split("\n").length }).toEqual({ code: 0, lines: 1 });
    expect(err).toMatch(/^spevisor: nothing is kept for the next time /);
    expect(out).toContain("Three exits take");
  });

  it.each([
    ["3", 2, 'question 3, cell {"n":7}: no such thing\nTake another.\n'],
    ["4", 1, 'question 4, cell {"n":7}: TypeError: of ours\n'],
    ["5", 1, 'question 5, cell {"n":7}: BrokenInvariant: JSON cannot hold NaN ("share")\n'],
  ])("says which cell failed: question %s", async (number, code, message) => {
    const failed = await sample("1", number, "--json", at("never.json"));
    expect(failed).toMatchObject({ code, out: "", err: expect.stringContaining(message) });
    expect(readdirSync(cwd)).toEqual(["cache"]);
  });
});

describe("the page", () => {
  const healthy = (...argv: string[]) => start(SAMPLE, argv, { SPEVISOR_TEST_FAILING: "no" }).ended;

  it("is written by ask all where a checkout keeps it, with pictures that no answer shows removed", async () => {
    mkdirSync(at("docs/answers"), { recursive: true });
    for (const name of ["docs/answers.md", "docs/answers/q02-1.svg", "docs/answers/mine.svg"])
      writeFileSync(at(name), "spevisor ask wrote this");
    for (const argv of [
      ["1", "2"],
      ["all", "--costs", "exit=2"],
      ["all", "--markdown", "elsewhere.md"],
    ]) {
      expect(await healthy(...argv)).toMatchObject({ code: 0 });
      expect(read("docs/answers.md"), argv.join(" ")).toBe("spevisor ask wrote this");
    }
    expect(await healthy("all")).toMatchObject({ code: 0, err: expect.stringContaining("docs/answers.md") });
    expect(readdirSync(at("docs/answers")).sort()).toEqual(["mine.svg", "q01-1.svg"]);
    const page = read("docs/answers.md");
    expect(page).toContain("`npx spevisor ask all`");
    expect(page).toContain("| 1 | [Cheap](#q1) | Three exits take");
    expect(page).toContain("| exits | a\\|b |");
    expect(page).toContain("![Exits](answers/q01-1.svg)");
    expect(page.replaceAll("(answers/", "(elsewhere/")).toBe(read("elsewhere.md"));
    expect(read("elsewhere/q01-1.svg")).toBe(read("docs/answers/q01-1.svg"));
  });

  it("is not written where there is none, nor over somebody else's", async () => {
    expect(await healthy("all")).toMatchObject({ code: 0, err: "" });
    expect(readdirSync(cwd)).toEqual(["cache"]);
    mkdirSync(at("docs"));
    writeFileSync(at("docs/answers.md"), "theirs");
    expect(await healthy("all")).toMatchObject({ code: 0 });
    expect(read("docs/answers.md")).toBe("theirs");
  });
});
