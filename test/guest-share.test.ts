/** Directories of this computer in Debian's guest, in both suites: their kernels' 9P clients differ. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runInGuest, scratchFolder } from "./guest/cli.ts";
import { guestFor } from "./guest/guests.ts";
import { buildShare, hasCrossCompiler } from "./guest/programs.ts";

if (!hasCrossCompiler)
  console.log(
    "guest, --share, C program: skipped, needs: apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
  );
const MINUTES = 60_000;
const scratch = scratchFolder("guest-share");
afterAll(scratch.remove);

const CHECKS = ["mapping", "coherence", "linking", "identity", "names", "locks"];

for (const suite of ["bookworm", "trixie"] as const) {
  const guest = await guestFor("guest, --share", suite, "generic");
  const folder = (name: string): string => scratch.at(`${suite}-${name}`);
  const nothing = folder("nothing");
  /** With three shares whatever is looked at: machines of one kind are booted once. One alone is in guest-out.test.ts. */
  const run = (script: string, ...shares: readonly string[]) => {
    mkdirSync(nothing, { recursive: true });
    const all = [...shares, nothing, nothing].slice(0, 3);
    return runInGuest(
      ["sh", "-c", script],
      ["--suite", suite, ...all.flatMap((share) => ["--share", share])],
    );
  };

  describe.skipIf(guest === undefined)(`--share, ${suite}`, { timeout: 6 * MINUTES }, () => {
    it("is a directory that both sides read and write", async () => {
      mkdirSync(folder("shared/below"), { recursive: true });
      writeFileSync(folder("shared/below/from-here"), "of this computer\n");
      const script = `cd /share && cat below/from-here && seq 1 50000 >numbers && mkdir new && mv numbers new/ &&
        ln -s new/numbers link && wc -l <link && rm below/from-here && ls`;
      const { code, out, err } = await run(script, folder("shared"));
      expect({ code, out }, err).toEqual({ code: 0, out: "of this computer\n50000\nbelow\nlink\nnew\n" });
      expect(readFileSync(folder("shared/new/numbers"), "utf8")).toMatch(/^1\n2\n[\d\n]*\n50000\n$/);
      expect(() => readFileSync(folder("shared/below/from-here"))).toThrow("ENOENT");
    });

    it("may be several, at places of their own, and some to read only", async () => {
      for (const name of ["one", "two", "three"]) {
        mkdirSync(folder(name));
        writeFileSync(folder(`${name}/name`), `${name}\n`);
      }
      const script = `cat /share/name "/my data/name" /share2/name
        for place in /share "/my data" /share2; do
          echo new >"$place/new" || echo "not in $place"; chmod 600 "$place/name"; rm "$place/name"
        done`;
      const { out, err } = await run(script, folder("one"), `${folder("two")}:/my data:ro`, folder("three"));
      expect(out, err).toBe("one\ntwo\nthree\nnot in /my data\n");
      expect(err.match(/Read-only file system/g)).toHaveLength(3);
      const left = (name: string) => readdirSync(folder(name));
      expect([left("one"), left("two"), left("three")]).toEqual([["new"], ["name"], ["new"]]);
    });

    it("perf writes its data there, and reads it", async () => {
      mkdirSync(folder("perf"));
      const script =
        "cd /share && perf record -q -o perf.data -- ls -R /usr >/dev/null && perf report -i perf.data --stdio";
      const { code, out, err } = await run(script, folder("perf"));
      expect({ code, err: err.replace(/^spevisor: .*\n/gm, "") }).toEqual({
        code: 0,
        err: expect.any(String),
      });
      expect(err).not.toMatch(/failed to mmap/);
      expect(out).toMatch(/^ +\d+\.\d\d% +ls /m);
      expect(readFileSync(folder("perf/perf.data")).subarray(0, 8).toString("latin1")).toBe("PERFILE2");
    });

    it("shows what this computer changes meanwhile", async () => {
      mkdirSync(folder("live"));
      writeFileSync(folder("live/plain"), "old");
      writeFileSync(folder("live/replaced"), "old");
      // Each side waits for the other's file; the guest has one of both open all the time.
      const script = `cd /share; exec 5<replaced; cat plain replaced; echo; touch ready
        until [ -e go ]; do sleep 0.2; done
        cat plain; echo; cat replaced; echo; cat <&5; touch seen`;
      const ended = run(script, folder("live"));
      const deadline = Date.now() + 3 * MINUTES;
      while (!existsSync(folder("live/ready")) && Date.now() < deadline)
        await new Promise((resolve) => setTimeout(resolve, 20));
      writeFileSync(folder("live/plain"), "new, and longer");
      writeFileSync(folder("live/next"), "another");
      renameSync(folder("live/next"), folder("live/replaced"));
      writeFileSync(folder("live/go"), "");
      const { code, out, err } = await ended;
      expect({ code, out }, err).toEqual({ code: 0, out: "oldold\nnew, and longer\nanother\nold" });
    });

    describe.skipIf(!hasCrossCompiler)("a program finds as elsewhere:", () => {
      let lines: readonly string[] = [];
      beforeAll(async () => {
        mkdirSync(folder("bin"));
        mkdirSync(folder("checked"));
        chmodSync(buildShare(folder("bin/share")), 0o755);
        // One process each: a check that fails ends it. In memory first, where each of them must hold.
        const each = `for check in ${CHECKS.join(" ")}; do for place in /tmp /share; do
          mkdir -p $place/$check; /bin/test $place = /tmp && echo "in memory: "; /checks/share $place/$check $check
        done; done`;
        const { out, err } = await run(each, folder("checked"), `${folder("bin")}:/checks:ro`);
        lines = out.replaceAll("in memory: \n", "in memory: ").split("\n");
        if (lines.filter((line) => line.endsWith(" ok")).length < 2 * CHECKS.length) console.log(out, err);
      }, 5 * MINUTES);
      it.each(CHECKS)("%s", (check) => {
        expect(lines).toContain(`in memory: ${check} ok`);
        expect(lines).toContain(`${check} ok`);
      });
      it("which is how it is here afterwards", () => {
        expect(readFileSync(folder("checked/mapping/mapped")).toString("latin1", 8192, 8201)).toBe(
          "a child's",
        );
        expect(statSync(folder("checked/identity/e/x")).mode & 0o777).toBe(0o640);
      });
    });
  });
}
