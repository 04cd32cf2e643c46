/** The little that a guest's making needs of ELF: sections of a 64-bit little-endian file (System V gABI, 4). */

const MAGIC = 0x7f454c46;
const CLASS_64_LITTLE = 0x0201;
const SECTION_HEADER_BYTES = 64;
const DYNAMIC_ENTRY_BYTES = 16;
const DT_NULL = 0n;
const DT_NEEDED = 1n;

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** The text from an offset to the NUL behind it. */
function textAt(bytes: Uint8Array, offset: number): string {
  const end = bytes.indexOf(0, offset);
  return new TextDecoder("latin1").decode(bytes.subarray(offset, end < 0 ? undefined : end));
}

/** Whether these are a 64-bit little-endian ELF file's bytes. */
export const isElf = (bytes: Uint8Array): boolean =>
  bytes.length >= 64 &&
  viewOf(bytes).getUint32(0) === MAGIC &&
  viewOf(bytes).getUint16(4) === CLASS_64_LITTLE;

/** A section's bytes by its name; undefined where the file has none, or is cut short. */
export function elfSection(file: Uint8Array, name: string): Uint8Array | undefined {
  if (!isElf(file)) return undefined;
  const view = viewOf(file);
  const table = Number(view.getBigUint64(0x28, true));
  const count = view.getUint16(0x3c, true);
  if (table + count * SECTION_HEADER_BYTES > file.length) return undefined;
  const section = (index: number): Uint8Array => {
    const header = table + index * SECTION_HEADER_BYTES;
    const offset = Number(view.getBigUint64(header + 0x18, true));
    return file.subarray(offset, offset + Number(view.getBigUint64(header + 0x20, true)));
  };
  const namesIndex = view.getUint16(0x3e, true);
  if (namesIndex >= count) return undefined;
  const names = section(namesIndex);
  for (let i = 1; i < count; i++)
    if (textAt(names, view.getUint32(table + i * SECTION_HEADER_BYTES, true)) === name) return section(i);
  return undefined;
}

/** The libraries that a program or a library names in DT_NEEDED. */
export function neededLibraries(file: Uint8Array): readonly string[] {
  const dynamic = elfSection(file, ".dynamic");
  const strings = elfSection(file, ".dynstr");
  if (dynamic === undefined || strings === undefined) return [];
  const view = viewOf(dynamic);
  const needed: string[] = [];
  for (let at = 0; at + DYNAMIC_ENTRY_BYTES <= dynamic.length; at += DYNAMIC_ENTRY_BYTES) {
    const tag = view.getBigInt64(at, true);
    if (tag === DT_NULL) break;
    if (tag === DT_NEEDED) needed.push(textAt(strings, Number(view.getBigUint64(at + 8, true))));
  }
  return needed;
}
