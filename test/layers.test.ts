import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), "spevisor-layers-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Checks the src/ of a folder under our rules. */
function cruise(cwd: string): { code: number | null; said: string } {
  const done = spawnSync(
    process.execPath,
    [
      join(root, "node_modules/dependency-cruiser/bin/dependency-cruise.mjs"),
      "--output-type",
      "err-long",
      "src",
    ],
    { cwd, encoding: "utf8" },
  );
  return { code: done.status, said: done.stdout + done.stderr };
}

/** A project of a few files, under our rules. */
function project(name: string, files: Readonly<Record<string, string>>): string {
  const folder = join(scratch, name);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  for (const config of [".dependency-cruiser.cjs", "tsconfig.json", "package.json"])
    cpSync(join(root, config), join(folder, config));
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  return folder;
}

it("src keeps the layers", () => {
  const { code, said } = cruise(root);
  expect(said).toContain("no dependency violations found");
  expect(code).toBe(0);
});

const LEAF = "export const x = 1;\n";

/** A title, the files of a breach, and the line that must name it. */
const BREACHES: readonly [string, Readonly<Record<string, string>>, RegExp][] = [
  [
    "an import from a layer above",
    { "src/mmu/walk.ts": 'export { x } from "../kvm/vm.ts";\n', "src/kvm/vm.ts": LEAF },
    /error mmu-imports-only-from-below: src\/mmu\/walk\.ts → src\/kvm\/vm\.ts\n +one walker serves/,
  ],
  [
    "an import from a neighbour on the same level",
    { "src/spe/spu.ts": 'export { x } from "../host/mm.ts";\n', "src/host/mm.ts": LEAF },
    /error spe-imports-only-from-below: src\/spe\/spu\.ts → src\/host\/mm\.ts/,
  ],
  [
    "a type from a layer above",
    {
      "src/arm/a.ts": 'export type { T } from "../lab/b.ts";\n',
      "src/lab/b.ts": "export type T = number;\n",
    },
    /error arm-imports-only-from-below: src\/arm\/a\.ts → src\/lab\/b\.ts/,
  ],
  [
    "a module of Node in a pure layer",
    { "src/lab/c.ts": 'import "node:fs";\n' },
    /error only-api-and-cli-and-vmm-node-and-guest-node: src\/lab\/c\.ts → .*fs/,
  ],
  [
    "a module of Node by a detour, with the path of imports",
    { "src/lab/d.ts": 'import "../vmm/node/e.ts";\n', "src/vmm/node/e.ts": 'import "node:os";\n' },
    /error only-api-and-cli-and-vmm-node-and-guest-node: src\/lab\/d\.ts → [\s\S]*?src\/vmm\/node\/e\.ts[\s\S]*?os/,
  ],
  [
    "a folder in no layer",
    { "src/util/a.ts": LEAF, "src/cli/b.ts": 'import "../util/a.ts";\n' },
    /error known-layers-only: src\/cli\/b\.ts → src\/util\/a\.ts/,
  ],
  [
    "a test that ships",
    { "src/lab/f.ts": 'import "./g.testing.ts";\n', "src/lab/g.testing.ts": LEAF },
    /error product-without-tests: src\/lab\/f\.ts/,
  ],
  [
    "a cycle",
    { "src/kvm/a.ts": 'import "./b.ts";\n', "src/kvm/b.ts": 'import "./a.ts";\n' },
    /error no-cycles: src\/kvm\/[ab]\.ts/,
  ],
  [
    "a cycle of types",
    {
      "src/kvm/a.ts": 'import type { B } from "./b.ts";\nexport type A = { b: B };\n',
      "src/kvm/b.ts": 'import type { A } from "./a.ts";\nexport type B = { a: A };\n',
    },
    /error no-cycles: src\/kvm\/[ab]\.ts/,
  ],
  [
    "a package that is for development only",
    { "src/lab/h.ts": 'import "vitest";\n' },
    /error declared-packages-only: src\/lab\/h\.ts/,
  ],
  [
    "a terminal in the package's API",
    { "src/api/j.ts": 'import "../cli/progress.ts";\n', "src/cli/progress.ts": LEAF },
    /error api-takes-parts-of-the-command-line: src\/api\/j\.ts → src\/cli\/progress\.ts/,
  ],
  [
    "an experiment that reads costs",
    { "src/lab/i.ts": 'import "../host/profiles.ts";\n', "src/host/profiles.ts": LEAF },
    /error costs-are-charged-where-they-arise: src\/lab\/i\.ts/,
  ],
];

describe("a breach is caught, and named with its reason", () => {
  const { code, said } = cruise(
    project("breaches", Object.assign({}, ...BREACHES.map(([, files]) => files)) as Record<string, string>),
  );

  it.each(BREACHES)("%s", (_, __, named) => {
    expect(said).toMatch(named);
    expect(code).toBeGreaterThan(0);
  });

  it("and what is allowed is not", () => {
    const files = {
      "src/cli/main.ts": 'import "node:fs";\nimport "../vmm/node/b.ts";\nimport "commander";\n',
      "src/vmm/node/b.ts": 'import "node:os";\nimport "../../kvm/vm.ts";\n',
      "src/kvm/vm.ts": "export const x = 1;\n",
      "src/kvm/vm.test.ts": 'import "node:fs";\nimport "../cli/main.ts";\nimport "vitest";\n',
    };
    expect(cruise(project("allowed", files))).toMatchObject({ code: 0 });
  });
});
