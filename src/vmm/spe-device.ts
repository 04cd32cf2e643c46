/** How user space sets SPE up for a vCPU: KVM_SET_DEVICE_ATTR by KVM_SET_DEVICE_ATTR, and what it says where KVM refuses. */
import { UserError } from "../common/errors.ts";
import { formatBytes } from "../common/sizes.ts";
import type { Memlock } from "../host/memlock.ts";
import { type SpeAttributes, SpeDevice } from "../kvm/spe/attributes.ts";
import { PMBIRQ_INTID } from "../kvm/wires.ts";

/**
 * Configures and initialises SPE of one of `vcpus` vCPUs. RLIMIT_MEMLOCK is raised for the maximum buffers as far as it may be.
 * @param maxBufferBytes undefined: no maximum; only for a policy that traps the buffer registers
 * @throws UserError where KVM refuses
 */
export function configureSpe(
  memlock: Memlock,
  options: {
    readonly vcpus: number;
    readonly trapsBuffer: boolean;
    readonly maxBufferBytes: number | undefined;
    readonly memlockMaxBytes: number;
  },
): SpeAttributes {
  const { vcpus, trapsBuffer, maxBufferBytes, memlockMaxBytes } = options;
  const wanted = trapsBuffer ? (maxBufferBytes ?? 0) : 0;
  if (wanted * vcpus > memlock.limitBytes && wanted * vcpus <= memlockMaxBytes)
    memlock.limitBytes = wanted * vcpus;
  const device = new SpeDevice({ spus: [0], memlock, vcpus, trapsBuffer });
  const set = [device.set("irq", PMBIRQ_INTID), device.set("spu", 0)];
  if (trapsBuffer) set.push(device.set("max-buffer-size", wanted));
  set.push(device.set("init", 0));
  if (set.includes("ENOMEM"))
    throw new UserError(
      `the maximum buffer of ${formatBytes(wanted)} for ${vcpus} vCPU${vcpus === 1 ? "" : "s"} is beyond RLIMIT_MEMLOCK (${formatBytes(memlockMaxBytes)}): ENOMEM`,
      "Raise --memlock or take a smaller --buffer",
    );
  const failed = set.find((result) => result !== 0);
  if (failed !== undefined)
    throw new UserError(
      `KVM refuses a maximum buffer of ${formatBytes(wanted)}: ${failed}`,
      "PMBIDR_EL1.MaxBuffSize holds 4 KiB multiples with at most 10 significant bits: try 256M",
    );
  return device.attributes;
}
