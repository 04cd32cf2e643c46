/** `sweep` as a process of its own, over threads, with a cache folder of its own. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { asyncBufferFromFile, parquetReadObjects } from "hyparquet";
import { afterAll, describe, expect, it, vi } from "vitest";
import { type Running, SPEVISOR, start as startProcess } from "./queue/processes.ts";

const folder = mkdtempSync(join(tmpdir(), "spevisor-sweep-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (...names: string[]): string => join(folder, ...names);
const RECORDING = fileURLToPath(new URL("../recordings/attached.task.data", import.meta.url));

const start = (...argv: string[]): Running => startProcess(SPEVISOR, ["sweep", ...argv], folder);

const linesOf = (path: string): { cell: Record<string, unknown>; result?: unknown; failed?: string }[] =>
  readFileSync(path, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));

writeFileSync(
  at("sweep.yaml"),
  JSON.stringify({
    schema: "spevisor.sweep/1",
    cells: [
      { kind: "predict", recordings: [RECORDING], policies: ["fault", "adaptive"], buffers: ["64K", "4M"] },
      { kind: "thread", scenarios: ["thread-a"], policies: ["adaptive"], buffers: ["12K", "1M"] },
      { kind: "bar", policies: ["adaptive"], random: true, profiles: ["thread-normal"] },
      { kind: "ask", questions: [20] },
    ],
  }),
);

describe("a sweep", { timeout: 240_000 }, () => {
  it("writes its results in its order, the same ones from one thread, from several and from the store", async () => {
    const first = await start("sweep.yaml", "--jobs", "2").ended;
    expect(first).toMatchObject({ code: 0, out: expect.stringContaining("1 cell failed") });
    expect(readdirSync(at("sweep-sweep")).sort()).toEqual([
      "index.html",
      "results.csv",
      "results.ndjson",
      "results.parquet",
    ]);
    const lines = linesOf(at("sweep-sweep", "results.ndjson"));
    expect(lines.map(({ cell }) => cell["kind"]).join(" ")).toMatch(
      /^predict predict predict predict thread thread bar ask( ask)*$/,
    );
    // A buffer that cannot be one is its cell's failure, and nobody else's.
    expect(lines.flatMap(({ failed }) => failed ?? [])).toEqual([
      expect.stringMatching(/^--buffer: 12 KiB cannot be an AUX buffer/),
    ]);
    const again = await start("sweep.yaml", "--jobs", "1", "--no-cache", "--out", "again").ended;
    expect(again).toMatchObject({ code: 0, out: first.out });
    const stored = await start("sweep.yaml", "--out", "stored").ended;
    expect(stored.err).toContain(`${lines.length} cells`);
    expect(stored.err).toContain(`${lines.length - 1} of them known`);
    for (const name of readdirSync(at("again")))
      for (const other of ["again", "stored"])
        expect(
          readFileSync(at(other, name)).equals(readFileSync(at("sweep-sweep", name))),
          `${other}/${name}`,
        ).toBe(true);
  });

  it("has the same rows as CSV and as Parquet", async () => {
    const lines = linesOf(at("stored", "results.ndjson"));
    const rows = (await parquetReadObjects({
      file: await asyncBufferFromFile(at("stored", "results.parquet")),
    })) as Record<string, unknown>[];
    expect(rows.map(({ kind }) => kind)).toEqual(lines.map(({ cell }) => cell["kind"]));
    expect(rows.map(({ slowdown }) => slowdown ?? null)).toEqual(
      lines.map(({ result }) => (result as { slowdown?: number } | undefined)?.slowdown ?? null),
    );
    const csv = readFileSync(at("stored", "results.csv"), "utf8").trimEnd().split("\n");
    expect(csv).toHaveLength(lines.length + 1);
    expect(csv[0]).toMatch(/^kind,workload,policy,.*,failed$/);
  });

  it("keeps what is done when it is interrupted, and goes on from there", async () => {
    const argv = [
      "--kind",
      "bar",
      "--random",
      "--repetitions",
      "40",
      "--profile",
      "thread-normal",
      "--jobs",
      "1",
    ];
    const { child, ended } = start(...argv);
    const partial = at("bar-sweep", "results.partial.ndjson");
    await vi.waitUntil(() => existsSync(partial) && readFileSync(partial, "utf8").split("\n").length > 3, {
      timeout: 120_000,
    });
    child.kill("SIGINT");
    expect(await ended).toMatchObject({ code: 130, out: "" });
    const dry = await start(...argv, "--dry-run").ended;
    expect(dry.out).toMatch(/^40 cells \(40 bar\), \d+ of them known, roughly /);
  });

  it("says what it cannot run, and writes nothing then", async () => {
    expect(await start("--kind", "predict", "--recording", "nowhere/*.data").ended).toMatchObject({
      code: 2,
      err: expect.stringMatching(/^spevisor: recordings: no file is called nowhere/),
    });
    expect(await start("sweep.yaml", "--policy", "fault").ended).toMatchObject({
      code: 2,
      err: expect.stringContaining("narrow it with --only"),
    });
    expect(await start("--kind", "thread", "--policy", "fualt").ended).toMatchObject({
      code: 2,
      err: expect.stringContaining("Did you mean fault?"),
    });
    expect(existsSync(at("predict-sweep"))).toBe(false);
  });
});
