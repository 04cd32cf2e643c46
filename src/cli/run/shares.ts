/** `--share DIR[:PATH][:ro]`: which directories of this computer a guest gets, and where. */
import { posix } from "node:path";
import { UserError } from "../../common/errors.ts";

export interface ShareFlag {
  /** As it was given. */
  readonly text: string;
  /** On this computer. */
  readonly path: string;
  /** In the guest; undefined where nobody said. */
  readonly directory: string | undefined;
  readonly readOnly: boolean;
}

/** Where a share is in the guest that nobody gave a place: the second is at /share2. */
const SHARE_DIRECTORY = "/share";
/** Each is a device; the board has more room than anybody has use for. */
const MOST_SHARES = 16;

/**
 * Collects "--share A --share B:/b:ro": as docker's --volume has it, but that the place may be left out. A directory
 * whose name ends like one of the parts is given with the parts after it: "a:ro:rw".
 * @throws UserError where a part is missing or no place for a share
 */
export function shareFlags(text: string, before: readonly ShareFlag[] | undefined): readonly ShareFlag[] {
  const mode = /:(ro|rw)$/.exec(text);
  const rest = mode === null ? text : text.slice(0, mode.index);
  const at = rest.lastIndexOf(":/");
  const path = at < 0 ? rest : rest.slice(0, at);
  const directory = at < 0 ? undefined : posix.normalize(rest.slice(at + 1)).replace(/(?<=.)\/$/, "");
  if (path === "")
    throw new UserError(`--share "${text}": names no directory`, "Give one: --share DIR[:PATH]");
  if (directory === "/")
    throw new UserError(
      `--share ${text}: the guest's root is taken`,
      `Give another place, such as ${path}:/data`,
    );
  return [...(before ?? []), { text, path, directory, readOnly: mode?.[1] === "ro" }];
}

export interface PlacedShare extends ShareFlag {
  readonly tag: string;
  readonly directory: string;
}

/**
 * The shares with their tags and places, in the order in which they are mounted.
 * @throws UserError where two have the same place
 */
export function placeShares(flags: readonly ShareFlag[]): readonly PlacedShare[] {
  if (flags.length > MOST_SHARES)
    throw new UserError(
      `${flags.length} times --share: a guest takes ${MOST_SHARES}`,
      "Share a directory above them",
    );
  let unnamed = 0;
  const placed = flags.map((flag, i) => {
    const directory = flag.directory ?? `${SHARE_DIRECTORY}${++unnamed === 1 ? "" : unnamed}`;
    return { ...flag, tag: `share${i}`, directory };
  });
  for (const [i, { text, directory }] of placed.entries()) {
    const same = placed.findIndex((other) => other.directory === directory);
    if (same < i)
      throw new UserError(
        `--share ${text}: ${placed[same]?.text} is at the guest's ${directory} already`,
        "Give one of them another place: --share DIR:/PATH",
      );
  }
  return placed;
}
