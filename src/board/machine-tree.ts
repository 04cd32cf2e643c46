/** The device tree of the machine, with the nodes and properties that QEMU gives its `virt` (hw/arm/virt.c). */
import { UserError } from "../common/errors.ts";
import { formatBytes } from "../common/sizes.ts";
import { type Node, type Property, writeFdt } from "./fdt.ts";
import { readFdt } from "./fdt-reader.ts";
import { MAP, REDISTRIBUTOR_BYTES, SPI } from "./memory-map.ts";

export interface TreeOptions {
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly bootargs: string;
  /** Where the initial RAM disk lies, by IPA. */
  readonly initrd?: { readonly start: number; readonly end: number };
  /** Seeds for KASLR and the kernel's random pool: 8 and 32 bytes. */
  readonly seed?: { readonly kaslr: Uint8Array; readonly rng: Uint8Array };
  /** How many virtio transports the machine has. */
  readonly virtio: number;
  /** Whether the CPUs have a profiling unit. */
  readonly spe: boolean;
}

const GIC = 0x8001;
const CLOCK = 0x8000;
const SPI_TYPE = 0;
const PPI_TYPE = 1;
const LEVEL = 4;
/** INTID 21: PPIs count from 16. */
const PMBIRQ_PPI = 5;

/** An address and a size as two cells each. */
const reg = (...values: number[]): bigint[] => values.map((value) => BigInt(value));
const PSCI: Node = {
  properties: { compatible: ["arm,psci-1.0", "arm,psci-0.2", "arm,psci"], method: "hvc" },
};
/** Linux Documentation/devicetree/bindings/perf/spe-pmu.yaml. */
const SPE: Node = {
  properties: {
    compatible: "arm,statistical-profiling-extension-v1",
    interrupts: [PPI_TYPE, PMBIRQ_PPI, LEVEL],
  },
};
const hexOf = (value: number): string => value.toString(16);

function virtioNodes(count: number): Record<string, Node> {
  const nodes: Record<string, Node> = {};
  for (let i = 0; i < count; i++) {
    const base = MAP.virtio.base + i * MAP.virtio.bytes;
    nodes[`virtio_mmio@${hexOf(base)}`] = {
      properties: {
        compatible: "virtio,mmio",
        reg: reg(base, MAP.virtio.bytes),
        interrupts: [SPI_TYPE, SPI.virtio + i, LEVEL],
        "dma-coherent": true,
      },
    };
  }
  return nodes;
}

function cpuNodes(count: number): Node {
  const nodes: Record<string, Node> = {};
  for (let i = 0; i < count; i++)
    nodes[`cpu@${hexOf(i)}`] = {
      properties: {
        device_type: "cpu",
        compatible: "arm,armv8",
        reg: [i],
        ...(count > 1 ? { "enable-method": "psci" } : {}),
      },
    };
  return { properties: { "#size-cells": [0], "#address-cells": [1] }, children: nodes };
}

const gicNode = (cpus: number): Node => ({
  properties: {
    compatible: "arm,gic-v3",
    "#interrupt-cells": [3],
    "interrupt-controller": true,
    "#redistributor-regions": [1],
    "#address-cells": [2],
    "#size-cells": [2],
    ranges: true,
    reg: reg(
      MAP.gicDistributor.base,
      MAP.gicDistributor.bytes,
      MAP.gicRedistributors.base,
      cpus * REDISTRIBUTOR_BYTES,
    ),
    phandle: [GIC],
  },
});

/** The serial line, and the clock on the wall. */
const PRIME_CELLS: Readonly<Record<string, Node>> = {
  [`pl011@${hexOf(MAP.uart.base)}`]: {
    properties: {
      compatible: ["arm,pl011", "arm,primecell"],
      reg: reg(MAP.uart.base, MAP.uart.bytes),
      interrupts: [SPI_TYPE, SPI.uart, LEVEL],
      clocks: [CLOCK, CLOCK],
      "clock-names": ["uartclk", "apb_pclk"],
    },
  },
  [`pl031@${hexOf(MAP.rtc.base)}`]: {
    properties: {
      compatible: ["arm,pl031", "arm,primecell"],
      reg: reg(MAP.rtc.base, MAP.rtc.bytes),
      interrupts: [SPI_TYPE, SPI.rtc, LEVEL],
      clocks: [CLOCK],
      "clock-names": ["apb_pclk"],
    },
  },
};

const CLOCK_NODE: Node = {
  properties: {
    compatible: "fixed-clock",
    "#clock-cells": [0],
    "clock-frequency": [24_000_000],
    "clock-output-names": "clk24mhz",
    phandle: [CLOCK],
  },
};

const TIMER: Node = {
  properties: {
    compatible: ["arm,armv8-timer", "arm,armv7-timer"],
    interrupts: [13, 14, 11, 10].flatMap((ppi) => [PPI_TYPE, ppi, LEVEL]),
    "always-on": true,
  },
};

const PMU: Node = { properties: { compatible: "arm,armv8-pmuv3", interrupts: [PPI_TYPE, 7, LEVEL] } };

const chosenNode = ({ bootargs, initrd, seed }: TreeOptions): Node => ({
  properties: {
    bootargs,
    "stdout-path": `/pl011@${hexOf(MAP.uart.base)}`,
    ...(initrd === undefined
      ? {}
      : {
          "linux,initrd-start": [BigInt(initrd.start)],
          "linux,initrd-end": [BigInt(initrd.end)],
        }),
    ...(seed === undefined ? {} : { "kaslr-seed": seed.kaslr, "rng-seed": seed.rng }),
  },
});

/** The blob for a machine. */
export const machineTree = (options: TreeOptions): Uint8Array =>
  writeFdt({
    properties: {
      "interrupt-parent": [GIC],
      model: "linux,dummy-virt",
      "#size-cells": [2],
      "#address-cells": [2],
      compatible: "linux,dummy-virt",
      "dma-coherent": true,
    },
    children: {
      psci: PSCI,
      [`memory@${hexOf(MAP.ram.base)}`]: {
        properties: { device_type: "memory", reg: reg(MAP.ram.base, options.memoryBytes) },
      },
      "apb-pclk": CLOCK_NODE,
      cpus: cpuNodes(options.cpus),
      timer: TIMER,
      pmu: PMU,
      ...(options.spe ? { "spe-pmu": SPE } : {}),
      [`intc@${hexOf(MAP.gicDistributor.base)}`]: gicNode(options.cpus),
      ...PRIME_CELLS,
      ...virtioNodes(options.virtio),
      chosen: chosenNode(options),
    },
  });

/** What depends on how a machine is started. */
export interface Filling {
  readonly memoryBytes: number;
  readonly bootargs: string;
  readonly initrd?: TreeOptions["initrd"] | undefined;
}

/**
 * A tree of the user's with what QEMU sets in one that it is given (arm_load_dtb of hw/arm/boot.c): memory, command line
 * and RAM disk, and PSCI where the tree says nothing of it.
 * @param name what the blob is to the user, for messages
 * @throws UserError for a malformed tree, and for one whose cells have no room for the machine's memory
 */
export function fillTree(blob: Uint8Array, name: string, filling: Filling): Uint8Array {
  const { root, ...extras } = readFdt(blob, name);
  const { memoryBytes, bootargs, initrd } = filling;
  const refuse = (what: string, remedy: string): never => {
    throw new UserError(`${name}: ${what}`, remedy);
  };
  const cellsOf = (key: string): 1 | 2 => {
    const value = root.properties[key];
    const cells = value instanceof Uint8Array && value.length === 4 ? value[3] : undefined;
    if (cells !== 1 && cells !== 2)
      return refuse(`the root's ${key} is neither 1 nor 2`, "Give the root both kinds of cells");
    return cells;
  };
  const addressCells = cellsOf("#address-cells");
  const sizeCells = cellsOf("#size-cells");
  const end = MAP.ram.base + memoryBytes;
  if ((addressCells === 1 && end > 2 ** 32) || (sizeCells === 1 && memoryBytes >= 2 ** 32))
    refuse(
      `one cell has no room for ${formatBytes(memoryBytes)} of memory`,
      "Give its root two cells of each kind, or lower --memory",
    );
  const number = (value: number, cells: 1 | 2): Uint8Array => {
    const bytes = new Uint8Array(4 * cells);
    const view = new DataView(bytes.buffer);
    if (cells === 2) view.setUint32(0, Math.floor(value / 2 ** 32));
    view.setUint32(4 * cells - 4, value % 2 ** 32);
    return bytes;
  };
  const chosen: Record<string, Property> = { ...root.children?.["chosen"]?.properties };
  if (bootargs !== "") chosen["bootargs"] = bootargs;
  if (initrd !== undefined) {
    chosen["linux,initrd-start"] = number(initrd.start, addressCells);
    chosen["linux,initrd-end"] = number(initrd.end, addressCells);
  }
  const others = Object.entries(root.children ?? {}).filter(
    ([child]) => child !== "chosen" && !/^memory(@|$)/.test(child),
  );
  const memory: Node = {
    properties: {
      device_type: "memory",
      reg: Uint8Array.of(...number(MAP.ram.base, addressCells), ...number(memoryBytes, sizeCells)),
    },
  };
  return writeFdt(
    {
      properties: root.properties,
      children: {
        ...Object.fromEntries(others),
        ...(others.some(([child]) => child === "psci") ? {} : { psci: PSCI }),
        [`memory@${hexOf(MAP.ram.base)}`]: memory,
        chosen: { ...root.children?.["chosen"], properties: chosen },
      },
    },
    extras,
  );
}
