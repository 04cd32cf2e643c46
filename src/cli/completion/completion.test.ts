import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { loadLab } from "../lab.ts";
import { main } from "../main.ts";
import { manPage } from "../man.ts";
import { buildProgram } from "../program.ts";
import type { World } from "../world.ts";
import { everyCommand, grammarOf } from "./grammar.ts";

const folder = mkdtempSync(join(tmpdir(), "completion-"));
afterAll(() => rmSync(folder, { recursive: true }));
mkdirSync(join(folder, "sub dir"));
mkdirSync(join(folder, "source"));
writeFileSync(join(folder, "perf.data"), "");

async function script(shell: string): Promise<string> {
  let out = "";
  const stdout = { write: (text: string | Uint8Array) => (out += String(text)) };
  const world = { stdout, stderr: stdout, env: {}, loadLab } as unknown as World;
  expect(await main(["completion", shell], world), out).toBe(0);
  return out;
}
const nowhere = { write: () => true };
const program = () => buildProgram({ stdout: nowhere, stderr: nowhere, env: {} } as unknown as World);

const hasBash = spawnSync("bash", ["--version"]).status === 0;
if (!hasBash) console.log("completion: skipped, needs: apt-get install bash");

describe.skipIf(!hasBash)("completion in bash", async () => {
  const file = join(folder, "completion.bash");
  writeFileSync(file, await script("bash"));

  /** What Tab offers after the last word. */
  function offered(...words: readonly string[]): string[] {
    const call = `source "$0"; COMP_WORDS=(spevisor "$@"); COMP_CWORD=$#; _spevisor; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout, stderr } = spawnSync("bash", ["--norc", "-c", call, file, ...words], {
      encoding: "utf8",
      cwd: folder,
    });
    expect(stderr).toBe("");
    return stdout.split("\n").filter((line) => line !== "");
  }

  it("knows each command and each option that help shows", () => {
    const grammar = grammarOf(program(), { policy: [], profile: [], scenario: [] });
    const all = everyCommand(grammar);
    expect(all.map(({ path }) => path)).toContain("guest fetch");
    for (const { path, commands, options } of all) {
      const words = path.split(" ").filter((word) => word !== "");
      const below = commands.map((each) => each.path.split(" ").at(-1));
      expect(offered(...words, "")).toEqual(expect.arrayContaining(below));
      expect(offered(...words, "-").sort()).toEqual(options.flatMap(({ flags }) => flags).sort());
    }
  });

  it.each<[readonly string[], readonly string[]]>([
    [["co"], ["compare", "completion"]],
    [
      ["completion", ""],
      ["bash", "zsh", "fish"],
    ],
    [
      ["run", "--suite", ""],
      ["bookworm", "trixie"],
    ],
    [["run", "--suite", "=", "t"], ["trixie"]],
    [["thread", "--scenario", "numa"], ["numa-hints"]],
    [
      ["run", "--suite", "="],
      ["bookworm", "trixie"],
    ],
    [
      ["run", "--share", "s"],
      ["source", "sub dir"],
    ],
    [["run", "--cpus", "2", "--sui"], ["--suite"]],
    [["run", "--cpus", ""], []],
    [["run", "--", "--su"], []],
    [
      ["guest", "fetch", "--kernel", ""],
      ["cloud", "generic"],
    ],
    [["predict", "pe"], ["perf.data"]],
    [["predict", "perf.data", "--policy", "adap"], ["adaptive"]],
    [["thread", "--policy", "adaptive", "gra"], ["grace"]],
    [["thread", "--profile", "al"], ["all"]],
    [["explain", "until"], ["until-changed"]],
    [
      ["compare", "grace", "wind"],
      ["window", "window-ahead"],
    ],
    [["profiles", "thread-debug-w"], ["thread-debug-whole"]],
    [["nonesuch", "--zz"], []],
  ])("%j", (words, expected) => {
    expect(offered(...words).sort()).toEqual([...expected].sort());
  });
});

for (const [shell, syntax] of [
  ["zsh", ["-n"]],
  ["fish", ["--no-execute"]],
] as const) {
  const has = spawnSync(shell, ["--version"]).status === 0;
  if (!has) console.log(`completion for ${shell}: skipped, needs: apt-get install ${shell}`);
  it.skipIf(!has)(`the script for ${shell} is one`, async () => {
    const file = join(folder, `completion.${shell}`);
    writeFileSync(file, await script(shell));
    const { status, stderr } = spawnSync(shell, [...syntax, file], { encoding: "utf8" });
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  });
}

it("a shell without a script is refused", async () => {
  let err = "";
  const stderr = { write: (text: string | Uint8Array) => (err += String(text)) };
  expect(await main(["completion", "tcsh"], { stdout: nowhere, stderr, env: {} } as unknown as World)).toBe(
    2,
  );
  expect(err).toMatch(/'tcsh' is invalid.*bash, zsh, fish/);
});

it("docs/spevisor.1 is what the declarations say: npm run man", () => {
  const committed = readFileSync(new URL("../../../docs/spevisor.1", import.meta.url), "utf8");
  expect(manPage(program())).toBe(committed);
});

const hasGroff = spawnSync("groff", ["--version"]).status === 0;
if (!hasGroff) console.log("the manual page: not formatted, needs: apt-get install groff");
it.skipIf(!hasGroff)("the manual page has nothing that groff warns of", () => {
  const { stderr, stdout } = spawnSync("groff", ["-man", "-Tutf8", "-ww", "-P-cbu"], {
    encoding: "utf8",
    input: manPage(program()),
  });
  expect(stderr).toBe("");
  expect(stdout).toContain("--no-direct-switches");
});
