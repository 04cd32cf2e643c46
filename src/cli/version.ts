/** spevisor's own version, from its package.json. */
import { createRequire } from "node:module";

export const VERSION: string = (
  createRequire(import.meta.url)("../../package.json") as { readonly version: string }
).version;
