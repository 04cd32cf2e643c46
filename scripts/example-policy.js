// `node scripts/example-policy.js DIRECTORY [--register]`: writes CONTRIBUTING.md's example policy where it says that
// it belongs, in a checkout at DIRECTORY, and with --register puts it into the list. Prints the file's path.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const [directory, register] = process.argv.slice(2);
if (directory === undefined) {
  process.stderr.write("usage: node scripts/example-policy.js DIRECTORY [--register]\n");
  process.exit(2);
}
const markdown = readFileSync(new URL("../CONTRIBUTING.md", import.meta.url), "utf8");
const example = /```ts\n\/\/ (src\/kvm\/spe\/policies\/[a-z-]+\.ts)\n([\s\S]*?)```/.exec(markdown);
const exported = /export const (\w+): PinPolicy/.exec(example?.[2] ?? "");
if (example === null || exported === null) {
  process.stderr.write("CONTRIBUTING.md has no example policy\n");
  process.exit(1);
}
const [, path, source] = example;
writeFileSync(join(directory, path), source);

if (register === "--register") {
  const list = join(directory, "src/kvm/spe/policies/index.ts");
  const name = exported[1];
  const before = readFileSync(list, "utf8");
  const after = before
    .replace(
      /^import type .*\n/m,
      (line) => `${line}import { ${name} } from "./${path.split("/").at(-1)}";\n`,
    )
    .replace(/(POLICIES[^=]*= \[[^\]]*?),?\s*\]/, `$1, ${name}]`);
  if (!after.includes(`, ${name}]`)) {
    process.stderr.write(`${list}: the list of policies is not where it was\n`);
    process.exit(1);
  }
  writeFileSync(list, after);
}
process.stdout.write(`${join(directory, path)}\n`);
