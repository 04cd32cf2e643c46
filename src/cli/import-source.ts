/** Imports TypeScript by its URL, where the command line itself runs from a bundle that needs no hooks for it. */

/** In an installed package everything of ours is JavaScript; in a checkout, bundled or not, modules are in src/. */
export const IS_BUILT = import.meta.url.endsWith(".js");

const OWN = new URL("../", import.meta.url).href;

/** The module at a URL, registering TypeScript for this thread first, unless it is one of a package's own. */
export async function importSource(url: string): Promise<unknown> {
  if (IS_BUILT && url.startsWith(OWN)) return import(url);
  const hooks = (await import(new URL("../../bin/typescript/register.js", import.meta.url).href)) as {
    readonly registerTypeScript: () => void;
  };
  hooks.registerTypeScript();
  return import(url);
}
