/** The PL011 UART (Arm DDI 0183): FIFOs of 32 characters, as Linux's amba-pl011 drives it. */

const R = {
  DR: 0x00,
  RSR: 0x04,
  FR: 0x18,
  ILPR: 0x20,
  IBRD: 0x24,
  FBRD: 0x28,
  LCRH: 0x2c,
  CR: 0x30,
  IFLS: 0x34,
  IMSC: 0x38,
  RIS: 0x3c,
  MIS: 0x40,
  ICR: 0x44,
  DMACR: 0x48,
} as const;
const FR = { RXFE: 1 << 4, RXFF: 1 << 6, TXFE: 1 << 7 } as const;
const INT = { RX: 1 << 4, TX: 1 << 5, RT: 1 << 6 } as const;
const FIFO = 32;
/** LCRH: FIFOs on. Off, they are one character deep. */
const FEN = 1 << 4;
/** IFLS bits 5 to 3: how many characters raise the receive interrupt. */
const RX_LEVELS = [4, 8, 16, 24, 28] as const;
/** PeriphID and PCellID, from 0xfe0 on: r1p5, whose FIFOs have 32 characters. */
const IDS = [0x11, 0x10, 0x34, 0x00, 0x0d, 0xf0, 0x05, 0xb1] as const;

export interface Pl011State {
  /** Values by offset. */
  readonly registers: readonly (readonly [offset: number, value: number])[];
  readonly received: readonly number[];
  readonly raw: number;
}

export class Pl011 {
  readonly #transmit: (byte: number) => void;
  readonly #irq: (high: boolean) => void;
  /** LCRH, CR, IFLS, IMSC, IBRD, FBRD, DMACR, ILPR: kept as written. */
  readonly #kept = new Map<number, number>([
    [R.CR, 0x300],
    [R.IFLS, 0x12],
  ]);
  #received: number[] = [];
  #raw = 0;

  /** @param transmit told of each character; the line never blocks */
  constructor(options: { transmit: (byte: number) => void; irq: (high: boolean) => void }) {
    this.#transmit = options.transmit;
    this.#irq = options.irq;
  }

  save(): Pl011State {
    return { registers: [...this.#kept], received: [...this.#received], raw: this.#raw };
  }

  restore({ registers, received, raw }: Pl011State): void {
    for (const [offset, value] of registers) this.#kept.set(offset, value);
    this.#received = [...received];
    this.#raw = raw;
    this.#update();
  }

  /** Room in the receive FIFO. */
  get room(): number {
    return Math.max(0, this.#depth - this.#received.length);
  }

  get #depth(): number {
    return (this.#register(R.LCRH) & FEN) === 0 ? 1 : FIFO;
  }

  get #receiveLevel(): number {
    return this.#depth === 1 ? 1 : (RX_LEVELS[(this.#register(R.IFLS) >> 3) & 7] ?? FIFO);
  }

  #register(offset: number): number {
    return this.#kept.get(offset) ?? 0;
  }

  /** Characters from outside; those beyond `room` are lost, as on a real line. */
  receive(bytes: readonly number[]): void {
    const taken = bytes.slice(0, this.room);
    this.#received.push(...taken);
    if (this.#received.length >= this.#receiveLevel) this.#raw |= INT.RX;
    // Nothing follows at once: the line counts as idle from here on.
    if (taken.length > 0) this.#raw |= INT.RT;
    this.#update();
  }

  read(offset: number): number {
    switch (offset) {
      case R.DR: {
        const byte = this.#received.shift() ?? 0;
        if (this.#received.length < this.#receiveLevel) this.#raw &= ~INT.RX;
        if (this.#received.length === 0) this.#raw &= ~INT.RT;
        this.#update();
        return byte;
      }
      case R.FR:
        return FR.TXFE | (this.#received.length === 0 ? FR.RXFE : 0) | (this.room === 0 ? FR.RXFF : 0);
      case R.RIS:
        return this.#raw;
      case R.MIS:
        return this.#raw & this.#register(R.IMSC);
    }
    if (offset >= 0xfe0 && offset < 0x1000) return IDS[(offset - 0xfe0) >> 2] ?? 0;
    return this.#register(offset);
  }

  write(offset: number, value: number): void {
    switch (offset) {
      case R.DR:
        this.#transmit(value & 0xff);
        // It is out at once: the transmit FIFO has room again.
        this.#raw |= INT.TX;
        break;
      case R.ICR:
        this.#raw &= ~value;
        break;
      case R.ILPR:
      case R.IBRD:
      case R.FBRD:
      case R.LCRH:
      case R.CR:
      case R.IFLS:
      case R.IMSC:
      case R.DMACR:
        this.#kept.set(offset, value & 0xffff);
        break;
    }
    this.#update();
  }

  #update(): void {
    this.#irq((this.#raw & this.#register(R.IMSC)) !== 0);
  }
}
