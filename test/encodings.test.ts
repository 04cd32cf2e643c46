/** The architecture's numbers have one home: encodings of registers stand in arm/ and in the decode table, and nowhere else. */
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const source = fileURLToPath(new URL("../src/", import.meta.url));
const HOMES = ["arm/", "a64/encodings/"];

/** Five small numbers in a row, as MSR and MRS name a register; and a call that makes a key of them. */
const ENCODING = /\[\s*[123],\s*[0-7],\s*(?:1[0-5]|\d),\s*(?:1[0-5]|\d),\s*[0-7]\s*\]/;
const KEY_OF_NUMBERS = /encodingKey\(\[[^\]]*,\s*\d+,\s*\d+,\s*\d+\s*\]/;
/** A class in a syndrome, made by hand. */
const CLASS = /\b(?!1\b)\w+\)?\s*<<\s*26\b/;

/** What of a text is a number of the architecture's that belongs elsewhere. */
const strays = (text: string): readonly string[] =>
  text
    .replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "")
    .split("\n")
    .filter((line) => ENCODING.test(line) || KEY_OF_NUMBERS.test(line) || CLASS.test(line));

it("finds an encoding, a key and a syndrome that are written out", () => {
  expect(strays("const X = [3, 0, 9, 10, 7];")).toHaveLength(1);
  expect(strays("const X = encodingKey([3, op1, 9, 10, 7]);")).toHaveLength(1);
  expect(strays("const esr = (ec << 26) | IL;")).toHaveLength(1);
  expect(strays("/** as in [3, 0, 9, 10, 7] */ const X = SYSREG.PMBIDR_EL1; // 1 << 26")).toHaveLength(0);
});

it("finds none outside of arm/ and a64/encodings/", () => {
  const files = readdirSync(source, { recursive: true, withFileTypes: true })
    .filter(
      (entry) => entry.isFile() && entry.name.endsWith(".ts") && !/\.(test|testing)\.ts$/.test(entry.name),
    )
    .map((entry) => relative(source, join(entry.parentPath, entry.name)))
    .filter((file) => !HOMES.some((home) => file.startsWith(home)));
  expect(files.length).toBeGreaterThan(200);
  const found = files.flatMap((file) =>
    strays(readFileSync(join(source, file), "utf8")).map((line) => `${file}: ${line.trim()}`),
  );
  expect(found).toEqual([]);
});
