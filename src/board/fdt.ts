/** Flattened device trees (Devicetree Specification v0.4, chapter 5), and how they are written; fdt-reader.ts reads them. */

/** A property: nothing, a text, texts, 32-bit cells, 64-bit numbers (two cells each), or bytes. */
export type Property = true | string | readonly string[] | readonly number[] | readonly bigint[] | Uint8Array;

export interface Node {
  readonly properties: Readonly<Record<string, Property>>;
  readonly children?: Readonly<Record<string, Node>>;
}

/** What a blob holds beside its tree. */
export interface FdtExtras {
  /** Memory that no program may use. */
  readonly reservations: readonly { readonly start: bigint; readonly bytes: bigint }[];
  /** `reg` of the CPU that boots. */
  readonly bootCpu: number;
}

export const MAGIC = 0xd00d_feed;
export const VERSION = 17;
export const COMPATIBLE_WITH = 16;
export const HEADER_BYTES = 40;
export const TOKEN = { begin: 1, end: 2, property: 3, nop: 4, finish: 9 } as const;

class Bytes {
  #bytes = new Uint8Array(4096);
  length = 0;

  #reserve(count: number): void {
    if (this.length + count <= this.#bytes.length) return;
    const larger = new Uint8Array(2 * (this.length + count));
    larger.set(this.#bytes);
    this.#bytes = larger;
  }

  word(value: number): void {
    this.#reserve(4);
    new DataView(this.#bytes.buffer).setUint32(this.length, value);
    this.length += 4;
  }

  put(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.length);
    this.length += bytes.length;
  }

  align(): void {
    this.put(new Uint8Array(-this.length & 3));
  }

  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }
}

const text = (value: string): Uint8Array => new TextEncoder().encode(`${value}\0`);

function bytesOf(property: Property): Uint8Array {
  if (property === true) return new Uint8Array(0);
  if (property instanceof Uint8Array) return property;
  if (typeof property === "string") return text(property);
  const out = new Bytes();
  for (const item of property) {
    if (typeof item === "string") out.put(text(item));
    else if (typeof item === "number") out.word(item);
    else {
      out.word(Number(item >> 32n));
      out.word(Number(item & 0xffff_ffffn));
    }
  }
  return out.bytes.slice();
}

/** The blob of a tree; its root has no name. */
export function writeFdt(
  root: Node,
  { reservations, bootCpu }: FdtExtras = { reservations: [], bootCpu: 0 },
): Uint8Array {
  const structure = new Bytes();
  const strings = new Bytes();
  const known = new Map<string, number>();
  const nameOf = (name: string): number => {
    const at = known.get(name);
    if (at !== undefined) return at;
    const made = strings.length;
    strings.put(text(name));
    known.set(name, made);
    return made;
  };
  const write = (name: string, node: Node): void => {
    structure.word(TOKEN.begin);
    structure.put(text(name));
    structure.align();
    for (const [key, property] of Object.entries(node.properties)) {
      const value = bytesOf(property);
      structure.word(TOKEN.property);
      structure.word(value.length);
      structure.word(nameOf(key));
      structure.put(value);
      structure.align();
    }
    for (const [child, inner] of Object.entries(node.children ?? {})) write(child, inner);
    structure.word(TOKEN.end);
  };
  write("", root);
  structure.word(TOKEN.finish);
  const reserved = new Bytes();
  // An empty entry ends the block.
  for (const { start, bytes } of [...reservations, { start: 0n, bytes: 0n }])
    reserved.put(bytesOf([start, bytes]));
  const structureAt = HEADER_BYTES + reserved.length;
  const stringsAt = structureAt + structure.length;
  const total = stringsAt + strings.length;
  const out = new Bytes();
  for (const word of [
    MAGIC,
    total,
    structureAt,
    stringsAt,
    HEADER_BYTES,
    VERSION,
    COMPATIBLE_WITH,
    bootCpu,
    strings.length,
    structure.length,
  ])
    out.word(word);
  out.put(reserved.bytes);
  out.put(structure.bytes);
  out.put(strings.bytes);
  return out.bytes.slice();
}
