import { describe, expect, it } from "vitest";
import type { Chart } from "../../lab/questions/question.ts";
import { svgOf } from "./picture.ts";

const LINE: Chart = {
  title: "Slowdown by buffer",
  kind: "line",
  x: { name: "buffer (MiB)", scale: "log" },
  y: { name: "times bare metal", scale: "linear" },
  series: [
    { name: "fault", points: [1, 4, 16].map((x) => [x, x * 30]) },
    { name: "window", points: [1, 4, 16].map((x) => [x, 35]) },
  ],
};
const BARS: Chart = {
  ...LINE,
  kind: "bar",
  x: { name: "policy", scale: "categories" },
  y: { name: "times bare metal", scale: "log" },
  series: [{ name: "thread-a", points: ["fault", "window"].map((name, i) => [name, 20 * i + 1]) }],
};

/** The texts of a picture, in the order of the file. */
const texts = (svg: string): string[] =>
  [...svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g)].map(([, text]) => text as string);
/** Where the first text that reads so stands. */
const placeOf = (svg: string, text: string): { x: number; y: number } => {
  const [, x, y] = new RegExp(`translate\\(([0-9.]+) ([0-9.]+)\\)[^>]*>${text}<`).exec(svg) ?? [];
  return { x: Number(x), y: Number(y) };
};

describe("a picture", () => {
  it("has the same bytes whatever was drawn before it", () => {
    const first = svgOf(LINE);
    svgOf(BARS);
    expect(svgOf(LINE)).toBe(first);
  });

  it("names its title, axes, and series where there are several", () => {
    expect(texts(svgOf(LINE))).toEqual(
      expect.arrayContaining(["Slowdown by buffer", "buffer (MiB)", "times bare metal", "fault", "window"]),
    );
    expect(texts(svgOf(BARS))).not.toContain("thread-a");
  });

  it("puts doublings on an axis of powers of two, at equal distances", () => {
    const svg = svgOf(LINE);
    const [one, four, sixteen] = ["1", "4", "16"].map((tick) => placeOf(svg, tick).x) as [
      number,
      number,
      number,
    ];
    expect(four - one).toBeCloseTo(sixteen - four, 3);
    expect(four).toBeGreaterThan(one);
  });

  it("has a title for those who do not see it", () => {
    expect(svgOf({ ...LINE, title: "a < b & c" })).toMatch(/^<svg[^>]*>\n<title>a &lt; b &amp; c<\/title>/);
  });

  it("says what a log axis has no place for", () => {
    const zero: Chart = {
      ...LINE,
      y: { name: "lost", scale: "log" },
      series: [
        {
          name: "a",
          points: [
            [1, 0],
            [2, 5],
          ],
        },
      ],
    };
    expect(texts(svgOf(zero))).toContain("Not drawn, because a logarithmic axis has no zero: 1 point.");
    expect(texts(svgOf(LINE)).join()).not.toContain("Not drawn");
  });

  it("lays bars on their side where their names have no room", () => {
    const places = (names: readonly string[]) => {
      const svg = svgOf({ ...BARS, series: [{ name: "a", points: names.map((name) => [name, 2]) }] });
      return names.map((name) => placeOf(svg, name));
    };
    const short = places(["a-1", "b-1"]);
    expect(short[0]?.y).toBe(short[1]?.y);
    const long = places(Array.from({ length: 12 }, (_, i) => `a-rather-long-name-${i}-of-them`));
    expect(long[0]?.x).toBe(long[1]?.x);
    expect(long[1]?.y).toBeGreaterThan(long[0]?.y as number);
  });
});
