/** A bare-metal program under the hypervisor and on QEMU's virt machine: the same lines on the console. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildImage, missingPackage, onQemu, underHypervisor } from "./payload/bare-metal.ts";

const source = fileURLToPath(new URL("./payload/payload.c", import.meta.url));
const missing = missingPackage();
if (missing !== undefined) console.log(`payload: skipped, needs: apt-get install ${missing}`);

describe.skipIf(missing !== undefined)("the payload", () => {
  let directory: string;
  let image: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "spevisor-payload-"));
    image = buildImage(source, directory);
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  it("prints here what it prints on QEMU", { timeout: 120_000 }, () => {
    const ours = underHypervisor(image);
    expect(ours.text.split("\n")).toEqual(onQemu(image).split("\n"));
    expect(ours.text).toMatch(/done\n$/);
    expect(ours.ending).toBe("off");
  });

  it("runs alike twice", { timeout: 120_000 }, () => {
    const first = underHypervisor(image);
    const second = underHypervisor(image);
    expect(second.text).toBe(first.text);
    expect(second.machine.instructions).toBe(first.machine.instructions);
  });
});
