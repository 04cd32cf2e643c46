/**
 * The generic timers of a vCPU: virtual and physical counter, CNTV_* and CNTP_* (Arm ARM D12.2). CNTVOFF is 0.
 */
import { COUNTER_HZ } from "../arm/counter.ts";
import { CNTKCTL_EL1, type Encoding, encodingKey, SYSREG } from "../arm/registers.ts";

const NS_OF_TICK = 1e9 / COUNTER_HZ;
const TICK_NS = BigInt(NS_OF_TICK);

/** INTIDs: PPI 11 and 14 of QEMU's virt machine and of most others. */
export const VIRTUAL_TIMER_INTID = 27;
export const PHYSICAL_TIMER_INTID = 30;

const ENABLE = 1n;
const IMASK = 2n;
const ISTATUS = 4n;
const ALL = (1n << 64n) - 1n;

const TVAL = 0;
const CTL = 1;
const CVAL = 2;

/** CNTVCT_EL0 at an instant. */
export const ticksAt = (nowNs: number): number => Math.floor(Math.floor(nowNs) / NS_OF_TICK);
export const countAt = (nowNs: number): bigint => BigInt(ticksAt(nowNs));

/**
 * The next event of the event stream after an instant: where bit EVNTI of CNTVCT_EL0 turns to 1, or with EVNTDIR to 0.
 * @param control CNTKCTL_EL1
 * @returns ns; Infinity: there is no stream
 */
export function nextStreamEventNs(control: bigint, nowNs: number): number {
  if (!CNTKCTL_EL1.is(control, "EVNTEN")) return Number.POSITIVE_INFINITY;
  const half = 1n << CNTKCTL_EL1.get(control, "EVNTI");
  const phase = CNTKCTL_EL1.is(control, "EVNTDIR") ? 0n : half;
  const periods = (countAt(nowNs) - phase) / (2n * half);
  const last = countAt(nowNs) < phase ? phase - 2n * half : periods * 2n * half + phase;
  return Number((last + 2n * half) * TICK_NS);
}

class Timer {
  ctl = 0n;
  cval = 0n;

  met(nowNs: number): boolean {
    return countAt(nowNs) >= this.cval;
  }

  line(nowNs: number): boolean {
    return (this.ctl & (ENABLE | IMASK)) === ENABLE && this.met(nowNs);
  }

  /** The instant at which the line rises; Infinity where it never does, or is high. */
  risesAtNs(nowNs: number): number {
    if ((this.ctl & (ENABLE | IMASK)) !== ENABLE || this.met(nowNs)) return Number.POSITIVE_INFINITY;
    return Number(this.cval * TICK_NS);
  }

  read(op2: number, nowNs: number): bigint {
    switch (op2) {
      case TVAL:
        return BigInt.asUintN(32, this.cval - countAt(nowNs));
      case CTL:
        return this.ctl | ((this.ctl & ENABLE) !== 0n && this.met(nowNs) ? ISTATUS : 0n);
      default:
        return this.cval;
    }
  }

  write(op2: number, value: bigint, nowNs: number): void {
    if (op2 === TVAL) this.cval = (countAt(nowNs) + BigInt.asIntN(32, value)) & ALL;
    else if (op2 === CTL) this.ctl = value & (ENABLE | IMASK);
    else if (op2 === CVAL) this.cval = value & ALL;
  }
}

/** CTL and CVAL of the virtual and the physical timer. */
export type TimersState = readonly (readonly [ctl: string, cval: string])[];

export class Timers {
  readonly #virtual = new Timer();
  readonly #physical = new Timer();

  #timerOf([op0, op1, crn, crm, op2]: Encoding): Timer | undefined {
    if (op0 !== 3 || op1 !== 3 || crn !== 14 || op2 > CVAL) return undefined;
    return crm === 3 ? this.#virtual : crm === 2 ? this.#physical : undefined;
  }

  /** The value of a timer register at an instant; undefined for registers of others. */
  read(encoding: Encoding, nowNs: number): bigint | undefined {
    switch (encodingKey(encoding)) {
      case SYSREG.CNTFRQ_EL0:
        return BigInt(COUNTER_HZ);
      case SYSREG.CNTPCT_EL0:
      case SYSREG.CNTVCT_EL0:
        return countAt(nowNs);
    }
    return this.#timerOf(encoding)?.read(encoding[4], nowNs);
  }

  write(encoding: Encoding, value: bigint, nowNs: number): boolean {
    const timer = this.#timerOf(encoding);
    timer?.write(encoding[4], value, nowNs);
    return timer !== undefined;
  }

  reset(): void {
    this.restore([
      ["0", "0"],
      ["0", "0"],
    ]);
  }

  save(): TimersState {
    return [this.#virtual, this.#physical].map(({ ctl, cval }) => [String(ctl), String(cval)] as const);
  }

  restore(state: TimersState): void {
    [this.#virtual, this.#physical].forEach((timer, i) => {
      timer.ctl = BigInt(state[i]![0]);
      timer.cval = BigInt(state[i]![1]);
    });
  }

  lines(nowNs: number): { readonly virtual: boolean; readonly physical: boolean } {
    return { virtual: this.#virtual.line(nowNs), physical: this.#physical.line(nowNs) };
  }

  /** The next instant at which a line rises. */
  nextEventNs(nowNs: number): number {
    return Math.min(this.#virtual.risesAtNs(nowNs), this.#physical.risesAtNs(nowNs));
  }
}
