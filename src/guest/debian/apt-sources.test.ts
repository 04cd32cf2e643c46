import { expect, it } from "vitest";
import { mirrorOf } from "./apt-sources.ts";

const lines = (text: string) => mirrorOf([{ name: "sources.list", text }]);
const deb822 = (text: string) => mirrorOf([{ name: "debian.sources", text }]);

it.each([
  ["deb http://deb.debian.org/debian bookworm main contrib\n", "http://deb.debian.org/debian"],
  [
    "deb [arch=arm64 signed-by=/k.gpg] https://mirror.example/debian/ trixie main\n",
    "https://mirror.example/debian",
  ],
  [
    "# deb http://off.example/debian trixie main\ndeb http://on.example/debian stable main # mine\n",
    "http://on.example/debian",
  ],
  ["deb-src http://src.example/debian trixie main\n", undefined],
  ["deb file:/srv/debian trixie main\n", undefined],
  ["deb http://contrib.example/debian trixie contrib\n", undefined],
  // Neither security's archive nor somebody else's has the packages of a release.
  [
    "deb http://security.debian.org/debian-security bookworm-security main\ndeb http://m.example/debian bookworm-updates main\n",
    undefined,
  ],
  [
    "deb https://packages.example.com/apt cloud-sdk-bookworm main\ndeb http://archive.ubuntu.com/ubuntu noble main\n",
    undefined,
  ],
])("reads a line of sources.list: %j", (text, mirror) => {
  expect(lines(text)).toBe(mirror);
});

it("reads deb822 sources, with comments, continued lines and what is switched off", () => {
  expect(
    deb822(`# by hand
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
Enabled: no

Types: deb deb-src
# http://snapshot.example
URIs: cdrom:/x
  http://first.example/debian
Suites: bookworm
 bookworm-updates
Components: main
`),
  ).toBe("http://first.example/debian");
  expect(
    deb822("Types: deb-src\nURIs: http://a.example/debian\nSuites: sid\nComponents: main\n"),
  ).toBeUndefined();
});

it("takes the first file that has one", () => {
  const at = (host: string) => `deb http://${host}/debian trixie main\n`;
  expect(
    mirrorOf([
      { name: "a.list", text: "nothing here" },
      { name: "b.list", text: at("b") },
      { name: "c.list", text: at("c") },
    ]),
  ).toBe("http://b/debian");
  expect(mirrorOf([])).toBeUndefined();
});
