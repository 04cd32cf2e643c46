/** What every virtio device is to its transport, and the transport to it. */
import type { SplitQueue } from "./queue.ts";

/** What a device gets from its transport once, before anything else. */
export interface DeviceLink {
  readonly queues: readonly SplitQueue[];
  /** The features that the driver took, after FEATURES_OK; 0 before. */
  negotiated(): bigint;
  /** The configuration space is another now: its generation counts up and the driver gets an interrupt. */
  configChanged(): void;
  /** The guest has broken the rules: DEVICE_NEEDS_RESET, and no more processing until it resets the device. */
  fail(why: string): void;
}

/** A device, without its transport. S is what it is made of besides its queues: plain JSON. */
export interface VirtioDevice<S = unknown> {
  /** Virtio 1.2, section 5. */
  readonly deviceId: number;
  /** Features of this device type (bits 0 to 23); the transport adds its own. */
  readonly features: bigint;
  /** The largest size of each queue, a power of two: entries. */
  readonly queueSizes: readonly number[];
  attach(link: DeviceLink): void;
  /** The configuration space as it is now. */
  config(): Uint8Array;
  /** The driver has put something into a queue. Only called for queues that are ready. */
  notify(queue: number): void;
  /** The driver has reset the device; its queues are already empty. */
  reset(): void;
  save(): S;
  restore(state: S): void;
}

/** Features of every device (virtio 1.2, section 6). */
export const FEATURE = {
  INDIRECT_DESC: 1n << 28n,
  EVENT_IDX: 1n << 29n,
  VERSION_1: 1n << 32n,
} as const;
