// Lets Node import TypeScript: no build step.
import { register } from "node:module";

let registered = false;

/** Registers the hooks for this thread, once. It costs a thread of their own, and a message to it for each import. */
export function registerTypeScript() {
  if (registered) return;
  registered = true;
  process.setSourceMapsEnabled(true);
  register("./hooks.js", import.meta.url);
}
