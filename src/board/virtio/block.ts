/** A disk (virtio 1.2, section 5.2), as Linux's virtio_blk drives it. */
import type { DeviceLink, VirtioDevice } from "./device.ts";
import { u32At, u32Bytes, u64At } from "./memory.ts";
import type { Chain } from "./queue.ts";

export const SECTOR_BYTES = 512;

/** What the sectors are kept on. Calls are within `sectors`, and not empty. */
export interface Disk {
  readonly sectors: number;
  readonly readOnly: boolean;
  /** @throws DiskError if the medium fails */
  read(sector: number, count: number): Uint8Array;
  /** @throws DiskError if the medium fails */
  write(sector: number, bytes: Uint8Array): void;
  /** What was written before survives the end of this program. @throws DiskError if the medium fails */
  flush(): void;
}

/** The medium failed. The guest gets an I/O error; the machine goes on. */
export class DiskError extends Error {
  override readonly name = "DiskError";
}

const FEATURE = { SIZE_MAX: 1n << 1n, SEG_MAX: 1n << 2n, RO: 1n << 5n, BLK_SIZE: 1n << 6n, FLUSH: 1n << 9n };
const REQUEST = { IN: 0, OUT: 1, FLUSH: 4, GET_ID: 8 } as const;
const STATUS = { OK: 0, IOERR: 1, UNSUPP: 2 } as const;
const HEADER_BYTES = 16;
const ID_BYTES = 20;
const QUEUE_SIZE = 128;
/** A request is a header, segments and a status: together they fill a queue. */
const MOST_SEGMENTS = QUEUE_SIZE - 2;
/** Bytes of a segment at most, and of what is in our hands at a time. */
const PIECE_BYTES = 64 * 1024;
const CONFIG_BYTES = 60;

interface Outcome {
  readonly status: number;
  readonly writtenBytes: number;
}

const failed: Outcome = { status: STATUS.IOERR, writtenBytes: 0 };

export class VirtioBlock implements VirtioDevice<null> {
  readonly deviceId = 2;
  readonly features: bigint;
  readonly queueSizes = [QUEUE_SIZE];
  readonly #disk: Disk;
  readonly #id: string;
  #link: DeviceLink | undefined;

  /** @param id what the guest reads as the disk's serial number: the first 20 bytes count */
  constructor(disk: Disk, id = "") {
    this.#disk = disk;
    this.#id = id;
    this.features =
      FEATURE.SIZE_MAX |
      FEATURE.SEG_MAX |
      FEATURE.BLK_SIZE |
      FEATURE.FLUSH |
      (disk.readOnly ? FEATURE.RO : 0n);
  }

  attach(link: DeviceLink): void {
    this.#link = link;
  }

  config(): Uint8Array {
    const { sectors } = this.#disk;
    const config = new Uint8Array(CONFIG_BYTES);
    config.set(u32Bytes(sectors), 0);
    config.set(u32Bytes(Math.floor(sectors / 2 ** 32)), 4);
    config.set(u32Bytes(PIECE_BYTES), 8);
    config.set(u32Bytes(MOST_SEGMENTS), 12);
    config.set(u32Bytes(SECTOR_BYTES), 20);
    return config;
  }

  notify(): void {
    const queue = this.#link?.queues[0];
    for (const chain of queue?.chains() ?? []) {
      const outcome = this.#request(chain);
      if (outcome === undefined) return;
      // The status is the last byte that may be written, however the driver cut its buffers (5.2.6).
      const last = chain.writableBytes - 1;
      if (!chain.write(last, Uint8Array.of(outcome.status))) return;
      // What counts as written has no gaps (2.7.8.2): where there is one, the status is not part of it.
      queue?.push(chain, outcome.writtenBytes + (outcome.writtenBytes === last ? 1 : 0));
    }
  }

  /** What became of a request; undefined if the device is broken. */
  #request(chain: Chain): Outcome | undefined {
    const header = chain.read(0, HEADER_BYTES);
    if (header === undefined) return undefined;
    if (header.length < HEADER_BYTES || chain.writableBytes === 0) {
      this.#link?.fail("a disk request without header or status");
      return undefined;
    }
    const sector = u64At(header, 8);
    try {
      switch (u32At(header, 0)) {
        case REQUEST.IN:
          return this.#in(chain, sector);
        case REQUEST.OUT:
          return this.#out(chain, sector);
        case REQUEST.FLUSH:
          this.#disk.flush();
          return { status: STATUS.OK, writtenBytes: 0 };
        case REQUEST.GET_ID: {
          const id = new Uint8Array(ID_BYTES);
          id.set(new TextEncoder().encode(this.#id).subarray(0, ID_BYTES));
          const room = Math.min(ID_BYTES, chain.writableBytes - 1);
          if (!chain.write(0, id.subarray(0, room))) return undefined;
          return { status: STATUS.OK, writtenBytes: room };
        }
        default:
          return { status: STATUS.UNSUPP, writtenBytes: 0 };
      }
    } catch (error) {
      if (error instanceof DiskError) return failed;
      throw error;
    }
  }

  /** Whether a transfer is made of whole sectors that the disk has. */
  #has(sector: number, bytes: number): boolean {
    return bytes % SECTOR_BYTES === 0 && sector + bytes / SECTOR_BYTES <= this.#disk.sectors;
  }

  #in(chain: Chain, sector: number): Outcome | undefined {
    const bytes = chain.writableBytes - 1;
    if (!this.#has(sector, bytes)) return failed;
    for (let done = 0; done < bytes; done += PIECE_BYTES) {
      const count = Math.min(PIECE_BYTES, bytes - done);
      const data = this.#disk.read(sector + done / SECTOR_BYTES, count / SECTOR_BYTES);
      if (!chain.write(done, data)) return undefined;
    }
    return { status: STATUS.OK, writtenBytes: bytes };
  }

  #out(chain: Chain, sector: number): Outcome | undefined {
    const bytes = chain.readableBytes - HEADER_BYTES;
    if (this.#disk.readOnly || !this.#has(sector, bytes)) return failed;
    for (let done = 0; done < bytes; done += PIECE_BYTES) {
      const data = chain.read(HEADER_BYTES + done, Math.min(PIECE_BYTES, bytes - done));
      if (data === undefined) return undefined;
      this.#disk.write(sector + done / SECTOR_BYTES, data);
    }
    // A driver that cannot ask for a flush may count on each write as it ends (5.2.6.2).
    if (((this.#link?.negotiated() ?? 0n) & FEATURE.FLUSH) === 0n) this.#disk.flush();
    return { status: STATUS.OK, writtenBytes: 0 };
  }

  reset(): void {}

  /** Nothing: what the disk holds is the disk's. */
  save(): null {
    return null;
  }

  restore(): void {}
}
