import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { NO_INPUT } from "../../test/no-input.ts";
import { type Calls, syntheticEngine } from "../../test/synthetic-engine.ts";
import { BrokenInvariant } from "../common/errors.ts";
import { readReport } from "../lab/report/report-file.ts";
import { runJob } from "./job.ts";
import { main } from "./main.ts";

const folder = mkdtempSync(join(tmpdir(), "spevisor-cli-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string) => join(folder, name);

let out = "";
let err = "";
let calls: Calls;
let engine: ReturnType<typeof syntheticEngine>["engine"];

beforeEach(() => {
  out = "";
  err = "";
  ({ engine, calls } = syntheticEngine());
});

const spevisor = (...argv: string[]): Promise<number> =>
  main(argv, {
    stdin: NO_INPUT,
    stdout: { write: (text) => (out += text), columns: 100 },
    stderr: { write: (text) => (err += text) },
    env: {},
    runJob: (job, onProgress) => runJob(engine, job, onProgress),
    loadLab: () => Promise.resolve(engine),
    questions: new URL("../lab/questions/index.ts", import.meta.url),
    nowNs: () => 0,
  });

describe("spevisor thread", () => {
  it("runs every policy on every profile where none is named", async () => {
    expect(await spevisor("thread")).toBe(0);
    expect(calls.policies).toHaveLength(4);
    expect(calls.profiles).toEqual(["thread-normal", "thread-debug"]);
    expect(out).toContain("thread-b-sampling on costs thread-debug");
    expect(out).toContain("unusable");
    expect(err).toBe("");
  });

  it.each([
    [["--policy", "fault,prefault"]],
    [["--policy", "fault", "prefault"]],
    [["--policy", "fault", "--policy", "prefault", "fault"]],
  ])("takes names as %j", async (argv) => {
    expect(await spevisor("thread", ...argv)).toBe(0);
    expect(calls.policies.map((choice) => choice.kind === "named" && choice.name)).toEqual([
      "fault",
      "prefault",
    ]);
  });

  it("prints no colour codes to a pipe", async () => {
    await spevisor("thread");
    expect(out).not.toContain("\u001b[");
  });

  it("keeps tables within the terminal", async () => {
    await spevisor("thread");
    expect(Math.max(...out.split("\n").map((line) => line.length))).toBeLessThanOrEqual(100);
  });

  it("writes JSON and HTML whole and says where", async () => {
    expect(await spevisor("thread", "--json", at("t.json"), "--html", at("t.html"))).toBe(0);
    expect(readReport(readFileSync(at("t.json"), "utf8"), "t.json").runs).toHaveLength(32);
    expect(readFileSync(at("t.html"), "utf8")).toMatch(/<\/html>\n$/);
    expect(err).toContain(`written: ${at("t.json")}`);
    expect(readdirSync(folder).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  });

  it("writes nothing but JSON to standard output for --json -", async () => {
    expect(await spevisor("thread", "--json", "-", "--profile", "thread-debug")).toBe(0);
    expect(readReport(out, "stdout").runs).toHaveLength(16);
  });
});

describe("spevisor predict", () => {
  const recording = at("rec.data");
  beforeEach(() => writeFileSync(recording, "PERFILE2"));

  it("hands every option on in the engine's units", async () => {
    const argv =
      "--comm node --buffer 64M --backing base --policy fault --profile thread-debug --vcpus 3 --period 1024 --freq 3.2 --ipc 1.5 --memory 4G --memlock 8M --irq-latency 1.5us --seed 7 --costs exit=10,walkTable=0.5 --host-cpus 4";
    expect(await spevisor("predict", recording, ...argv.split(" "))).toBe(0);
    expect(calls.options).toMatchObject({
      target: { kind: "comm", comm: "node" },
      bufferBytes: 64 * 1024 ** 2,
      backing: "base",
      profiles: ["thread-debug"],
      vcpus: 3,
      directSwitches: true,
      periodInstructions: 1024,
      frequencyGHz: 3.2,
      instructionsPerCycle: 1.5,
      memoryBytes: 4 * 1024 ** 3,
      memlockBytes: 8 * 1024 ** 2,
      irqLatencyNs: 1500,
      seed: 7,
      costFactors: { exit: 10, walkTable: 0.5 },
      hostCpus: 4,
    });
  });

  it("profiles the recorded command, unlimited, at 256 MiB, where nothing else is said", async () => {
    expect(await spevisor("predict", recording)).toBe(0);
    expect(calls.options).toMatchObject({
      target: { kind: "recorded" },
      bufferBytes: 256 * 1024 ** 2,
      memlockBytes: null,
      vcpus: null,
      irqLatencyNs: null,
      profiles: ["thread-normal"],
      costFactors: {},
      hostCpus: null,
      // Nobody will see any.
      charts: false,
    });
    expect(out).toContain("Warnings");
  });

  it("takes no switch as direct where told so", async () => {
    expect(await spevisor("predict", recording, "--no-direct-switches")).toBe(0);
    expect(calls.options).toMatchObject({ directSwitches: false });
  });

  it("writes the trace", async () => {
    expect(await spevisor("predict", recording, "--trace", at("t.trace"))).toBe(0);
    expect(readFileSync(at("t.trace"), "utf8")).toBe("first line\nsecond line\n");
  });

  it.each([
    ["default", "export default { name: 'mine', onBufferEnabled() {} };"],
    [
      "named",
      "export const helper = 3;\nexport const mine = { name: 'mine' as string, onBufferEnabled(): void {} };",
    ],
  ])("loads a policy from a file by its %s export", async (kind, text) => {
    const file = at(`${kind}.ts`);
    writeFileSync(file, text);
    expect(await spevisor("predict", recording, "--policy", file, "fault")).toBe(0);
    expect(out).toContain("mine");
    expect(calls.policies).toMatchObject([{ kind: "loaded" }, { kind: "named", name: "fault" }]);
    out = "";
    expect(await spevisor("explain", file)).toBe(0);
    expect(out).toContain("What mine does.");
  });
});

describe("the lists", () => {
  it.each([
    [["policies"], "until-changed  What until-changed does."],
    [["scenarios"], "The first command."],
    [["scenarios"], "Guest memory in 2 MiB pages of hugetlbfs"],
    [["profiles"], "thread-debug"],
    [["profiles", "thread-debug"], "500 ns to 1.22 µs"],
    [["explain", "prefault"], "None of the buffer registers"],
    [["explain", "fault"], "PMBLIMITR_EL1"],
  ])("%j prints %s", async (argv, text) => {
    expect(await spevisor(...argv)).toBe(0);
    expect(out).toContain(text);
    out = "";
    expect(await spevisor(...argv, "--json")).toBe(0);
    expect(() => JSON.parse(out)).not.toThrow();
  });

  it.each([["thread"], ["predict"], ["explain"]])("%s --help has examples", async (command) => {
    expect(await spevisor(command, "--help")).toBe(0);
    expect(out).toContain("Examples:");
  });
});

describe("what the user got wrong is said without a stack trace, with exit code 2", () => {
  const recording = at("ok.data");
  const broken = at("broken.ts");
  const empty = at("none.ts");
  beforeEach(() => {
    writeFileSync(recording, "PERFILE2");
    writeFileSync(at("empty.data"), "");
    writeFileSync(at("empty.ts"), "");
    writeFileSync(broken, "export const x: = 3;");
    writeFileSync(empty, "export const policy = { name: 'nearly' };");
  });

  it.each<[string[], RegExp]>([
    [["thread", "--buffer", "3banana"], /--buffer: "3banana" is not a size/],
    [["thread", "--buffer", "0"], /--buffer: must be more than nothing/],
    [["thread", "--policy", "nonesuch"], /policy "nonesuch" does not exist\nThere are: fault/],
    [["thread", "--policy", "untilchanged"], /Did you mean until-changed\?/],
    [["thread", "--profile", "thread-dbug"], /Did you mean thread-debug\?/],
    [["thread", "--polcy", "all"], /unknown option '--polcy'\n\(Did you mean --policy\?\)/],
    [["thread", "surplus"], /too many arguments/],
    [["threat"], /unknown command 'threat'\n\(Did you mean thread\?\)/],
    [["thread", "--json", join(folder, "no", "such", "f.json")], /no such file or directory/],
    [["thread", "--html", folder], /is a directory/],
    [["predict"], /which recording/],
    [["predict", "--policy", "fault", recording], /Name it before --policy/],
    [["predict", at("missing.data")], /missing.data: there is no such file/],
    [["predict", folder], /is a directory/],
    [["predict", at("empty.data")], /empty.data: empty/],
    [["predict", recording, "--comm", "a", "--per-cpu"], /exclude each other/],
    [["predict", recording, "--backing", "thq"], /Did you mean thp/],
    [["predict", recording, "--vcpus", "0"], /--vcpus: "0" is not a whole number from 1 to 512/],
    [["predict", recording, "--freq", "fast"], /--freq: "fast" is not a number/],
    [["predict", recording, "--irq-latency", "3 weeks"], /--irq-latency: "3 weeks" is not a duration/],
    [["predict", recording, "--policy", at("absent.ts")], /absent.ts: there is no such file/],
    [["predict", recording, "--policy", folder], /: it is a directory/],
    [["predict", recording, "--policy", at("empty.ts")], /empty.ts: it is empty/],
    [["predict", recording, "--policy", broken], /broken.ts does not load/],
    [["predict", recording, "--policy", empty], /exports no policy: onBufferEnabled is missing/],
    [["explain"], /missing required argument 'policy'/],
    [["profiles", "cheap"], /cost profile "cheap" does not exist/],
  ])("%j", async (argv, message) => {
    expect(await spevisor(...argv)).toBe(2);
    expect(err).toMatch(message);
    expect(err).not.toMatch(/\n\s+at /);
    expect(readdirSync(folder).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  });
});

describe("a bug of ours", () => {
  it("says so, asks for a report, exits with 1 and leaves no half-written file", async () => {
    engine = {
      ...engine,
      // biome-ignore lint/correctness/useYield: it fails before it could
      async *runThread() {
        throw new BrokenInvariant("pins do not balance");
      },
    };
    expect(await spevisor("thread", "--json", at("bug.json"))).toBe(1);
    expect(err).toMatch(/bug of ours.*report it[\s\S]*pins do not balance/);
    expect(readdirSync(folder)).not.toContain("bug.json");
    expect(readdirSync(folder).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  });

  it("is what an unsound run is", async () => {
    const real = engine.runThread;
    engine = {
      ...engine,
      async *runThread(options, onProgress, trace) {
        for await (const detail of real(options, onProgress, trace))
          yield { ...detail, run: { ...detail.run, pinNs: 1e12 } };
      },
    };
    expect(await spevisor("thread")).toBe(1);
    expect(err).toContain("does not add up");
  });
});

describe("spevisor ask", () => {
  it("lists the questions where none is named", async () => {
    expect(await spevisor("ask")).toBe(0);
    expect(out).toMatch(/^ +20 {2}The floor/m);
  });

  it.each([
    [["99"], "there is no question 99", "There are "],
    [["foo"], '"foo" is not a question\'s number', "There are "],
    [["20", "--jobs", "0"], '--jobs: "0" is not a whole number', ""],
    [["20", "--costs", "exitt=2"], 'cost "exitt" does not exist', "Did you mean exit?"],
    [["20", "--costs", "exit"], '--costs: "exit" is not a cost and a factor', "exit=10"],
    [["20", "--costs", "exit=-1"], '--costs: "exit=-1" is not a cost and a factor', "exit=10"],
    [["--json", "-"], "ask: which question?", "spevisor ask all"],
    [["20", "--json", "/nonesuch/answers.json"], "/nonesuch/answers.json: no such file or directory", ""],
  ])("refuses %j", async (argv, what, remedy) => {
    expect(await spevisor("ask", ...argv)).toBe(2);
    expect(err).toContain(what);
    expect(err).toContain(remedy);
    expect(out).toBe("");
  });
});
