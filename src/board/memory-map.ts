/** The memory map and interrupt numbers of QEMU's `virt` machine (hw/arm/virt.c), so that its device trees fit. */

export const MAP = {
  gicDistributor: { base: 0x0800_0000, bytes: 0x1_0000 },
  gicRedistributors: { base: 0x080a_0000, bytes: 0x00f6_0000 },
  uart: { base: 0x0900_0000, bytes: 0x1000 },
  rtc: { base: 0x0901_0000, bytes: 0x1000 },
  virtio: { base: 0x0a00_0000, bytes: 0x200 },
  ram: { base: 0x4000_0000 },
} as const;

/** Bytes of one redistributor: RD_base and SGI_base. */
export const REDISTRIBUTOR_BYTES = 0x2_0000;
export const VIRTIO_TRANSPORTS = 32;

/** SPI numbers; the INTID is 32 more. */
export const SPI = { uart: 1, rtc: 2, virtio: 16 } as const;
export const SPI_COUNT = 256;
