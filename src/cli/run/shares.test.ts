import { describe, expect, it } from "vitest";
import { UserError } from "../../common/errors.ts";
import { placeShares, type ShareFlag, shareFlags } from "./shares.ts";

const placed = (...texts: readonly string[]): readonly string[] =>
  placeShares(texts.reduce<readonly ShareFlag[]>((before, text) => shareFlags(text, before), [])).map(
    ({ tag, path, directory, readOnly }) => `${tag} ${path} ${directory}${readOnly ? " ro" : ""}`,
  );

describe("--share", () => {
  it.each([
    ["dir", "share0 dir /share"],
    ["dir:ro", "share0 dir /share ro"],
    ["dir:/data", "share0 dir /data"],
    ["dir:/data:ro", "share0 dir /data ro"],
    ["dir:/data:rw", "share0 dir /data"],
    ["dir://a/./b/../c/", "share0 dir /a/c"],
    ["/a:b", "share0 /a:b /share"],
    ["/a:b:/c d", "share0 /a:b /c d"],
    ["/a:ro:rw", "share0 /a:ro /share"],
    ["a:/b:/c", "share0 a:/b /c"],
    [".", "share0 . /share"],
  ])("%s", (text, share) => expect(placed(text)).toEqual([share]));

  it("may be given again: those without a place are at /share, /share2 and so on", () => {
    expect(placed("a", "b:/data:ro", "c", "d:ro")).toEqual([
      "share0 a /share",
      "share1 b /data ro",
      "share2 c /share2",
      "share3 d /share3 ro",
    ]);
  });

  it.each([
    [[""], /names no directory/],
    [[":ro"], /names no directory/],
    [[":/data"], /names no directory/],
    [["a:/"], /the guest's root is taken/],
    [["a:/b/.."], /the guest's root is taken/],
    [["a:/x", "b:/x/"], /--share b:\/x\/: a:\/x is at the guest's \/x already/],
    [["a:/share", "b"], /--share b: a:\/share is at the guest's \/share already/],
    [Array.from({ length: 17 }, (_, i) => `${i}`), /17 times --share: a guest takes 16/],
  ])("%j is refused", (texts, words) => {
    let error: unknown;
    try {
      placed(...texts);
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(UserError);
    expect((error as UserError).what).toMatch(words);
    expect((error as UserError).remedy).not.toBe("");
  });
});
