/** Names files that are easily taken for a raw disk or a kernel: by the bytes that they begin, or end, with. */

export interface FileFormat {
  /** With its article: "a qcow2 image". */
  readonly name: string;
  /** What makes a raw file of it, where a program does; FILE and RAW stand for the names. */
  readonly toRaw: string | undefined;
}

interface Magic extends FileFormat {
  /** Bytes as latin1 text. */
  readonly magic: string;
  readonly at: number;
}

/** As much of a file's beginning as the table looks at. */
export const HEAD_BYTES = 512;
/** As much of its end: a VHD's footer, and a DMG's. */
export const TAIL_BYTES = 512;

const qemuImg = (format: string): string => `qemu-img convert -f ${format} -O raw FILE RAW`;
const image = (name: string, magic: string, format: string, at = 0): Magic => ({
  name: `a ${name} image`,
  magic,
  at,
  toRaw: qemuImg(format),
});
const packed = (name: string, magic: string, toRaw: string | undefined): Magic => ({
  name: `packed with ${name}`,
  magic,
  at: 0,
  toRaw,
});
const other = (name: string, magic: string, at = 0): Magic => ({ name, magic, at, toRaw: undefined });

const VHD = image("VHD", "conectix", "vpc");
const DMG = image("DMG", "koly", "dmg");

/** Magic numbers as qemu-img's block drivers and file(1) know them. */
const BEGINNINGS: readonly Magic[] = [
  image("qcow", "QFI\xfb\0\0\0\x01", "qcow"),
  image("qcow2", "QFI\xfb", "qcow2"),
  image("QED", "QED\0", "qed"),
  image("VMDK", "KDMV", "vmdk"),
  image("VMDK", "COWD", "vmdk"),
  image("VMDK", "# Disk DescriptorFile", "vmdk"),
  VHD,
  image("VHDX", "vhdxfile", "vhdx"),
  image("VDI", "\x7f\x10\xda\xbe", "vdi", 0x40),
  image("Parallels", "WithoutFreeSpace", "parallels"),
  image("Parallels", "WithouFreSpacExt", "parallels"),
  image("Bochs", "Bochs Virtual HD Image", "bochs"),
  image("cloop", "#!/bin/sh\n#V2.0 Format", "cloop"),
  packed("gzip", "\x1f\x8b", "gzip -dc FILE >RAW"),
  packed("xz", "\xfd7zXZ\0", "xz -dc FILE >RAW"),
  packed("zstd", "\x28\xb5\x2f\xfd", "zstd -dc FILE >RAW"),
  packed("bzip2", "BZh", "bzip2 -dc FILE >RAW"),
  packed("lz4", "\x04\x22\x4d\x18", "lz4 -dc FILE >RAW"),
  packed("lz4", "\x02\x21\x4c\x18", "lz4 -dc FILE >RAW"),
  packed("lzop", "\x89LZO\0\r\n\x1a\n", "lzop -dc FILE >RAW"),
  packed("lzma", "\x5d\0\0", "xz -dc --format=lzma FILE >RAW"),
  packed("lzip", "LZIP", "lzip -dc FILE >RAW"),
  packed("7-Zip", "7z\xbc\xaf\x27\x1c", undefined),
  packed("zip", "PK\x03\x04", undefined),
  other("a tar archive", "ustar", 257),
  other("a cpio archive", "070701"),
  other("a Debian package, or another ar archive", "!<arch>\n"),
  other("a web page", "<!DOCTYPE"),
  other("a web page", "<!doctype"),
  other("a web page", "<html"),
  other("an EnCase image", "EVF\t\r\n\xff\0"),
];

const has = (bytes: Uint8Array, { magic, at }: Magic): boolean =>
  bytes.length >= at + magic.length && [...magic].every((char, i) => bytes[at + i] === char.charCodeAt(0));

/**
 * What a file is that has a magic number of its own; undefined where it may be raw. LUKS volumes and ISO images are disks
 * as they are, and so are file systems.
 * @param head its first HEAD_BYTES, or all of it
 * @param tail its last TAIL_BYTES, or all of it
 */
export function formatOf(head: Uint8Array, tail: Uint8Array = new Uint8Array()): FileFormat | undefined {
  return BEGINNINGS.find((magic) => has(head, magic)) ?? [VHD, DMG].find((magic) => has(tail, magic));
}

/** Whether a file begins as a text does: a kernel's or a disk's first bytes never are all printable. */
export function isText(head: Uint8Array): boolean {
  const printable = (byte: number): boolean => (byte >= 0x20 && byte !== 0x7f) || (byte >= 9 && byte <= 13);
  return head.length > 0 && head.subarray(0, HEAD_BYTES).every(printable);
}
