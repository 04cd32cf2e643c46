/** The package, as somebody installs it: packed, installed into an empty folder, and used there. */
import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { transformSync } from "esbuild";
import { afterAll, describe, expect, it } from "vitest";
import { run } from "./guest/cli.ts";
import { guestFor } from "./guest/guests.ts";
import { withoutProgress } from "./progress-lines.ts";

const MINUTES = 60_000;
const ROOT = fileURLToPath(new URL("..", import.meta.url));
const NOBODY = 65534;

interface Locked {
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const lock = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8")) as {
  packages: Readonly<Record<string, Locked>>;
};

it("locks every platform's binaries: npm ci refuses a lock that was written where a registry lacks some", () => {
  const wanted = Object.values(lock.packages).flatMap((locked) =>
    Object.keys(locked.optionalDependencies ?? {}),
  );
  expect(wanted.length).toBeGreaterThan(0);
  expect(wanted.filter((name) => lock.packages[`node_modules/${name}`] === undefined)).toEqual([]);
});

const folder = mkdtempSync(join(tmpdir(), "spevisor-package-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string): string => join(folder, name);

/** Packs and installs; what npm said where it could not. */
function install(): string | undefined {
  chmodSync(folder, 0o755);
  execFileSync("npm", ["pack", "--loglevel=error", "--pack-destination", folder], {
    cwd: ROOT,
    stdio: "pipe",
  });
  const tarball = readdirSync(folder).find((name) => name.endsWith(".tgz")) ?? "";
  writeFileSync(at("package.json"), "{}");
  const options = ["--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error"];
  const { status, stderr } = spawnSync("npm", ["install", ...options, at(tarball)], {
    cwd: folder,
    encoding: "utf8",
  });
  return status === 0 ? undefined : stderr;
}
const failed = install();
if (failed !== undefined) {
  // Without a registry there is nothing to install from; anything else is the package's fault.
  if (!/ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH/.test(failed)) throw new Error(failed);
  console.log("package: skipped, npm reaches no registry to install its dependencies from");
}
const guest = failed === undefined ? await guestFor("package") : undefined;

const INSTALLED = at("node_modules/spevisor");
const BIN = join(INSTALLED, "bin/spevisor.js");
const spevisor = (argv: readonly string[], env: Record<string, string> = {}) =>
  run(process.execPath, [BIN, ...argv], { cwd: folder, env });

/** The blocks of TypeScript in the API's page. */
const [EXAMPLE = "", POLICY = ""] = [
  ...readFileSync(join(ROOT, "docs/api.md"), "utf8").matchAll(/```ts\n(.*?)```/gs),
].map(([, code]) => code ?? "");

describe.skipIf(failed !== undefined)("the installed package", { timeout: 5 * MINUTES }, () => {
  it("has what users need, with metadata, and neither source nor tests", () => {
    const about = JSON.parse(readFileSync(join(INSTALLED, "package.json"), "utf8"));
    for (const field of ["description", "license", "keywords", "author", "engines", "exports", "types"])
      expect(about[field], field).toBeTruthy();
    expect(readdirSync(INSTALLED).sort()).toEqual(
      [
        "CHANGELOG.md",
        "LICENSE",
        "README.md",
        "bin",
        "dist",
        "docs",
        "examples",
        "package.json",
        "recordings",
      ].sort(),
    );
    const files = readdirSync(INSTALLED, { recursive: true }).map(String);
    expect(files.filter((name) => /\.test\.|(?<!\.d)\.ts$/.test(name))).toEqual([]);
    const pieces = files.filter((name) => /^dist\/[^/]*\.js$/.test(name));
    expect(pieces.length).toBeGreaterThan(5);
    expect(pieces.filter((name) => !files.includes(`${name}.map`))).toEqual([]);
  });

  it("says its version, lists, explains", async () => {
    const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { version: string };
    expect(await spevisor(["--version"])).toEqual({ code: 0, out: `${version}\n`, err: "" });
    for (const argv of [
      ["--help"],
      ["policies"],
      ["profiles"],
      ["scenarios"],
      ["ask"],
      ["explain", "adaptive"],
    ])
      expect(await spevisor(argv)).toMatchObject({ code: 0, out: expect.stringMatching(/./), err: "" });
  });

  it("predicts, with a page, compares and asks", async () => {
    const recording = join(INSTALLED, "recordings/make-j2.task.data");
    const predicted = await spevisor(["predict", recording, "--policy", "adaptive", "--html", "page.html"]);
    expect(predicted).toMatchObject({ code: 0, err: "written: page.html\n" });
    expect(readFileSync(at("page.html"), "utf8")).toMatch(/<html/);
    expect(await spevisor(["compare", "pin-on-enable", "adaptive"])).toMatchObject({ code: 0 });
    expect(await spevisor(["ask", "20", "--no-cache"])).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^20\. The floor/),
    });
  });

  it("takes a policy in TypeScript that imports the package, from wherever it lies", async () => {
    mkdirSync(at("elsewhere"));
    writeFileSync(at("elsewhere/helper.mts"), "export const MOST: number = 4;\n");
    const other = POLICY.replace(
      "const MOST_PAGES = 1024;",
      'import { MOST as MOST_PAGES } from "./helper.mts";',
    );
    expect(other).not.toBe(POLICY);
    // Not below node_modules: nothing there is called spevisor but by ourselves.
    const lonely = mkdtempSync(join(tmpdir(), "spevisor-policy-"));
    try {
      writeFileSync(at("mine.ts"), POLICY);
      writeFileSync(at("elsewhere/mine.mts"), other);
      writeFileSync(join(lonely, "mine.ts"), POLICY);
      for (const file of ["./mine.ts", "elsewhere/mine.mts", join(lonely, "mine.ts")])
        expect(
          await spevisor(["thread", "--policy", file, "--profile", "thread-normal", "--json", "-"]),
          file,
        ).toMatchObject({ code: 0, out: expect.stringContaining('"mine"'), err: "" });
    } finally {
      rmSync(lonely, { recursive: true });
    }
    writeFileSync(at("broken.ts"), "export const x: = 1;\n");
    expect(await spevisor(["explain", "./broken.ts"])).toMatchObject({
      code: 2,
      err: expect.stringMatching(/^spevisor: \.\/broken\.ts does not load: /),
    });
  });

  it("has types for the page's examples, whatever resolves modules", async () => {
    writeFileSync(at("policy.ts"), POLICY);
    writeFileSync(at("example.ts"), EXAMPLE);
    writeFileSync(
      at("wrong.ts"),
      'import { predict } from "spevisor";\n// @ts-expect-error a number is no recording\nawait predict(1);\n',
    );
    writeFileSync(at("package.json"), '{ "type": "module" }');
    const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
    const common = ["--ignoreConfig", "--noEmit", "--strict", "--target", "es2022", "--lib", "es2023,dom"];
    for (const options of [
      ["--module", "nodenext", "--skipLibCheck", "false"],
      ["--module", "esnext", "--moduleResolution", "bundler", "--skipLibCheck"],
    ]) {
      const files = ["policy.ts", "example.ts", "wrong.ts"];
      const checked = await run(process.execPath, [tsc, ...common, ...options, ...files], { cwd: folder });
      expect(checked, options.join(" ")).toEqual({ code: 0, out: "", err: "" });
    }
  });

  it("names the source where something fails, in a worker, too", async () => {
    const failing = POLICY.replace(
      "if (buffer.pages > MOST_PAGES) return DONE;",
      'throw new Error("on purpose");',
    );
    writeFileSync(at("failing.ts"), failing);
    const { code, err } = await spevisor(["thread", "--policy", "./failing.ts"]);
    expect([code, err]).toEqual([1, expect.stringMatching(/on purpose\n +at .*failing\.ts:\d+/)]);
    expect(err).toMatch(/src\/kvm\/spe\/vcpu-spe\.ts:\d+/);
    expect(err).not.toMatch(/dist\//);
  });

  it.skipIf(guest === undefined)("runs the page's example", async () => {
    copyFileSync(join(ROOT, "recordings/make-j2.task.data"), at("perf.data"));
    const { code } = transformSync(EXAMPLE, { loader: "ts", format: "esm", target: "node20" });
    writeFileSync(at("example.mjs"), code);
    expect(await run(process.execPath, [at("example.mjs")], { cwd: folder })).toEqual({
      code: 0,
      out: "0 aarch64 true\n1 2 3\nadaptive true\n8102030405060708 1n 18\nmissing.data: there is no such file\n",
      err: "",
    });
  });

  it.skipIf(guest === undefined)("runs a guest's command", async () => {
    expect(await spevisor(["run", "--", "true"])).toMatchObject({ code: 0, out: "" });
  });
});

const isRoot = process.getuid?.() === 0;
const hasSetpriv = spawnSync("setpriv", ["--version"]).status === 0;
if (!isRoot || !hasSetpriv)
  console.log("package, another user: skipped, needs root rights and setpriv (util-linux)");

describe.skipIf(failed !== undefined || !isRoot || !hasSetpriv)(
  "another user, who may write nowhere",
  { timeout: 5 * MINUTES },
  () => {
    const asNobody = (argv: readonly string[], env: Record<string, string> = {}) => {
      const ids = [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"];
      return run("setpriv", [...ids, process.execPath, BIN, ...argv], {
        cwd: folder,
        env: { HOME: "/nonexistent", XDG_CACHE_HOME: "", ...env },
      });
    };

    it("predicts, tries policies in TypeScript, and asks", async () => {
      expect(await asNobody(["--version"])).toMatchObject({ code: 0, err: "" });
      writeFileSync(at("mine.ts"), POLICY);
      expect(await asNobody(["thread", "--policy", "./mine.ts", "--profile", "thread-normal"])).toMatchObject(
        {
          code: 0,
          err: "",
        },
      );
      const recording = join(INSTALLED, "recordings/make-j2.task.data");
      expect(await asNobody(["predict", recording, "--policy", "adaptive"])).toMatchObject({
        code: 0,
        err: "",
      });
      expect(await asNobody(["ask", "20"])).toMatchObject({
        code: 0,
        err: expect.stringMatching(/^spevisor: nothing is kept for the next time \(.*\); .*\n$/),
      });
      // Somebody whom the system does not know has no home at all.
      const env = { ...process.env, HOME: undefined, XDG_CACHE_HOME: "" };
      const stranger = [
        "--reuid=54321",
        "--regid=54321",
        "--clear-groups",
        process.execPath,
        BIN,
        "ask",
        "20",
      ];
      const { status, stderr } = spawnSync("setpriv", stranger, { cwd: folder, env, encoding: "utf8" });
      expect([status, withoutProgress(stderr)]).toEqual([
        0,
        expect.stringMatching(/^spevisor: nothing is kept .*\n$/),
      ]);
    });

    it("is told in a sentence where a file cannot be written", async () => {
      const recording = join(INSTALLED, "recordings/make-j2.task.data");
      expect(await asNobody(["predict", recording, "--html", "no.html"])).toMatchObject({
        code: 2,
        err: "spevisor: no.html: permission denied\n",
      });
    });

    it.skipIf(guest === undefined)("runs a guest that somebody else has fetched", async () => {
      if (guest === undefined) return;
      cpSync(guest.folder, join(at("cache/spevisor/guests"), guest.name), { recursive: true });
      const { code, out, err } = await asNobody(["run", "--", "id", "-u"], { XDG_CACHE_HOME: at("cache") });
      expect([code, out]).toEqual([0, "0\n"]);
      expect(err).toMatch(/^spevisor: the booted guest cannot be kept: .*permission denied.*\n$/);
    });
  },
);
