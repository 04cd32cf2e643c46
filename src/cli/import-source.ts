/** Imports TypeScript by its URL, where the command line itself may run from a bundle that needs no hooks for it. */

/** The module at a URL, registering TypeScript for this thread first. */
export async function importSource(url: string): Promise<unknown> {
  const hooks = (await import(new URL("../../scripts/register-typescript.js", import.meta.url).href)) as {
    readonly registerTypeScript: () => void;
  };
  hooks.registerTypeScript();
  return import(url);
}
