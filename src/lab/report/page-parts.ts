/** What every page is put together from. */

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
