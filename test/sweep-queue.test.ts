/** Sweeps on a queue, with a real Redis: the same bytes as without one, whatever happens. */

import { execFileSync, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createConnection, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { askTask } from "../src/cli/ask/cell.ts";
import { sourceVersion } from "../src/cli/cache-folder.ts";
import { LocalEngine } from "../src/cli/cells/local.ts";
import {
  byKey,
  type CellEngine,
  type CellOutcome,
  type CellTask,
  keyOf,
  WORKER_ENDED,
} from "../src/cli/cells/task.ts";
import { connect } from "../src/cli/queue/connect.ts";
import { QueueEngine } from "../src/cli/queue/engine.ts";
import { chunkKey, inputKey } from "../src/cli/queue/names.ts";
import { putSweep } from "../src/cli/queue/sweeps.ts";
import { KilledSweeps } from "./queue/kill.ts";
import { type Running, SAMPLE, SPEVISOR, start, stop } from "./queue/processes.ts";
import { freePort, hasRedis, TestRedis } from "./queue/redis.ts";

const has = hasRedis("sweeps on a queue");
const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;
if (!hasOpenssl)
  console.log("a queue over TLS: skipped, openssl is not installed (Debian: apt-get install openssl)");
const folder = mkdtempSync(join(tmpdir(), "spevisor-queue-"));
const at = (...names: string[]): string => join(folder, ...names);
const RECORDING = fileURLToPath(new URL("../recordings/attached.task.data", import.meta.url));

let redis: TestRedis;
let workers: readonly Running[] = [];
const worker = (...more: string[]): Running =>
  start(SPEVISOR, ["worker", "--queue", redis.url, "--jobs", "1", "--takeover", "2s", ...more], folder);
const sweep = (...argv: string[]): Running => start(SPEVISOR, ["sweep", ...argv], folder);

beforeAll(async () => {
  if (!has) return;
  redis = await TestRedis.start();
  workers = [worker("--metrics", "0"), worker()];
});
afterAll(async () => {
  await Promise.all(workers.map(stop));
  if (has) await redis.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Sample questions: three cells that give rows, the user's mistake, two bugs, and one that ends its thread. */
const TASKS: readonly CellTask[] = [
  ...[1, 2, 3].map((cell) => askTask(1, cell, {})),
  ...[3, 4, 5, 6].map((number) => askTask(number, { n: 7 }, {})),
];

const CONTEXT = {
  questions: new URL("./ask/sample-questions.ts", import.meta.url).href,
  cacheDir: at("cache"),
  build: sourceVersion(),
  allowPolicies: false,
};

const ENGINES: readonly (readonly [string, () => Promise<CellEngine>])[] = [
  [
    "threads of this process",
    async () => new LocalEngine({ threads: 2, context: CONTEXT, paths: new Map(), attempts: 3 }),
  ],
  [
    "a queue",
    async () =>
      new QueueEngine(await connect(redis.url, {}), {
        build: CONTEXT.build,
        retryFailed: true,
        publish: () => Promise.resolve(false),
      }),
  ],
];

describe.skipIf(!has).each(ENGINES)("an engine: %s", (name, make) => {
  it("tells of each outcome once, of rows and of each way to fail", { timeout: 120_000 }, async () => {
    // The product's workers know no sample questions: one of ours takes what is not theirs.
    const own = name === "a queue" ? await TestRedis.start() : undefined;
    const shared = redis;
    if (own !== undefined) redis = own;
    const ours =
      own === undefined ? undefined : start(SAMPLE, ["worker", "--queue", own.url, "--jobs", "2"], folder);
    const engine = await make();
    redis = shared;
    try {
      const outcomes = new Map<string, CellOutcome>();
      await engine.run(byKey(TASKS), (key, outcome) => {
        expect(outcomes.has(key), key).toBe(false);
        outcomes.set(key, outcome);
      });
      const told = TASKS.map((task) => {
        const outcome = outcomes.get(keyOf(task));
        return outcome?.kind === "row"
          ? outcome.text
          : outcome?.kind === "failed"
            ? outcome.message
            : outcome?.what;
      });
      expect(told).toEqual([
        expect.stringMatching(/^\{"exitsNs":\d+\}$/),
        expect.stringMatching(/^\{"exitsNs":\d+\}$/),
        expect.stringMatching(/^\{"exitsNs":\d+\}$/),
        "no such thing",
        "of ours",
        'JSON cannot hold NaN ("share")',
        WORKER_ENDED,
      ]);
    } finally {
      await engine.close();
      if (ours !== undefined) await stop(ours);
      await own?.stop();
    }
  });
});

const SWEEP = {
  schema: "spevisor.sweep/1",
  name: "both",
  cells: [
    { kind: "predict", recordings: [RECORDING], policies: ["fault", "adaptive"], buffers: ["64K", "4M"] },
    { kind: "thread", scenarios: ["thread-a"], policies: ["adaptive"], buffers: ["12K", "1M"] },
  ],
};

const sameFiles = (a: string, b: string): void => {
  expect(readdirSync(at(a))).toEqual(readdirSync(at(b)));
  for (const name of readdirSync(at(a)))
    expect(readFileSync(at(a, name)).equals(readFileSync(at(b, name))), `${a}/${name}`).toBe(true);
};

describe.skipIf(!has)("a sweep on a queue", { timeout: 120_000 }, () => {
  beforeAll(async () => {
    writeFileSync(at("both.json"), JSON.stringify(SWEEP));
    expect(await sweep("both.json", "--out", "local").ended).toMatchObject({ code: 0 });
  });
  const onQueue = (out: string, ...more: string[]): Running =>
    sweep("both.json", "--queue", redis.url, "--out", out, ...more);
  /** Lines in the logs of workers that say that a cell was computed. */
  const computed = (): number => workers.flatMap((each) => each.out().match(/"msg":"done"/g) ?? []).length;

  it("gives a local one's bytes, and computes nothing a second time", async () => {
    expect(await onQueue("queue").ended).toMatchObject({
      code: 0,
      out: expect.stringContaining("1 cell failed"),
    });
    sameFiles("queue", "local");
    const before = computed();
    expect(before).toBe(5);
    expect(await onQueue("again").ended).toMatchObject({ code: 0 });
    sameFiles("again", "local");
    expect(computed()).toBe(before);
  });

  it("is listed, gone on with from its ID, and shown to Prometheus", async () => {
    const list = await sweep("list", "--queue", redis.url).ended;
    const [, id = ""] = /^ *(\w+) +both: done, 6 of 6 cells/m.exec(list.out) ?? [];
    expect(id, list.out + list.err).not.toBe("");
    expect(await sweep("--attach", id, "--queue", redis.url, "--out", "attached").ended).toMatchObject({
      code: 0,
    });
    sameFiles("attached", "local");
    expect((await sweep("--cancel", id, "--queue", redis.url).ended).out).toMatch(/: \d+ cells taken out/);
    const [, port] = /"port":(\d+),"msg":"metrics"/.exec(workers[0]?.out() ?? "") ?? [];
    const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    expect(metrics).toMatch(/^spevisor_queue_connected 1$/m);
  });

  it("has a damaged input again from whoever has it", async () => {
    const other = { ...SWEEP, cells: [{ ...SWEEP.cells[0], buffers: ["2M"] }] };
    writeFileSync(at("damaged.json"), JSON.stringify(other));
    const { sha256 } = JSON.parse(readFileSync(at("local", "results.ndjson"), "utf8").split("\n")[0] ?? "")
      .cell.recording;
    await redis.use(async (client) => {
      await client.set(chunkKey(sha256, 0), "not what it was");
      await client.hset(inputKey(sha256), { chunks: 1, bytes: 15 });
    });
    rmSync(at("cache", "spevisor", "inputs"), { recursive: true, force: true });
    expect(await sweep("damaged.json", "--queue", redis.url, "--out", "damaged").ended).toMatchObject({
      code: 0,
    });
    expect(workers.map((each) => each.out()).join("")).toContain("arrived damaged");
    expect(readFileSync(at("damaged", "results.ndjson"), "utf8")).not.toContain('"failed"');
  });

  it("goes through a Redis that answers slowly", async () => {
    const slow = createServer((socket) => {
      const to = createConnection(redis.port, "127.0.0.1");
      socket.on("error", () => to.destroy());
      to.on("error", () => socket.destroy());
      socket.pipe(to);
      to.on("data", (data) => setTimeout(() => socket.write(data), 50));
      socket.on("close", () => to.destroy());
    });
    await new Promise<void>((resolve) => slow.listen(0, "127.0.0.1", resolve));
    const { port } = slow.address() as { readonly port: number };
    try {
      expect(
        await sweep("both.json", "--queue", `redis://127.0.0.1:${port}`, "--out", "slow").ended,
      ).toMatchObject({
        code: 0,
      });
      sameFiles("slow", "local");
    } finally {
      slow.close();
    }
  });

  it("says that there is no room, and has lost nothing", async () => {
    mkdirSync(at("full"));
    symlinkSync("/dev/full", at("full", "results.partial.ndjson"));
    expect(await onQueue("full").ended).toMatchObject({
      code: 2,
      err: expect.stringContaining("no space left on the device"),
    });
    expect(await onQueue("room").ended).toMatchObject({ code: 0 });
    sameFiles("room", "local");
  });
});

describe.skipIf(!has)("a queue", { timeout: 120_000 }, () => {
  it("refuses a wrong password in words that do not have it", async () => {
    const locked = await TestRedis.start(["--requirepass", "right"]);
    try {
      const url = `redis://:wr0ng@127.0.0.1:${locked.port}`;
      for (const ended of await Promise.all([
        sweep("--kind", "thread", "--policy", "fault", "--buffer", "64K", "--queue", url).ended,
        start(SPEVISOR, ["worker", "--queue", url], folder).ended,
      ])) {
        expect(ended).toMatchObject({
          code: 2,
          err: expect.stringContaining("does not take this user and password"),
        });
        expect(ended.out + ended.err).not.toContain("wr0ng");
      }
      const { code } = await start(
        SPEVISOR,
        ["sweep", "list", "--queue", `redis://127.0.0.1:${locked.port}`],
        folder,
        { REDISCLI_AUTH: "right" },
      ).ended;
      expect(code).toBe(0);
    } finally {
      await locked.stop();
    }
  });

  it("that is away does not keep a worker that is told to stop", async () => {
    const going = await TestRedis.start();
    const waiting = start(SPEVISOR, ["worker", "--queue", going.url, "--jobs", "1"], folder);
    const until = { timeout: 60_000, interval: 50 };
    await vi.waitFor(() => expect(waiting.out()).toContain('"ready"'), until);
    await going.stop();
    await vi.waitFor(() => expect(waiting.out()).toContain("Redis is away; waiting for it"), until);
    expect(await stop(waiting)).toMatchObject({
      code: 1,
      out: expect.stringContaining("another worker takes it over"),
    });
  });

  it("of another version's sweeps is refused by a worker, politely", async () => {
    const others = await TestRedis.start();
    try {
      await others.use((client) =>
        putSweep(client, {
          id: "0123456789",
          name: "theirs",
          version: "9.9.9",
          build: "f".repeat(32),
          cells: 1,
          done: 0,
          state: "running",
          startedMs: 0,
        }),
      );
      expect(await start(SPEVISOR, ["worker", "--queue", others.url], folder).ended).toMatchObject({
        code: 2,
        err: expect.stringMatching(/0123456789 \(theirs\) wants spevisor 9\.9\.9, build ffffffff\nThis is /),
      });
    } finally {
      await others.stop();
    }
  });

  it.skipIf(!hasOpenssl)(
    "is reached over TLS where its certificate is known and right, and nowhere else",
    async () => {
      const [key, cert] = [at("key.pem"), at("cert.pem")];
      const subject = ["-subj", "/CN=queue", "-addext", "subjectAltName=IP:127.0.0.1"];
      const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key];
      execFileSync("openssl", ["req", "-x509", ...newKey, ...subject, "-out", cert], { stdio: "ignore" });
      const port = await freePort();
      const files = ["--tls-cert-file", cert, "--tls-key-file", key, "--tls-auth-clients", "no"];
      const secured = await TestRedis.start(["--tls-port", String(port), ...files]);
      try {
        const list = (host: string, env: Readonly<Record<string, string>>) =>
          start(SPEVISOR, ["sweep", "list", "--queue", `rediss://${host}:${port}`], folder, env).ended;
        const trusting = { NODE_EXTRA_CA_CERTS: cert };
        const [right, unknown, other] = await Promise.all([
          list("127.0.0.1", trusting),
          list("127.0.0.1", {}),
          list("localhost", trusting),
        ]);
        expect(right).toMatchObject({ code: 0, out: "no sweeps\n" });
        expect(unknown).toMatchObject({
          code: 2,
          err: expect.stringMatching(/self-signed certificate\nNODE_EXTRA_CA_CERTS names a file/),
        });
        expect(other).toMatchObject({ code: 2, err: expect.stringMatching(/does not match certificate/) });
        const tls = { queue: `rediss://127.0.0.1:${port}`, env: trusting };
        const its = start(SPEVISOR, ["worker", "--queue", tls.queue, "--jobs", "1"], folder, tls.env);
        const argv = ["--kind", "thread", "--scenario", "thread-a", "--policy", "fault", "--buffer", "64K"];
        const swept = start(
          SPEVISOR,
          ["sweep", ...argv, "--queue", tls.queue, "--out", "tls"],
          folder,
          tls.env,
        );
        expect(await swept.ended).toMatchObject({ code: 0 });
        expect(await stop(its)).toMatchObject({ code: 0 });
      } finally {
        await secured.stop();
      }
    },
  );

  it("that is nowhere is said to be", async () => {
    const { code, err } = await sweep("list", "--queue", "redis://127.0.0.1:1").ended;
    expect({ code, err }).toEqual({
      code: 2,
      err: expect.stringContaining("nothing answers at redis://127.0.0.1:1"),
    });
    expect(existsSync(at("cache", "spevisor"))).toBe(true);
  });
});

describe.skipIf(!has)("kill -9 of workers, the coordinator and Redis", () => {
  it("loses no result and changes none: npm run kill:sweep has more of it", {
    timeout: 300_000,
  }, async () => {
    const sweeps = await KilledSweeps.open();
    try {
      for (const seed of [1, 11]) await sweeps.run(seed);
    } finally {
      await sweeps.close();
    }
  });
});
