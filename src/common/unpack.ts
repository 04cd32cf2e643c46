/** Unpacks whole files: gzip, zstd, xz. */
import xz from "xz-decompress";
import { concat } from "./bytes.ts";
import { unzstd } from "./zstd.ts";

export const COMPRESSIONS = ["gzip", "zstd", "xz"] as const;
export type Compression = (typeof COMPRESSIONS)[number];

const MAGIC: Readonly<Record<Compression, readonly number[]>> = {
  gzip: [0x1f, 0x8b],
  zstd: [0x28, 0xb5, 0x2f, 0xfd],
  xz: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00],
};

const startsWith = (bytes: Uint8Array, magic: readonly number[]): boolean =>
  magic.every((byte, i) => bytes[i] === byte);

/** How a file is packed, by its first bytes; undefined where it is not, or in another way. */
export const compressionIn = (bytes: Uint8Array): Compression | undefined =>
  COMPRESSIONS.find((name) => startsWith(bytes, MAGIC[name]));

async function collect(stream: ReadableStream<Uint8Array>, mostBytes: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of stream) {
    bytes += piece.length;
    if (bytes > mostBytes) throw new Error(`it unpacks to more than ${mostBytes} bytes`);
    pieces.push(piece);
  }
  return concat(pieces);
}

/**
 * The content of a packed file.
 * @param mostBytes more content than this is refused
 * @throws Error saying what is wrong with the file
 */
export function unpack(
  bytes: Uint8Array<ArrayBuffer>,
  compression: Compression,
  mostBytes: number,
): Promise<Uint8Array> {
  const stream = (): ReadableStream<Uint8Array<ArrayBuffer>> => new Blob([bytes]).stream();
  switch (compression) {
    case "zstd":
      return unzstd(bytes, mostBytes);
    case "gzip":
      return collect(stream().pipeThrough(new DecompressionStream("gzip")), mostBytes);
    case "xz":
      return collect(new xz.XzReadableStream(stream()), mostBytes);
  }
}
