/**
 * Reads a tar archive as it comes, piece by piece: ustar, GNU's long names and large numbers, pax records (POSIX.1-2017,
 * pax, "ustar Interchange Format"). Names are bytes, a character for each: a guest's need not be UTF-8. Who writes the
 * archive is not trusted: nothing here depends on what sizes and names say, but memory for one name.
 */

export type TarKind = "file" | "directory" | "symlink" | "hardlink" | "special";

export interface TarEntry {
  /** As the archive has it: nothing was checked. */
  readonly name: string;
  readonly kind: TarKind;
  /** Permissions, set-ID bits and the sticky bit. */
  readonly mode: number;
  /** Nanoseconds since 1970. */
  readonly mtimeNs: bigint;
  /** Of a file's content. */
  readonly sizeBytes: number;
  /** Where a link points. */
  readonly target: string;
}

export interface TarReceiver {
  /** An entry begins; a file's content comes next. */
  readonly onEntry: (entry: TarEntry) => void;
  /** A piece of the content; it is only lent. */
  readonly onContent: (bytes: Uint8Array) => void;
  /** The last entry is whole. */
  readonly onEntryEnd: () => void;
}

/** Why an archive cannot be read on. */
export class TarDamaged extends Error {
  override readonly name = "TarDamaged";
}

const BLOCK_BYTES = 512;
/** A name or pax header that is longer is taken for damage: Linux's longest path has 4,096 bytes. */
const MOST_HEADER_BYTES = 64 * 1024;
const NS_PER_SECOND = 1_000_000_000n;
/** The end of the year 9999: no file is newer, whatever an archive says. */
const LATEST_NS = 253_402_300_799n * NS_PER_SECOND;

const FIELD = {
  name: [0, 100],
  mode: [100, 8],
  size: [124, 12],
  mtime: [136, 12],
  checksum: [148, 8],
  type: [156, 1],
  target: [157, 100],
  magic: [257, 5],
  prefix: [345, 155],
} as const;

/** By type flag; all others are read as a file, as POSIX asks for. */
const KINDS: Readonly<Record<string, TarKind>> = {
  "1": "hardlink",
  "2": "symlink",
  "3": "special",
  "4": "special",
  "5": "directory",
  "6": "special",
};

const latin1 = (bytes: Uint8Array): string => {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
};

/** A field's text, up to its first NUL. */
const textOf = (bytes: Uint8Array): string => latin1(bytes).split("\0", 1)[0] ?? "";

/** A number in octal digits, or big-endian with the first bit set (GNU). */
function numberOf(bytes: Uint8Array): number {
  const first = bytes[0] ?? 0;
  if ((first & 0x80) !== 0) {
    let value = first & 0x7f;
    for (const byte of bytes.subarray(1)) value = value * 256 + byte;
    // The bit below the mark is the sign: no size is negative, and such a time is taken for 1970.
    return (first & 0x40) !== 0 ? 0 : value;
  }
  const digits = textOf(bytes).trim();
  if (!/^[0-7]*$/.test(digits)) throw new TarDamaged(`"${digits}" is no octal number`);
  return digits === "" ? 0 : Number.parseInt(digits, 8);
}

/** Seconds with a fraction, as nanoseconds. */
function nanoseconds(text: string): bigint {
  const [, sign, seconds, fraction] = /^(-?)(\d{1,18})(?:\.(\d*))?$/.exec(text) ?? [];
  if (seconds === undefined) throw new TarDamaged(`"${text}" is no time`);
  const ns = BigInt(seconds) * NS_PER_SECOND + BigInt((fraction ?? "").slice(0, 9).padEnd(9, "0"));
  return sign === "-" ? -ns : ns;
}

/** Records of a pax header: "LENGTH KEY=VALUE\n". */
function paxRecords(text: string): Map<string, string> {
  const records = new Map<string, string>();
  for (let at = 0; at < text.length; ) {
    const length = /^(\d{1,6}) /.exec(text.slice(at, at + 7))?.[1];
    const record = text.slice(at, at + Number(length));
    const equals = record.indexOf("=");
    if (length === undefined || !record.endsWith("\n") || equals < 0 || record.length !== Number(length))
      throw new TarDamaged("a pax record that is none");
    records.set(record.slice(length.length + 1, equals), record.slice(equals + 1, -1));
    at += record.length;
  }
  return records;
}

export class TarReader {
  readonly #receiver: TarReceiver;
  readonly #block = new Uint8Array(BLOCK_BYTES);
  #filled = 0;
  /** Content of the entry at hand that is still to come, and what fills its last block. */
  #leftBytes = 0;
  #paddingBytes = 0;
  /** A header that says more about the next entry is being read into it. */
  #header: { readonly type: string; readonly bytes: Uint8Array; filled: number } | undefined;
  /** An entry's content is coming. */
  #inEntry = false;
  /** What pax and GNU headers have said about the next entry. */
  #said = new Map<string, string>();
  #zeroBlocks = 0;
  /** The archive's end has come. */
  #ended = false;

  constructor(receiver: TarReceiver) {
    this.#receiver = receiver;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /**
   * Takes the next bytes.
   * @returns how many of them belong to the archive: all, unless it ends among them
   * @throws TarDamaged where it cannot be an archive
   */
  push(bytes: Uint8Array): number {
    let at = 0;
    while (at < bytes.length && !this.#ended) {
      const rest = bytes.subarray(at);
      if (this.#leftBytes > 0) at += this.#takeContent(rest);
      else if (this.#paddingBytes > 0) {
        const count = Math.min(rest.length, this.#paddingBytes);
        this.#paddingBytes -= count;
        at += count;
      } else {
        const count = Math.min(rest.length, BLOCK_BYTES - this.#filled);
        this.#block.set(rest.subarray(0, count), this.#filled);
        this.#filled += count;
        at += count;
        if (this.#filled === BLOCK_BYTES) {
          this.#filled = 0;
          this.#takeHeader(this.#block);
        }
      }
    }
    return at;
  }

  #takeContent(bytes: Uint8Array): number {
    const piece = bytes.subarray(0, Math.min(bytes.length, this.#leftBytes));
    this.#leftBytes -= piece.length;
    if (this.#header !== undefined) {
      this.#header.bytes.set(piece, this.#header.filled);
      this.#header.filled += piece.length;
    } else this.#receiver.onContent(piece);
    if (this.#leftBytes === 0) this.#contentEnded();
    return piece.length;
  }

  #contentEnded(): void {
    const header = this.#header;
    this.#header = undefined;
    if (header === undefined) {
      if (this.#inEntry) this.#receiver.onEntryEnd();
      this.#inEntry = false;
      return;
    }
    if (header.type === "L") this.#said.set("path", textOf(header.bytes));
    else if (header.type === "K") this.#said.set("linkpath", textOf(header.bytes));
    // A global header ("g") would hold for all that follows; no archive of one tree needs one.
    else if (header.type === "x")
      for (const [key, value] of paxRecords(latin1(header.bytes))) this.#said.set(key, value);
  }

  #takeHeader(block: Uint8Array): void {
    if (block.every((byte) => byte === 0)) {
      this.#zeroBlocks += 1;
      if (this.#zeroBlocks === 2) this.#ended = true;
      return;
    }
    this.#zeroBlocks = 0;
    const field = ([from, length]: readonly [number, number]): Uint8Array =>
      block.subarray(from, from + length);
    const sum = block.reduce((total, byte, i) => total + (i >= 148 && i < 156 ? 0x20 : byte), 0);
    if (sum !== numberOf(field(FIELD.checksum))) throw new TarDamaged("a header with another checksum");
    const type = latin1(field(FIELD.type));
    const isHeader = type === "x" || type === "g" || type === "L" || type === "K";
    const said = this.#said;
    const sizeText = isHeader ? undefined : said.get("size");
    const size = sizeText === undefined ? numberOf(field(FIELD.size)) : Number(sizeText);
    if (!Number.isSafeInteger(size) || size < 0) throw new TarDamaged(`a size of ${sizeText ?? size} bytes`);
    this.#leftBytes = size;
    this.#paddingBytes = (BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES;
    if (isHeader) {
      if (size > MOST_HEADER_BYTES) throw new TarDamaged(`a name of ${size} bytes`);
      this.#header = { type, bytes: new Uint8Array(size), filled: 0 };
    } else {
      this.#said = new Map();
      const kind = KINDS[type] ?? "file";
      // Whatever their size says, only files have content.
      if (kind !== "file") this.#leftBytes = this.#paddingBytes = 0;
      const prefix =
        textOf(field(FIELD.magic)) === "ustar" && block[262] === 0 ? textOf(field(FIELD.prefix)) : "";
      const name = textOf(field(FIELD.name));
      const saidTime = said.get("mtime");
      const mtimeNs =
        saidTime === undefined ? BigInt(numberOf(field(FIELD.mtime))) * NS_PER_SECOND : nanoseconds(saidTime);
      this.#inEntry = true;
      this.#receiver.onEntry({
        name: said.get("path") ?? (prefix === "" ? name : `${prefix}/${name}`),
        kind,
        mode: numberOf(field(FIELD.mode)) & 0o7777,
        mtimeNs: mtimeNs > LATEST_NS ? LATEST_NS : mtimeNs,
        sizeBytes: kind === "file" ? size : 0,
        target: said.get("linkpath") ?? textOf(field(FIELD.target)),
      });
    }
    if (this.#leftBytes === 0) this.#contentEnded();
  }
}
