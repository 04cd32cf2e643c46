/** Names and paths that a client may give. */
import { Failure, type Path, type Result } from "./file-system.ts";

/** Linux's NAME_MAX and PATH_MAX. */
export const MOST_NAME_BYTES = 255;
const MOST_PATH_BYTES = 4096;

/** The failure of a name that no file may have, if it is one. */
function badName(name: string): Failure | undefined {
  if (name === "" || name === "." || name === ".." || name.includes("/") || name.includes("\0"))
    return new Failure("EINVAL");
  return name.length > MOST_NAME_BYTES ? new Failure("ENAMETOOLONG") : undefined;
}

/** A path with a name after it. */
export function below(directory: Path, name: string): Result<Path> {
  const bad = badName(name);
  if (bad !== undefined) return bad;
  const path = [...directory, name];
  return path.reduce((sum, part) => sum + part.length + 1, 0) > MOST_PATH_BYTES
    ? new Failure("ENAMETOOLONG")
    : path;
}
