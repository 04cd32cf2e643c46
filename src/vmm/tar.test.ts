import fc from "fast-check";
import { expect, it } from "vitest";
import { concat } from "../common/bytes.ts";
import { bytes, content, END, file, header, pax } from "./tar.testing.ts";
import { TarDamaged, type TarEntry, TarReader } from "./tar.ts";

/** What an archive has, however it is cut into pieces. */
function read(parts: readonly Uint8Array[], pieceBytes = 1 << 20) {
  const archive = concat(parts);
  const found: (TarEntry & { text: string; whole: boolean })[] = [];
  const reader = new TarReader({
    onEntry: (entry) => found.push({ ...entry, text: "", whole: false }),
    onContent: (piece) => {
      found.at(-1)!.text += String.fromCharCode(...piece);
    },
    onEntryEnd: () => {
      found.at(-1)!.whole = true;
    },
  });
  let taken = 0;
  for (let at = 0; at < archive.length; at += pieceBytes)
    taken += reader.push(archive.subarray(at, at + pieceBytes));
  return { found, ended: reader.ended, taken, bytes: archive.length };
}

it("reads files, directories and links, in pieces of any size", () => {
  const long = `${"d".repeat(90)}/${"f".repeat(90)}`;
  const archive = [
    header({ name: "./", type: "5", mode: 0o755 }),
    ...file("./a", "x".repeat(1000), { mode: 0o4751, mtime: 1_700_000_000 }),
    header({ name: "./l", type: "2", target: "a" }),
    header({ name: "./h", type: "1", target: "./a", size: 1000 }),
    header({ name: "./p", type: "6" }),
    ...file("", "", { prefix: "pre", name: "fixed" }),
    ...file("././@LongLink", `${long}\0`, { type: "L" }),
    ...file("cut", "long"),
    ...file("old", "", { type: "\0" }),
    END,
    bytes("exit 0\n"),
  ];
  const whole = read(archive);
  expect(
    whole.found.map(({ name, kind, mode, text, target, whole }) => [
      name,
      kind,
      mode,
      text.length,
      target,
      whole,
    ]),
  ).toEqual([
    ["./", "directory", 0o755, 0, "", true],
    ["./a", "file", 0o4751, 1000, "", true],
    ["./l", "symlink", 0o644, 0, "a", true],
    ["./h", "hardlink", 0o644, 0, "./a", true],
    ["./p", "special", 0o644, 0, "", true],
    ["pre/fixed", "file", 0o644, 0, "", true],
    [long, "file", 0o644, 4, "", true],
    ["old", "file", 0o644, 0, "", true],
  ]);
  expect(whole.found[1]?.mtimeNs).toBe(1_700_000_000_000_000_000n);
  expect([whole.ended, whole.bytes - whole.taken]).toEqual([true, 7]);
  for (const piece of [1, 7, 512, 513, 700]) expect(read(archive, piece)).toEqual(whole);
});

it("reads pax records: long and odd names, sizes, times to the nanosecond", () => {
  const name = `${"n".repeat(300)}\xe9 = \n`;
  const { found } = read([
    ...pax({ path: name, mtime: "1767225600.123456789", size: "5", comment: "a=b" }),
    header({ name: "short", size: 0 }),
    content(bytes("hello")),
    ...pax({ linkpath: "elsewhere", mtime: "-1.5" }),
    header({ name: "l", type: "2", target: "cut" }),
    ...pax({ path: "not for the others" }, "g"),
    ...file("b", ""),
    END,
  ]);
  expect(found.map(({ name, text, target, mtimeNs }) => [name, text, target, mtimeNs])).toEqual([
    [name, "hello", "", 1_767_225_600_123_456_789n],
    ["l", "", "elsewhere", -1_500_000_000n],
    ["b", "", "", 0n],
  ]);
});

it("reads sizes of more than eight GiB, and takes times after the year 9999 for that", () => {
  const size = Uint8Array.of(0x80, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0);
  const { found } = read([header({ name: "big", size })]);
  expect(found[0]).toMatchObject({ sizeBytes: 3 * 2 ** 32, whole: false });
  const { found: late } = read([...pax({ mtime: "999999999999999999" }), header({ name: "late" }), END]);
  expect(late[0]?.mtimeNs).toBe(253_402_300_799_000_000_000n);
});

it.each<[string, Uint8Array[]]>([
  ["a header that was changed", [header({ name: "a" }).map((byte, i) => (i === 3 ? 1 : byte))]],
  ["text", [bytes("hello".repeat(200))]],
  ["a pax record without a length", [...file("x", "path=a\n", { type: "x" }), header({ name: "a" })]],
  [
    "a pax record that is longer than its header",
    [...file("x", "99 path=a\n", { type: "x" }), header({ name: "a" })],
  ],
  ["a pax record of no bytes", [...file("x", "0 a=b\n", { type: "x" }), header({ name: "a" })]],
  ["a size that is no number", [...pax({ size: "1e99" }), header({ name: "a" })]],
  ["a size below nothing", [...pax({ size: "-1" }), header({ name: "a" })]],
  ["a name of 64 MiB", [header({ name: "x", type: "L", size: 2 ** 26 })]],
  ["a time that is none", [...pax({ mtime: "soon" }), header({ name: "a" })]],
])("says that it is damaged: %s", (_, parts) => {
  expect(() => read(parts)).toThrow(TarDamaged);
});

it("reads whatever comes without another error", () => {
  const block = fc.oneof(
    fc.uint8Array({ minLength: 512, maxLength: 512 }),
    fc
      .record({
        name: fc.string({ unit: "binary-ascii", maxLength: 20 }),
        type: fc.constantFrom("0", "1", "2", "5", "x", "g", "L", "K", "S"),
        size: fc.nat(2000),
        mode: fc.nat(0o7777),
      })
      .map(header),
  );
  fc.assert(
    fc.property(fc.array(block, { maxLength: 12 }), fc.integer({ min: 1, max: 2000 }), (blocks, piece) => {
      try {
        read(blocks, piece);
      } catch (error) {
        expect(error).toBeInstanceOf(TarDamaged);
      }
    }),
  );
});
