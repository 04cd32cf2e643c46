/** Lockstep itself: a program that is the same on QEMU, and one that cannot be. The command is `npm run lockstep -- FILE`. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { missingTools } from "./fuzz-a64/oracle.ts";
import { runLockstep } from "./lockstep/run.ts";
import { textOf } from "./lockstep/text.ts";

const missing = missingTools();
if (missing !== undefined)
  console.log(`lockstep: skipped, needs qemu-aarch64 and a cross compiler: ${missing}`);

describe.skipIf(missing !== undefined)("lockstep", { timeout: 120_000 }, () => {
  const directory = mkdtempSync(join(tmpdir(), "spevisor-lockstep-"));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  const run = (name: string, body: string, limit = 1000) => {
    const file = join(directory, `${name}.s`);
    writeFileSync(file, `.global _start\n_start:\n${body}\nsvc #0\n.data\ndata: .quad 5, 6\n`);
    return runLockstep(file, directory, limit);
  };

  it("goes to the program's end where all is the same: integers, memory, flags, SIMD", async () => {
    const outcome = await run(
      "same",
      "mov x0, #3\nadrp x9, data\nadd x9, x9, :lo12:data\n1: ldp x1, x2, [x9]\nadds x1, x1, x2, lsl #3\nstr x1, [x9]\n" +
        "ldr q0, [x9]\nscvtf v1.2d, v0.2d\nfdiv v2.2d, v1.2d, v1.2d\nsubs x0, x0, #1\nb.ne 1b\nstp x1, x2, [sp, #-16]!",
    );
    expect(outcome).toMatchObject({ ending: "ended", executed: 3 + 3 * 8 + 1, differences: [] });
  });

  it("ends alike at a fault", async () => {
    const outcome = await run("fault", "mov x0, #8\nldr x1, [x0]");
    expect(outcome).toMatchObject({ ending: "ended", executed: 1 });
  });

  it("stops at the limit", async () => {
    expect(await run("limit", "1: b 1b", 7)).toMatchObject({ ending: "limit", executed: 7 });
  });

  it("says which instruction differs, and in which register", async () => {
    // Here is no counter.
    const outcome = await run("differs", "mov x0, #1\nnop\nmrs x0, cntvct_el0");
    expect(outcome.ending).toBe("differs");
    expect(outcome.differences[0]!.register).toBe("signal");
    expect(textOf(outcome)).toMatch(
      /^after 2 instructions that were the same.*\n.*movz.*\n.*nop.*\n.*mrs .*\n {2}signal/,
    );
  });
});
