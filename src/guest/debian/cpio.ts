/** Writes a cpio archive as the kernel reads an initial RAM disk: "newc" (Documentation/driver-api/early-userspace/buffer-format.rst). */

export type CpioEntry =
  | { readonly kind: "file"; readonly mode: number; readonly content: Uint8Array }
  | { readonly kind: "directory"; readonly mode: number }
  | { readonly kind: "link"; readonly target: string }
  | {
      readonly kind: "character-device";
      readonly mode: number;
      readonly major: number;
      readonly minor: number;
    };

const TYPE_BITS = {
  file: 0o100000,
  directory: 0o040000,
  link: 0o120000,
  "character-device": 0o020000,
} as const;
const ALIGN_BYTES = 4;
/** What archivers pad the whole to. */
const BLOCK_BYTES = 512;
const NOTHING = new Uint8Array();

const hex = (value: number): string => value.toString(16).toUpperCase().padStart(8, "0");
const padded = (bytes: number, to: number): number => Math.ceil(bytes / to) * to;

function record(inode: number, path: string, entry: CpioEntry | undefined): readonly Uint8Array[] {
  const text = new TextEncoder();
  const name = text.encode(`${path}\0`);
  const content =
    entry?.kind === "file" ? entry.content : entry?.kind === "link" ? text.encode(entry.target) : NOTHING;
  const permissions = entry === undefined ? 0 : entry.kind === "link" ? 0o777 : entry.mode & 0o7777;
  const device = entry?.kind === "character-device" ? entry : { major: 0, minor: 0 };
  const fields = [
    inode,
    entry === undefined ? 0 : TYPE_BITS[entry.kind] | permissions,
    0, // uid
    0, // gid
    entry?.kind === "directory" ? 2 : 1,
    0, // mtime: the same files are the same bytes
    content.length,
    0, // the device that the archive was made on
    0,
    device.major,
    device.minor,
    name.length,
    0, // no checksum in newc
  ];
  const header = text.encode(`070701${fields.map(hex).join("")}`);
  const gap = (bytes: number): Uint8Array => new Uint8Array(padded(bytes, ALIGN_BYTES) - bytes);
  return [header, name, gap(header.length + name.length), content, gap(content.length)];
}

/**
 * An archive of these entries, sorted by path; directories that are not named are added. The same entries are the same
 * bytes, whatever their order.
 * @param entries by path without a leading slash
 */
export function cpioArchive(entries: ReadonlyMap<string, CpioEntry>): Uint8Array<ArrayBuffer> {
  const all = new Map(entries);
  for (const path of entries.keys())
    for (let slash = path.lastIndexOf("/"); slash > 0; slash = path.lastIndexOf("/", slash - 1)) {
      const parent = path.slice(0, slash);
      if (!all.has(parent)) all.set(parent, { kind: "directory", mode: 0o755 });
    }
  // By code unit, which puts a folder before what is in it.
  const sorted = [...all].sort(([a], [b]) => (a < b ? -1 : 1));
  const parts = sorted.flatMap(([path, entry], i) => record(i + 1, path, entry));
  parts.push(...record(0, "TRAILER!!!", undefined));
  const bytes = parts.reduce((sum, part) => sum + part.length, 0);
  const archive = new Uint8Array(padded(bytes, BLOCK_BYTES));
  let at = 0;
  for (const part of parts) {
    archive.set(part, at);
    at += part.length;
  }
  return archive;
}
