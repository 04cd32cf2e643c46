/** Input files of sweeps on a queue: from a coordinator to workers that have none of its folders, with a real Redis. */
import { execFileSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { cacheFolder } from "../src/cli/cache-folder.ts";
import { guestFor } from "./guest/guests.ts";
import { type Ended, type Running, SPEVISOR, start, stop } from "./queue/processes.ts";
import { hasRedis, TestRedis } from "./queue/redis.ts";
import { CREDENTIALS, TestS3 } from "./queue/s3.ts";

/** A file system of one page, at a folder; undefined, and a line, where this user or this system cannot have one. */
function tinyDisk(folder: string): (() => void) | undefined {
  mkdirSync(folder, { recursive: true });
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=4k", "tmpfs", folder], { stdio: "ignore" });
    return () => void execFileSync("umount", ["--lazy", folder], { stdio: "ignore" });
  } catch {
    console.log("a worker's full disk: skipped, needs the right to mount a tmpfs (root)");
    return undefined;
  }
}

const guest = await guestFor("guests of sweeps on a queue");
const has = hasRedis("inputs of sweeps on a queue");
const folder = mkdtempSync(join(tmpdir(), "spevisor-inputs-"));
const at = (...names: string[]): string => join(folder, ...names);
const RECORDING = fileURLToPath(new URL("../recordings/attached.task.data", import.meta.url));
const A = "thread-a --no-bpf-event";
const SHA256 = /^[0-9a-f]{64}$/;

let redis: TestRedis;
let s3: TestS3;
let env: Readonly<Record<string, string>>;
beforeAll(async () => {
  if (!has) return;
  redis = await TestRedis.start();
  s3 = await TestS3.start("ours");
  env = { ...CREDENTIALS, AWS_ENDPOINT_URL: s3.url };
});
afterAll(async () => {
  if (has) {
    await redis.stop();
    await s3.stop();
  }
  rmSync(folder, { recursive: true, force: true });
});

/** A worker on a machine of its own: with nothing in its cache. */
function worker(name: string, ...more: string[]): Running {
  mkdirSync(at(name), { recursive: true });
  return start(SPEVISOR, ["worker", "--queue", redis.url, "--jobs", "1", ...more], at(name), env);
}
/** A sweep of two cells, of which no other has been run. */
const sweep = (out: string, seed: number, where: string, more = env): Promise<Ended> => {
  const cells = [
    {
      kind: "predict",
      recordings: [RECORDING],
      policies: ["fault"],
      buffers: ["64K", "128K"],
      seeds: [seed],
    },
  ];
  writeFileSync(at(`${out}.json`), JSON.stringify({ schema: "spevisor.sweep/1", cells }));
  return start(SPEVISOR, ["sweep", `${out}.json`, "--queue", redis.url, "--inputs", where], folder, more)
    .ended;
};
const results = (out: string): string => readFileSync(at(`${out}-sweep`, "results.ndjson"), "utf8");

describe.skipIf(!has)("inputs", { timeout: 120_000 }, () => {
  it("reach a worker through a folder that both have, and never Redis", async () => {
    const its = worker("machine-1", "--inputs", at("shared"));
    try {
      expect(await sweep("shared", 1, at("shared"))).toMatchObject({ code: 0 });
    } finally {
      await stop(its);
    }
    expect(readdirSync(at("shared"))).toEqual([expect.stringMatching(SHA256)]);
    expect(readdirSync(at("machine-1", "cache", "spevisor", "inputs"))).toEqual(readdirSync(at("shared")));
    expect(await redis.use((client) => client.keys("spevisor:input:*"))).toEqual([]);
    expect(results("shared")).not.toContain('"failed"');
  });

  it("reach a worker through a bucket, again where they are damaged or gone", async () => {
    const its = worker("machine-2", "--inputs", "s3://ours/in");
    try {
      expect(await sweep("bucket", 2, "s3://ours/in")).toMatchObject({ code: 0 });
      const [path = "", ...others] = s3.objects.keys();
      expect([path, others]).toEqual([expect.stringMatching(/^\/ours\/in\/[0-9a-f]{64}$/), []]);
      expect(s3.objects.get(path)?.equals(readFileSync(RECORDING))).toBe(true);
      expect(s3.granted).toEqual([`HEAD ${path}`, `PUT ${path}`, `GET ${path}`]);

      rmSync(at("machine-2", "cache"), { recursive: true });
      s3.objects.set(path, Buffer.from("not what it was"));
      expect(await sweep("damaged", 3, "s3://ours/in")).toMatchObject({ code: 0 });
      expect(its.out()).toContain("arrived damaged");
    } finally {
      await stop(its);
    }
    expect(await redis.use((client) => client.keys("spevisor:input:*"))).toEqual([]);
    expect(results("bucket") + results("damaged")).not.toContain('"failed"');
  });

  it("are a policy's code, which a worker runs that is told to, and no other", async () => {
    mkdirSync(at("policies"));
    writeFileSync(at("policies", "reasons.ts"), 'export const ORIGIN: string = "A test.";');
    writeFileSync(
      at("policies", "mine.ts"),
      `import { hold, type PinPolicy } from "spevisor";
       import { ORIGIN } from "./reasons.ts";
       const texts = { summary: "Pins at each enable.", origin: ORIGIN, tradeOff: "None." };
       const create: PinPolicy["create"] = () => ({
         onBufferEnabled(buffer, ctx) {
           ctx.unpin(ctx.pinned);
           const walk = ctx.walk(buffer);
           return walk.kind === "walked" ? hold(walk, ctx) : walk;
         },
         onBufferDisabled: (_, ctx) => void ctx.unpin(ctx.pinned),
       });
       export const mine: PinPolicy = { name: "mine", ...texts, trapsBuffer: true, create };`,
    );
    const policies = ["policies/mine.ts", "pin-on-enable"];
    const matrix = { kind: "thread", scenarios: ["thread-a"], buffers: ["64K"], policies };
    writeFileSync(at("policy.json"), JSON.stringify({ schema: "spevisor.sweep/1", cells: [matrix] }));
    const run = (...argv: string[]): Promise<Ended> =>
      start(SPEVISOR, ["sweep", "policy.json", "--jobs", "1", ...argv], folder).ended;
    expect(await run("--out", "here")).toMatchObject({ code: 0 });
    const here = readFileSync(at("here", "results.ndjson"), "utf8").trimEnd().split("\n");
    const rows = here.map((line) => JSON.parse(line) as { cell: Record<string, unknown>; result: object });
    expect(rows.map(({ cell }) => cell["policy"])).toEqual(["mine", "pin-on-enable"]);
    expect(rows[0]?.cell["policyFile"]).toEqual({ name: "mine.ts", sha256: expect.stringMatching(SHA256) });
    // It does what the policy does that it was written after.
    expect(rows[0]?.result).toEqual(rows[1]?.result);
    expect(readFileSync(at("here", "index.html"), "utf8")).toContain("--policy policies/mine.ts");

    const careful = worker("machine-3");
    try {
      const refused = await run("--queue", redis.url, "--out", "refused");
      expect(refused).toMatchObject({ code: 0, out: expect.stringContaining("--allow-policies") });
    } finally {
      await stop(careful);
    }
    const trusting = worker("machine-4", "--allow-policies");
    try {
      expect(await run("--queue", redis.url, "--out", "queue")).toMatchObject({ code: 0 });
    } finally {
      await stop(trusting);
    }
    for (const name of readdirSync(at("here")))
      expect(readFileSync(at("queue", name)).equals(readFileSync(at("here", name))), name).toBe(true);
  });

  it("that a worker's disk has no room for are left to other workers", async (context) => {
    const unmount = tinyDisk(at("machine-5", "cache"));
    if (unmount === undefined) return context.skip();
    const full = worker("machine-5", "--inputs", at("shared"));
    try {
      const swept = sweep("full", 5, at("shared"));
      await vi.waitUntil(() => full.out().includes("no space left on the device"), { timeout: 60_000 });
      const other = worker("machine-6", "--inputs", at("shared"));
      try {
        expect(await swept).toMatchObject({ code: 0 });
      } finally {
        await stop(other);
      }
    } finally {
      await stop(full);
      unmount();
    }
    expect(results("full")).not.toContain('"failed"');
  });

  it.skipIf(guest === undefined)(
    "are a guest's kernel, which a worker boots and runs a command in",
    {
      timeout: 600_000,
    },
    async () => {
      const guests = cacheFolder(process.env);
      mkdirSync(at("cache", "spevisor"), { recursive: true });
      symlinkSync(join(guests, "guests"), at("cache", "spevisor", "guests"));
      const names = {
        scenarios: ["thread-a"],
        policies: ["adaptive"],
        only: [{ scenario: A, policy: "adaptive" }],
      };
      const cells = [{ kind: "linux", ...names }];
      writeFileSync(at("linux.json"), JSON.stringify({ schema: "spevisor.sweep/1", cells }));
      const its = worker("machine-7");
      try {
        const argv = ["sweep", "linux.json", "--queue", redis.url, "--out", "linux"];
        expect(await start(SPEVISOR, argv, folder).ended).toMatchObject({ code: 0 });
      } finally {
        await stop(its);
      }
      const [line = "", ...others] = readFileSync(at("linux", "results.ndjson"), "utf8")
        .trimEnd()
        .split("\n");
      expect(others).toEqual([]);
      expect(JSON.parse(line)).toMatchObject({
        cell: { scenario: A, policy: "adaptive" },
        result: { instructions: expect.any(Number), selected: expect.any(Number), lostShare: 0 },
      });
      // What it has booted is its own, and the kernel came to it.
      expect(readdirSync(at("machine-7", "cache", "spevisor", "inputs"))).toHaveLength(2);
      expect(readdirSync(at("machine-7", "cache", "spevisor", "boots"))).toHaveLength(1);
    },
  );

  it("are not put into a bucket that cannot be had, and nobody prints why it might be", async () => {
    const told = await Promise.all([
      sweep("wrong", 4, "s3://ours/in", { ...env, AWS_SECRET_ACCESS_KEY: "wr0ng" }),
      sweep("other", 4, "s3://theirs/in"),
      sweep("nowhere", 4, "http://127.0.0.1:1/ours/in"),
    ]);
    expect(told.map(({ code }) => code)).toEqual([2, 2, 2]);
    expect(told.map(({ err }) => err)).toEqual([
      expect.stringContaining("403"),
      expect.stringContaining(`${s3.url}/theirs/in cannot be written to: 404 NoSuchBucket`),
      expect.stringContaining("http://127.0.0.1:1/ours/in cannot be reached"),
    ]);
    for (const { out, err } of told) expect(out + err).not.toMatch(/wr0ng|kept\/to\+itself/);
  });
});
