/** Text as a page may have it. */

export const escapeHtml = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

/** A list of sentences; nothing where there are none. */
export const htmlList = (texts: readonly string[], className = ""): string =>
  texts.length === 0
    ? ""
    : `<ul${className === "" ? "" : ` class="${className}"`}>${texts.map((text) => `<li>${escapeHtml(text)}</li>`).join("")}</ul>`;
