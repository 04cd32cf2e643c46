// Stacks name the source, not what was bundled from it. Maps are read when somebody looks at a stack: Node's own source
// maps are read with the modules, which takes longer than to load them.
import { readFileSync } from "node:fs";
import { SourceMap } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/**
 * For modules of a folder that have their maps beside them.
 * @param {URL} folder with a slash at its end
 */
export function mapStacks(folder) {
  const maps = new Map();
  const mapOf = (url) => {
    if (!maps.has(url))
      maps.set(url, new SourceMap(JSON.parse(readFileSync(`${fileURLToPath(url)}.map`, "utf8"))));
    return maps.get(url);
  };
  Error.prepareStackTrace = (error, sites) => {
    const lines = sites.map((site) => {
      const text = String(site);
      const url = site.getFileName();
      if (!url?.startsWith(folder.href)) return text;
      try {
        const { originalSource, originalLine, originalColumn } = mapOf(url).findEntry(
          site.getLineNumber() - 1,
          site.getColumnNumber() - 1,
        );
        const source = join(dirname(fileURLToPath(url)), originalSource);
        return text.replace(/[^\s(]*\.m?js:\d+:\d+/, `${source}:${originalLine + 1}:${originalColumn + 1}`);
      } catch {
        return text;
      }
    });
    return [String(error), ...lines.map((line) => `    at ${line}`)].join("\n");
  };
}
