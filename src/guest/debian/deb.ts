/** Files of a .deb: an ar archive of a version, a control archive and a data archive (deb(5)). */
import { unpackTar } from "modern-tar";
import { UserError } from "../../common/errors.ts";
import { compressionOf, damaged, decompress } from "./decompress.ts";
import { MIRROR_SETTING } from "./hints.ts";

const AR_MAGIC = "!<arch>\n";
const AR_HEADER_BYTES = 60;

const latin1 = (bytes: Uint8Array): string => new TextDecoder("latin1").decode(bytes);

/**
 * Members of an ar archive in the simple form that dpkg writes (ar(5): a 60-byte header of text, content padded to even).
 * @throws UserError if it is none, or is cut short
 */
export function arMembers(
  archive: Uint8Array<ArrayBuffer>,
  where: string,
): ReadonlyMap<string, Uint8Array<ArrayBuffer>> {
  const broken = (what: string): UserError =>
    new UserError(`${where}: ${what}`, `Fetch it again, or name another mirror with ${MIRROR_SETTING}`);
  if (latin1(archive.subarray(0, AR_MAGIC.length)) !== AR_MAGIC) throw broken("not a package");
  const members = new Map<string, Uint8Array<ArrayBuffer>>();
  for (let at = AR_MAGIC.length; at + AR_HEADER_BYTES <= archive.length; ) {
    const header = latin1(archive.subarray(at, at + AR_HEADER_BYTES));
    const bytes = Number.parseInt(header.slice(48, 58), 10);
    const start = at + AR_HEADER_BYTES;
    if (header.slice(58) !== "`\n" || !(bytes >= 0) || start + bytes > archive.length)
      throw broken(`damaged at byte ${at}`);
    members.set(header.slice(0, 16).trim().replace(/\/$/, ""), archive.subarray(start, start + bytes));
    at = start + bytes + (bytes % 2);
  }
  return members;
}

export type DebEntry =
  | { readonly kind: "file"; readonly mode: number; readonly content: Uint8Array }
  | { readonly kind: "link"; readonly target: string };

/** Files and symbolic links of a package, by their path without a leading slash. */
export type DebFiles = ReadonlyMap<string, DebEntry>;

/** No guest needs these, and they are most of the files. */
const LEFT_OUT = /^(usr\/share\/(doc|man|locale|info|lintian|bug)|usr\/lib\/python3|usr\/share\/perl)\//;

/** Unpacks a .deb's data, without its documentation. Hard links become files of their own. */
export async function unpackDeb(archive: Uint8Array<ArrayBuffer>, where: string): Promise<DebFiles> {
  const [name, data] =
    [...arMembers(archive, where)].find(([member]) => /^data\.tar(\.|$)/.test(member)) ?? [];
  if (name === undefined || data === undefined)
    throw new UserError(`${where}: has no data.tar`, `Name another mirror with ${MIRROR_SETTING}`);
  const path = (of: string): string => of.replace(/^(\.?\/)+/, "");
  const tar = await decompress(data, compressionOf(name), `${where}: ${name}`);
  const entries = await unpackTar(tar, { filter: (header) => !LEFT_OUT.test(path(header.name)) }).catch(
    (error: unknown) => {
      throw damaged(`${where}: ${name}`, error);
    },
  );
  const files = new Map<string, DebEntry>();
  for (const { header, data: content } of entries) {
    if (header.type === "file")
      files.set(path(header.name), {
        kind: "file",
        mode: header.mode ?? 0o644,
        content: content ?? new Uint8Array(),
      });
    else if (header.type === "symlink")
      files.set(path(header.name), { kind: "link", target: header.linkname ?? "" });
    else if (header.type === "link") {
      const linked = files.get(path(header.linkname ?? ""));
      if (linked !== undefined) files.set(path(header.name), linked);
    }
  }
  return files;
}

/** A file's content, through symbolic links inside of its package; undefined where they lead out of it. */
export function contentOf(files: DebFiles, path: string): Uint8Array | undefined {
  let at = path;
  for (let hops = 0; hops < 8; hops++) {
    const entry = files.get(at);
    if (entry === undefined) return undefined;
    if (entry.kind === "file") return entry.content;
    const base = entry.target.startsWith("/") ? [] : at.split("/").slice(0, -1);
    const parts: string[] = [];
    for (const part of [...base, ...entry.target.split("/")])
      if (part === "..") parts.pop();
      else if (part !== "" && part !== ".") parts.push(part);
    at = parts.join("/");
  }
  return undefined;
}
