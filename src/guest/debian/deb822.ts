/** Paragraphs of "Field: value" lines, as in deb822(5): package indexes, release files, apt's *.sources. */

/** Fields of one paragraph, by their name in lower case; a continued value keeps its line breaks. */
export type Paragraph = ReadonlyMap<string, string>;

/** The text of each paragraph. An index has tens of thousands: they are parsed one at a time, where needed. */
export const paragraphTexts = (text: string): readonly string[] =>
  text.split(/\r?\n(?:[ \t]*\r?\n)+/).filter((paragraph) => paragraph.trim() !== "");

/** One paragraph. Comments and lines that are neither a field nor its continuation are left out. */
export function parseParagraph(text: string): Paragraph {
  const fields = new Map<string, string>();
  let name: string | undefined;
  for (const line of text.split(/\r?\n/)) {
    if (line.startsWith("#")) continue;
    if (/^[ \t]/.test(line)) {
      if (name !== undefined) fields.set(name, `${fields.get(name)}\n${line.trim()}`);
      continue;
    }
    const colon = line.indexOf(":");
    name = colon > 0 ? line.slice(0, colon).toLowerCase() : undefined;
    if (name !== undefined) fields.set(name, line.slice(colon + 1).trim());
  }
  return fields;
}
