// Where the parts of the program are. A checkout runs from source: no build step, and in a fresh clone no install step
// either. An installed package has no source, and in dist/ what scripts/build.js has made of it.
import { existsSync } from "node:fs";

/** What can be loaded, by its name in dist/: the source file of each, from src/. */
export const ENTRIES = {
  main: "cli/main.ts",
  worker: "cli/worker.ts",
  cell: "cli/cells/kinds.ts",
  questions: "lab/questions/index.ts",
  index: "api/index.ts",
};

const SOURCE = new URL("../src/", import.meta.url);
const BUILT = new URL("../dist/", import.meta.url);

export const isCheckout = existsSync(new URL(ENTRIES.main, SOURCE));

/**
 * The URL of a part that is not bundled with others: its source, or what was built from it.
 * @param {keyof typeof ENTRIES} name
 */
export const urlOf = (name) =>
  (isCheckout ? new URL(ENTRIES[name], SOURCE) : new URL(`${name}.js`, BUILT)).href;

/**
 * Loads a part.
 * @param {keyof typeof ENTRIES} name
 * @param {{ bundled?: boolean }} options bundled: a checkout may take it from a bundle, which starts in a third of the time that
 * hundreds of modules take; what it imports of the source later is another module then, and shares no classes with it
 */
export async function load(name, { bundled = name === "main" } = {}) {
  if (!isCheckout) {
    const { mapStacks } = await import("./stacks.js");
    mapStacks(BUILT);
    return import(urlOf(name));
  }
  const { ensureInstalled } = await import("../scripts/ensure.js");
  ensureInstalled();
  if (bundled) {
    const { importBundled } = await import("../scripts/bundle.js");
    const part = await importBundled(name, { main: ENTRIES.main, worker: ENTRIES.worker });
    // What is imported later, such as a policy, registers TypeScript then (src/cli/import-source.ts).
    if (part !== undefined) return part;
  }
  const { registerTypeScript } = await import("./typescript/register.js");
  registerTypeScript();
  return import(urlOf(name));
}
