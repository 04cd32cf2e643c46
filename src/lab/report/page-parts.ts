/** What every page is put together from. */
import { escapeHtml } from "./html-text.ts";

/** The files that go into a page as they are; the caller reads them. */
export interface PageAssets {
  /** echarts/dist/echarts.min.js */
  readonly echarts: string;
  /** The page's own script, of page/ */
  readonly script: string;
  /** page/page.css */
  readonly style: string;
}

export interface PageFacts {
  /** The page's heading, such as the command that made it. */
  readonly title: string;
  /** spevisor's version. */
  readonly version: string;
}

/** JSON inside a script element: "<" would let "</script>" or "<!--" in a name end it. */
export const inlineJson = (value: unknown): string => JSON.stringify(value).replaceAll("<", "\\u003c");

/** A script's text inside a script element; only string literals and comments can hold what is escaped here. */
export const inlineScript = (source: string): string => source.replaceAll(/<(\/script|!--)/gi, "\\x3c$1");

/**
 * A whole page that needs nothing else and can load nothing.
 * @param body the lines between the body's tags
 */
export const wholePage = (title: string, style: string, body: readonly string[]): string =>
  [
    "<!doctype html>",
    '<html lang="en">',
    "<head>",
    '<meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:">`,
    `<title>${escapeHtml(title)}</title>`,
    `<style>\n${style}</style>`,
    "</head>",
    "<body>",
    ...body,
    "</body>",
    "</html>",
    "",
  ].join("\n");
