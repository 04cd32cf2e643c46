/** Guests that never take orders, and why. */

/** A guest whose first process takes no orders. */
export interface UnfitGuest {
  readonly what: string;
  readonly remedy: string;
}

/**
 * What to say of a guest that takes no orders since its kernel has no virtio console.
 * @param running the kernel's release
 * @param modulesFor the release that the initial RAM disk has modules for
 */
export function withoutPort(running: string, modulesFor: string | undefined): UnfitGuest {
  if (running === modulesFor)
    return {
      what: `Linux ${running} found no control port: it has no driver for a virtio console, or none for virtio over MMIO, and there is no module of them`,
      remedy: "Take a kernel with CONFIG_VIRTIO_CONSOLE and CONFIG_VIRTIO_MMIO",
    };
  return {
    what: `Linux ${running} found no control port: it needs the module virtio_console, or virtio_mmio, and the initial RAM disk has modules for Linux ${modulesFor ?? "no kernel"} only`,
    remedy: `Give its own modules: --modules DIR, such as the folder lib/modules/${running}`,
  };
}

export const SWITCHED_OFF: UnfitGuest = {
  what: "the guest has powered off before it was ready for a command",
  remedy: "--verbose shows what its kernel says",
};
