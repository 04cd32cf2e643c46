/**
 * Policies from files in sweeps: a file with all that it imports as one text, which is an input like a recording, so that a worker
 * elsewhere runs the same code and a result is known by it.
 */
import { hash } from "node:crypto";
import { readFileSync } from "node:fs";
import { basename, dirname, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import type { Plugin } from "esbuild";
import { UserError } from "../../common/errors.ts";
import type { PinPolicy } from "../../kvm/spe/policy.ts";
import type { InputFile } from "../cells/task.ts";
import { importSource } from "../import-source.ts";
import { loadLab } from "../lab.ts";
import { checkPolicyFile, policyOf } from "../load-policy.ts";

/** A policy as a text that can be run anywhere. */
export interface PolicyCode {
  readonly input: InputFile;
  readonly text: string;
  readonly policy: PinPolicy;
}

const SOURCE = fileURLToPath(new URL("../../", import.meta.url));

/** What is spevisor's own stays with whoever runs the code: its classes must be those of the machine that is given to it. */
const OWN_STAYS: Plugin = {
  name: "own-stays",
  setup({ onResolve }) {
    onResolve({ filter: /^spevisor$/ }, ({ path }) => ({ path, external: true }));
    onResolve({ filter: /^\.\.?\// }, ({ path, resolveDir, kind }) => {
      const file = relative(SOURCE, resolve(resolveDir, path));
      if (kind === "entry-point" || file.startsWith("..")) return undefined;
      return { path: `spevisor:${file.split(sep).join("/")}`, external: true };
    });
  },
};

/**
 * A policy's code from a file.
 * @throws UserError where it is missing, does not load, or holds none or several
 */
export async function policyCodeOf(file: string): Promise<PolicyCode> {
  checkPolicyFile(file);
  const path = resolve(file);
  const { build } = await import("esbuild");
  let text: string;
  try {
    const { outputFiles } = await build({
      entryPoints: [path],
      // The text is the same wherever the file lies.
      absWorkingDir: dirname(path),
      bundle: true,
      write: false,
      platform: "node",
      format: "esm",
      target: "node20",
      logLevel: "silent",
      plugins: [OWN_STAYS],
    });
    text = outputFiles[0]!.text;
  } catch (error) {
    throw new UserError(`${file} does not load: ${error instanceof Error ? error.message : String(error)}`);
  }
  const name = basename(path);
  return { input: { name, sha256: hash("sha256", text) }, text, policy: await policyIn(text, name) };
}

async function policyIn(text: string, name: string): Promise<PinPolicy> {
  const url = `data:text/javascript;base64,${Buffer.from(text).toString("base64")}`;
  let module: Record<string, unknown>;
  try {
    module = (await importSource(url)) as Record<string, unknown>;
  } catch (error) {
    throw new UserError(`${name} does not load: ${error instanceof Error ? error.message : String(error)}`);
  }
  return policyOf(await loadLab(), module, name) as PinPolicy;
}

/** The policy of an input. @param path where its code is on this machine */
export const loadPolicyCode = (path: string, name: string): Promise<PinPolicy> =>
  policyIn(readFileSync(path, "utf8"), name);
