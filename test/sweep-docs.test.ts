/** docs/sweep.md: its files are what they say, and its commands have the options that they name. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { buildProgram } from "../src/cli/program.ts";
import { readSweep } from "../src/cli/sweep/file.ts";
import type { World } from "../src/cli/world.ts";

const TEXT = readFileSync(new URL("../docs/sweep.md", import.meta.url), "utf8");
const blocks = (language: string): string[] =>
  [...TEXT.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, "gms"))].map(([, text = ""]) => text);

const nowhere = { write: () => true };
const world = { stdout: nowhere, stderr: nowhere, env: {} } as unknown as World;

/** Words of a command that its declaration does not know. */
function unknownIn(command: string): readonly string[] {
  const [name, ...words] = command.replace(/ #.*/, "").trim().split(/\s+/);
  const found = buildProgram(world).commands.find((each: Command) => each.name() === name);
  if (found === undefined) return [String(name)];
  return found.parseOptions(words.map((word) => word.replaceAll("'", ""))).unknown;
}

const commandsIn = (text: string): string[] =>
  [...text.matchAll(/\bspevisor ((?:sweep|worker) .*)/g)].map(([, command = ""]) => command);

it("has a sweep that is one", () => {
  const [sweep = ""] = blocks("yaml");
  expect(readSweep(sweep, "docs/sweep.md").cells).toHaveLength(1);
});

it("has no command with an option that there is not", () => {
  const commands = ["", "yaml", "ini"].flatMap((language) => blocks(language).flatMap(commandsIn));
  expect(commands.length).toBeGreaterThanOrEqual(6);
  expect(commands.filter((command) => unknownIn(command).length > 0)).toEqual([]);
  expect(unknownIn("worker --queue redis://x --takover 3s")).toEqual(["--takover", "3s"]);
});

it("has a compose file whose workers wait for their queue and know its password", () => {
  const [, compose = ""] = blocks("yaml");
  const { services, volumes } = parse(compose);
  expect(Object.keys(services)).toEqual(["redis", "worker"]);
  const [, url = ""] = /--queue (\S+)/.exec(services.worker.command) ?? [];
  expect(Object.keys(services)).toContain(new URL(url).hostname);
  expect(services.worker.depends_on).toEqual([new URL(url).hostname]);
  const [, password] = /--requirepass (\S+)/.exec(services.redis.command) ?? [];
  expect(services.worker.environment.REDISCLI_AUTH).toBe(password);
  const kept = services.redis.volumes.map((volume: string) => volume.split(":")[0]);
  expect(Object.keys(volumes)).toEqual(kept);
});

const hasSystemd = spawnSync("systemd-analyze", ["--version"]).status === 0;
if (!hasSystemd)
  console.log(
    "the systemd unit: skipped, systemd-analyze is not installed (Debian: apt-get install systemd)",
  );

describe.skipIf(!hasSystemd)("its systemd unit", () => {
  it("is one to systemd, without a word", () => {
    const folder = mkdtempSync(join(tmpdir(), "spevisor-unit-"));
    const unit = join(folder, "spevisor-worker.service");
    try {
      // npx may be elsewhere on this machine.
      const [text = ""] = blocks("ini");
      writeFileSync(unit, text.replace("/usr/bin/npx", process.execPath));
      const said = execFileSync("systemd-analyze", ["verify", unit], { encoding: "utf8", stdio: "pipe" });
      expect(said).toBe("");
      writeFileSync(unit, text.replace("/usr/bin/npx", join(folder, "nothing")));
      expect(spawnSync("systemd-analyze", ["verify", unit]).status).not.toBe(0);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
