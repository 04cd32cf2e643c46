/** A whole machine that boots an arm64 kernel: cores, memory under the hypervisor, the board's devices. */
import type { CyclesPerNs } from "../a64/state.ts";
import { Board, type BoardOptions, type BoardState } from "../board/board.ts";
import { fillTree, machineTree } from "../board/machine-tree.ts";
import { MAP, SPI_COUNT } from "../board/memory-map.ts";
import type { GuestMemory } from "../board/virtio/memory.ts";
import { type Ipn, ipn, PAGE_BYTES, type Pfn, pagesFor, type Vpn, vpn } from "../common/address.ts";
import { BrokenInvariant } from "../common/errors.ts";
import { randomBitsAt } from "../common/random.ts";
import { Timeline } from "../common/timeline.ts";
import { CoreCode } from "../cpu/execute/core-code.ts";
import type { Translation } from "../cpu/execute/translator.ts";
import { CoreGroup, CpuGuestCore, type GuestCoreState } from "../cpu/guest-core.ts";
import { IMPLEMENTATION } from "../cpu/implementation.ts";
import { CpuMemory } from "../cpu/memory.ts";
import type { CoherenceState } from "../cpu/spe/coherence.ts";
import type { CostTable } from "../host/costs.ts";
import type { Frames } from "../host/frames.ts";
import type { PressureEvent } from "../host/pressure.ts";
import { randomPressure } from "../host/random-pressure.ts";
import { type DevicesState, VmDevices } from "../kvm/devices.ts";
import { bufferOf } from "../kvm/spe/guest-copies.ts";
import type { PinPolicy, SpeBuffer } from "../kvm/spe/policy.ts";
import type { CodeCoreFactory } from "../kvm/vcpu.ts";
import { type Access, INSPECT } from "../mmu/access.ts";
import { halfOf } from "../mmu/config.ts";
import { isFault } from "../mmu/fault.ts";
import type { TableMemory } from "../mmu/table-memory.ts";
import { translate } from "../mmu/translate.ts";
import type { SpeImplementation } from "../spe/implementation.ts";
import { BareMetal } from "./bare-metal.ts";
import type { CountedMachine } from "./figures.ts";
import { type Kernel, placeImage } from "./image.ts";
import { Machine, type MachineState } from "./machine.ts";
import type { HostConfig } from "./machine-config.ts";
import type { Ending } from "./machine-loop.ts";

/** What executes a guest's code: a VM, or bare metal. */
export interface CodeMachine extends CountedMachine {
  /** See MachineLoop. */
  readonly turns: number;
  readonly vcpus: readonly (CountedMachine["vcpus"][number] & {
    /** The instant that it has reached, within a run of its core as well. */
    readonly nowNs: number;
    /** Of the hypervisor's time what SPE has nothing to do with. */
    readonly otherNs: number;
  })[];
  /** Told of each change of a guest's PMBLIMITR_EL1.E. */
  onBuffer: ((vcpu: number, on: boolean) => void) | undefined;
  /** Told of each write that traps and leaves PMBLIMITR_EL1.E at 0. */
  onLimitWhileOff: ((vcpu: number) => void) | undefined;
  /** Told of each access of a vCPU's that stage 2 does not allow, before that is mended. */
  onFault: ((vcpu: number, page: Ipn, write: boolean) => void) | undefined;
  /** Told of what the host does to guest memory by itself, before it is done; pages count from the guest's first. */
  onPressure: ((event: PressureEvent) => void) | undefined;
  runSteps(steps: number, isEnough?: () => boolean): Ending;
  pause(): void;
  readonly nextNs: number;
  idleTo(atNs: number): void;
  /** Work before the guest's first instruction. */
  readonly setupNs: number;
  readonly prefaultedPages: number;
  /** What went wrong without ending the run, a sentence each. */
  readonly warnings: readonly string[];
  /** What backs guest memory in the host. */
  readonly backing: string;
}

export interface VirtualMachineOptions {
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly policy: PinPolicy;
  readonly costs: CostTable;
  readonly host: HostConfig;
  readonly seed: number;
  /** Seconds since 1970 at the guest's time 0. */
  readonly startSeconds: number;
  /** What a new machine boots; a restored one has it in memory. */
  readonly boot: BootFiles | undefined;
  /** The profiling unit of the cores; undefined: they have none. */
  readonly spe: SpeImplementation | undefined;
  /** The clock of the CPUs; that of the implementation by default. */
  readonly cyclesPerNs?: CyclesPerNs;
  /** Whether the models of caches and the like follow every op. Default: some before each sample. */
  readonly exactModels?: boolean;
  /** When code is translated, of which nothing but speed depends. */
  readonly translation?: Translation;
  /** Without a hypervisor: `policy` and what it costs do not matter. By default under one. */
  readonly bareMetal?: boolean;
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
  readonly coherence: CoherenceState;
  readonly devices: DevicesState;
  readonly board: BoardState;
  readonly undefinedWords: readonly (readonly [word: number, count: number])[];
  /** Runs of guest pages with content, and the frames behind them. */
  readonly guestPages: readonly (readonly [first: number, frame: number, pages: number])[];
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

export class VirtualMachine {
  readonly machine: CodeMachine;
  readonly cores: readonly CpuGuestCore[];
  readonly code: CoreCode;
  readonly board: Board;
  /** GIC, timers and PMUs. */
  readonly devices: VmDevices;
  readonly #group: CoreGroup;
  /** Physical memory, by the frames that the cores see. */
  readonly #frames: Frames;
  /** The VM; undefined on bare metal. */
  readonly #vm: Machine | undefined;
  readonly #metal: BareMetal | undefined;

  constructor(options: VirtualMachineOptions) {
    const memoryPages = pagesFor(options.memoryBytes);
    const firstIpn = ipn(MAP.ram.base / PAGE_BYTES);
    const memory = new CpuMemory(options.cpus, memoryPages + TABLE_PAGES);
    this.code = new CoreCode(
      memory,
      { ...IMPLEMENTATION, spe: options.spe, cyclesPerNs: options.cyclesPerNs ?? IMPLEMENTATION.cyclesPerNs },
      options.translation,
    );
    const around = {
      store: memory.pages,
      alarm: { atNs: () => this.#alarmNs(options.startSeconds), ring: () => this.board.rtc.tick() },
      bus: {
        access: (ipa: number, bytes: number, write: boolean, data: bigint) =>
          this.board.access(ipa, bytes, write, data),
      },
      devices: (onLineChange: (vcpu: number) => void) =>
        new VmDevices({
          vcpus: options.cpus,
          spis: SPI_COUNT,
          frames: { distributor: MAP.gicDistributor.base, redistributors: MAP.gicRedistributors.base },
          onLineChange,
        }),
    };
    const isMemory = (page: Ipn): boolean => page >= firstIpn && page < firstIpn + memoryPages;
    const made =
      options.bareMetal === true
        ? new BareMetal({ ...around, isMemory })
        : new Machine({
            ...around,
            memoryPages,
            firstIpn,
            costs: options.costs,
            policy: options.policy,
            ...treatment(options.host, memoryPages, options.seed),
            seed: options.seed,
          });
    this.machine = made;
    this.#vm = made instanceof Machine ? made : undefined;
    this.#metal = made instanceof Machine ? undefined : made;
    this.#frames = made instanceof Machine ? made.mm.frames : made.frames;
    const devices = made.devices as VmDevices;
    this.devices = devices;
    const ofDevices =
      made instanceof Machine ? made.vm.guestMemory(made.host) : within(isMemory, made.guestMemory);
    this.board = new Board({
      memory: this.#directAccess(ofDevices),
      irq: (spi, high) => devices.gic.setLine(FIRST_SPI + spi, high),
      serial: options.console,
      seconds: () => options.startSeconds + this.machine.nowNs / NS_PER_SECOND,
      seed: options.seed,
      ports: options.ports,
      disks: options.disks,
      shares: options.shares,
    });
    const group = new CoreGroup(options.cpus);
    this.#group = group;
    const core: CodeCoreFactory = (hardware) =>
      new CpuGuestCore(hardware, devices, this.code, group, {
        isMemory,
        seed: options.seed,
        exactModels: options.exactModels ?? false,
      });
    if (made instanceof Machine) made.addCodeVcpus(options.cpus, core, devices);
    else
      made.addCodeCpus(options.cpus, core, devices, {
        costs: options.costs,
        irqLatencyNs: options.host.irqLatencyNs,
        seed: options.seed,
      });
    this.cores = group.cores;
    if (options.boot === undefined) return;
    const pristine = made instanceof Machine ? made.pristineMemory : ofDevices;
    this.#load(options, options.boot, pristine);
    this.#vm?.start();
  }

  /** Runs for some steps of the machine: see `Machine.runSteps`. */
  run(steps: number, isEnough?: () => boolean): Ending {
    return this.machine.runSteps(steps, isEnough);
  }

  /**
   * Has all of guest memory present in the host and mapped at stage 2, as if it had been touched before: what it takes is
   * nobody's time. On bare metal it always is.
   */
  populate(): void {
    this.#vm?.vm.stage2.prefault(new Timeline("before"), false);
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

  /** The guest page that a CPU's own tables have a page of its virtual addresses at; undefined: none. Nothing notices. */
  guestPageAt(cpu: number, page: Vpn): Ipn | undefined {
    const regime = this.cores[cpu]!.stage1();
    const found = translate(halfOf(regime, page), page, INSPECT, {
      page: this.#look,
      wrote: () => undefined,
    });
    return isFault(found) ? undefined : found.outputPage;
  }

  /** The guest pages of the tables by which a CPU translates some pages of its virtual addresses, in the order of a walk. */
  guestTablesAt(cpu: number, first: Vpn, pages: number): readonly Ipn[] {
    const regime = this.cores[cpu]!.stage1();
    const tables = new Set<Ipn>();
    const page = (table: Ipn): Uint32Array | undefined => {
      tables.add(table);
      return this.#look(table);
    };
    for (let at = 0; at < pages; at++)
      translate(halfOf(regime, first), vpn(first + at), INSPECT, { page, wrote: () => undefined });
    return [...tables];
  }

  /** Guest pages that stage 2 lets the guest write to, as [first, pages]; undefined: there is no stage 2. */
  pagesMapped(): readonly (readonly [first: Ipn, pages: number])[] | undefined {
    return this.#vm?.vm.stage2.writableRuns();
  }

  /** The buffer that a CPU's registers describe, as its guest reads them. */
  bufferOf(cpu: number): SpeBuffer {
    const { spu } = this.cores[cpu]!;
    const own = () => ({
      PMBLIMITR_EL1: spu.read("PMBLIMITR_EL1"),
      PMBPTR_EL1: spu.read("PMBPTR_EL1"),
      PMBSR_EL1: spu.read("PMBSR_EL1"),
    });
    return this.#vm?.vcpus[cpu]?.spe.guestBuffer ?? bufferOf(own());
  }

  /** A guest page's content, where there is any. */
  readonly #look = (page: Ipn): Uint32Array | undefined => {
    if (this.#vm === undefined) return this.#frames.read(page as number as Pfn);
    const { vm, mm } = this.#vm;
    const hostPage = vm.memslots.hostPageOf(page);
    const frame = hostPage < 0 ? -1 : mm.frameOf(hostPage);
    return frame < 0 ? undefined : this.#frames.read(frame as Pfn);
  };

  /** Instructions that all cores have retired. */
  get instructions(): number {
    return this.cores.reduce((sum, { core }) => sum + core.executed, 0);
  }

  /** @returns why it cannot be saved, as a string */
  save(): { readonly state: VirtualMachineState; readonly pages: readonly SavedPage[] } | string {
    const vm = this.#vm;
    if (vm === undefined) return "it runs on bare metal";
    const machine = vm.save();
    if (typeof machine === "string") return machine;
    const { frames } = vm.mm;
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
        coherence: this.#group.coherence.save(),
        devices: this.devices.save(),
        board: this.board.save(),
        undefinedWords: [...this.code.undefinedWords],
        guestPages: guestPagesOf(vm),
      },
      pages: pages.sort((a, b) => a.frame - b.frame),
    };
  }

  /**
   * Into a machine that was made with the same options and without files to boot; on bare metal, too: there the guest's pages
   * lie where it believes them to be, and nothing of the hypervisor's is left.
   */
  restore(state: VirtualMachineState, pages: Iterable<SavedPage>): void {
    const frames = this.#frames;
    const placeOf = this.#vm === undefined ? guestPageOf(state.guestPages) : (frame: number) => frame;
    this.#vm?.restore(state.machine);
    this.#metal?.restore(state.machine);
    for (const { frame, words } of pages) {
      const place = placeOf(frame);
      if (place !== undefined) frames.writable(place).set(words);
    }
    frames.wrote();
    this.devices.restore(state.devices);
    this.board.restore(state.board);
    state.cores.forEach((core, i) => {
      this.cores[i]!.restore(core, (frame) => frames.writable(placeOf(frame) ?? frame).byteOffset);
    });
    this.#group.coherence.restore(state.coherence);
    for (const [word, count] of state.undefinedWords) this.code.undefinedWords.set(word, count);
    if (this.#vm?.spe.started === false) this.#vm.start();
  }

  /** Guest memory as devices of user space reach it: through the host's mapping, at the host's cost. */
  #directAccess(memory: TableMemory<Ipn>): GuestMemory {
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

  #load(
    { cpus, memoryBytes, seed, spe }: VirtualMachineOptions,
    boot: BootFiles,
    memory: TableMemory<Ipn>,
  ): void {
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
        spe: spe !== undefined,
        seed: { kaslr: random(8, 0), rng: random(32, 8) },
      });
    };
    const place = placeImage(ram, kernel, initrd?.length, tree(undefined).length + 1024);
    for (const { address, bytes } of place.kernel) writeTo(memory, address, bytes);
    if (initrd !== undefined && place.initrd !== undefined) writeTo(memory, place.initrd, initrd);
    if (place.deviceTree !== undefined) writeTo(memory, place.deviceTree, tree(place.initrd));
    this.cores[0]!.powerOn(place.entry, BigInt(place.argument));
  }
}

const orUnlimited = (bytes: number | null): number => bytes ?? Number.MAX_SAFE_INTEGER;

/** What a host's configuration is to the VM. */
function treatment(host: HostConfig, memoryPages: number, seed: number) {
  const memlockBytes = orUnlimited(host.memlockBytes);
  return {
    backing: host.backing,
    memlockBytes,
    memlockMaxBytes: Math.max(memlockBytes, orUnlimited(host.memlockMaxBytes)),
    maxBufferBytes: host.maxBufferBytes ?? undefined,
    irqLatencyNs: host.irqLatencyNs,
    physicalAddresses: host.physicalAddresses,
    ...(host.pressure === null ? {} : { pressure: randomPressure(host.pressure, memoryPages, seed) }),
  };
}

/** Writes guest memory before time begins. */
function writeTo(memory: TableMemory<Ipn>, ipa: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) {
    const at = ipa + done;
    const offset = at % PAGE_BYTES;
    const count = Math.min(PAGE_BYTES - offset, bytes.length - done);
    const words = memory.page(ipn(Math.floor(at / PAGE_BYTES)), STORE);
    if (words !== undefined && !isFault(words))
      new Uint8Array(words.buffer, words.byteOffset + offset, count).set(bytes.subarray(done, done + count));
    done += count;
  }
}

/** A part of memory: nothing is elsewhere. */
const within = (isMemory: (page: Ipn) => boolean, memory: TableMemory<Ipn>): TableMemory<Ipn> => ({
  page: (page, access) => (isMemory(page) ? memory.page(page, access) : undefined),
  wrote: (page) => memory.wrote(page),
});

/** Where the guest's pages are that have content, as runs of pages and frames. */
function guestPagesOf({ vm, mm }: Machine): VirtualMachineState["guestPages"] {
  const runs: [first: number, frame: number, pages: number][] = [];
  for (const { firstIpn, hostPage, pages } of vm.memslots.all)
    for (let at = 0; at < pages; at++) {
      const frame = mm.frameOf(hostPage + at);
      if (frame < 0 || !mm.frames.hasContent(frame)) continue;
      const [last] = runs.slice(-1);
      if (last !== undefined && last[0] + last[2] === firstIpn + at && last[1] + last[2] === frame)
        last[2] += 1;
      else runs.push([firstIpn + at, frame, 1]);
    }
  return runs;
}

/** The guest page that a frame is behind; undefined for frames that are the hypervisor's own. */
function guestPageOf(runs: VirtualMachineState["guestPages"]): (frame: number) => number | undefined {
  const pageOf = new Map<number, number>();
  for (const [first, frame, pages] of runs) for (let i = 0; i < pages; i++) pageOf.set(frame + i, first + i);
  return (frame) => pageOf.get(frame);
}
