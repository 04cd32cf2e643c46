/** The Debian mirror that a machine already uses, from its apt sources (sources.list(5)). */
import { paragraphTexts, parseParagraph } from "./deb822.ts";

interface Source {
  readonly uris: readonly string[];
  readonly suites: readonly string[];
  readonly components: readonly string[];
}

/** Debian's releases by the names that a source may give; whatever else stands there is no Debian archive. */
const SUITE =
  /^(oldoldstable|oldstable|stable|testing|unstable|sid|buster|bullseye|bookworm|trixie|forky|duke)$/;

const words = (text: string): readonly string[] => text.split(/\s+/).filter((word) => word !== "");

/** "deb [options] uri suite component..." */
function parseLine(line: string): Source | undefined {
  const match = /^\s*deb\s+(?:\[[^\]]*\]\s*)?(\S+)\s+(\S+)\s+([^#]*)/.exec(line);
  if (match === null) return undefined;
  const [, uri = "", suite = "", components = ""] = match;
  return { uris: [uri], suites: [suite], components: words(components) };
}

function parseDeb822(text: string): readonly Source[] {
  return paragraphTexts(text).flatMap((paragraph) => {
    const fields = parseParagraph(paragraph);
    const list = (name: string): readonly string[] => words(fields.get(name) ?? "");
    if (!list("types").includes("deb") || fields.get("enabled")?.toLowerCase() === "no") return [];
    return [{ uris: list("uris"), suites: list("suites"), components: list("components") }];
  });
}

/**
 * The first http(s) URI among apt's sources that is a Debian archive with component main.
 * @param files name and content, in apt's order; *.sources are deb822, all others lines
 * @returns the URI without a slash at its end, or undefined where there is none
 */
export function mirrorOf(
  files: readonly { readonly name: string; readonly text: string }[],
): string | undefined {
  const sources = files.flatMap(({ name, text }) =>
    name.endsWith(".sources") ? parseDeb822(text) : text.split("\n").flatMap((line) => parseLine(line) ?? []),
  );
  const usable = sources.find(
    ({ uris, suites, components }) =>
      uris.some((uri) => /^https?:/.test(uri)) &&
      suites.some((suite) => SUITE.test(suite)) &&
      components.includes("main"),
  );
  return usable?.uris.find((uri) => /^https?:/.test(uri))?.replace(/\/+$/, "");
}
