import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it, vi } from "vitest";

const SPEVISOR = fileURLToPath(new URL("../bin/spevisor.js", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "spevisor-process-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string) => join(folder, name);

/** Our own surroundings without what decides about colours. */
const { NO_COLOR: _, FORCE_COLOR: __, ...plainEnv } = process.env;

/** Starts the command line as a process of its own. */
function start(argv: readonly string[], env: Record<string, string> = {}) {
  const child = spawn(process.execPath, [SPEVISOR, ...argv], {
    cwd: folder,
    env: { ...plainEnv, ...env },
  });
  let out = "";
  let err = "";
  child.stdout.on("data", (chunk) => (out += chunk));
  child.stderr.on("data", (chunk) => (err += chunk));
  const ended = new Promise<{ code: number | null; out: string; err: string }>((resolve) =>
    child.on("close", (code) => resolve({ code, out, err })),
  );
  return { child, ended };
}
const run = (argv: readonly string[], env: Record<string, string> = {}) => {
  const { child, ended } = start(argv, env);
  child.stdin.end();
  return ended;
};

describe("the process", () => {
  it("prints its version and its help with exit code 0", async () => {
    expect(await run(["--version"])).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^\d+\.\d+\.\d+\n$/),
    });
    expect(await run([])).toMatchObject({ code: 0, out: expect.stringContaining("Examples:") });
  });

  it("refuses what the user got wrong with exit code 2 and no stack trace, through the worker too", async () => {
    writeFileSync(
      at("noise.data"),
      Uint8Array.from({ length: 5000 }, (_, i) => (i * 7919) % 251),
    );
    writeFileSync(at("empty.data"), "");
    writeFileSync(at("program.data"), "\u007fELF\u0002\u0001\u0001\u0000 and so on");
    const wrong = [
      ["thread", "--buffer", "3banana"],
      ["thread", "--policy", "nonesuch"],
      ["predict", "missing.data"],
      ["predict", "noise.data"],
      ["predict", "empty.data"],
      ["predict", "program.data"],
    ];
    const answers = await Promise.all(wrong.map((argv) => run(argv)));
    for (const [i, { code, out, err }] of answers.entries()) {
      const named = wrong[i]?.at(-1) as string;
      expect(err, named).toContain(named);
      expect(err, named).not.toMatch(/\n\s+at |a bug of ours/);
      expect({ code, out }, named).toEqual({ code: 2, out: "" });
    }
  });

  // The worker of the one has the bundle's modules, that of the other the source's.
  it("predicts under a policy's file as under its name, refused calls included", async () => {
    const recording = fileURLToPath(new URL("../recordings/attached.task.data", import.meta.url));
    const source = new URL("../src/kvm/spe/policies/", import.meta.url);
    writeFileSync(
      at("rash.ts"),
      `import { adaptive } from ${JSON.stringify(new URL("adaptive.ts", source).href)};
      export const rash = { ...adaptive, name: "rash", create: () => ({
        onBufferEnabled(buffer, ctx) { return ctx.setHardwareLimit(buffer.pointer | 1n); },
      }) };`,
    );
    const runsOf = async (policy: string) => {
      const options = ["--policy", policy, "--buffer", "1M", "--json", "-"];
      const { code, out, err } = await run(["predict", recording, ...options]);
      expect(code, err).toBe(0);
      return (JSON.parse(out) as { runs: { policy: string; warnings: string[] }[] }).runs;
    };
    const named = await runsOf("adaptive");
    expect(await runsOf(fileURLToPath(new URL("adaptive.ts", source)))).toEqual(named);
    const [rash] = await runsOf("./rash.ts");
    expect(rash?.warnings.join()).toContain("the limit is not page-aligned");
  });

  it("colours only where it is asked to, and never under NO_COLOR", async () => {
    const colourCode = "\u001b[";
    expect((await run(["policies"])).out).not.toContain(colourCode);
    expect((await run(["policies"], { FORCE_COLOR: "1" })).out).toContain(colourCode);
    expect((await run(["policies"], { FORCE_COLOR: "1", NO_COLOR: "1" })).out).not.toContain(colourCode);
  });

  it("ends quietly when nobody reads on", async () => {
    const { child, ended } = start(["explain", "until-changed"]);
    child.stdout.destroy();
    expect(await ended).toMatchObject({ code: 0, err: "" });
  });

  it.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)("on %s removes what it had begun and exits with %d", async (signal, code) => {
    // Standard input that never ends: the command waits for a recording.
    const { child, ended } = start([
      "predict",
      "-",
      "--json",
      at("never.json"),
      "--trace",
      at("never.trace"),
    ]);
    await vi.waitUntil(() => readdirSync(folder).filter((name) => name.endsWith(".tmp")).length === 2, {
      timeout: 30_000,
    });
    child.kill(signal);
    expect(await ended).toMatchObject({ code, out: "" });
    expect(readdirSync(folder).filter((name) => name.endsWith(".tmp"))).toEqual([]);
    expect(existsSync(at("never.json"))).toBe(false);
  });
});
