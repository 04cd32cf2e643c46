/**
 * perf's own tests of SPE, as Debian ships them: of a snapshot, of the whole system, and that nothing hangs when there are
 * forks. They wait for whole seconds of the guest's, so each guest takes minutes: all four only in CI.
 */
import { afterAll, expect, it } from "vitest";
import type { Suite } from "../src/guest/debian/recipe.ts";
import { runInGuest, SHORT_SYMBOLS, scratchFolder } from "./guest/cli.ts";
import { debianRoot, IN_DEBIAN_ROOT, whyNoDebianRoot } from "./guest/debian-root.ts";
import { guestFor } from "./guest/guests.ts";

const MINUTES = 60_000;
const scratch = scratchFolder("guest-perf-tests");
afterAll(scratch.remove);

const NAMES = [
  "Check Arm SPE trace data recording and synthesized samples",
  "Check Arm SPE doesn't hang when there are forks",
];
/**
 * Fewer records than at perf's default, since the scripts print all of them, and a slower clock: their programs loop for seconds
 * of the guest's.
 */
const OPTIONS = ["--spe-interval", "4096", "--freq", "1"];
const PERF_TEST = 'perf test -v "Arm SPE" 2>&1';
const BEFORE = `${SHORT_SYMBOLS}\n`;

/** What perf says of each test: Ok, Skip or FAILED. */
const verdictsOf = (out: string): Readonly<Record<string, string>> =>
  Object.fromEntries(
    [...out.matchAll(/^(?: *\d+: )?(Check Arm SPE [^:]*?) *: (Ok|Skip|FAILED)/gm)].map(
      ([, name, verdict]) => [name, verdict],
    ),
  );

async function expectPassing(
  suite: Suite,
  cpus: number,
  script: string,
  options: readonly string[],
): Promise<void> {
  const { code, out, err } = await runInGuest(
    ["sh", "-c", script],
    [...OPTIONS, "--suite", suite, "--cpus", `${cpus}`, ...options],
  );
  expect(verdictsOf(out), `${out}\n${err}`).toEqual(Object.fromEntries(NAMES.map((name) => [name, "Ok"])));
  expect(code).toBe(0);
}

const trixie = await guestFor("guest, perf's own tests on trixie", "trixie");
const inCi = (process.env["CI"] ?? "") !== "";
for (const cpus of inCi ? [1, 2] : [1])
  it.skipIf(trixie === undefined)(
    `perf's tests of SPE pass in trixie's guest, vCPUs: ${cpus}`,
    { timeout: 20 * MINUTES },
    () => expectPassing("trixie", cpus, `${BEFORE}${PERF_TEST}`, []),
  );

// bookworm's test compiles its program: its guest has a disk with Debian's compiler.
const bookworm = await guestFor("guest, perf's own tests on bookworm");
const why = whyNoDebianRoot();
if (why !== undefined) console.log(`guest, perf's own tests on bookworm: skipped, ${why}`);
const root =
  why !== undefined || bookworm === undefined
    ? undefined
    : debianRoot("bookworm", scratch.at("root.squashfs"));
for (const cpus of [1, 2])
  it.skipIf(root === undefined)(
    `perf's tests of SPE pass in bookworm's guest, vCPUs: ${cpus}`,
    { timeout: 20 * MINUTES },
    async () =>
      expectPassing("bookworm", cpus, `${BEFORE}${IN_DEBIAN_ROOT} ${PERF_TEST}`, [
        "--disk",
        `${await root},readonly`,
      ]),
  );
