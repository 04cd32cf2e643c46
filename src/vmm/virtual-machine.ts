/** A whole machine that boots an arm64 kernel: cores, memory under the hypervisor, the board's devices. */
import { machineTree } from "../board/machine-tree.ts";
import { MAP, SPI, SPI_COUNT } from "../board/memory-map.ts";
import { Pl011 } from "../board/pl011.ts";
import { type Ipn, ipn, PAGE_BYTES, pagesFor } from "../common/address.ts";
import { CoreCode } from "../cpu/core.ts";
import { CoreGroup, CpuGuestCore } from "../cpu/guest-core.ts";
import { CpuMemory } from "../cpu/memory.ts";
import type { CostTable } from "../host/costs.ts";
import type { Backing } from "../host/mm.ts";
import { VmDevices } from "../kvm/devices.ts";
import type { PinPolicy } from "../kvm/spe/policy.ts";
import type { Access } from "../mmu/access.ts";
import { isFault } from "../mmu/fault.ts";
import type { TableMemory } from "../mmu/table-memory.ts";
import { type KernelImage, placeImage } from "./image.ts";
import { type Ending, Machine } from "./machine.ts";

export interface VirtualMachineOptions {
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly kernel: KernelImage;
  readonly initrd: Uint8Array | undefined;
  readonly append: string;
  readonly policy: PinPolicy;
  readonly costs: CostTable;
  readonly backing: Backing;
  readonly seed: number;
  /** Told of each character that the guest writes to its serial console. */
  readonly console: (byte: number) => void;
}

/** INTID of the first SPI. */
const FIRST_SPI = 32;
/** Host pages beside guest memory: stage-2 tables, and the rest of the blocks they come from. */
const TABLE_PAGES = 4096;
const STORE: Access = { by: "store", el: 1, write: true };
const IRQ_LATENCY_NS = 0;

export class VirtualMachine {
  readonly machine: Machine;
  readonly cores: readonly CpuGuestCore[];
  readonly code: CoreCode;
  readonly #uart: Pl011;

  constructor(options: VirtualMachineOptions) {
    const memoryPages = pagesFor(options.memoryBytes);
    const firstIpn = ipn(MAP.ram.base / PAGE_BYTES);
    const memory = new CpuMemory(options.cpus, memoryPages + TABLE_PAGES);
    this.code = new CoreCode(memory);
    const bus = {
      access: (ipa: number, bytes: number, write: boolean, data: bigint): bigint =>
        this.#access(ipa, bytes, write, data),
    };
    this.machine = new Machine({
      memoryPages,
      firstIpn,
      backing: options.backing,
      costs: options.costs,
      policy: options.policy,
      memlockBytes: Number.MAX_SAFE_INTEGER,
      memlockMaxBytes: Number.MAX_SAFE_INTEGER,
      maxBufferBytes: undefined,
      irqLatencyNs: IRQ_LATENCY_NS,
      seed: options.seed,
      store: memory,
      bus,
      devices: (onLineChange) =>
        new VmDevices({
          vcpus: options.cpus,
          spis: SPI_COUNT,
          frames: { distributor: MAP.gicDistributor.base, redistributors: MAP.gicRedistributors.base },
          onLineChange,
        }),
    });
    const devices = this.machine.devices as VmDevices;
    this.#uart = new Pl011({
      transmit: options.console,
      irq: (high) => devices.gic.setLine(FIRST_SPI + SPI.uart, high),
    });
    const group = new CoreGroup();
    const isMemory = (page: Ipn): boolean => page >= firstIpn && page < firstIpn + memoryPages;
    this.machine.addVcpus(
      options.cpus,
      (hardware) => new CpuGuestCore(hardware, devices, this.code, group, isMemory),
    );
    this.cores = group.cores;
    this.#load(options);
    this.machine.start();
  }

  /** Runs for some steps of the machine. */
  run(steps: number): Ending {
    return this.machine.runSteps(steps);
  }

  /** Characters for the guest's serial console; as many as fit are taken. */
  type(bytes: readonly number[]): number {
    const taken = Math.min(this.#uart.room, bytes.length);
    if (taken > 0) this.#uart.receive(bytes.slice(0, taken));
    return taken;
  }

  /** Instructions that all cores have retired. */
  get instructions(): number {
    return this.cores.reduce((sum, { core }) => sum + core.executed, 0);
  }

  #load({ kernel, initrd, append, cpus, memoryBytes }: VirtualMachineOptions): void {
    const ram = { base: MAP.ram.base, bytes: memoryBytes };
    const tree = (place: { initrd: number } | undefined): Uint8Array =>
      machineTree({
        cpus,
        memoryBytes,
        bootargs: append,
        virtio: 0,
        ...(initrd === undefined || place === undefined
          ? {}
          : { initrd: { start: place.initrd, end: place.initrd + initrd.length } }),
      });
    const place = placeImage(ram, kernel, initrd?.length ?? 0, tree(undefined).length + 1024);
    this.#write(place.kernel, kernel.bytes);
    if (initrd !== undefined) this.#write(place.initrd, initrd);
    this.#write(place.deviceTree, tree(place));
    this.cores[0]!.powerOn(BigInt(place.kernel), BigInt(place.deviceTree));
  }

  /** Writes guest memory before time begins. */
  #write(ipa: number, bytes: Uint8Array): void {
    const memory: TableMemory<Ipn> = this.machine.pristineMemory;
    for (let done = 0; done < bytes.length; ) {
      const at = ipa + done;
      const offset = at % PAGE_BYTES;
      const count = Math.min(PAGE_BYTES - offset, bytes.length - done);
      const words = memory.page(ipn(Math.floor(at / PAGE_BYTES)), STORE);
      if (words !== undefined && !isFault(words))
        new Uint8Array(words.buffer, words.byteOffset + offset, count).set(
          bytes.subarray(done, done + count),
        );
      done += count;
    }
  }

  #access(ipa: number, bytes: number, write: boolean, data: bigint): bigint {
    const { uart } = MAP;
    if (ipa >= uart.base && ipa < uart.base + uart.bytes) {
      if (!write) return BigInt.asUintN(8 * bytes, BigInt(this.#uart.read(ipa - uart.base)));
      this.#uart.write(ipa - uart.base, Number(data & 0xffff_ffffn));
    }
    return 0n;
  }
}
