/** The little that loading needs of ELF: the segments of a 64-bit little-endian AArch64 program (System V gABI, 5). */
import { UserError } from "../common/errors.ts";

const MAGIC = 0x7f45_4c46;
const HEADER_BYTES = 64;
const SEGMENT_HEADER_BYTES = 56;
const MACHINE_AARCH64 = 183;
const PT_LOAD = 1;
const PF_X = 1;

export interface Segment {
  /** p_paddr: where it is loaded. */
  readonly address: bigint;
  readonly virtual: bigint;
  readonly content: Uint8Array;
  /** With what follows its content, and is zeros. */
  readonly memoryBytes: bigint;
}

export interface ElfProgram {
  /** By address. */
  readonly segments: readonly Segment[];
  /** The entry point as a physical address. */
  readonly entry: bigint;
}

/** Whether these are an ELF file's first bytes. */
export const isElf = (bytes: Uint8Array): boolean =>
  bytes.length >= 4 && new DataView(bytes.buffer, bytes.byteOffset).getUint32(0) === MAGIC;

/** Reads a program's segments. Throws UserError for what is cut short or of another machine. */
export function readElf(file: Uint8Array, name: string): ElfProgram {
  const refuse = (what: string): never => {
    throw new UserError(`${name}: ${what}`, "Give a little-endian AArch64 program, or an arm64 Image");
  };
  if (file.length < HEADER_BYTES) return refuse(`an ELF file of ${file.length} bytes`);
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (view.getUint8(4) !== 2) return refuse("a 32-bit ELF program");
  if (view.getUint8(5) !== 1) return refuse("a big-endian ELF program");
  const machine = view.getUint16(0x12, true);
  if (machine !== MACHINE_AARCH64) return refuse(`an ELF program of another machine (e_machine ${machine})`);
  let entry = view.getBigUint64(0x18, true);
  const table = Number(view.getBigUint64(0x20, true));
  const [size, count] = [view.getUint16(0x36, true), view.getUint16(0x38, true)];
  if (count > 0 && (size < SEGMENT_HEADER_BYTES || table + count * size > file.length))
    return refuse("cut short: its program headers are not in it");
  const segments: Segment[] = [];
  const virtualEntry = entry;
  for (let i = 0; i < count; i++) {
    const at = table + i * size;
    if (view.getUint32(at, true) !== PT_LOAD) continue;
    const [offset, virtual, address, fileBytes, memoryBytes] = [8, 16, 24, 32, 40].map((field) =>
      view.getBigUint64(at + field, true),
    ) as [bigint, bigint, bigint, bigint, bigint];
    if (offset + fileBytes > BigInt(file.length))
      return refuse(`cut short: ${file.length} of ${offset + fileBytes} bytes`);
    if (memoryBytes < fileBytes) return refuse("a segment has less memory than content");
    // The entry point is virtual, and a program starts with the MMU off.
    const executable = (view.getUint32(at + 4, true) & PF_X) !== 0;
    if (executable && virtualEntry >= virtual && virtualEntry < virtual + memoryBytes)
      entry = virtualEntry - virtual + address;
    if (memoryBytes > 0n)
      segments.push({
        address,
        virtual,
        content: file.subarray(Number(offset), Number(offset + fileBytes)),
        memoryBytes,
      });
  }
  if (segments.length === 0) return refuse("an ELF file with nothing to load");
  return { segments: segments.sort((a, b) => (a.address < b.address ? -1 : 1)), entry };
}
