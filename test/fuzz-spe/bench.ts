/**
 * Machines for hostile programs, one after the other on one linear memory and its translations of code: making those takes longer
 * than a program runs.
 */
import { MAP, SPI_COUNT } from "../../src/board/memory-map.ts";
import { type Ipn, ipn, PAGE_BYTES } from "../../src/common/address.ts";
import { CoreCode } from "../../src/cpu/execute/core-code.ts";
import { CoreGroup, CpuGuestCore } from "../../src/cpu/guest-core.ts";
import { IMPLEMENTATION } from "../../src/cpu/implementation.ts";
import { CpuMemory } from "../../src/cpu/memory.ts";
import { costTable } from "../../src/host/costs.ts";
import type { Frames, PageStore } from "../../src/host/frames.ts";
import { PROFILES } from "../../src/host/profiles.ts";
import { VmDevices } from "../../src/kvm/devices.ts";
import type { CodeCoreFactory } from "../../src/kvm/vcpu.ts";
import type { TableMemory } from "../../src/mmu/table-memory.ts";
import { DEFAULT_SPE, implementationOf } from "../../src/spe/implementation.ts";
import { BareMetal } from "../../src/vmm/bare-metal.ts";
import { Machine, type MachineOptions } from "../../src/vmm/machine.ts";
import type { Alarm } from "../../src/vmm/machine-loop.ts";
import { entryOf, type Layout, RAM } from "./program.ts";

/** Pages of the host's beside the guest's memory: stage-2 tables and bounce buffers. */
const HOST_PAGES = 2048;
const FIRST_IPN = ipn(RAM.base / PAGE_BYTES);
const COSTS = costTable(PROFILES[0]!);

const isMemory = (page: Ipn): boolean => page >= FIRST_IPN && page < FIRST_IPN + RAM.pages;

/** Pages that are taken from a store and given back all at once. */
class Lent implements PageStore {
  readonly #store: PageStore;
  readonly #lent = new Set<Uint32Array>();

  constructor(store: PageStore) {
    this.#store = store;
  }

  allocatePage(): Uint32Array {
    const page = this.#store.allocatePage();
    this.#lent.add(page);
    return page;
  }

  freePage(page: Uint32Array): void {
    this.#lent.delete(page);
    this.#store.freePage(page);
  }

  wrote(page: Uint32Array): void {
    this.#store.wrote?.(page);
  }

  returnAll(): void {
    for (const page of this.#lent) this.#store.freePage(page);
    this.#lent.clear();
  }
}

export type VmOptions = Pick<
  MachineOptions,
  "policy" | "backing" | "memlockBytes" | "memlockMaxBytes" | "maxBufferBytes" | "irqLatencyNs" | "pressure"
> &
  Pick<MachineOptions, "onRecordPage" | "onStep">;

/** A machine with a program in it: the VM, or bare metal. */
export interface Made {
  readonly machine: Machine | BareMetal;
  readonly vm: Machine | undefined;
  readonly frames: Frames;
  readonly cores: readonly CpuGuestCore[];
}

export class Bench {
  readonly #vcpus: number;
  readonly #code: CoreCode;
  readonly #memory: CpuMemory;

  constructor(vcpus: number) {
    this.#vcpus = vcpus;
    this.#memory = new CpuMemory(vcpus, RAM.pages + HOST_PAGES);
    this.#code = new CoreCode(this.#memory, { ...IMPLEMENTATION, spe: implementationOf(DEFAULT_SPE) });
  }

  /**
   * Makes a machine, lets it be used, and takes its memory back.
   * @param options of the VM; undefined: bare metal
   * @param alarm of the machine's own
   */
  use<T>(
    layout: readonly Layout[],
    options: VmOptions | undefined,
    seed: number,
    alarm: Alarm,
    visit: (made: Made) => T,
  ): T {
    const store = new Lent(this.#memory.pages);
    try {
      return visit(this.#made(store, layout, options, seed, alarm));
    } finally {
      this.#memory.code.drop();
      store.returnAll();
      this.#code.undefinedWords.clear();
    }
  }

  #made(
    store: PageStore,
    layout: readonly Layout[],
    options: VmOptions | undefined,
    seed: number,
    alarm: Alarm,
  ): Made {
    const vcpus = this.#vcpus;
    const around = {
      store,
      alarm,
      bus: { access: () => 0n },
      devices: (onLineChange: (vcpu: number) => void) =>
        new VmDevices({
          vcpus,
          spis: SPI_COUNT,
          frames: { distributor: MAP.gicDistributor.base, redistributors: MAP.gicRedistributors.base },
          onLineChange,
        }),
    };
    const vm =
      options === undefined
        ? undefined
        : new Machine({
            ...around,
            memoryPages: RAM.pages,
            firstIpn: FIRST_IPN,
            costs: COSTS,
            seed,
            ...options,
          });
    const metal = vm === undefined ? new BareMetal({ ...around, isMemory }) : undefined;
    const devices = (vm ?? metal)!.devices as VmDevices;
    const group = new CoreGroup(vcpus);
    const core: CodeCoreFactory = (hardware) =>
      new CpuGuestCore(hardware, devices, this.#code, group, { isMemory, seed, exactModels: false });
    vm?.addCodeVcpus(vcpus, core, devices);
    metal?.addCodeCpus(vcpus, core, devices, { costs: COSTS, irqLatencyNs: 0, seed });
    const memory: TableMemory<Ipn> = vm?.pristineMemory ?? metal!.guestMemory;
    for (const { address, words } of layout)
      for (let i = 0; i < words.length; i += PAGE_BYTES / 4) {
        const page = memory.page(ipn(address / PAGE_BYTES + (4 * i) / PAGE_BYTES), {
          by: "store",
          el: 1,
          write: true,
        });
        (page as Uint32Array).set(words.slice(i, i + PAGE_BYTES / 4));
      }
    vm?.start();
    group.cores[0]!.powerOn(BigInt(entryOf(0)), 0n);
    return {
      machine: (vm ?? metal)!,
      vm,
      frames: vm?.mm.frames ?? metal!.frames,
      cores: group.cores,
    };
  }
}
