/**
 * Instructions by exception level, to the last one: EL0 code of a known length under interrupts and faults. QEMU counts by
 * its clock, so there is nothing to compare with.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildImage, missingPackage, underHypervisor } from "./payload/bare-metal.ts";

const source = fileURLToPath(new URL("./payload-count/payload.c", import.meta.url));
const missing = missingPackage();
if (missing !== undefined) console.log(`payload-count: skipped, needs: apt-get install ${missing}`);

/** 25,000 turns of four instructions, and SVC. */
const AT_EL0 = 100_001;

describe.skipIf(missing !== undefined)("the payload that counts", () => {
  let directory: string;
  let image: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "spevisor-payload-count-"));
    image = buildImage(source, directory);
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  it("counts each instruction once, where it was executed", { timeout: 120_000 }, () => {
    const measured = (what: string, interrupts: string): string[] => [
      what,
      `EL0: ${AT_EL0}`,
      "EL1 too many: 0",
      "cycles too many: 0",
      // The SVC, and the return to EL0 at first.
      "exceptions but interrupts and faults: 1",
      "returns but of exceptions: 2",
      `${interrupts} interrupts`,
      "faults: 1",
    ];
    expect(underHypervisor(image).text.split("\n")).toEqual([
      ...measured("without a timer", "no"),
      ...measured("every 31 ticks", "many"),
      ...measured("every 9 ticks", "many"),
      "done",
      "",
    ]);
  });
});
