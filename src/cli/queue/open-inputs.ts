/** What --inputs names. */
import type { Redis } from "ioredis";
import { FolderInputs, type InputStore, RedisInputs } from "./input-stores.ts";

/**
 * Where --inputs says that input files go; Redis where it says nothing.
 * @throws UserError for a bucket that cannot be one, or for which there are no credentials
 */
export async function openInputs(
  where: string | undefined,
  redis: Redis,
  env: Readonly<Record<string, string | undefined>>,
): Promise<InputStore> {
  if (where === undefined) return new RedisInputs(redis);
  if (!/^(s3|https?):\/\//i.test(where)) return new FolderInputs(where);
  // Whoever needs no bucket starts sooner.
  const { bucketAt } = await import("./s3.ts");
  return bucketAt(where, env);
}
