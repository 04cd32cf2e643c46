import { spawnSync } from "node:child_process";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { UserError } from "../common/errors.ts";
import { type FdtExtras, type Node, writeFdt } from "./fdt.ts";
import { readFdt } from "./fdt-reader.ts";

const properties = fc.dictionary(
  fc.stringMatching(/^[#a-z][a-z0-9,._+?#-]{0,14}$/),
  fc.oneof(fc.constant(true as const), fc.uint8Array({ minLength: 1, maxLength: 12 })),
  { maxKeys: 4 },
);
const { node } = fc.letrec<{ node: Node }>((tie) => ({
  node: fc
    .record({
      properties,
      children: fc.oneof(
        { maxDepth: 3 },
        fc.constant({}),
        fc.dictionary(fc.stringMatching(/^[a-z][a-z0-9_-]{0,8}(@[0-9a-f]{1,8})?$/), tie("node"), {
          maxKeys: 3,
        }),
      ),
    })
    .map(({ properties, children }) =>
      Object.keys(children).length === 0 ? { properties } : { properties, children },
    ),
}));
const extras: fc.Arbitrary<FdtExtras> = fc.record({
  reservations: fc.array(
    fc.record({ start: fc.bigInt(1n, (1n << 64n) - 1n), bytes: fc.bigInt(1n, (1n << 64n) - 1n) }),
    { maxLength: 3 },
  ),
  bootCpu: fc.nat(255),
});

it("reads what it writes, and writes it again to the byte", () => {
  fc.assert(
    fc.property(node, extras, (root, more) => {
      const blob = writeFdt(root, more);
      const read = readFdt(blob, "tree");
      expect(read).toEqual({ root, ...more });
      expect(writeFdt(read.root, read)).toEqual(blob);
    }),
    { numRuns: 200 },
  );
});

it("writes texts, cells and numbers as the specification has them (2.2.4)", () => {
  const { root } = readFdt(
    writeFdt({
      properties: {
        text: "ab",
        texts: ["ab", "c"],
        cells: [1, 0xffff_fffe],
        numbers: [0x1_0000_0002n],
        flag: true,
      },
    }),
    "tree",
  );
  expect(root.properties).toEqual({
    text: Uint8Array.of(0x61, 0x62, 0),
    texts: Uint8Array.of(0x61, 0x62, 0, 0x63, 0),
    cells: Uint8Array.of(0, 0, 0, 1, 0xff, 0xff, 0xff, 0xfe),
    numbers: Uint8Array.of(0, 0, 0, 1, 0, 0, 0, 2),
    flag: true,
  });
});

it("keeps names that mean something to JavaScript", () => {
  const tree: Node = JSON.parse(
    '{"properties":{"__proto__":"x"},"children":{"constructor":{"properties":{}}}}',
  );
  const { root } = readFdt(writeFdt(tree), "tree");
  expect(Object.keys(root.properties)).toEqual(["__proto__"]);
  expect(Object.keys(root.children ?? {})).toEqual(["constructor"]);
});

/** The words of a blob, to be broken in one place. */
const SAMPLE = writeFdt({
  properties: { model: "m" },
  children: { cpus: { properties: { reg: [1] } }, gpus: { properties: {} } },
});
/** Of the structure: BEGIN root; PROP 2 model "m"; BEGIN cpus; PROP 4 reg 1; END; BEGIN gpus; END; END; FINISH. */
const STRUCTURE = 56;
const at = (word: number): number => STRUCTURE + 4 * word;
const TOKENS = { property: at(2), cpus: at(6), reg: at(9), endCpus: at(13), gpus: at(14), finish: at(19) };

function broken(offset: number, value: number): Uint8Array {
  const blob = SAMPLE.slice();
  new DataView(blob.buffer).setUint32(offset, value);
  return blob;
}

function refusal(blob: Uint8Array): string {
  try {
    readFdt(blob, "--dtb F");
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    return (error as UserError).what;
  }
  return "none";
}

describe("refuses, and says where and why:", () => {
  it("nothing that is whole", () => {
    expect(refusal(SAMPLE)).toBe("none");
    expect(refusal(Uint8Array.of(...SAMPLE, 1, 2, 3))).toBe("none");
  });

  it.each<[string, Uint8Array, RegExp]>([
    ["no header", SAMPLE.subarray(0, 39), /--dtb F: at offset 0x27: it ends within its header/],
    ["another file", broken(0, 0x7f45_4c46), /at offset 0x0: no device tree begins so/],
    ["a cut file", SAMPLE.subarray(0, -1), /at offset 0x4: it should have \d+ bytes and has \d+: it was cut/],
    ["a size below the header's", broken(4, 8), /at offset 0x(8|c|10): /],
    ["another version", broken(24, 18), /at offset 0x14: version 17/],
    ["an old version", broken(20, 3), /at offset 0x14: version 3/],
    ["a structure outside", broken(8, 0x1_0000), /at offset 0x8: the structure lies at 0x10000/],
    ["a structure in the header", broken(8, 8), /at offset 0x8: the structure lies at 0x8/],
    ["a crooked structure", broken(8, STRUCTURE + 1), /at offset 0x8: /],
    ["a structure too long", broken(36, 0xffff_fff0), /at offset 0x8: /],
    ["a structure too short", broken(36, 16), /the structure ends too early|a property's|not all there/],
    ["names outside", broken(12, 0x8000_0000), /at offset 0xc: the block of names/],
    ["reservations outside", broken(16, 0x1000), /at offset 0x10: the block of reservations/],
    ["reservations without an end", broken(16, SAMPLE.length & ~7), /block of reservations/],
    ["an unknown token", broken(TOKENS.cpus, 7), /at offset 0x50: 0x7 is no token/],
    ["a long property", broken(TOKENS.reg + 4, 0x7fff_ffff), /0x5c: property "reg" of 2147483647 bytes/],
    ["a name outside", broken(TOKENS.reg + 8, 500), /at offset 0x5c: a property's name at 0x1f4/],
    ["a second name", broken(TOKENS.gpus + 4, 0x6370_7573), /a second node "cpus/],
    ["a child without a name", broken(TOKENS.cpus + 4, 0), /at offset 0x50: "" is no name of a node/],
    ["a name with a slash", broken(TOKENS.cpus + 4, 0x632f_7573), /"c\/us" is no name of a node/],
    ["a name of other bytes", broken(TOKENS.cpus + 4, 0x0763_6363), /characters that no name has/],
    ["an early finish", broken(TOKENS.endCpus, 9), /node "cpus" has no end/],
    ["no finish", broken(TOKENS.finish, 4), /the structure ends too early/],
    ["a property after children", broken(TOKENS.gpus, 3), /a property after its node's children/],
    ["no root", broken(at(0), 9), /at offset 0x38: no root/],
    ["an end too many", broken(at(0), 2), /at offset 0x38: the end of a node that has not begun/],
    ["a property of nothing", broken(at(0), 3), /at offset 0x38: a property outside of all nodes/],
  ])("%s", (_, blob, message) => {
    expect(refusal(blob)).toMatch(message);
  });

  it("nodes that lie too deep", () => {
    let deep: Node = { properties: {} };
    for (let i = 0; i < 100; i++) deep = { properties: {}, children: { n: deep } };
    expect(refusal(writeFdt(deep))).toMatch(/more than 64 nodes within each other/);
  });

  it("more than a kernel takes", () => {
    expect(refusal(writeFdt({ properties: { big: new Uint8Array(2 ** 21) } }))).toMatch(
      /a kernel takes 2097152/,
    );
  });
});

it("steps over NOPs, which is what QEMU and U-Boot leave of nodes that they take away", () => {
  const blob = SAMPLE.slice();
  const view = new DataView(blob.buffer);
  for (let i = TOKENS.cpus; i < TOKENS.gpus; i += 4) view.setUint32(i, 4);
  expect(Object.keys(readFdt(blob, "tree").root.children ?? {})).toEqual(["gpus"]);
});

it("answers whatever bytes it gets with a tree or a UserError", () => {
  const real = writeFdt(
    { properties: { a: [1, 2] }, children: { b: { properties: { c: "text", d: true } } } },
    { reservations: [{ start: 1n, bytes: 2n }], bootCpu: 1 },
  );
  const change = fc.tuple(
    fc.nat(real.length - 1),
    fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 2, 3, 4, 9, 255)),
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array({ maxLength: 200 }),
        fc.array(change, { minLength: 1, maxLength: 6 }).map((changes) => {
          const blob = real.slice();
          for (const [at, byte] of changes) blob[at] = byte;
          return blob;
        }),
        fc.nat(real.length).map((length) => real.subarray(0, length)),
        // The structure points back at itself, and at the header.
        fc.tuple(fc.constantFrom(8, 12, 16, 32, 36), fc.nat(real.length)).map(([field, value]) => {
          const blob = real.slice();
          new DataView(blob.buffer).setUint32(field, value);
          return blob;
        }),
      ),
      (blob) => {
        const message = refusal(blob);
        expect(message === "none" || /^--dtb F: at offset 0x[0-9a-f]+: /.test(message)).toBe(true);
      },
    ),
    { numRuns: 3000 },
  );
});

const haveDtc = spawnSync("dtc", ["--version"]).status === 0;
if (!haveDtc)
  console.log("dtc is missing, so nothing is compared with it: apt-get install device-tree-compiler");

describe.skipIf(!haveDtc)("dtc", () => {
  const dtc = (input: string | Uint8Array, ...argv: string[]): Uint8Array => {
    const done = spawnSync("dtc", argv, { input });
    expect(done.status, String(done.stderr)).toBe(0);
    return new Uint8Array(done.stdout);
  };
  const SOURCE = `/dts-v1/;
/memreserve/ 0x1000 0x2000;
/ {
  #address-cells = <2>;
  model = "a", "b";
  empty;
  bytes = [01 02 03];
  soc { uart@9000000 { reg = <0 0x9000000>; }; };
};`;

  it.each(["16", "17"])("writes version %s, which is read", (version) => {
    const { root, ...more } = readFdt(
      dtc(SOURCE, "-q", "-I", "dts", "-O", "dtb", "-V", version, "-b", "3"),
      "tree",
    );
    expect(more).toEqual({ reservations: [{ start: 0x1000n, bytes: 0x2000n }], bootCpu: 3 });
    expect(root).toEqual({
      properties: {
        "#address-cells": Uint8Array.of(0, 0, 0, 2),
        model: Uint8Array.of(0x61, 0, 0x62, 0),
        empty: true,
        bytes: Uint8Array.of(1, 2, 3),
      },
      children: {
        soc: {
          properties: {},
          children: { "uart@9000000": { properties: { reg: Uint8Array.of(0, 0, 0, 0, 9, 0, 0, 0) } } },
        },
      },
    });
  });

  it("reads what is written here", () => {
    fc.assert(
      fc.property(node, extras, (root, more) => {
        const again = dtc(writeFdt(root, more), "-q", "-I", "dtb", "-O", "dtb", "-b", String(more.bootCpu));
        expect(readFdt(again, "tree")).toEqual({ root, ...more });
      }),
      { numRuns: 15 },
    );
  });
});
