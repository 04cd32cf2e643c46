/** Specs in one line (test/specs/specs.ts): the same on every executor of the core's, and on qemu-aarch64. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { missingTools } from "./fuzz-a64/oracle.ts";
import { has } from "./oracles.ts";
import { OURS, QEMU } from "./specs/executors.ts";
import { ASSEMBLER, assemble, casesOf, changesIn, expectedOf, type Spec } from "./specs/spec.ts";
import { SPECS } from "./specs/specs.ts";

const ALL: readonly Spec[] = Object.values(SPECS).flat();
const canAssemble = has(ASSEMBLER);
if (!canAssemble) console.log("specs: skipped, needs: apt-get install binutils-aarch64-linux-gnu");
const missing = missingTools();
if (missing !== undefined) console.log(`specs on qemu-aarch64: skipped, needs: ${missing}`);

describe.skipIf(!canAssemble)("specs", () => {
  let directory: string;
  let cases: Uint8Array;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "spevisor-specs-"));
    cases = casesOf(ALL, assemble(ALL, directory));
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  describe.each([...OURS, ...(missing === undefined ? [QEMU] : [])])("on $name", (executor) => {
    let results: Uint8Array;
    beforeAll(async () => {
      results = await executor.run(cases, ALL.length, directory);
    });

    describe.each(Object.entries(SPECS))("%s", (_about, specs) => {
      it.each(specs.map((each) => [each.assembly, each] as const))("%s", (_text, each) => {
        expect(changesIn(cases, results, ALL.indexOf(each))).toEqual(expectedOf(each));
      });
    });
  });
});
