/** A suite's InRelease file: which index files it has, and their checksums. */
import { UserError } from "../../common/errors.ts";
import { parseParagraph } from "./deb822.ts";
import { MIRROR_SETTING } from "./hints.ts";

export interface Release {
  readonly codename: string;
  /** The point release, such as 12.11. */
  readonly version: string;
  /** SHA256 and size of a file below dists/SUITE/. */
  readonly files: ReadonlyMap<string, { readonly sha256: string; readonly bytes: number }>;
}

/** The text inside a clear-signed message (RFC 9580, 7); for where nobody checks the signature. */
export function signedText(message: string): string {
  const lines = message.split(/\r?\n/);
  const begin = lines.indexOf("-----BEGIN PGP SIGNED MESSAGE-----");
  if (begin < 0) return message;
  const blank = lines.indexOf("", begin);
  const end = lines.indexOf("-----BEGIN PGP SIGNATURE-----");
  return lines
    .slice(blank + 1, end < 0 ? undefined : end)
    .map((line) => line.replace(/^- /, ""))
    .join("\n");
}

/** @throws UserError if it is no release file, or another suite's */
export function parseRelease(text: string, suite: string, where: string): Release {
  const fields = parseParagraph(text.trim());
  const codename = fields.get("codename") ?? "";
  const sums = fields.get("sha256");
  if (sums === undefined)
    throw new UserError(`${where}: not a release file`, `Name a Debian mirror with ${MIRROR_SETTING}`);
  if (codename !== suite)
    throw new UserError(
      `${where}: is of "${codename}", not of ${suite}`,
      `Name another mirror with ${MIRROR_SETTING}`,
    );
  const files = new Map<string, { sha256: string; bytes: number }>();
  for (const line of sums.split("\n")) {
    const [, sha256, bytes, name] = /^([0-9a-f]{64})\s+(\d+)\s+(\S+)$/.exec(line) ?? [];
    if (name !== undefined && sha256 !== undefined) files.set(name, { sha256, bytes: Number(bytes) });
  }
  return { codename, version: fields.get("version") ?? "", files };
}
