/**
 * The guest's memory as the model needs it: RAM at QEMU's virt address, a kernel page table of real descriptors, and
 * AUX buffers mapped as vmap does: consecutive VAs over pages that the guest's buddy allocator gave out in short runs.
 */
import { stage1Leaf } from "../arm/descriptors.ts";
import { TCR_EL1 } from "../arm/registers-system.ts";
import { type Ipn, ipn, type Va, type Vpn, va, vpn, vpnOf } from "../common/address.ts";
import { UserError } from "../common/errors.ts";
import { type RandomStream, randomStream } from "../common/random.ts";
import { mapRange, type TableWriter, unmapRange } from "../mmu/build.ts";
import { type Stage1Regime, stage1Regime } from "../mmu/config.ts";
import type { TableMemory } from "../mmu/table-memory.ts";

/** RAM starts at 1 GiB, as on QEMU's virt board. */
export const RAM_FIRST_IPN = ipn(0x40000);
/** The start of vmalloc space with 48-bit VAs (arch/arm64/include/asm/memory.h: above the linear map). */
const VMALLOC_START = 0xffff_8000_8000_0000n;
/** The longest run of consecutive pages that the guest's allocator hands out: assumed. */
const LONGEST_RUN = 64;
const KERNEL_DATA = stage1Leaf();

export type GuestPageBytes = 4096 | 16384 | 65536;

export interface GuestBuffer {
  readonly base: Va;
  readonly firstPage: Vpn;
  /** The guest pages behind it, in order of VA, in units of 4 KiB. */
  readonly ipns: Int32Array;
}

const TG1: Readonly<Record<GuestPageBytes, number>> = { 4096: 2, 16384: 1, 65536: 3 };

export class ModelMemory {
  readonly regime: Stage1Regime;
  readonly pageBytes: GuestPageBytes;
  readonly #writer: TableWriter<Ipn>;
  readonly #random: RandomStream;
  readonly #units: number;
  /** Runs of free pages: [first, pages], in the order in which they are given out. */
  readonly #runs: [number, number][] = [];
  #nextTable: number;
  readonly #tableEnd: number;
  #nextVpn = vpnOf(VMALLOC_START) as number;
  readonly #tablePages: number[] = [];
  /** Pages that are the next to become tables. */
  #offered: readonly number[];

  /**
   * @param memory guest memory by IPA, for the tables
   * @param pages 4 KiB pages of RAM
   */
  constructor(options: {
    readonly memory: TableMemory<Ipn>;
    readonly pages: number;
    readonly pageBytes: GuestPageBytes;
    readonly seed: number;
    /** The first page for tables; by default RAM's first. */
    readonly tablesFrom?: number;
    /** See offerTables: the first is the root's. */
    readonly tables?: readonly number[];
  }) {
    this.pageBytes = options.pageBytes;
    this.#units = options.pageBytes / 4096;
    this.#random = randomStream(options.seed);
    const { memory } = options;
    // Tables: enough for all of RAM to be mapped, once, by 4 KiB pages.
    const forTables = Math.ceil(options.pages / 256) + 8 * this.#units * 4;
    this.#nextTable = Math.ceil((options.tablesFrom ?? RAM_FIRST_IPN) / this.#units) * this.#units;
    this.#tableEnd = this.#nextTable + forTables;
    this.#offered = options.tables ?? [];
    this.#writer = {
      memory,
      allocateTablePage: () => this.#allocateTable(),
    };
    const root = this.#allocateTable();
    for (let i = 0; i < this.#units; i++) {
      const page = memory.page(ipn(root + i), { by: "inspect", el: 1, write: true });
      if (page instanceof Uint32Array) page.fill(0);
    }
    this.regime = stage1Regime({
      TCR_EL1: TCR_EL1.with(0n, { T0SZ: 16, T1SZ: 16, TG1: TG1[options.pageBytes], EPD0: 1, IPS: 5, SH1: 3 }),
      TTBR0_EL1: 0n,
      TTBR1_EL1: BigInt(root) << 12n,
      SCTLR_EL1: 1n | (1n << 2n) | (1n << 12n),
      MAIR_EL1: 0xffn,
    });
    this.#scatter(this.#tableEnd, RAM_FIRST_IPN + options.pages);
  }

  /** The IPAs of every table page that there is. */
  get tablePages(): readonly number[] {
    return this.#tablePages;
  }

  /**
   * Allocates and maps a buffer of `pages` 4 KiB pages (a multiple of the guest's page), followed by a guard page.
   * @throws UserError where RAM is too small
   */
  mapBuffer(pages: number): GuestBuffer {
    const ipns = new Int32Array(pages);
    const firstPage = vpn(this.#nextVpn);
    let at = 0;
    while (at < pages) {
      const run = this.#runs.pop();
      if (run === undefined)
        throw new UserError(
          "the buffers do not fit into the guest's memory",
          "Give the guest more with --memory, or take a smaller --buffer",
        );
      const [first, length] = run;
      const taken = Math.min(length, pages - at);
      if (taken < length) this.#runs.push([first + taken, length - taken]);
      for (let i = 0; i < taken; i++) ipns[at + i] = first + i;
      this.map(vpn(firstPage + at), ipn(first), taken);
      at += taken;
    }
    this.#nextVpn += pages + this.#units;
    return { base: va(BigInt(firstPage) << 12n), firstPage, ipns };
  }

  /**
   * Maps a buffer at a given place.
   * @param runs the guest pages behind it, as [first, pages]
   */
  mapBufferAt(firstPage: Vpn, runs: readonly (readonly [first: number, pages: number])[]): void {
    let at = 0;
    for (const [first, pages] of runs) {
      this.map(vpn(firstPage + at), ipn(first), pages);
      at += pages;
    }
  }

  /** Maps pages in the kernel's table: whole guest pages. */
  map(first: Vpn, output: Ipn, pages: number, attributes = KERNEL_DATA): void {
    mapRange(this.regime.upper, this.#writer, first, output, pages, attributes);
  }

  unmap(first: Vpn, pages: number): void {
    unmapRange(this.regime.upper, this.#writer, first, pages);
  }

  /** Pages that become tables when there must be more: those that are none yet, in this order, and then any. */
  offerTables(pages: readonly number[]): void {
    this.#offered = pages.filter((page) => !this.#tablePages.includes(page));
  }

  #allocateTable(): Ipn {
    const [offered, ...more] = this.#offered;
    if (offered !== undefined) {
      this.#offered = more;
      this.#tablePages.push(offered);
      return ipn(offered);
    }
    const page = this.#nextTable;
    this.#nextTable += this.#units;
    if (this.#nextTable > this.#tableEnd)
      throw new UserError(
        "the guest's memory is too small for its page tables",
        "Give it more with --memory",
      );
    for (let i = 0; i < this.#units; i++) this.#tablePages.push(page + i);
    return ipn(page);
  }

  /** Cuts free memory into short runs and shuffles them. */
  #scatter(from: number, to: number): void {
    const units = this.#units;
    let at = Math.ceil(from / units) * units;
    while (at + units <= to) {
      const length = Math.min(
        this.#random.integer(1, Math.max(1, LONGEST_RUN / units)) * units,
        Math.floor((to - at) / units) * units,
      );
      this.#runs.push([at, length]);
      at += length;
    }
    for (let i = this.#runs.length - 1; i > 0; i--) {
      const j = this.#random.integer(0, i);
      const run = this.#runs[i] as [number, number];
      this.#runs[i] = this.#runs[j] as [number, number];
      this.#runs[j] = run;
    }
  }
}
