/** Unpacks what Debian packs with: xz, zstd, gzip. */
import xz from "xz-decompress";
import { concat } from "../../common/bytes.ts";
import { UserError } from "../../common/errors.ts";
import { unzstd } from "../../common/zstd.ts";

export type Compression = "xz" | "zst" | "gz" | "none";

/** No file of Debian's that a guest is made of unpacks to a half of this. */
const MOST_BYTES = 2 * 1024 ** 3;

/** A file name's compression. */
export function compressionOf(name: string): Compression {
  const suffix = /\.(xz|zst|gz)$/.exec(name)?.[1];
  return suffix === undefined ? "none" : (suffix as Compression);
}

/** What to say where a file cannot be unpacked though its checksum is right. */
export function damaged(where: string, error: unknown): UserError {
  const why = error instanceof Error ? error.message : String(error);
  return new UserError(`${where} is damaged (${why})`, "Name another mirror with --mirror");
}

async function collect(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of stream) {
    bytes += piece.length;
    if (bytes > MOST_BYTES) throw new Error(`it unpacks to more than ${MOST_BYTES} bytes`);
    pieces.push(piece);
  }
  return concat(pieces);
}

const streamOf = (bytes: Uint8Array<ArrayBuffer>): ReadableStream<Uint8Array<ArrayBuffer>> =>
  new Blob([bytes]).stream();

function unpacked(bytes: Uint8Array<ArrayBuffer>, compression: Compression): Promise<Uint8Array> {
  switch (compression) {
    case "none":
      return Promise.resolve(bytes);
    case "zst":
      return unzstd(bytes, MOST_BYTES);
    case "gz":
      return collect(streamOf(bytes).pipeThrough(new DecompressionStream("gzip")));
    case "xz":
      return collect(new xz.XzReadableStream(streamOf(bytes)));
  }
}

/**
 * Unpacks a whole file.
 * @param where its name, for errors
 * @throws UserError where it is damaged
 */
export const decompress = (
  bytes: Uint8Array<ArrayBuffer>,
  compression: Compression,
  where: string,
): Promise<Uint8Array> =>
  unpacked(bytes, compression).catch((error: unknown) => {
    throw damaged(where, error);
  });
