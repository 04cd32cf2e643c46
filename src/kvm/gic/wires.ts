/** The PPIs of one vCPU of a VM whose guest sees a GIC. */
import type { PpiWires } from "../wires.ts";
import type { Gic } from "./gic.ts";

export class GicWires implements PpiWires {
  readonly #gic: Gic;
  readonly #vcpu: number;
  /** Told of each change of a level. */
  onLevel: ((intid: number, high: boolean) => void) | undefined;

  constructor(gic: Gic, vcpu: number) {
    this.#gic = gic;
    this.#vcpu = vcpu;
  }

  setLevel(intid: number, high: boolean): boolean {
    const changes = this.onLevel !== undefined && this.level(intid) !== high;
    const rose = this.#gic.setLine(intid, high, this.#vcpu);
    if (changes) this.onLevel?.(intid, high);
    return rose;
  }

  level(intid: number): boolean {
    return this.#gic.levelOf(intid, this.#vcpu);
  }

  get isSignalled(): boolean {
    return this.#gic.signals(this.#vcpu, 1) || this.#gic.signals(this.#vcpu, 0);
  }
}
