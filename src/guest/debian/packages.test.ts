import { describe, expect, it } from "vitest";
import { PackageIndex, parseDepends } from "./packages.ts";
import { parseRelease, signedText } from "./release.ts";

it("takes the first alternative, without architectures, and versions only where one alone will do", () => {
  expect(parseDepends("libc6 (>= 2.36), a:any, b-1.0+x (= 1:2-3~4) | c, d | e (= 1), f (<< 2)")).toEqual([
    { name: "libc6", exactVersion: undefined },
    { name: "a", exactVersion: undefined },
    { name: "b-1.0+x", exactVersion: "1:2-3~4" },
    { name: "d", exactVersion: undefined },
    { name: "f", exactVersion: undefined },
  ]);
  expect(parseDepends("")).toEqual([]);
});

describe("an index", () => {
  const entry = (name: string, version: string, more = "") =>
    `Package: ${name}\nVersion: ${version}\n${more}Filename: pool/${name}_${version}.deb\nSize: 12\nSHA256: ab\n`;
  const index = new PackageIndex(
    [
      entry("x", "1", "Pre-Depends: p\nDepends: q,\n r (= 2)\n"),
      entry("two", "1.0"),
      entry("two", "1.1"),
    ].join("\n"),
    "Packages",
  );

  it("finds a package with what it depends on", () => {
    expect(index.find({ name: "x", exactVersion: undefined })).toEqual({
      name: "x",
      version: "1",
      filename: "pool/x_1.deb",
      bytes: 12,
      sha256: "ab",
      depends: [
        { name: "p", exactVersion: undefined },
        { name: "q", exactVersion: undefined },
        { name: "r", exactVersion: "2" },
      ],
    });
  });

  it("finds the version that is asked for, or the last", () => {
    expect(index.find({ name: "two", exactVersion: "1.0" }).version).toBe("1.0");
    expect(index.find({ name: "two", exactVersion: undefined }).version).toBe("1.1");
  });

  it("says what it does not have", () => {
    expect(() => index.find({ name: "y", exactVersion: undefined })).toThrow("Packages: has no package y\n");
    expect(() => index.find({ name: "two", exactVersion: "2" })).toThrow("Packages: has no package two 2\n");
    const broken = new PackageIndex("Package: x\nVersion: 1\n", "Packages");
    expect(() => broken.find({ name: "x", exactVersion: undefined })).toThrow(
      "package x has no field filename",
    );
  });
});

describe("a release file", () => {
  const sum = "0123456789abcdef".repeat(4);
  const release = `Origin: Debian\nCodename: trixie\nVersion: 13.1\nMD5Sum:\n ${sum.slice(32)} 5 main/a\nSHA256:\n ${sum}  5 main/a\n ${sum} 17 main/b\n`;

  it("lists files with their sizes and checksums", () => {
    const { version, files } = parseRelease(release, "trixie", "here");
    expect(version).toBe("13.1");
    expect([...files]).toEqual([
      ["main/a", { sha256: sum, bytes: 5 }],
      ["main/b", { sha256: sum, bytes: 17 }],
    ]);
  });

  it("is taken out of its signature", () => {
    const message = `-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n${release}- -dash\n-----BEGIN PGP SIGNATURE-----\n\nabc\n-----END PGP SIGNATURE-----\n`;
    expect(signedText(message)).toBe(`${release}-dash`);
    expect(signedText(release)).toBe(release);
  });

  it("is refused where it is none, or another's", () => {
    expect(() => parseRelease("<html>", "trixie", "here")).toThrow("here: not a release file");
    expect(() => parseRelease(release, "bookworm", "here")).toThrow('here: is of "trixie", not of bookworm');
  });
});
