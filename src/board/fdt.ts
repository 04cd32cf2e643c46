/** Writes and reads flattened device trees (Devicetree Specification v0.4, chapter 5). */
import { UserError } from "../common/errors.ts";

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

const MAGIC = 0xd00d_feed;
const VERSION = 17;
const COMPATIBLE_WITH = 16;
const HEADER_BYTES = 40;
const TOKEN = { begin: 1, end: 2, property: 3, nop: 4, finish: 9 } as const;

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

/** Linux's limits: of the blob (MAX_FDT_SIZE), and of how deep nodes lie in each other (FDT_MAX_DEPTH). */
const MOST_BYTES = 2 * 1024 ** 2;
const MOST_DEPTH = 64;
/** The specification allows 31 and a unit address. */
const MOST_NAME_BYTES = 255;

/**
 * Reads what `writeFdt` writes, and what dtc does; each property is bytes, or true where it is empty.
 * @param name what the blob is to the user, for messages
 * @returns properties as parts of `blob`
 * @throws UserError for what is malformed, with the offset in bytes
 */
export function readFdt(blob: Uint8Array, name: string): FdtExtras & { readonly root: Node } {
  const refuse = (at: number, what: string): never => {
    throw new UserError(
      `${name}: at offset 0x${at.toString(16)}: ${what}`,
      "Give a flattened device tree (dtc -O dtb makes one)",
    );
  };
  if (blob.length < HEADER_BYTES) refuse(blob.length, "it ends within its header");
  const view = new DataView(blob.buffer, blob.byteOffset, blob.byteLength);
  const header = (at: number): number => view.getUint32(at);
  if (header(0) !== MAGIC) refuse(0, "no device tree begins so");
  const totalBytes = header(4);
  if (totalBytes > blob.length)
    refuse(4, `it should have ${totalBytes} bytes and has ${blob.length}: it was cut short`);
  if (totalBytes > MOST_BYTES) refuse(4, `${totalBytes} bytes, and a kernel takes ${MOST_BYTES}`);
  const version = header(20);
  if (version < COMPATIBLE_WITH || header(24) > VERSION)
    refuse(20, `version ${version}: ${COMPATIBLE_WITH} and ${VERSION} can be read`);

  /** A block's place; its end is one past the last byte. */
  const block = (field: number, what: string, alignment: number, bytes?: number) => {
    const start = header(field);
    const end = start + (bytes ?? totalBytes - start);
    if (start < HEADER_BYTES || start % alignment !== 0 || end > totalBytes || end < start)
      refuse(field, `${what} lies at 0x${start.toString(16)} to 0x${end.toString(16)}, which cannot be`);
    return { start, end };
  };
  const structure = block(8, "the structure", 4, version < VERSION ? undefined : header(36));
  const strings = block(12, "the block of names", 1, header(32));
  const reserved = block(16, "the block of reservations", 8);

  const reservations: { readonly start: bigint; readonly bytes: bigint }[] = [];
  for (let at = reserved.start; ; at += 16) {
    if (at + 16 > reserved.end) refuse(at, "the block of reservations has no end");
    const entry = { start: view.getBigUint64(at), bytes: view.getBigUint64(at + 8) };
    // As libfdt and dtc have it; the specification wants the start to be zero, too.
    if (entry.bytes === 0n) break;
    reservations.push(entry);
  }

  const text = (at: number, end: number): string => {
    const limit = Math.min(end, at + MOST_NAME_BYTES + 1);
    const stop = blob.subarray(at, limit).indexOf(0);
    if (stop < 0) refuse(at, "a name without an end");
    const value = String.fromCharCode(...blob.subarray(at, at + stop));
    if (/[^!-~]/.test(value)) refuse(at, "a name with characters that no name has");
    return value;
  };

  interface Open {
    readonly name: string;
    readonly properties: Map<string, Property>;
    readonly children: Map<string, Node>;
  }
  const open: Open[] = [];
  let root: Node | undefined;
  let at = structure.start;
  const word = (): number => {
    if (at + 4 > structure.end) refuse(at, "the structure ends too early");
    at += 4;
    return view.getUint32(at - 4);
  };
  const pass = (bytes: number): void => {
    at += bytes + (-bytes & 3);
  };
  for (;;) {
    const start = at;
    const token = word();
    const node = open.at(-1);
    switch (token) {
      case TOKEN.begin: {
        const nodeName = text(at, structure.end);
        pass(nodeName.length + 1);
        if (node === undefined && root !== undefined) refuse(start, "a second root");
        if (node !== undefined && (nodeName === "" || nodeName.includes("/")))
          refuse(start, `"${nodeName}" is no name of a node`);
        if (node?.children.has(nodeName)) refuse(start, `a second node "${nodeName}"`);
        if (open.length >= MOST_DEPTH) refuse(start, `more than ${MOST_DEPTH} nodes within each other`);
        open.push({ name: nodeName, properties: new Map(), children: new Map() });
        break;
      }
      case TOKEN.property: {
        const bytes = word();
        const nameAt = word();
        if (node === undefined) return refuse(start, "a property outside of all nodes");
        if (node.children.size > 0) refuse(start, "a property after its node's children");
        if (nameAt >= strings.end - strings.start)
          refuse(start, `a property's name at 0x${nameAt.toString(16)}`);
        const key = text(strings.start + nameAt, strings.end);
        if (key === "") refuse(start, "a property without a name");
        if (node.properties.has(key)) refuse(start, `a second property "${key}"`);
        if (bytes > structure.end - at) refuse(start, `property "${key}" of ${bytes} bytes is not all there`);
        node.properties.set(key, bytes === 0 ? true : blob.subarray(at, at + bytes));
        pass(bytes);
        break;
      }
      case TOKEN.end: {
        open.pop();
        if (node === undefined) return refuse(start, "the end of a node that has not begun");
        const done: Node = {
          properties: Object.fromEntries(node.properties),
          ...(node.children.size > 0 ? { children: Object.fromEntries(node.children) } : {}),
        };
        const parent = open.at(-1);
        if (parent === undefined) root = done;
        else parent.children.set(node.name, done);
        break;
      }
      case TOKEN.nop:
        break;
      case TOKEN.finish:
        if (node !== undefined) refuse(start, `node "${node.name}" has no end`);
        if (root === undefined) return refuse(start, "no root");
        return { root, reservations, bootCpu: header(28) };
      default:
        refuse(start, `0x${token.toString(16)} is no token`);
    }
  }
}
