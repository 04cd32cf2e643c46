/** A source of randomness (virtio 1.2, section 5.4). What it gives is drawn from a seed, so runs can be repeated. */
import type { DeviceLink, VirtioDevice } from "./device.ts";

/** Fills bytes with the next ones of a seeded stream. The stream's own state is saved by whoever owns it. */
export type Fill = (bytes: Uint8Array) => void;

const QUEUE_SIZE = 64;
/** Bytes given for one buffer at most; a driver that wants more asks again. */
const MOST_BYTES = 64 * 1024;

export class VirtioEntropy implements VirtioDevice<null> {
  readonly deviceId = 4;
  readonly features = 0n;
  readonly queueSizes = [QUEUE_SIZE];
  readonly #fill: Fill;
  #link: DeviceLink | undefined;

  constructor(fill: Fill) {
    this.#fill = fill;
  }

  attach(link: DeviceLink): void {
    this.#link = link;
  }

  config(): Uint8Array {
    return new Uint8Array(0);
  }

  notify(): void {
    const queue = this.#link?.queues[0];
    for (const chain of queue?.chains() ?? []) {
      const bytes = new Uint8Array(Math.min(MOST_BYTES, chain.writableBytes));
      this.#fill(bytes);
      if (!chain.write(0, bytes)) return;
      queue?.push(chain, bytes.length);
    }
  }

  reset(): void {}

  save(): null {
    return null;
  }

  restore(): void {}
}
