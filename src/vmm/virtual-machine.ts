/** A whole machine that boots an arm64 kernel: cores, memory under the hypervisor, the board's devices. */
import { Board, type BoardOptions, type BoardState } from "../board/board.ts";
import { fillTree, machineTree } from "../board/machine-tree.ts";
import { MAP, SPI_COUNT } from "../board/memory-map.ts";
import type { GuestMemory } from "../board/virtio/memory.ts";
import { type Ipn, ipn, PAGE_BYTES, pagesFor } from "../common/address.ts";
import { BrokenInvariant } from "../common/errors.ts";
import { randomBitsAt } from "../common/random.ts";
import { CoreCode } from "../cpu/execute/core-code.ts";
import { CoreGroup, CpuGuestCore, type GuestCoreState } from "../cpu/guest-core.ts";
import { CpuMemory } from "../cpu/memory.ts";
import type { CostTable } from "../host/costs.ts";
import type { Backing } from "../host/mm.ts";
import { type DevicesState, VmDevices } from "../kvm/devices.ts";
import type { PinPolicy } from "../kvm/spe/policy.ts";
import type { Access } from "../mmu/access.ts";
import { isFault } from "../mmu/fault.ts";
import type { TableMemory } from "../mmu/table-memory.ts";
import { type Kernel, placeImage } from "./image.ts";
import { Machine, type MachineState } from "./machine.ts";
import type { Ending } from "./machine-loop.ts";

export interface VirtualMachineOptions {
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly policy: PinPolicy;
  readonly costs: CostTable;
  readonly backing: Backing;
  readonly seed: number;
  /** Seconds since 1970 at the guest's time 0. */
  readonly startSeconds: number;
  /** What a new machine boots; a restored one has it in memory. */
  readonly boot: BootFiles | undefined;
  /** Told of each character that the guest writes to its serial console. */
  readonly console: (byte: number) => void;
  readonly ports: BoardOptions["ports"];
  readonly disks: BoardOptions["disks"];
  readonly shares: BoardOptions["shares"];
}

export interface BootFiles {
  readonly kernel: Kernel;
  readonly initrd: Uint8Array | undefined;
  readonly append: string;
  /** Instead of the machine's own device tree. */
  readonly deviceTree: Uint8Array | undefined;
}

/** All of a machine but the content of its memory. */
export interface VirtualMachineState {
  readonly machine: MachineState;
  readonly cores: readonly GuestCoreState[];
  readonly devices: DevicesState;
  readonly board: BoardState;
  readonly undefinedWords: readonly (readonly [word: number, count: number])[];
}

/** A physical page that is not all zeros. */
export interface SavedPage {
  readonly frame: number;
  readonly words: Uint32Array;
}

/** INTID of the first SPI. */
const FIRST_SPI = 32;
/** Host pages beside guest memory: stage-2 tables, and the rest of the blocks they come from. */
const TABLE_PAGES = 4096;
const NS_PER_SECOND = 1e9;
const LOAD: Access = { by: "load", el: 1, write: false };
const STORE: Access = { by: "store", el: 1, write: true };
const IRQ_LATENCY_NS = 0;

export class VirtualMachine {
  readonly machine: Machine;
  readonly cores: readonly CpuGuestCore[];
  readonly code: CoreCode;
  readonly board: Board;
  readonly #devices: VmDevices;

  constructor(options: VirtualMachineOptions) {
    const memoryPages = pagesFor(options.memoryBytes);
    const firstIpn = ipn(MAP.ram.base / PAGE_BYTES);
    const memory = new CpuMemory(options.cpus, memoryPages + TABLE_PAGES);
    this.code = new CoreCode(memory);
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
      store: memory.pages,
      alarm: { atNs: () => this.#alarmNs(options.startSeconds), ring: () => this.board.rtc.tick() },
      bus: { access: (ipa, bytes, write, data) => this.board.access(ipa, bytes, write, data) },
      devices: (onLineChange) =>
        new VmDevices({
          vcpus: options.cpus,
          spis: SPI_COUNT,
          frames: { distributor: MAP.gicDistributor.base, redistributors: MAP.gicRedistributors.base },
          onLineChange,
        }),
    });
    const devices = this.machine.devices as VmDevices;
    this.#devices = devices;
    this.board = new Board({
      memory: this.#directAccess(),
      irq: (spi, high) => devices.gic.setLine(FIRST_SPI + spi, high),
      serial: options.console,
      seconds: () => options.startSeconds + this.machine.nowNs / NS_PER_SECOND,
      seed: options.seed,
      ports: options.ports,
      disks: options.disks,
      shares: options.shares,
    });
    const group = new CoreGroup();
    const isMemory = (page: Ipn): boolean => page >= firstIpn && page < firstIpn + memoryPages;
    this.machine.addCodeVcpus(
      options.cpus,
      (hardware) => new CpuGuestCore(hardware, devices, this.code, group, isMemory),
      devices,
    );
    this.cores = group.cores;
    if (options.boot === undefined) return;
    this.#load(options, options.boot);
    this.machine.start();
  }

  /** Runs for some steps of the machine: see `Machine.runSteps`. */
  run(steps: number, isEnough?: () => boolean): Ending {
    return this.machine.runSteps(steps, isEnough);
  }

  /** When the real-time clock's alarm goes off. */
  #alarmNs(startSeconds: number): number {
    const { alarmSeconds } = this.board.rtc;
    return alarmSeconds === undefined
      ? Number.POSITIVE_INFINITY
      : (alarmSeconds - startSeconds) * NS_PER_SECOND;
  }

  /** Characters for the guest's serial console; as many as fit are taken. */
  type(bytes: Uint8Array): number {
    const { uart } = this.board;
    const taken = Math.min(uart.room, bytes.length);
    if (taken > 0) uart.receive([...bytes.subarray(0, taken)]);
    return taken;
  }

  /** Instructions that all cores have retired. */
  get instructions(): number {
    return this.cores.reduce((sum, { core }) => sum + core.executed, 0);
  }

  /** @returns why it cannot be saved, as a string */
  save(): { readonly state: VirtualMachineState; readonly pages: readonly SavedPage[] } | string {
    const machine = this.machine.save();
    if (typeof machine === "string") return machine;
    const { frames } = this.machine.mm;
    const pages: SavedPage[] = [];
    const frameOf = new Map<number, number>();
    for (const [frame, words] of frames.contents) {
      frameOf.set(words.byteOffset, frame);
      if (words.some((word) => word !== 0)) pages.push({ frame, words });
    }
    const frameAt = (hostPage: number): number => {
      const frame = frameOf.get(hostPage);
      if (frame === undefined) throw new BrokenInvariant(`a translation to ${hostPage}, where no frame lies`);
      return frame;
    };
    return {
      state: {
        machine,
        cores: this.cores.map((core) => core.save(frameAt)),
        devices: this.#devices.save(),
        board: this.board.save(),
        undefinedWords: [...this.code.undefinedWords],
      },
      pages: pages.sort((a, b) => a.frame - b.frame),
    };
  }

  /** Into a machine that was made with the same options and without files to boot. */
  restore(state: VirtualMachineState, pages: Iterable<SavedPage>): void {
    const { frames } = this.machine.mm;
    this.machine.restore(state.machine);
    for (const { frame, words } of pages) frames.writable(frame).set(words);
    frames.wrote();
    this.#devices.restore(state.devices);
    this.board.restore(state.board);
    state.cores.forEach((core, i) => {
      this.cores[i]!.restore(core, (frame) => frames.writable(frame).byteOffset);
    });
    for (const [word, count] of state.undefinedWords) this.code.undefinedWords.set(word, count);
    if (!this.machine.spe.started) this.machine.start();
  }

  /** Guest memory as devices of user space reach it: through the host's mapping, at the host's cost. */
  #directAccess(): GuestMemory {
    const memory = this.machine.vm.guestMemory(this.machine.host);
    const each = (
      ipa: number,
      bytes: number,
      access: Access,
      visit: (page: Uint8Array, at: number) => void,
    ) => {
      for (let done = 0; done < bytes; ) {
        const at = ipa + done;
        const offset = at % PAGE_BYTES;
        const count = Math.min(PAGE_BYTES - offset, bytes - done);
        const words = memory.page(ipn(Math.floor(at / PAGE_BYTES)), access);
        if (words === undefined || isFault(words)) return false;
        visit(new Uint8Array(words.buffer, words.byteOffset + offset, count), done);
        done += count;
      }
      return true;
    };
    return {
      read: (ipa, bytes) => {
        const data = new Uint8Array(bytes);
        return each(ipa, bytes, LOAD, (page, at) => data.set(page, at)) ? data : undefined;
      },
      write: (ipa, data) =>
        each(ipa, data.length, STORE, (page, at) => {
          page.set(data.subarray(at, at + page.length));
          this.code.memory.code.forget(page.byteOffset, page.length);
        }),
    };
  }

  #load({ cpus, memoryBytes, seed }: VirtualMachineOptions, boot: BootFiles): void {
    const { kernel, initrd, append } = boot;
    const ram = { base: MAP.ram.base, bytes: memoryBytes };
    const random = (bytes: number, from: number): Uint8Array =>
      Uint8Array.from({ length: bytes }, (_, i) => randomBitsAt(seed, from + i));
    const tree = (initrdAt: number | undefined): Uint8Array => {
      const filling = {
        memoryBytes,
        bootargs: append,
        ...(initrd === undefined || initrdAt === undefined
          ? {}
          : { initrd: { start: initrdAt, end: initrdAt + initrd.length } }),
      };
      if (boot.deviceTree !== undefined) return fillTree(boot.deviceTree, "--dtb", filling);
      return machineTree({
        cpus,
        ...filling,
        virtio: this.board.transports,
        seed: { kaslr: random(8, 0), rng: random(32, 8) },
      });
    };
    const place = placeImage(ram, kernel, initrd?.length, tree(undefined).length + 1024);
    for (const { address, bytes } of place.kernel) this.#write(address, bytes);
    if (initrd !== undefined && place.initrd !== undefined) this.#write(place.initrd, initrd);
    if (place.deviceTree !== undefined) this.#write(place.deviceTree, tree(place.initrd));
    this.cores[0]!.powerOn(place.entry, BigInt(place.argument));
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
}
