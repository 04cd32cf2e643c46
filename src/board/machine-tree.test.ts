import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { UserError } from "../common/errors.ts";
import { type Node, writeFdt } from "./fdt.ts";
import { readFdt } from "./fdt-reader.ts";
import { type Filling, fillTree, machineTree } from "./machine-tree.ts";
import { VIRTIO_TRANSPORTS } from "./memory-map.ts";

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;
const CPUS = [1, 2, 4, 16];
const tree = (cpus: number, virtio: number = VIRTIO_TRANSPORTS, spe = false): Uint8Array =>
  machineTree({
    cpus,
    memoryBytes: 512 * MIB,
    bootargs: "console=ttyAMA0",
    initrd: { start: 0x4800_0000, end: 0x4900_0000 },
    seed: { kaslr: new Uint8Array(8).fill(1), rng: new Uint8Array(32).fill(2) },
    virtio,
    spe,
  });
const has = (program: string): boolean => spawnSync(program, ["--version"]).status === 0;
const haveDtc = has("dtc");
if (!haveDtc) console.log("dtc is missing, so no tree is checked: apt-get install device-tree-compiler");

describe.skipIf(!haveDtc)("dtc", () => {
  it.each(CPUS)("reads the tree of %d CPUs without a warning", (cpus) => {
    const done = spawnSync("dtc", ["-I", "dtb", "-O", "dts"], { input: tree(cpus) });
    expect([done.status, String(done.stderr)]).toEqual([0, ""]);
    expect(String(done.stdout).match(/cpu@/g)).toHaveLength(cpus);
  });
});

const QEMU = "qemu-system-aarch64";
const haveQemu = has(QEMU);
if (!haveQemu) console.log(`${QEMU} is missing, so no tree is compared: apt-get install qemu-system-arm`);

/** All nodes of a tree by path, with their properties as bytes. */
function flat(root: Node, path = "/"): Map<string, Map<string, string>> {
  const found = new Map<string, Map<string, string>>();
  found.set(
    path,
    new Map(
      Object.entries(root.properties).map(([key, value]) => [
        key,
        value instanceof Uint8Array ? Buffer.from(value).toString("hex") : String(value),
      ]),
    ),
  );
  for (const [name, child] of Object.entries(root.children ?? {}))
    for (const [below, properties] of flat(child, `${path === "/" ? "" : path}/${name}`))
      found.set(below, properties);
  return found;
}

/** Nodes of QEMU's, which also numbers its CPUs in decimal, for what this machine does not have. */
const QEMU_ONLY = /^\/(platform-bus|fw-cfg|gpio-keys|pl061|pcie|flash|intc@8000000\/its|cpus\/cpu-map)/;
/** Properties that differ, by path and name, and why. */
const DIFFERENT: readonly (readonly [path: RegExp, property: RegExp, why: string])[] = [
  [
    /./,
    /^(phandle|interrupt-parent|clocks)$/,
    "the numbers of phandles are free, if each names the same node",
  ],
  [/^\/psci$/, /^(migrate|cpu_on|cpu_off|cpu_suspend)$/, "numbers of PSCI 0.1, which is not offered"],
  [/^\/virtio_mmio@/, /^interrupts$/, "the wire is a level: it is high until the driver has acknowledged"],
  [/^\/intc@8000000$/, /^reg$/, "redistributors for the CPUs there are, not for all there could be"],
  [/^\/cpus\/cpu@/, /^compatible$/, "QEMU's default is a Cortex-A57, this core is nobody's"],
  [/^\/$/, /^dma-coherent$/, "QEMU says so of each device since 8.0"],
  [/^\/chosen$/, /^(bootargs|kaslr-seed|rng-seed|linux,initrd-(start|end))$/, "of each boot"],
];

it("names the profiling unit as Linux's driver looks for it, where there is one", () => {
  const node = (spe: boolean) => readFdt(tree(2, 1, spe), "ours").root.children?.["spe-pmu"]?.properties;
  expect(node(false)).toBeUndefined();
  const { compatible, interrupts } = node(true) as Record<string, Uint8Array>;
  expect(new TextDecoder().decode(compatible)).toBe("arm,statistical-profiling-extension-v1\0");
  // PPI 5, level-triggered and active high.
  expect([...(interrupts as Uint8Array)]).toEqual([0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 4]);
});

describe.skipIf(!haveQemu)("QEMU's virt machine", () => {
  const scratch = mkdtempSync(join(tmpdir(), "machine-tree-"));
  afterAll(() => rmSync(scratch, { recursive: true }));

  it.each([1, 4, 16])("has the same nodes for %d CPUs, but for what is listed", (cpus) => {
    const file = join(scratch, `${cpus}.dtb`);
    const done = spawnSync(QEMU, [
      ...[
        "-M",
        `virt,gic-version=3,dumpdtb=${file}`,
        "-cpu",
        "cortex-a57",
        "-m",
        "512",
        "-smp",
        String(cpus),
      ],
      ...["-display", "none", "-nic", "none"],
    ]);
    expect(done.status, String(done.stderr)).toBe(0);
    const ours = flat(readFdt(tree(cpus), "ours").root);
    const theirs = flat(readFdt(readFileSync(file), "QEMU's").root);
    for (const [path, properties] of [...theirs]) {
      const name = path.replace(/(?<=^\/cpus\/cpu@)\d+$/, (index) => Number(index).toString(16));
      theirs.delete(path);
      if (!QEMU_ONLY.test(path)) theirs.set(name, properties);
    }
    expect([...ours.keys()].sort()).toEqual([...theirs.keys()].sort());
    for (const [path, properties] of ours) {
      const other = theirs.get(path) ?? new Map<string, string>();
      const names = [...new Set([...properties.keys(), ...other.keys()])].filter(
        (name) => !DIFFERENT.some(([where, which]) => where.test(path) && which.test(name)),
      );
      for (const name of names)
        expect(`${path} ${name} ${properties.get(name)}`).toBe(`${path} ${name} ${other.get(name)}`);
    }
    // The phandles lead to the same nodes.
    const phandle = (of: typeof ours, path: string): string | undefined => of.get(path)?.get("phandle");
    for (const [nodes, intc, clock] of [ours, theirs].map(
      (of) => [of, phandle(of, "/intc@8000000"), phandle(of, "/apb-pclk")] as const,
    )) {
      expect(nodes.get("/")?.get("interrupt-parent")).toBe(intc);
      expect(nodes.get("/pl011@9000000")?.get("clocks")).toBe(`${clock}${clock}`);
      expect(nodes.get("/pl031@9010000")?.get("clocks")).toBe(clock);
    }
  });
});

it("has as many virtio transports as there are devices", () => {
  const names = Object.keys(readFdt(tree(1, 2), "tree").root.children ?? {});
  expect(names.filter((name) => name.startsWith("virtio"))).toEqual([
    "virtio_mmio@a000000",
    "virtio_mmio@a000200",
  ]);
});

describe("a tree of the user's", () => {
  const big = (...words: number[]): Uint8Array =>
    Uint8Array.from(words.flatMap((word) => [word >>> 24, word >>> 16, word >>> 8, word]));
  const text = (value: string): Uint8Array => new TextEncoder().encode(`${value}\0`);
  const given = (addressCells: number, sizeCells: number, children: Record<string, Node> = {}): Uint8Array =>
    writeFdt(
      {
        properties: { "#address-cells": [addressCells], "#size-cells": [sizeCells], model: "mine" },
        children,
      },
      { reservations: [{ start: 0x4000_0000n, bytes: 0x1000n }], bootCpu: 0 },
    );
  const filling = {
    memoryBytes: 512 * MIB,
    bootargs: "quiet",
    initrd: { start: 0x4800_0000, end: 0x4812_3456 },
  };
  const filled = (blob: Uint8Array, more: Partial<Filling> = {}) =>
    readFdt(fillTree(blob, "--dtb F", { ...filling, ...more }), "filled");

  it("gets memory, command line and RAM disk, and PSCI where it has none", () => {
    const { root, reservations } = filled(given(2, 2));
    expect(reservations).toEqual([{ start: 0x4000_0000n, bytes: 0x1000n }]);
    expect(root.properties["model"]).toEqual(text("mine"));
    expect(Object.keys(root.children ?? {})).toEqual(["psci", "memory@40000000", "chosen"]);
    expect(root.children?.["memory@40000000"]?.properties).toEqual({
      device_type: text("memory"),
      reg: big(0, 0x4000_0000, 0, 0x2000_0000),
    });
    expect(root.children?.["chosen"]?.properties).toEqual({
      bootargs: text("quiet"),
      "linux,initrd-start": big(0, 0x4800_0000),
      "linux,initrd-end": big(0, 0x4812_3456),
    });
    expect(root.children?.["psci"]?.properties["method"]).toEqual(text("hvc"));
  });

  it("loses its memory and command line, and keeps all else", () => {
    const { root } = filled(
      given(2, 2, {
        memory: { properties: { reg: [9] } },
        "memory@80000000": { properties: { reg: [9] } },
        "memory-controller": { properties: { reg: [7] } },
        psci: { properties: { method: "smc" } },
        chosen: {
          properties: { bootargs: "old", "stdout-path": "/uart" },
          children: { framebuffer: { properties: {} } },
        },
      }),
    );
    expect(Object.keys(root.children ?? {}).sort()).toEqual([
      "chosen",
      "memory-controller",
      "memory@40000000",
      "psci",
    ]);
    expect(root.children?.["psci"]?.properties).toEqual({ method: text("smc") });
    expect(root.children?.["chosen"]).toMatchObject({
      properties: { bootargs: text("quiet"), "stdout-path": text("/uart") },
      children: { framebuffer: {} },
    });
  });

  it("keeps its command line where there is none to set", () => {
    const { root } = filled(given(2, 2, { chosen: { properties: { bootargs: "mine" } } }), {
      bootargs: "",
      initrd: undefined,
    });
    expect(root.children?.["chosen"]?.properties).toEqual({ bootargs: text("mine") });
  });

  it("may have cells of 32 bits, as far as they reach", () => {
    const { root } = filled(given(1, 1));
    expect(root.children?.["memory@40000000"]?.properties["reg"]).toEqual(big(0x4000_0000, 0x2000_0000));
    expect(root.children?.["chosen"]?.properties["linux,initrd-end"]).toEqual(big(0x4812_3456));
    const { root: wide } = filled(given(2, 2), { memoryBytes: 6 * GIB });
    expect(wide.children?.["memory@40000000"]?.properties["reg"]).toEqual(
      big(0, 0x4000_0000, 1, 0x8000_0000),
    );
    for (const [addressCells, sizeCells, memoryBytes] of [
      [2, 1, 4 * GIB],
      [1, 2, 3 * GIB + 1],
    ] as const)
      expect(() => filled(given(addressCells, sizeCells), { memoryBytes })).toThrow(
        /--dtb F: one cell has no room for .* of memory\nGive its root two cells/,
      );
    expect(() => filled(given(1, 1), { memoryBytes: 3 * GIB })).not.toThrow();
  });

  it.each([
    ["no cells", writeFdt({ properties: {} }), /the root's #address-cells is neither 1 nor 2/],
    ["cells of no size", given(2, 0), /the root's #size-cells is neither 1 nor 2/],
    ["cut short", given(2, 2).subarray(0, -4), /at offset 0x4: it should have/],
  ])("is refused with %s", (_, blob, message) => {
    expect(() => filled(blob)).toThrow(UserError);
    expect(() => filled(blob)).toThrow(message);
  });

  it("may be the machine's own", () => {
    const own = flat(readFdt(tree(2), "tree").root);
    const again = flat(
      filled(tree(2), { initrd: { start: 0x4800_0000, end: 0x4900_0000 }, bootargs: "console=ttyAMA0" }).root,
    );
    expect(new Map([...again].sort())).toEqual(new Map([...own].sort()));
  });
});
