import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import type { Semantics } from "../emit.ts";

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

it("only a case of the loop can ask where and when it is executed, or jump", () => {
  const loop: Semantics = { inline: true, emit: (e) => e.pc() };
  // @ts-expect-error a handler outside of the loop does not know PC
  const handler: Semantics = { emit: (e) => e.pc() };
  expect([loop.inline, handler.inline]).toEqual([true, undefined]);
});
