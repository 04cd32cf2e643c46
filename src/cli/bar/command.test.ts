import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { NO_INPUT } from "../../../test/no-input.ts";
import type { Measured } from "../../lab/bar.ts";
import { loadLab } from "../lab.ts";
import { main } from "../main.ts";

interface Said {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

const cache = mkdtempSync(join(tmpdir(), "spevisor-bar-cache-"));
afterAll(() => rmSync(cache, { recursive: true }));

async function spevisor(...argv: string[]): Promise<Said> {
  let out = "";
  let err = "";
  const code = await main(argv, {
    stdin: NO_INPUT,
    stdout: { write: (text) => (out += text), columns: 200 },
    stderr: { write: (text) => (err += text) },
    env: { NO_COLOR: "1", XDG_CACHE_HOME: cache },
    runJob: () => {
      throw new Error("bar runs no jobs");
    },
    loadLab,
    questions: new URL("../../lab/questions/index.ts", import.meta.url),
    nowNs: () => 0,
  });
  return { code, out, err };
}

/** A single case, which is met. */
const ONE_CASE = ["bar", "--scenario", "task-5ms", "--at", "value", "--profile", "thread-normal"];

describe("spevisor bar", () => {
  it("exits with 0 where all is met, with a row for each case and profile", async () => {
    const { code, out } = await spevisor(
      "bar",
      "adaptive",
      "--scenario",
      "thread-a",
      "--scenario",
      "thread-b",
    );
    expect(code).toBe(0);
    expect(out.match(/ thread-normal /g)).toHaveLength(2);
    expect(out.match(/ thread-debug /g)).toHaveLength(2);
    expect(out).toMatch(/\n4 cases, 0 miss the bar\n$/);
  });

  it("exits with 1 where something is missed, and says what and by how much", async () => {
    const { code, out, err } = await spevisor(
      ...["bar", "pin-on-enable", "--scenario", "thread-a", "--profile", "thread-normal"],
    );
    expect(code).toBe(1);
    // Nothing but how far it is, on a machine that takes long.
    expect(err.replace("spevisor: starting\n", "")).toBe("");
    expect(out).toMatch(/thread-a, thread-normal: slowdown: [\d.]+ times bare metal, 1\.051 allowed/);
    expect(out).toMatch(/\n1 case, 1 misses the bar\n$/);
  });

  it("says which figures are held to more than the limits, and to what", async () => {
    const { out } = await spevisor(
      ...["bar", "--scenario", "system-5ms", "--period", "256", "--ipc", "2", "--profile", "thread-debug"],
    );
    expect(out).toMatch(/^Of 3 figures, met or missed, so many are held to more than the limits:$/m);
    expect(out).toMatch(/^ {2}\d slowdown: gracefully, up to pinning each page on the vCPU$/m);
    const met = await spevisor(...ONE_CASE);
    expect(met.out).not.toContain("held to more");
  });

  it("replays a random setting by its seed", async () => {
    const random = async (...of: string[]) => {
      const { out } = await spevisor("bar", "--profile", "thread-normal", "--random", ...of, "--json", "-");
      return (JSON.parse(out) as { verdicts: { scenario: string }[] }).verdicts;
    };
    const three = await random("3", "--seed", "5");
    expect(three.map(({ scenario }) => scenario)).toEqual(["random 5", "random 6", "random 7"]);
    expect(await random("1", "--seed", "7")).toEqual([three[2]]);
  });

  it("combines what its options list, says what all have in common, and goes on where it was", async () => {
    const argv = ["bar", "--scenario", "system-5ms", "--buffer", "128K,4M", "--vcpus", "1,2"];
    argv.push("--period", "65536", "--host-cpus", "2", "--worker-wake", "10us", "--at", "value");
    const { code, out } = await spevisor(...argv);
    expect(code).toBe(0);
    expect(out).toContain("Each with --period 65536 --worker-wake 10us --host-cpus 2 --at value:\n");
    for (const buffer of ["128K", "4M"])
      for (const vcpus of [1, 2])
        expect(out).toMatch(new RegExp(`│ system-5ms --buffer ${buffer} --vcpus ${vcpus} +│ thread-normal `));
    expect(out).toMatch(/\n8 cases, 0 miss the bar\n$/);
    const again = await spevisor(...argv);
    expect(again.out).toBe(out);
    expect(again.err).toContain("8 of 8 cases from the cache");
  });

  it("has all costs multiplied, and each cell's share of host CPU in its JSON", async () => {
    const share = async (...more: string[]) => {
      const { out } = await spevisor(...ONE_CASE, "--json", "-", ...more);
      const [verdict] = (JSON.parse(out) as { verdicts: { judged: { value: { measured: Measured } } }[] })
        .verdicts;
      return verdict?.judged.value.measured.hostCpuShare ?? Number.NaN;
    };
    expect(await share("--costs", "pinPage=10,unpinPage=10")).toBeGreaterThan(2 * (await share()));
  });

  it("writes its verdicts as JSON", async () => {
    const folder = mkdtempSync(join(tmpdir(), "spevisor-bar-"));
    try {
      const file = join(folder, "bar.json");
      const args = ["bar", "--scenario", "thread-a", "--profile", "thread-normal", "--json"];
      expect((await spevisor(...args, file)).code).toBe(0);
      const written = readFileSync(file, "utf8");
      expect(JSON.parse(written)).toMatchObject({ policy: "adaptive", met: true, verdicts: [{ flips: [] }] });
      expect((await spevisor(...args, "-")).out).toBe(written);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it.each([
    [["bar", "adaptve"], /policy "adaptve" does not exist\nDid you mean adaptive\?/],
    [["bar", "--scenario", "thread-c"], /scenario "thread-c" does not exist/],
    [["bar", "--profile", "thread-nromal"], /cost profile "thread-nromal" does not exist/],
    [["bar", "--recording", "/nowhere.data"], /there is no such file/],
    [["bar", "--random", "0"], /--random: "0" is not a whole number/],
    [["bar", "--random", "5", "--scenario", "thread-a"], /--random draws its own settings/],
    [["bar", "--random", "5", "--buffer", "4M"], /--random draws its own settings\nLeave out .*--buffer/],
    [["bar", "--period", "255"], /--period: "255" is not a whole number of at least 256/],
    [["bar", "--buffer", "3M"], /3 MiB cannot be an AUX buffer/],
    [["bar", "--vcpus", "4", "--host-cpus", "3"], /--host-cpus: 3 CPUs are too few for 4 vCPUs/],
    [["bar", "--vcpus", "4", "--scenario", "thread-a"], /scenario "thread-a" has 1 vCPUs, not 4/],
    [["bar", "--costs", "exitt=2"], /cost "exitt" does not exist\nDid you mean exit\?/],
    [["bar", "--worker-wake", "soon"], /--worker-wake: "soon" is not a duration/],
    [["bar", "--backing", "paper"], /backing "paper" does not exist/],
    [["bar", "--period", "4096", "--recording", "/nowhere.data"], /--period: recordings are run as they are/],
  ])("exits with 2 for %j", async (argv, message) => {
    const { code, err, out } = await spevisor(...argv);
    expect(code).toBe(2);
    expect(err).toMatch(message);
    expect(out).toBe("");
  });
});
