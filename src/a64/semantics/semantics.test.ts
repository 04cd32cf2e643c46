import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const here = fileURLToPath(new URL("./", import.meta.url));

/** Where the emitter keeps general registers, flags and the monitor is its own business: it may be locals. */
const RAW = /\bSTATE\b|\bSLOT\b|\be\.cpu\b|"(?:NF|ZF|CF|VF|MONITOR_\w+)"/;

it("semantics touch no state by its place in memory", () => {
  const files = readdirSync(here, { recursive: true, encoding: "utf8" }).filter(
    (file) => file.endsWith(".ts") && !file.endsWith(".test.ts"),
  );
  expect(files.length).toBeGreaterThan(20);
  const found = files.flatMap((file) =>
    readFileSync(join(here, file), "utf8")
      .split("\n")
      .filter((line) => RAW.test(line))
      .map((line) => `${file}: ${line.trim()}`),
  );
  expect(found).toEqual([]);
});
