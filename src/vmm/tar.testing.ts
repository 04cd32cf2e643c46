/** For tests: headers of tar archives, right ones and others. */

export interface Header {
  /** Bytes, a character for each. */
  readonly name: string;
  readonly type?: string;
  readonly mode?: number;
  readonly size?: number | Uint8Array;
  readonly mtime?: number;
  readonly target?: string;
  readonly prefix?: string;
}

export const bytes = (text: string): Uint8Array => Uint8Array.from(text, (byte) => byte.charCodeAt(0));

/** A header's block, with a right checksum. */
export function header({
  name,
  type = "0",
  mode = 0o644,
  size = 0,
  mtime = 0,
  target = "",
  prefix = "",
}: Header): Uint8Array {
  const block = new Uint8Array(512);
  const octal = (value: number, digits: number): Uint8Array =>
    bytes(`${value.toString(8).padStart(digits, "0")}\0`);
  block.set(bytes(name), 0);
  block.set(octal(mode, 7), 100);
  block.set(typeof size === "number" ? octal(size, 11) : size, 124);
  block.set(octal(mtime, 11), 136);
  block.set(bytes("        "), 148);
  block.set(bytes(type), 156);
  block.set(bytes(target), 157);
  block.set(bytes("ustar\x0000"), 257);
  block.set(bytes(prefix), 345);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.set(bytes(`${sum.toString(8).padStart(6, "0")}\0 `), 148);
  return block;
}

/** Content, filled up to whole blocks. */
export function content(data: Uint8Array): Uint8Array {
  const blocks = new Uint8Array(Math.ceil(data.length / 512) * 512);
  blocks.set(data);
  return blocks;
}

/** A file's header and content. */
export const file = (name: string, text: string, more: Partial<Header> = {}): Uint8Array[] => [
  header({ name, size: text.length, ...more }),
  content(bytes(text)),
];

/** A pax header of records for the next entry. */
export function pax(records: Readonly<Record<string, string>>, type = "x"): Uint8Array[] {
  const text = Object.entries(records)
    .map(([key, value]) => {
      const rest = ` ${key}=${value}\n`;
      let length = rest.length;
      while (`${length}${rest}`.length !== length) length = `${length}${rest}`.length;
      return `${length}${rest}`;
    })
    .join("");
  return file("pax", text, { type });
}

export const END = new Uint8Array(1024);
