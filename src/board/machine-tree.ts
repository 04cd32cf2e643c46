/** The device tree of the machine, with the nodes and properties that QEMU gives its `virt` (hw/arm/virt.c). */
import { type Node, writeFdt } from "./fdt.ts";
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
}

const GIC = 0x8001;
const CLOCK = 0x8000;
const SPI_TYPE = 0;
const PPI_TYPE = 1;
const LEVEL = 4;

/** An address and a size as two cells each. */
const reg = (...values: number[]): bigint[] => values.map((value) => BigInt(value));
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

/** The blob for a machine. */
export function machineTree(options: TreeOptions): Uint8Array {
  const { cpus, initrd, seed } = options;
  const cpuNodes: Record<string, Node> = {};
  for (let i = 0; i < cpus; i++)
    cpuNodes[`cpu@${hexOf(i)}`] = {
      properties: {
        device_type: "cpu",
        compatible: "arm,armv8",
        reg: [i],
        ...(cpus > 1 ? { "enable-method": "psci" } : {}),
      },
    };
  return writeFdt({
    properties: {
      "interrupt-parent": [GIC],
      model: "linux,dummy-virt",
      "#size-cells": [2],
      "#address-cells": [2],
      compatible: "linux,dummy-virt",
      "dma-coherent": true,
    },
    children: {
      psci: {
        properties: { compatible: ["arm,psci-1.0", "arm,psci-0.2", "arm,psci"], method: "hvc" },
      },
      [`memory@${hexOf(MAP.ram.base)}`]: {
        properties: { device_type: "memory", reg: reg(MAP.ram.base, options.memoryBytes) },
      },
      "apb-pclk": {
        properties: {
          compatible: "fixed-clock",
          "#clock-cells": [0],
          "clock-frequency": [24_000_000],
          "clock-output-names": "clk24mhz",
          phandle: [CLOCK],
        },
      },
      cpus: { properties: { "#size-cells": [0], "#address-cells": [1] }, children: cpuNodes },
      timer: {
        properties: {
          compatible: ["arm,armv8-timer", "arm,armv7-timer"],
          interrupts: [13, 14, 11, 10].flatMap((ppi) => [PPI_TYPE, ppi, LEVEL]),
          "always-on": true,
        },
      },
      pmu: { properties: { compatible: "arm,armv8-pmuv3", interrupts: [PPI_TYPE, 7, LEVEL] } },
      [`intc@${hexOf(MAP.gicDistributor.base)}`]: {
        properties: {
          compatible: "arm,gic-v3",
          "#interrupt-cells": [3],
          "interrupt-controller": true,
          "#redistributor-regions": [1],
          reg: reg(
            MAP.gicDistributor.base,
            MAP.gicDistributor.bytes,
            MAP.gicRedistributors.base,
            cpus * REDISTRIBUTOR_BYTES,
          ),
          phandle: [GIC],
        },
      },
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
      ...virtioNodes(options.virtio),
      chosen: {
        properties: {
          bootargs: options.bootargs,
          "stdout-path": `/pl011@${hexOf(MAP.uart.base)}`,
          ...(initrd === undefined
            ? {}
            : {
                "linux,initrd-start": [BigInt(initrd.start)],
                "linux,initrd-end": [BigInt(initrd.end)],
              }),
          ...(seed === undefined ? {} : { "kaslr-seed": seed.kaslr, "rng-seed": seed.rng }),
        },
      },
    },
  });
}
