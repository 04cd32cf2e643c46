/** Names of code: the kernel's from its kallsyms, a program's from its ELF file and where that is mapped. */
import { elfSection } from "../../guest/debian/elf.ts";
import type { CodeMapping } from "../../perf/profile.ts";

/** Symbols in order of their addresses. */
export class SymbolTable {
  readonly #addresses: BigUint64Array;
  readonly #names: readonly string[];
  readonly #all: readonly (readonly [address: bigint, name: string])[];

  constructor(symbols: readonly (readonly [address: bigint, name: string])[]) {
    // Of several at one address the first in the file.
    const sorted = symbols
      .map(([address, name], i) => ({ address, name, i }))
      .sort((a, b) => (a.address < b.address ? -1 : a.address > b.address ? 1 : a.i - b.i))
      .filter(({ address }, i, all) => i === 0 || all[i - 1]!.address !== address);
    this.#addresses = BigUint64Array.from(sorted, ({ address }) => address);
    this.#names = sorted.map(({ name }) => name);
    this.#all = symbols;
  }

  /** The symbol at or before an address. */
  at(address: bigint): string | undefined {
    return this.#names[this.#indexOf(address)];
  }

  /** The symbol at or before an address, and how far behind it that lies. */
  find(address: bigint): { readonly name: string; readonly offset: bigint } | undefined {
    const i = this.#indexOf(address);
    const name = this.#names[i];
    return name === undefined ? undefined : { name, offset: address - this.#addresses[i]! };
  }

  /** Where the symbols of a name are, each up to what lies behind it (of the last: nothing). */
  named(name: string): readonly { readonly start: bigint; readonly end: bigint }[] {
    return this.#all
      .filter((each) => each[1] === name)
      .map(([start]) => ({ start, end: this.#addresses[this.#indexOf(start) + 1] ?? start }));
  }

  /** The place of the symbol at or before an address; -1: there is none. */
  #indexOf(address: bigint): number {
    let low = 0;
    let high = this.#addresses.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#addresses[middle]! <= address) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}

/** Functions of /proc/kallsyms; modules' are among them. */
export function kernelSymbols(kallsyms: string): SymbolTable {
  const symbols: [bigint, string][] = [];
  for (const line of kallsyms.split("\n")) {
    const [, address, name] = /^([0-9a-f]+) [tTwW] (\S+)/.exec(line) ?? [];
    if (address !== undefined && name !== undefined && !name.startsWith("$"))
      symbols.push([BigInt(`0x${address}`), name]);
  }
  return new SymbolTable(symbols);
}

const SYMBOL_BYTES = 24;
const STT_FUNC = 2;
const STT_NOTYPE = 0;
const PT_LOAD = 1;
const SEGMENT_BYTES = 56;

/** A program's or library's functions, by their addresses in the file's own address space; undefined: it is no ELF file. */
export class ElfFile {
  readonly #segments: readonly {
    readonly offset: bigint;
    readonly address: bigint;
    readonly bytes: bigint;
  }[];
  readonly #symbols: SymbolTable;

  private constructor(file: Uint8Array) {
    const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
    const first = Number(view.getBigUint64(0x20, true));
    const count = view.getUint16(0x38, true);
    this.#segments = Array.from({ length: count }, (_, i) => first + i * SEGMENT_BYTES)
      .filter((at) => at + SEGMENT_BYTES <= file.length && view.getUint32(at, true) === PT_LOAD)
      .map((at) => ({
        offset: view.getBigUint64(at + 8, true),
        address: view.getBigUint64(at + 16, true),
        bytes: view.getBigUint64(at + 32, true),
      }));
    this.#symbols = new SymbolTable([
      ...functionsOf(elfSection(file, ".symtab"), elfSection(file, ".strtab")),
      ...functionsOf(elfSection(file, ".dynsym"), elfSection(file, ".dynstr")),
    ]);
  }

  static read(file: Uint8Array): ElfFile | undefined {
    return elfSection(file, ".shstrtab") === undefined ? undefined : new ElfFile(file);
  }

  /** The function that lies at an offset in the file. */
  at(offset: bigint): string | undefined {
    const segment = this.#segments.find((each) => offset >= each.offset && offset < each.offset + each.bytes);
    return segment === undefined ? undefined : this.#symbols.at(offset - segment.offset + segment.address);
  }
}

function functionsOf(table: Uint8Array | undefined, strings: Uint8Array | undefined): [bigint, string][] {
  if (table === undefined || strings === undefined) return [];
  const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
  const found: [bigint, string][] = [];
  for (let at = 0; at + SYMBOL_BYTES <= table.length; at += SYMBOL_BYTES) {
    const type = view.getUint8(at + 4) & 0xf;
    const section = view.getUint16(at + 6, true);
    if ((type !== STT_FUNC && type !== STT_NOTYPE) || section === 0) continue;
    const from = view.getUint32(at, true);
    const name = new TextDecoder("latin1").decode(strings.subarray(from, strings.indexOf(0, from)));
    // Mapping symbols say where code is and where data, and name nothing.
    if (name === "" || name.startsWith("$")) continue;
    found.push([view.getBigUint64(at + 8, true), name]);
  }
  return found;
}

/** Whose code lies where, on the machine that was profiled. */
export interface Symbolizer {
  /** @param context the process, or one of its threads; undefined: the kernel */
  nameOf(context: number | undefined, pc: bigint): string;
}

/**
 * @param kernel undefined: its symbols are not known
 * @param files by their paths on the profiled machine
 */
export function symbolizer(
  kernel: SymbolTable | undefined,
  mappings: readonly CodeMapping[],
  files: ReadonlyMap<string, ElfFile>,
): Symbolizer {
  const covers = ({ start, sizeBytes }: CodeMapping, pc: bigint): boolean =>
    pc >= start && pc < start + sizeBytes;
  return {
    nameOf(context, pc) {
      if (context === undefined) return `${kernel?.at(pc) ?? "(unknown)"} [kernel]`;
      // A thread has a context of its own, and its process's mappings. What was mapped last lies above.
      const own = mappings.findLast((each) => each.pid === context && covers(each, pc));
      const mapping = own ?? mappings.findLast((each) => covers(each, pc));
      if (mapping === undefined) return `(unknown) [${context}]`;
      const base = mapping.path.split("/").at(-1) ?? mapping.path;
      const name = files.get(mapping.path)?.at(pc - mapping.start + mapping.offset);
      return `${name ?? "(unknown)"} [${base}]`;
    },
  };
}
