/** Reads flattened device trees (Devicetree Specification v0.4, chapter 5), and says what is wrong with a malformed one. */
import { UserError } from "../common/errors.ts";
import {
  COMPATIBLE_WITH,
  type FdtExtras,
  HEADER_BYTES,
  MAGIC,
  type Node,
  type Property,
  TOKEN,
  VERSION,
} from "./fdt.ts";

/** Linux's limits: of the blob (MAX_FDT_SIZE), and of how deep nodes lie in each other (FDT_MAX_DEPTH). */
const MOST_BYTES = 2 * 1024 ** 2;
const MOST_DEPTH = 64;
/** The specification allows 31 and a unit address. */
const MOST_NAME_BYTES = 255;

/** A part of the blob; `end` is one past its last byte. */
interface Block {
  readonly start: number;
  readonly end: number;
}

/** The blocks that a header names. */
interface Blocks {
  readonly structure: Block;
  readonly strings: Block;
  readonly reserved: Block;
}

/** A node whose end has not come yet. */
interface OpenNode {
  readonly name: string;
  readonly properties: Map<string, Property>;
  readonly children: Map<string, Node>;
}

/**
 * Reads what `writeFdt` writes, and what dtc does; each property is bytes, or true where it is empty.
 * @param name what the blob is to the user, for messages
 * @returns properties as parts of `blob`
 * @throws UserError for what is malformed, with the offset in bytes
 */
export function readFdt(blob: Uint8Array, name: string): FdtExtras & { readonly root: Node } {
  const fdt = new Blob(blob, name);
  const blocks = blocksOf(fdt);
  const reservations = reservationsOf(fdt, blocks.reserved);
  return { root: new StructureReader(fdt, blocks).read(), reservations, bootCpu: fdt.word(28) };
}

/** The bytes, and what is wrong with them. */
class Blob {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly #name: string;

  constructor(bytes: Uint8Array, name: string) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#name = name;
  }

  word(at: number): number {
    return this.view.getUint32(at);
  }

  /** A name that ends with a zero before `end`. */
  text(at: number, end: number): string {
    const limit = Math.min(end, at + MOST_NAME_BYTES + 1);
    const stop = this.bytes.subarray(at, limit).indexOf(0);
    if (stop < 0) this.refuse(at, "a name without an end");
    const value = String.fromCharCode(...this.bytes.subarray(at, at + stop));
    if (/[^!-~]/.test(value)) this.refuse(at, "a name with characters that no name has");
    return value;
  }

  refuse(at: number, what: string): never {
    throw new UserError(
      `${this.#name}: at offset 0x${at.toString(16)}: ${what}`,
      "Give a flattened device tree (dtc -O dtb makes one)",
    );
  }
}

/** Reads the header. */
function blocksOf(fdt: Blob): Blocks {
  const { length } = fdt.bytes;
  if (length < HEADER_BYTES) fdt.refuse(length, "it ends within its header");
  if (fdt.word(0) !== MAGIC) fdt.refuse(0, "no device tree begins so");
  const totalBytes = fdt.word(4);
  if (totalBytes > length)
    fdt.refuse(4, `it should have ${totalBytes} bytes and has ${length}: it was cut short`);
  if (totalBytes > MOST_BYTES) fdt.refuse(4, `${totalBytes} bytes, and a kernel takes ${MOST_BYTES}`);
  const version = fdt.word(20);
  if (version < COMPATIBLE_WITH || fdt.word(24) > VERSION)
    fdt.refuse(20, `version ${version}: ${COMPATIBLE_WITH} and ${VERSION} can be read`);
  const block = (field: number, what: string, alignment: number, bytes?: number): Block => {
    const start = fdt.word(field);
    const end = start + (bytes ?? totalBytes - start);
    if (start < HEADER_BYTES || start % alignment !== 0 || end > totalBytes || end < start)
      fdt.refuse(field, `${what} lies at 0x${start.toString(16)} to 0x${end.toString(16)}, which cannot be`);
    return { start, end };
  };
  return {
    structure: block(8, "the structure", 4, version < VERSION ? undefined : fdt.word(36)),
    strings: block(12, "the block of names", 1, fdt.word(32)),
    reserved: block(16, "the block of reservations", 8),
  };
}

function reservationsOf(fdt: Blob, { start, end }: Block): FdtExtras["reservations"] {
  const reservations: { readonly start: bigint; readonly bytes: bigint }[] = [];
  for (let at = start; ; at += 16) {
    if (at + 16 > end) fdt.refuse(at, "the block of reservations has no end");
    const entry = { start: fdt.view.getBigUint64(at), bytes: fdt.view.getBigUint64(at + 8) };
    // As libfdt and dtc have it; the specification wants the start to be zero, too.
    if (entry.bytes === 0n) return reservations;
    reservations.push(entry);
  }
}

/** The nodes, token by token. */
class StructureReader {
  readonly #fdt: Blob;
  readonly #end: number;
  readonly #strings: Block;
  readonly #open: OpenNode[] = [];
  #root: Node | undefined;
  #at: number;

  constructor(fdt: Blob, { structure, strings }: Blocks) {
    this.#fdt = fdt;
    this.#at = structure.start;
    this.#end = structure.end;
    this.#strings = strings;
  }

  read(): Node {
    const fdt = this.#fdt;
    for (;;) {
      const start = this.#at;
      const token = this.#word();
      switch (token) {
        case TOKEN.begin:
          this.#begin(start);
          break;
        case TOKEN.property:
          this.#property(start);
          break;
        case TOKEN.end:
          this.#close(start);
          break;
        case TOKEN.nop:
          break;
        case TOKEN.finish: {
          const node = this.#open.at(-1);
          if (node !== undefined) fdt.refuse(start, `node "${node.name}" has no end`);
          return this.#root ?? fdt.refuse(start, "no root");
        }
        default:
          fdt.refuse(start, `0x${token.toString(16)} is no token`);
      }
    }
  }

  #word(): number {
    if (this.#at + 4 > this.#end) this.#fdt.refuse(this.#at, "the structure ends too early");
    this.#at += 4;
    return this.#fdt.word(this.#at - 4);
  }

  /** Goes on behind some bytes, at the next whole word. */
  #pass(bytes: number): void {
    this.#at += bytes + (-bytes & 3);
  }

  #begin(start: number): void {
    const fdt = this.#fdt;
    const parent = this.#open.at(-1);
    const name = fdt.text(this.#at, this.#end);
    this.#pass(name.length + 1);
    if (parent === undefined && this.#root !== undefined) fdt.refuse(start, "a second root");
    if (parent !== undefined && (name === "" || name.includes("/")))
      fdt.refuse(start, `"${name}" is no name of a node`);
    if (parent?.children.has(name)) fdt.refuse(start, `a second node "${name}"`);
    if (this.#open.length >= MOST_DEPTH) fdt.refuse(start, `more than ${MOST_DEPTH} nodes within each other`);
    this.#open.push({ name, properties: new Map(), children: new Map() });
  }

  #property(start: number): void {
    const fdt: Blob = this.#fdt;
    const strings = this.#strings;
    const node = this.#open.at(-1);
    const bytes = this.#word();
    const nameAt = this.#word();
    if (node === undefined) fdt.refuse(start, "a property outside of all nodes");
    if (node.children.size > 0) fdt.refuse(start, "a property after its node's children");
    if (nameAt >= strings.end - strings.start)
      fdt.refuse(start, `a property's name at 0x${nameAt.toString(16)}`);
    const name = fdt.text(strings.start + nameAt, strings.end);
    if (name === "") fdt.refuse(start, "a property without a name");
    if (node.properties.has(name)) fdt.refuse(start, `a second property "${name}"`);
    if (bytes > this.#end - this.#at)
      fdt.refuse(start, `property "${name}" of ${bytes} bytes is not all there`);
    node.properties.set(name, bytes === 0 ? true : fdt.bytes.subarray(this.#at, this.#at + bytes));
    this.#pass(bytes);
  }

  #close(start: number): void {
    const fdt: Blob = this.#fdt;
    const node = this.#open.pop();
    if (node === undefined) fdt.refuse(start, "the end of a node that has not begun");
    const done: Node = {
      properties: Object.fromEntries(node.properties),
      ...(node.children.size > 0 ? { children: Object.fromEntries(node.children) } : {}),
    };
    const parent = this.#open.at(-1);
    if (parent === undefined) this.#root = done;
    else parent.children.set(node.name, done);
  }
}
