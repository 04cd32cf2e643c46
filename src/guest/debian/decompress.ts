/** Unpacks what Debian packs with: xz, zstd, gzip. */
import { decompress as zstd } from "fzstd";
import xz from "xz-decompress";

export type Compression = "xz" | "zst" | "gz" | "none";

/** A file name's compression. */
export function compressionOf(name: string): Compression {
  const suffix = /\.(xz|zst|gz)$/.exec(name)?.[1];
  return suffix === undefined ? "none" : (suffix as Compression);
}

const collect = async (stream: ReadableStream<Uint8Array>): Promise<Uint8Array> =>
  new Uint8Array(await new Response(stream).arrayBuffer());

const streamOf = (bytes: Uint8Array<ArrayBuffer>): ReadableStream<Uint8Array<ArrayBuffer>> =>
  new Blob([bytes]).stream();

/** Unpacks whole files. Throws what the packages throw where they are damaged. */
export async function decompress(
  bytes: Uint8Array<ArrayBuffer>,
  compression: Compression,
): Promise<Uint8Array> {
  switch (compression) {
    case "none":
      return bytes;
    case "zst":
      return zstd(bytes);
    case "gz":
      return collect(streamOf(bytes).pipeThrough(new DecompressionStream("gzip")));
    case "xz":
      return collect(new xz.XzReadableStream(streamOf(bytes)));
  }
}
