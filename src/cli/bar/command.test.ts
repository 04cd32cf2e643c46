import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { NO_INPUT } from "../../../test/no-input.ts";
import { loadLab } from "../lab.ts";
import { main } from "../main.ts";

interface Said {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function spevisor(...argv: string[]): Promise<Said> {
  let out = "";
  let err = "";
  const code = await main(argv, {
    stdin: NO_INPUT,
    stdout: { write: (text) => (out += text), columns: 200 },
    stderr: { write: (text) => (err += text) },
    env: { NO_COLOR: "1" },
    runJob: () => {
      throw new Error("bar runs no jobs");
    },
    loadLab,
    questions: new URL("../../lab/questions/index.ts", import.meta.url),
    nowNs: () => 0,
  });
  return { code, out, err };
}

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
    expect(err).toBe("");
    expect(out).toMatch(/thread-a, thread-normal: slowdown: [\d.]+ times bare metal, 1\.200 allowed/);
    expect(out).toMatch(/\n1 case, 1 misses the bar\n$/);
  });

  it("replays a random setting by its seed", async () => {
    const [, row] = (await spevisor("bar", "--random", "3", "--seed", "5")).out.match(/(random 7 .*)/) ?? [];
    const again = await spevisor("bar", "--random", "1", "--seed", "7");
    expect(row).toBeDefined();
    expect(again.out).toContain(row);
    expect(again.out).not.toContain("random 5");
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
  ])("exits with 2 for %j", async (argv, message) => {
    const { code, err, out } = await spevisor(...argv);
    expect(code).toBe(2);
    expect(err).toMatch(message);
    expect(out).toBe("");
  });
});
