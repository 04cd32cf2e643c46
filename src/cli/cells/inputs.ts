/** Files that cells read: known by their content, called by their names. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { basename } from "node:path";
import { pipeline } from "node:stream/promises";
import { BrokenInvariant } from "../../common/errors.ts";
import { type OpenedSource, openSource } from "../../vmm/node/file-source.ts";
import type { InputFile } from "./task.ts";

/** A file's SHA-256, in hexadecimal. */
export async function sha256Of(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}

/**
 * A recording as an input: records name it without its folder.
 * @throws UserError if it cannot be opened
 */
export async function inputOf(path: string): Promise<InputFile> {
  const { close } = await openSource(path);
  await close();
  return { name: basename(path), sha256: await sha256Of(path) };
}

/** Where an input is on this machine. */
export function pathOf({ name, sha256 }: InputFile, paths: Readonly<Record<string, string>>): string {
  const path = paths[sha256];
  if (path === undefined) throw new BrokenInvariant(`nobody says where ${name} is`);
  return path;
}

/** Opens a recording under its own name, wherever it lies. */
export async function openInput(path: string, name: string): Promise<OpenedSource> {
  const { source, close } = await openSource(path);
  return { source: { ...source, name }, close };
}
