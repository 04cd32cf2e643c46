/** A directory of the host for the guest: 9P over virtio (virtio 1.2, device ID 9; Linux, net/9p/trans_virtio.c). */

import { concat } from "../../../common/bytes.ts";
import type { DeviceLink, VirtioDevice } from "../device.ts";
import { u16Bytes, u32At } from "../memory.ts";
import { ERRNO, type FileSystem } from "./file-system.ts";
import { MOST_MESSAGE_BYTES } from "./files.ts";
import { HEADER_BYTES, MessageWriter, RLERROR } from "./messages.ts";
import { P9Server, type P9State } from "./server.ts";

const MOUNT_TAG = 1n;
/** Linux puts at most 128 buffers into a request (VIRTQUEUE_NUM). */
const QUEUE_SIZE = 128;
/** The configuration space ends at 0x200 of the transport's page, and a length goes before the tag. */
const MOST_TAG_BYTES = 254;

export class Virtio9p implements VirtioDevice<P9State> {
  readonly deviceId = 9;
  readonly features = MOUNT_TAG;
  readonly queueSizes = [QUEUE_SIZE];
  readonly #config: Uint8Array;
  readonly #server: P9Server;
  #link: DeviceLink | undefined;

  /** @param tag what the guest mounts: `mount -t 9p -o trans=virtio,version=9p2000.L TAG /mnt` */
  constructor(tag: string, fileSystem: FileSystem) {
    const bytes = new TextEncoder().encode(tag);
    if (bytes.length === 0 || bytes.length > MOST_TAG_BYTES)
      throw new RangeError(`a tag of ${bytes.length} bytes: 1 to ${MOST_TAG_BYTES} are possible`);
    this.#config = concat([u16Bytes(bytes.length), bytes]);
    this.#server = new P9Server(fileSystem);
  }

  attach(link: DeviceLink): void {
    this.#link = link;
  }

  config(): Uint8Array {
    return this.#config;
  }

  notify(): void {
    const queue = this.#link?.queues[0];
    for (const chain of queue?.chains() ?? []) {
      const message = chain.read(0, Math.min(chain.readableBytes, MOST_MESSAGE_BYTES));
      if (message === undefined) return;
      const reply = this.#server.answer(message.subarray(0, u32At(message, 0)));
      const sent = reply.length <= chain.writableBytes ? reply : tooLong(reply);
      if (sent.length > chain.writableBytes) {
        this.#link?.fail("a request without room for an answer");
        return;
      }
      if (!chain.write(0, sent)) return;
      queue?.push(chain, sent.length);
    }
  }

  reset(): void {
    this.#server.reset();
  }

  save(): P9State {
    return this.#server.save();
  }

  restore(state: P9State): void {
    this.#server.restore(state);
  }
}

/** An error in place of a reply that has no room: it is 11 bytes, as many as every request leaves. */
function tooLong(reply: Uint8Array): Uint8Array {
  const tag = (reply[HEADER_BYTES - 2] ?? 0) | ((reply[HEADER_BYTES - 1] ?? 0) << 8);
  return new MessageWriter().u32(ERRNO.EIO).message(RLERROR, tag);
}
