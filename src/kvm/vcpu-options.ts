/** What a vCPU is made of: its guest, which is a model or executes code, and what the VM gives it. */
import type { Ipn } from "../common/address.ts";
import type { PsciVcpu } from "./code-exits.ts";
import type { VmDevices } from "./devices.ts";
import type { CodeCore, CoreHardware, GuestCore, Turn } from "./guest-core.ts";
import type { SpeAttributes } from "./spe/attributes.ts";

/** Makes the core of a vCPU from the hardware that the VM gives it. */
export type CoreFactory = (hardware: CoreHardware) => GuestCore;
export type CodeCoreFactory = (hardware: CoreHardware) => CodeCore;

/** A vCPU whose guest is a model. */
interface ModelOptions {
  readonly core: CoreFactory;
  readonly devices?: undefined;
}

/** A vCPU that executes code: it has a GIC, timers and a PMU, and PSCI switches it on and off. */
interface CodeOptions {
  readonly core: CodeCoreFactory;
  readonly devices: VmDevices;
  /** Off until another vCPU's CPU_ON. */
  readonly startsOff: boolean;
}

interface CommonOptions {
  /** Its number, from 0. */
  readonly index: number;
  /** The vCPUs of its VM by number, itself among them: who PSCI can name. */
  readonly all: readonly PsciVcpu[];
  /** Its place among the other vCPUs. */
  readonly turn: Turn;
  readonly attributes: SpeAttributes;
  readonly irqLatencyNs: number;
  readonly seed: number;
  readonly kick: (vcpu: number, atNs: number) => void;
  readonly onRecordPage?: ((ipn: Ipn, frame: number) => void) | undefined;
}

/** What executes in a vCPU. */
export type VcpuGuest = ModelOptions | CodeOptions;

export type VcpuOptions = CommonOptions & VcpuGuest;
