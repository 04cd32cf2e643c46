/** The devices of user space on QEMU's `virt` memory map: serial console, clock, virtio transports. */
import { randomBitsAt } from "../common/random.ts";
import { MAP, SPI, VIRTIO_TRANSPORTS } from "./memory-map.ts";
import { Pl011, type Pl011State } from "./pl011.ts";
import { Pl031, type Pl031State } from "./pl031.ts";
import { type Disk, VirtioBlock } from "./virtio/block.ts";
import { type ConsolePort, VirtioConsole } from "./virtio/console.ts";
import type { VirtioDevice } from "./virtio/device.ts";
import { VirtioEntropy } from "./virtio/entropy.ts";
import type { GuestMemory } from "./virtio/memory.ts";
import { type MmioState, VirtioMmio } from "./virtio/mmio.ts";
import { Virtio9p } from "./virtio/p9/device.ts";
import type { FileSystem } from "./virtio/p9/file-system.ts";

export interface BoardOptions {
  readonly memory: GuestMemory;
  /** The level of a shared interrupt's wire. */
  readonly irq: (spi: number, high: boolean) => void;
  /** Told of each character of the serial console. */
  readonly serial: (byte: number) => void;
  /** The machine's time, in seconds since 1970. */
  readonly seconds: () => number;
  /** What the source of entropy draws from. */
  readonly seed: number;
  /** Ports of the virtio console after the console itself; none: there is no virtio console. */
  readonly ports: readonly ConsolePort[];
  readonly disks: readonly { readonly disk: Disk; readonly id: string }[];
  readonly shares: readonly { readonly tag: string; readonly files: FileSystem }[];
}

export interface BoardState {
  readonly uart: Pl011State;
  readonly rtc: Pl031State;
  readonly entropyDrawn: number;
  readonly virtio: readonly MmioState[];
}

export class Board {
  readonly uart: Pl011;
  readonly rtc: Pl031;
  /** The virtio console, whose named ports come after port 0. */
  readonly console: VirtioConsole | undefined;
  readonly #virtio: readonly VirtioMmio[];
  #entropyDrawn = 0;

  constructor(options: BoardOptions) {
    const { irq, memory, ports } = options;
    this.uart = new Pl011({ transmit: options.serial, irq: (high) => irq(SPI.uart, high) });
    this.rtc = new Pl031({ seconds: options.seconds, irq: (high) => irq(SPI.rtc, high) });
    // Nobody listens to hvc0: the console is the serial one.
    const hvc0: ConsolePort = { name: "console", onData: () => undefined };
    this.console = ports.length === 0 ? undefined : new VirtioConsole({ ports: [hvc0, ...ports] });
    const devices: VirtioDevice[] = [
      ...(this.console === undefined ? [] : [this.console as VirtioDevice]),
      new VirtioEntropy((bytes) => this.#draw(options.seed, bytes)) as VirtioDevice,
      ...options.disks.map(({ disk, id }) => new VirtioBlock(disk, id) as VirtioDevice),
      ...options.shares.map(({ tag, files }) => new Virtio9p(tag, files) as VirtioDevice),
    ];
    if (devices.length > VIRTIO_TRANSPORTS)
      throw new RangeError(`${devices.length} virtio devices: the board has ${VIRTIO_TRANSPORTS} transports`);
    this.#virtio = devices.map(
      (device, i) => new VirtioMmio(device, memory, (high) => irq(SPI.virtio + i, high)),
    );
  }

  /** How many virtio transports have a device. */
  get transports(): number {
    return this.#virtio.length;
  }

  /** A load or store of a device; what is none reads as zero. */
  access(ipa: number, bytes: number, write: boolean, data: bigint): bigint {
    const { uart, rtc, virtio } = MAP;
    if (ipa >= uart.base && ipa < uart.base + uart.bytes)
      return word(this.uart, ipa - uart.base, bytes, write, data);
    if (ipa >= rtc.base && ipa < rtc.base + rtc.bytes)
      return word(this.rtc, ipa - rtc.base, bytes, write, data);
    const transport = this.#virtio[Math.floor((ipa - virtio.base) / virtio.bytes)];
    if (ipa < virtio.base || transport === undefined) return 0n;
    const offset = (ipa - virtio.base) % virtio.bytes;
    if (!write) return transport.read(offset, bytes);
    transport.write(offset, bytes, data);
    return 0n;
  }

  save(): BoardState {
    return {
      uart: this.uart.save(),
      rtc: this.rtc.save(),
      entropyDrawn: this.#entropyDrawn,
      virtio: this.#virtio.map((transport) => transport.save()),
    };
  }

  /** Into a board with the same devices. */
  restore({ uart, rtc, entropyDrawn, virtio }: BoardState): void {
    this.uart.restore(uart);
    this.rtc.restore(rtc);
    this.#entropyDrawn = entropyDrawn;
    virtio.forEach((state, i) => {
      this.#virtio[i]?.restore(state);
    });
  }

  /** The next bytes of a stream that a seed gives. */
  #draw(seed: number, bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; i++) {
      bytes[i] = randomBitsAt(seed ^ 0x656e_7472, this.#entropyDrawn);
      this.#entropyDrawn += 1;
    }
  }
}

/** An access to a device with registers of 32 bits. */
function word(
  device: { read(offset: number): number; write(offset: number, value: number): void },
  offset: number,
  bytes: number,
  write: boolean,
  data: bigint,
): bigint {
  if (!write) return BigInt.asUintN(8 * bytes, BigInt(device.read(offset) >>> 0));
  device.write(offset, Number(data & 0xffff_ffffn));
  return 0n;
}
