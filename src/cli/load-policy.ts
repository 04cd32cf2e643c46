/** `--policy ./mine.ts`: a policy from a file that is in nobody's list. */
import { statSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { UserError } from "../common/errors.ts";
import { IS_DIRECTORY, IS_EMPTY, whyUnreadable } from "../vmm/node/read-file.ts";
import type { Engine } from "./engine.ts";
import { importSource } from "./import-source.ts";

/** @throws UserError for a file that is missing, empty or none */
export function checkPolicyFile(file: string): void {
  try {
    const status = statSync(file);
    if (status.isDirectory()) throw new UserError(`${file}: ${IS_DIRECTORY}`);
    if (status.size === 0) throw new UserError(`${file}: ${IS_EMPTY}`);
  } catch (error) {
    throw error instanceof UserError ? error : new UserError(`${file}: ${whyUnreadable(error)}`);
  }
}

/**
 * The policy of a file.
 * @throws UserError if the file is missing, does not load, or holds none or several
 */
export async function loadPolicy(engine: Engine, file: string): Promise<unknown> {
  checkPolicyFile(file);
  let module: Record<string, unknown>;
  try {
    module = (await importSource(pathToFileURL(resolve(file)).href)) as Record<string, unknown>;
  } catch (error) {
    throw new UserError(`${file} does not load: ${error instanceof Error ? error.message : String(error)}`);
  }
  return policyOf(engine, module, file);
}

/**
 * The policy a module exports: its default export, or the one exported object that looks like a policy.
 * @throws UserError where there is none, or several
 */
export function policyOf(engine: Engine, module: Readonly<Record<string, unknown>>, file: string): unknown {
  const shaped = (value: unknown) => typeof engine.describePolicy(value) !== "string";
  // A .ts file outside of an ESM package arrives as CommonJS, whose exports are the default export.
  const given = module["default"];
  if (given !== undefined && shaped(given)) return given;
  const inner = typeof given === "object" && given !== null ? Object.values(given) : [];
  const exported = [...new Set([...inner, ...Object.values(module)])];
  const found = exported.filter(shaped);
  if (found.length === 1) return found[0];
  if (found.length > 1)
    throw new UserError(`${file} exports ${found.length} policies`, "Make one of them the default export.");
  const why = exported
    .filter((value) => typeof value === "object" && value !== null)
    .map((value) => engine.describePolicy(value))[0];
  throw new UserError(
    `${file} exports no policy${typeof why === "string" ? `: ${why}` : ""}`,
    "See CONTRIBUTING.md for what a policy looks like.",
  );
}
