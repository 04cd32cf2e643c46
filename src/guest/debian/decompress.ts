/** Unpacks what Debian packs with: xz, zstd, gzip. */
import { UserError } from "../../common/errors.ts";
import { type Compression, unpack } from "../../common/unpack.ts";
import { MIRROR_SETTING } from "./hints.ts";

/** No file of Debian's that a guest is made of unpacks to a half of this. */
const MOST_BYTES = 2 * 1024 ** 3;

const SUFFIXES: Readonly<Record<string, Compression>> = { gz: "gzip", zst: "zstd", xz: "xz" };

/** A file name's compression; undefined: it is not packed. */
export const compressionOf = (name: string): Compression | undefined =>
  SUFFIXES[/\.(xz|zst|gz)$/.exec(name)?.[1] ?? ""];

/** What to say where a file cannot be unpacked though its checksum is right. */
export function damaged(where: string, error: unknown): UserError {
  const why = error instanceof Error ? error.message : String(error);
  return new UserError(`${where} is damaged (${why})`, `Name another mirror with ${MIRROR_SETTING}`);
}

/**
 * Unpacks a whole file.
 * @param compression undefined: it is not packed
 * @param where its name, for errors
 * @throws UserError where it is damaged
 */
export const decompress = async (
  bytes: Uint8Array<ArrayBuffer>,
  compression: Compression | undefined,
  where: string,
): Promise<Uint8Array> =>
  compression === undefined
    ? bytes
    : unpack(bytes, compression, MOST_BYTES).catch((error: unknown) => {
        throw damaged(where, error);
      });
