/**
 * Unpacks Zstandard files (RFC 8878) whole. The library decodes blocks and looks at nothing else, so that a bit turned
 * over in a literal would come out as another byte: here are the limits before it, and the checksum after it.
 */
import { decompress } from "fzstd";
import xxhash from "xxhash-wasm";
import { concat } from "./bytes.ts";

const MAGIC = 0xfd2f_b528;
/** The last four bits are anybody's. */
const SKIPPABLE_MAGIC = 0x184d_2a50;
const BLOCK = { RAW: 0, RLE: 1, COMPRESSED: 2 } as const;
const MOST_BLOCK_BYTES = 128 * 1024;
/** What the zstd program takes, too, unless it is asked for more. */
const MOST_WINDOW_BYTES = 128 * 1024 ** 2;
/** What is hashed at a time: the library copies it into memory of its own, which never shrinks. */
const PIECE_BYTES = 1024 ** 2;

/** A frame's place, and what it says of itself. */
interface Frame {
  /** One past its last byte. */
  readonly end: number;
  /** The low half of the content's XXH64, seed 0. */
  readonly checksum: number | undefined;
  /** Bytes of content: as the frame has it, or else as many as its blocks can have at most. */
  readonly mostBytes: number;
}

/** Reads the headers (3.1.1) of the frame that begins at `start`. */
function frameAt(view: DataView, start: number): Frame {
  const cut = (): never => {
    throw new Error("it is cut short");
  };
  const number = (at: number, bytes: number): number => {
    if (at + bytes > view.byteLength) return cut();
    let value = 0;
    for (let i = bytes - 1; i >= 0; i--) value = value * 256 + view.getUint8(at + i);
    return value;
  };
  const magic = number(start, 4);
  if ((magic & 0xffff_fff0) >>> 0 === SKIPPABLE_MAGIC) {
    const end = start + 8 + number(start + 4, 4);
    return end > view.byteLength ? cut() : { end, checksum: undefined, mostBytes: 0 };
  }
  if (magic !== MAGIC) throw new Error(`no Zstandard frame begins at byte ${start}`);
  const descriptor = number(start + 4, 1);
  const singleSegment = (descriptor & 0x20) !== 0;
  let at = start + 5;
  if (!singleSegment) {
    const window = number(at++, 1);
    const base = 2 ** (10 + (window >> 3));
    const bytes = base + (base / 8) * (window & 7);
    if (bytes > MOST_WINDOW_BYTES) throw new Error(`a window of ${bytes} bytes`);
  }
  if ((descriptor & 3) !== 0) throw new Error("it needs a dictionary");
  const sizeField = [singleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
  const size = sizeField === 0 ? undefined : number(at, sizeField) + (sizeField === 2 ? 256 : 0);
  at += sizeField;
  let blocksBytes = 0;
  for (let last = false; !last; ) {
    const header = number(at, 3);
    last = (header & 1) === 1;
    const [type, bytes] = [(header >> 1) & 3, header >> 3];
    blocksBytes += type === BLOCK.COMPRESSED ? MOST_BLOCK_BYTES : bytes;
    at += 3 + (type === BLOCK.RLE ? 1 : bytes);
  }
  if (size !== undefined && size > blocksBytes) throw new Error(`${size} bytes are not in its blocks`);
  const checksum = (descriptor & 4) === 0 ? undefined : number(at, 4);
  const end = checksum === undefined ? at : at + 4;
  return end > view.byteLength ? cut() : { end, checksum, mostBytes: size ?? blocksBytes };
}

/**
 * The content of all frames.
 * @param mostBytes more content than this is refused, before there is memory for it
 * @throws Error saying what is wrong with the file
 */
export async function unzstd(file: Uint8Array, mostBytes: number): Promise<Uint8Array<ArrayBuffer>> {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const { create64 } = await xxhash();
  const contents: Uint8Array[] = [];
  let total = 0;
  for (let start = 0; start < file.length; ) {
    const { end, checksum, mostBytes: most } = frameAt(view, start);
    if (total + most > mostBytes) throw new Error(`it unpacks to more than ${mostBytes} bytes`);
    const content = decompress(file.subarray(start, end));
    const sum = create64();
    for (let at = 0; at < content.length; at += PIECE_BYTES)
      sum.update(content.subarray(at, at + PIECE_BYTES));
    if (checksum !== undefined && Number(sum.digest() & 0xffff_ffffn) !== checksum)
      throw new Error("its content does not have the checksum that it names");
    contents.push(content);
    total += content.length;
    start = end;
  }
  return concat(contents);
}
