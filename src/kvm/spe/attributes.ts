/**
 * KVM's device attributes of SPE: group KVM_ARM_VCPU_SPE_CTRL of each vCPU (v6 10/35 to 15/35). User space sets the
 * interrupt, the SPU and the maximum buffer size, then initialises; errors are those of the ioctl.
 */
import { withMaxBufferBytes } from "../../arm/max-buffer-size.ts";
import { UserError } from "../../common/errors.ts";
import type { Memlock } from "../../host/memlock.ts";
import { FIRST_PPI, LAST_PPI } from "../wires.ts";

/** KVM_ARM_VCPU_SPE_IRQ, _SPU, _MAX_BUFFER_SIZE, _INIT. */
export type SpeAttribute = "irq" | "spu" | "max-buffer-size" | "init";

/** What the ioctl returns: 0, or an error number by its name. */
export type AttributeResult = 0 | "EINVAL" | "EBUSY" | "ENXIO" | "ENODEV" | "ENOMEM" | "EEXIST";

/** What an initialised vCPU has. */
export interface SpeAttributes {
  readonly irq: number;
  readonly spu: number;
  /** Undefined: no limit. */
  readonly maxBufferBytes: number | undefined;
}

export class SpeDevice {
  readonly #spus: readonly number[];
  readonly #memlock: Memlock;
  readonly #vcpus: number;
  readonly #trapsBuffer: boolean;
  #irq: number | undefined;
  #spu: number | undefined;
  #maxBufferBytes: number | undefined;
  #initialised = false;

  /**
   * @param spus the SPUs there are
   * @param vcpus how many vCPUs pin a buffer of the maximum size each
   * @param trapsBuffer without traps (v7) there is no virtual buffer limit and nothing is pinned for it
   */
  constructor(options: {
    readonly spus: readonly number[];
    readonly memlock: Memlock;
    readonly vcpus: number;
    readonly trapsBuffer: boolean;
  }) {
    this.#spus = options.spus;
    this.#memlock = options.memlock;
    this.#vcpus = options.vcpus;
    this.#trapsBuffer = options.trapsBuffer;
  }

  /**
   * KVM_SET_DEVICE_ATTR.
   * @param value INTID, SPU number or bytes (0: no limit); ignored by init
   * @returns EBUSY after init or when set twice, EINVAL for a value that cannot be, ENODEV for an unknown SPU, ENOMEM
   *   where a buffer of that size could never be locked, ENXIO for init before interrupt and SPU
   */
  set(attribute: SpeAttribute, value: number): AttributeResult {
    if (this.#initialised) return "EBUSY";
    switch (attribute) {
      case "irq":
        if (this.#irq !== undefined) return "EBUSY";
        if (!Number.isInteger(value) || value < FIRST_PPI || value > LAST_PPI) return "EINVAL";
        this.#irq = value;
        return 0;
      case "spu":
        if (this.#spu !== undefined) return "EBUSY";
        if (!this.#spus.includes(value)) return "ENODEV";
        this.#spu = value;
        return 0;
      case "max-buffer-size":
        if (!this.#trapsBuffer) return "ENXIO";
        if (value === 0) {
          this.#maxBufferBytes = undefined;
          return 0;
        }
        if (!representable(value)) return "EINVAL";
        if (!this.#memlock.wouldFit(value * this.#vcpus)) return "ENOMEM";
        this.#maxBufferBytes = value;
        return 0;
      case "init":
        if (this.#irq === undefined || this.#spu === undefined) return "ENXIO";
        this.#initialised = true;
        return 0;
    }
  }

  /** What init fixed. */
  get attributes(): SpeAttributes {
    if (!this.#initialised || this.#irq === undefined || this.#spu === undefined)
      throw new UserError("KVM_ARM_VCPU_SPE_INIT has not been called");
    return { irq: this.#irq, spu: this.#spu, maxBufferBytes: this.#maxBufferBytes };
  }
}

/** Whether PMBIDR_EL1.MaxBuffSize can say it. */
function representable(bytes: number): boolean {
  try {
    withMaxBufferBytes(0n, bytes);
    return true;
  } catch {
    return false;
  }
}
