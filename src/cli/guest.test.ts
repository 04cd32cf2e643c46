import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { NO_INPUT } from "../../test/no-input.ts";
import { syntheticEngine } from "../../test/synthetic-engine.ts";
import { type FakeMirror, fakeMirror } from "../guest/node/fake-mirror.testing.ts";
import { main } from "./main.ts";

const cache = mkdtempSync(join(tmpdir(), "spevisor-guest-cli-"));
let mirror: FakeMirror;
let out = "";
let err = "";
beforeAll(async () => {
  mirror = await fakeMirror("bookworm");
});
afterAll(async () => {
  await mirror.close();
  rmSync(cache, { recursive: true, force: true });
});
beforeEach(() => {
  out = "";
  err = "";
});

const spevisor = (argv: readonly string[], env: Record<string, string> = {}): Promise<number> =>
  main(argv, {
    stdin: NO_INPUT,
    stdout: { write: (text) => (out += text), columns: 200 },
    stderr: { write: (text) => (err += text) },
    env: { XDG_CACHE_HOME: cache, ...env },
    runJob: () => {
      throw new Error("a guest runs no job");
    },
    loadLab: () => Promise.resolve(syntheticEngine().engine),
    questions: new URL("../lab/questions/index.ts", import.meta.url),
    nowNs: () => 0,
  });

describe("spevisor guest", () => {
  it("says how to get a guest where there is none", async () => {
    expect(await spevisor(["guest", "list"])).toBe(0);
    expect(out).toBe("no guests yet: spevisor guest fetch makes one\n");
    expect(await spevisor(["guest", "remove", "bookworm"])).toBe(2);
    expect(err).toContain('guest "bookworm" does not exist');
  });

  it.each(["fetch", "list", "remove"])("has help with examples for %s", async (name) => {
    expect(await spevisor(["guest", name, "--help"])).toBe(0);
    expect(out).toContain(`$ spevisor guest ${name}`);
  });

  it("asks the mirror of SPEVISOR_MIRROR, and --mirror before it; exits with 2 where it has nothing", async () => {
    expect(await spevisor(["guest", "fetch", "--suite", "trixie"], { SPEVISOR_MIRROR: mirror.address })).toBe(
      2,
    );
    expect(err).toContain(`${mirror.address}/dists/trixie/InRelease: the mirror answers 404`);
    err = "";
    expect(
      await spevisor(["guest", "fetch", "--suite", "trixie", "--mirror", `${mirror.address}/own/`], {
        SPEVISOR_MIRROR: mirror.address,
      }),
    ).toBe(2);
    expect(err).toContain(`${mirror.address}/own/dists/trixie/InRelease: the mirror answers 404`);
    expect(readdirSync(cache)).toEqual([]);
  });

  it("refuses a suite and a kernel that there is not", async () => {
    expect(await spevisor(["guest", "fetch", "--suite", "woody"])).toBe(2);
    expect(err).toContain("Allowed choices are bookworm, trixie");
    expect(await spevisor(["guest", "fetch", "--kernel", "rt"])).toBe(2);
  });
});
