/**
 * Consoles and named ports (virtio 1.2, section 5.3), as Linux's drivers/char/virtio_console.c drives them. Port 0 is
 * a console (/dev/hvc0); the others are byte pipes under /dev/virtio-ports/NAME.
 *
 * What that driver does, and what follows for us:
 * - It throws away what arrives at a port that no program has open (in_intr). So data waits here until the guest's
 *   PORT_OPEN, which the driver sends before open() returns.
 * - A read ends the file, and a write blocks, while the host's end is closed (host_connected). So the host's end is
 *   open from the start, and the guest hears so before it hears the port's name.
 * - write() blocks while the transmit queue is full (will_write_block), and nothing is lost then: `hold` leaves
 *   buffers there. A console must not be held: its driver spins until the buffer comes back.
 * - A reader gets the data in its ring before the end of the file. So a close waits until all data is in the ring.
 */

import { concat } from "../../common/bytes.ts";
import type { DeviceLink, VirtioDevice } from "./device.ts";
import { u16At, u16Bytes, u32At, u32Bytes } from "./memory.ts";

export interface ConsolePort {
  /** Name for the guest; for port 0 too, though Linux needs none there. */
  readonly name: string;
  /** What the guest wrote. The bytes are the receiver's to keep. */
  readonly onData: (bytes: Uint8Array) => void;
  /** A program in the guest opened or closed the port; all it wrote before has been given to `onData`. */
  readonly onOpen?: (open: boolean) => void;
}

export interface ConsoleOptions {
  /** Port 0, the console, and then the named ones; 31 at most. */
  readonly ports: readonly ConsolePort[];
  /** Bytes that the device keeps for the guest at most, for each port. */
  readonly pendingBytes?: number;
}

/** For the guest, in order: data, or a change of the host's end. */
type Pending = Uint8Array | "open" | "close";

interface Port {
  readonly options: ConsolePort;
  readonly pending: Pending[];
  /** Bytes of data in `pending`. */
  pendingBytes: number;
  /** The guest has made the port and may hear of it. */
  ready: boolean;
  /** The host's end, as the guest knows it or will know it when it makes the port. */
  hostOpen: boolean;
  guestOpen: boolean;
  held: boolean;
}

/** Everything but what the guest's rings say; data as numbers. */
export interface ConsoleState {
  readonly ports: readonly {
    readonly pending: readonly (readonly number[] | "open" | "close")[];
    readonly ready: boolean;
    readonly hostOpen: boolean;
    readonly guestOpen: boolean;
    readonly held: boolean;
  }[];
  readonly control: readonly (readonly number[])[];
}

const MULTIPORT = 1n << 1n;
const EVENT = {
  DEVICE_READY: 0,
  DEVICE_ADD: 1,
  DEVICE_REMOVE: 2,
  PORT_READY: 3,
  CONSOLE_PORT: 4,
  RESIZE: 5,
  PORT_OPEN: 6,
  PORT_NAME: 7,
} as const;
const CONTROL_BYTES = 8;
const CONTROL_RECEIVE = 2;
const CONTROL_TRANSMIT = 3;
const QUEUE_SIZE = 64;
const MOST_PORTS = 31;
/** Messages for a guest that takes none; one more breaks the device. */
const MOST_CONTROL = 1024;
const DEFAULT_PENDING_BYTES = 1024 ** 2;

/** Queues 0 and 1 are port 0's, 2 and 3 are for control, 4 and 5 are port 1's (5.3.2). */
const receiveQueue = (port: number): number => (port === 0 ? 0 : 2 * port + 2);
const portOf = (queue: number): number => (queue < 2 ? 0 : (queue >> 1) - 1);

export class VirtioConsole implements VirtioDevice<ConsoleState> {
  readonly deviceId = 3;
  readonly features = MULTIPORT;
  readonly queueSizes: readonly number[];
  readonly #ports: readonly Port[];
  readonly #pendingBytes: number;
  /** Messages for the guest that it had no buffers for. */
  #control: Uint8Array[] = [];
  #link: DeviceLink | undefined;

  constructor({ ports, pendingBytes = DEFAULT_PENDING_BYTES }: ConsoleOptions) {
    if (ports.length === 0 || ports.length > MOST_PORTS)
      throw new RangeError(`${ports.length} ports: a console has 1 to ${MOST_PORTS}`);
    this.#ports = ports.map((options) => ({
      options,
      pending: [],
      pendingBytes: 0,
      ready: false,
      hostOpen: true,
      guestOpen: false,
      held: false,
    }));
    this.#pendingBytes = pendingBytes;
    this.queueSizes = Array.from({ length: 2 * ports.length + 2 }, () => QUEUE_SIZE);
  }

  attach(link: DeviceLink): void {
    this.#link = link;
  }

  /** struct virtio_console_config: columns and rows (not valid without its feature), then the number of ports. */
  config(): Uint8Array {
    return concat([u32Bytes(0), u32Bytes(this.#ports.length), u32Bytes(0)]);
  }

  #port(index: number): Port {
    const port = this.#ports[index];
    if (port === undefined) throw new RangeError(`port ${index} of ${this.#ports.length}`);
    return port;
  }

  /** Bytes that `send` would take now. */
  room(port: number): number {
    return this.#pendingBytes - this.#port(port).pendingBytes;
  }

  /** Whether a program in the guest has the port open. */
  guestHasOpen(port: number): boolean {
    return this.#port(port).guestOpen;
  }

  /**
   * Data for the guest. What it has no buffers for, or has not opened the port for, is kept up to `pendingBytes`.
   *
   * @returns how many bytes were taken; none after `close`
   */
  send(port: number, bytes: Uint8Array): number {
    const to = this.#port(port);
    if (!this.#willBeOpen(to)) return 0;
    const taken = Math.min(bytes.length, this.room(port));
    if (taken > 0) to.pending.push(bytes.slice(0, taken));
    to.pendingBytes += taken;
    this.#deliver(port);
    return taken;
  }

  /** The host's end closes: after what was sent before, the guest reads the end of the file, and its writes block. */
  close(port: number): void {
    this.#change(port, "close");
  }

  /** The host's end opens again after `close`; it is open from the start. */
  open(port: number): void {
    this.#change(port, "open");
  }

  /** Takes nothing more from the guest, whose writes block when its 64 buffers are full. Not for port 0. */
  hold(port: number): void {
    if (port === 0) throw new RangeError("port 0 is a console, whose driver spins until its data is taken");
    this.#port(port).held = true;
  }

  /** Ends `hold`. */
  resume(port: number): void {
    this.#port(port).held = false;
    this.#take(port);
  }

  /** The size of the console's terminal. */
  resize(columns: number, rows: number): void {
    // The specification puts columns first, but Linux reads rows first (handle_control_message).
    if (this.#port(0).ready) this.#say(0, EVENT.RESIZE, 0, concat([u16Bytes(rows), u16Bytes(columns)]));
  }

  /** Unplugs a port for good, until the guest's driver starts anew. */
  remove(port: number): void {
    const gone = this.#port(port);
    if (!gone.ready) return;
    gone.ready = false;
    this.#say(port, EVENT.DEVICE_REMOVE, 0);
    this.#setGuestOpen(port, false);
  }

  #willBeOpen({ pending, hostOpen }: Port): boolean {
    const last = pending.findLast((item) => !(item instanceof Uint8Array));
    return last === undefined ? hostOpen : last === "open";
  }

  #change(index: number, to: "open" | "close"): void {
    const port = this.#port(index);
    if (this.#willBeOpen(port) === (to === "open")) return;
    port.pending.push(to);
    this.#deliver(index);
  }

  /** Gives the guest what it can take of what is pending. */
  #deliver(index: number): void {
    const port = this.#port(index);
    const queue = this.#link?.queues[receiveQueue(index)];
    for (let item = port.pending[0]; item !== undefined; item = port.pending[0]) {
      if (!(item instanceof Uint8Array)) {
        port.pending.shift();
        port.hostOpen = item === "open";
        if (port.ready) this.#say(index, EVENT.PORT_OPEN, port.hostOpen ? 1 : 0);
        continue;
      }
      const chain = port.guestOpen ? queue?.pop() : undefined;
      if (chain === undefined) return;
      const count = Math.min(item.length, chain.writableBytes);
      if (count === 0) {
        this.#link?.fail("a receive buffer that nothing can be written to");
        return;
      }
      if (!chain.write(0, item.subarray(0, count))) return;
      if (count === item.length) port.pending.shift();
      else port.pending[0] = item.subarray(count);
      port.pendingBytes -= count;
      queue?.push(chain, count);
    }
  }

  /** Takes what the guest wrote, until the port is held. */
  #take(index: number, evenIfHeld = false): void {
    const port = this.#port(index);
    const queue = this.#link?.queues[receiveQueue(index) + 1];
    for (const chain of queue?.chains() ?? []) {
      const bytes = chain.read(0, chain.readableBytes);
      if (bytes === undefined) return;
      queue?.push(chain, 0);
      if (bytes.length > 0) port.options.onData(bytes);
      // The receiver may have had enough.
      if (port.held && !evenIfHeld) return;
    }
  }

  notify(queue: number): void {
    if (queue === CONTROL_RECEIVE) this.#deliverControl();
    else if (queue === CONTROL_TRANSMIT) this.#takeControl();
    else this.#notifyPort(queue);
  }

  #notifyPort(queue: number): void {
    const index = portOf(queue);
    const port = this.#ports[index];
    if (port === undefined) return;
    const multiport = ((this.#link?.negotiated() ?? 0n) & MULTIPORT) !== 0n;
    // Without control messages there is one console, and it is open.
    if (!multiport && index === 0) this.#setGuestOpen(0, true);
    if (queue === receiveQueue(index)) this.#deliver(index);
    else if (!port.held) this.#take(index);
  }

  #say(port: number, event: number, value: number, more: Uint8Array = new Uint8Array(0)): void {
    if (this.#control.length >= MOST_CONTROL) {
      this.#link?.fail("the driver asks for control messages and takes none");
      return;
    }
    this.#control.push(concat([u32Bytes(port), u16Bytes(event), u16Bytes(value), more]));
    this.#deliverControl();
  }

  #deliverControl(): void {
    const queue = this.#link?.queues[CONTROL_RECEIVE];
    for (let message = this.#control[0]; message !== undefined; message = this.#control[0]) {
      const chain = queue?.pop();
      if (chain === undefined) return;
      if (chain.writableBytes < message.length) {
        this.#link?.fail("a control buffer that is smaller than its message");
        return;
      }
      if (!chain.write(0, message)) return;
      this.#control.shift();
      queue?.push(chain, message.length);
    }
  }

  #takeControl(): void {
    const queue = this.#link?.queues[CONTROL_TRANSMIT];
    for (const chain of queue?.chains() ?? []) {
      const message = chain.read(0, CONTROL_BYTES);
      if (message === undefined) return;
      queue?.push(chain, 0);
      // 5.3.6.2 has no answer to a bad message.
      if (message.length === CONTROL_BYTES)
        this.#hear(u32At(message, 0), u16At(message, 4), u16At(message, 6));
    }
  }

  #hear(index: number, event: number, value: number): void {
    if (event === EVENT.DEVICE_READY) {
      if (value === 1) for (const i of this.#ports.keys()) this.#say(i, EVENT.DEVICE_ADD, 0);
      return;
    }
    const port = this.#ports[index];
    if (port === undefined) return;
    if (event === EVENT.PORT_READY) {
      port.ready = value === 1;
      if (!port.ready) return;
      if (index === 0) this.#say(index, EVENT.CONSOLE_PORT, 1);
      this.#say(index, EVENT.PORT_OPEN, port.hostOpen ? 1 : 0);
      this.#say(index, EVENT.PORT_NAME, 1, new TextEncoder().encode(port.options.name));
    } else if (event === EVENT.PORT_OPEN) this.#setGuestOpen(index, value === 1);
  }

  #setGuestOpen(index: number, open: boolean): void {
    const port = this.#port(index);
    if (port.guestOpen === open) return;
    // What was written before comes first, also from a port on hold: at most as much as its ring holds.
    this.#take(index, true);
    port.guestOpen = open;
    port.options.onOpen?.(open);
    if (open) this.#deliver(index);
  }

  /** What is pending stays, for the next driver. */
  reset(): void {
    this.#control = [];
    for (const [index, port] of this.#ports.entries()) {
      port.ready = false;
      port.held = false;
      this.#setGuestOpen(index, false);
    }
  }

  save(): ConsoleState {
    return {
      ports: this.#ports.map(({ pending, ready, hostOpen, guestOpen, held }) => ({
        pending: pending.map((item) => (item instanceof Uint8Array ? [...item] : item)),
        ready,
        hostOpen,
        guestOpen,
        held,
      })),
      control: this.#control.map((message) => [...message]),
    };
  }

  /** `onOpen` is not called: the receivers are restored with what they knew. */
  restore(state: ConsoleState): void {
    for (const [i, port] of this.#ports.entries()) {
      const saved = state.ports[i];
      if (saved === undefined) continue;
      port.pending.splice(
        0,
        port.pending.length,
        ...saved.pending.map((item) => (typeof item === "string" ? item : Uint8Array.from(item))),
      );
      port.pendingBytes = saved.pending.reduce(
        (sum, item) => sum + (typeof item === "string" ? 0 : item.length),
        0,
      );
      port.ready = saved.ready;
      port.hostOpen = saved.hostOpen;
      port.guestOpen = saved.guestOpen;
      port.held = saved.held;
    }
    this.#control = state.control.map((message) => Uint8Array.from(message));
  }
}
